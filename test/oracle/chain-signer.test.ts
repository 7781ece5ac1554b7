/**
 * The remote signer, by web3signer's "JSON-RPC API" (docs.web3signer.consensys.io, reference/api/json-rpc) and its
 * sources: one transaction object as parameter, the raw transaction as result, EIP-1559 when both fees are given, the
 * chain id of its own configuration, status 400 with a JSON-RPC error for what it refuses. The signer here is written
 * from these; no web3signer was run.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Transaction, Wallet, type TransactionLike } from 'ethers';
import t, { type Test } from 'tap';
import { openSigner } from '@coldproof/oracle/chain-signer';
import { cancelledOnce, Life, roundsUntil, scene, stateOf } from './transmit-fixture.ts';

/** Account 9 of the development phrase, which pays in these tests. */
const wallet = new Wallet('0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6');

type Request = { id: unknown; method: string; params: [Readonly<Record<string, string>>] };

async function openSignerServer(t: Test, chainId = 31_337) {
  const asked: Request[] = [];
  const behaviour: {
    change: (transaction: TransactionLike) => TransactionLike;
    raw: (raw: string) => unknown;
    key: Wallet;
    isAway: boolean;
  } = { change: (same) => same, raw: (same) => same, key: wallet, isAway: false };
  const server = createServer((request, response) => {
    void (async () => {
      let body = '';
      for await (const chunk of request) body += String(chunk);
      const { id, method, params } = JSON.parse(body) as Request;
      asked.push({ id, method, params });
      if (behaviour.isAway) return void request.socket.destroy();
      const answer = (status: number, said: object) => {
        response
          .writeHead(status, { 'content-type': 'application/json' })
          .end(JSON.stringify({ jsonrpc: '2.0', id, ...said }));
      };
      const [{ from = '', to, gas, maxFeePerGas, maxPriorityFeePerGas, nonce, value, data }] = params;
      if (method !== 'eth_signTransaction')
        return answer(400, { error: { code: -32601, message: 'Method not found' } });
      if (from.toLowerCase() !== wallet.address.toLowerCase()) {
        return answer(400, { error: { code: -32_000, message: 'Signing from is not an unlocked account' } });
      }
      const fees = { maxFeePerGas: maxFeePerGas!, maxPriorityFeePerGas: maxPriorityFeePerGas! };
      const transaction = { to: to ?? null, gasLimit: gas!, nonce: Number(nonce), value: value!, data: data!, ...fees };
      const changed = Transaction.from(behaviour.change({ type: 2, chainId, ...transaction }));
      changed.signature = behaviour.key.signingKey.sign(changed.unsignedHash);
      answer(200, { result: behaviour.raw(changed.serialized) });
    })();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, behaviour, asked };
}

const transaction = {
  ...{ to: '0x5FbDB2315678afecb367f032d93F642f64180aa3', calldata: '0xabcdef01', nonce: 7, gasMax: 500_000n },
  ...{ feeWeiMax: 3_000_000_000n, priorityFeeWei: 1_000_000_000n },
};

t.test('what is asked, and what comes back', async (t) => {
  const { url, asked } = await openSignerServer(t);
  const signer = openSigner({ url, address: wallet.address.toLowerCase(), timeoutMs: 5_000 });
  t.equal(signer.address, wallet.address);
  const { raw, hash } = await signer.sign(transaction, 31_337);
  t.match(asked[0], {
    method: 'eth_signTransaction',
    params: [
      {
        ...{ from: wallet.address, to: transaction.to, gas: '0x7a120', nonce: '0x7', value: '0x0', data: '0xabcdef01' },
        ...{ maxFeePerGas: '0xb2d05e00', maxPriorityFeePerGas: '0x3b9aca00' },
      },
    ],
  });
  t.equal(Transaction.from(raw).hash, hash);
  t.equal(Transaction.from(raw).from, wallet.address);
  const { raw: creation } = await signer.sign({ ...transaction, to: undefined }, 31_337);
  t.equal(Transaction.from(creation).to, null);
});

t.test('each field that differs is refused by its name', async (t) => {
  const { url, behaviour } = await openSignerServer(t);
  const signer = openSigner({ url, address: wallet.address, timeoutMs: 5_000 });
  const changes: [string, Partial<TransactionLike>][] = [
    ['type', { type: 1, maxFeePerGas: null, maxPriorityFeePerGas: null, gasPrice: 5 }],
    ['chainId', { chainId: 1 }],
    ['to', { to: wallet.address }],
    ['to', { to: null }],
    ['nonce', { nonce: 8 }],
    ['value', { value: 1 }],
    ['data', { data: '0xabcdef02' }],
    ['data', { data: '0x' }],
    ['gas', { gasLimit: 90_000 }],
    ['maxFeePerGas', { maxFeePerGas: 4_000_000_000 }],
    ['maxPriorityFeePerGas', { maxPriorityFeePerGas: 1 }],
    ['accessList', { accessList: [[wallet.address, []]] }],
  ];
  for (const [field, change] of changes) {
    behaviour.change = (asked) => ({ ...asked, ...change });
    await t.rejects(
      signer.sign(transaction, 31_337),
      { code: 'signer-differs', retry: 'later', message: new RegExp(`: ${field}: expected .*, got `) },
      `${field} ${JSON.stringify(change)}`,
    );
  }
  behaviour.change = (same) => same;
  behaviour.key = new Wallet(`0x${'11'.repeat(32)}`);
  await t.rejects(signer.sign(transaction, 31_337), { code: 'signer-differs', message: /: from: expected 0x/ });
  behaviour.key = wallet;
  const broken: ((raw: string) => unknown)[] = [
    (raw) => raw.slice(0, -2),
    (raw) => `${raw}00`,
    () => '0x',
    () => 'no hex',
    () => null,
    (raw) => ({ raw }),
  ];
  for (const change of broken) {
    behaviour.raw = change;
    await t.rejects(signer.sign(transaction, 31_337), { code: 'signer-differs', message: /: result: expected/ });
  }
});

t.test('a signer that refuses or is away: the verdict waits for it', async (t) => {
  const made = await scene(t, 31);
  const { url, behaviour } = await openSignerServer(t);
  const stranger = openSigner({ url, address: `0x${'22'.repeat(20)}`, timeoutMs: 5_000 });
  await t.rejects(stranger.sign(transaction, 31_337), {
    code: 'signer-unreachable',
    message: /unlocked account \(-32000\)/,
  });
  const transmitter = openSigner({ url, address: wallet.address, timeoutMs: 5_000 });
  const life = new Life(made.world, made.folder, { transmitter });
  behaviour.isAway = true;
  await t.rejects(life.round(), { code: 'signer-unreachable', retry: 'later' });
  behaviour.isAway = false;
  behaviour.change = (asked) => ({ ...asked, nonce: 5 });
  await t.rejects(life.round(), { code: 'signer-differs', retry: 'later' });
  t.equal(stateOf(life, made.orderId), 'unstarted');
  t.same(life.store.outbox.feesByNonce(0), [], 'nothing of it is stored');
  behaviour.change = (same) => same;
  await roundsUntil(life, made.orderId, 'confirmed');
  await cancelledOnce(t, made, 'signed elsewhere');
  life.close();
});
