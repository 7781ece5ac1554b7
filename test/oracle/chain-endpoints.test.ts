/** Endpoints of one chain, some of which are away, behind, elsewhere, or lie. SUBMISSION.md says what is believed. */
import t, { type Test } from 'tap';
import { ChainEndpoints, type EndpointSettings } from '@coldproof/oracle/chain-endpoints';
import { Anvil } from './anvil.ts';
import { FaultyRpc, type Fate, type RpcCall } from './faulty-rpc.ts';
import { chainOf, until } from './oracle-fixture.ts';
import { cancelledOnce, Life, roundsUntil, scene, stateOf } from './transmit-fixture.ts';

async function proxiesOf(t: Test, rpcUrl: string, count = 2): Promise<FaultyRpc[]> {
  const proxies = await Promise.all(Array.from({ length: count }, () => FaultyRpc.open(rpcUrl)));
  t.teardown(() => Promise.all(proxies.map((each) => each.close())));
  return proxies;
}

function door(t: Test, proxies: readonly FaultyRpc[], more: Partial<EndpointSettings> = {}) {
  const lines: { level: string; event: string; [field: string]: unknown }[] = [];
  let nowMs = 0;
  const endpoints = new ChainEndpoints({
    ...{ rpcUrls: proxies.map(({ url }) => url), chainId: 31_337, timeoutMs: 1_500, pace: { nowMs: () => nowMs } },
    log: (level, event, fields = {}) => void lines.push({ level, event, ...fields }),
    ...more,
  });
  t.teardown(() => endpoints.close());
  const states = () => endpoints.health().map(({ state }) => state);
  return { endpoints, lines, states, pass: (ms: number) => (nowMs += ms) };
}

const only = (method: string, fate: Fate) => (call: RpcCall) => (call.method === method ? fate : 'pass');
const latest = ['latest', false] as const;

const anvil = await Anvil.start();
t.teardown(() => anvil.stop());
await anvil.chain.request('anvil_mine', ['0x10']);

t.test('one of another chain is left out, by name; all of another chain is fatal', async (t) => {
  const [a, b] = (await proxiesOf(t, anvil.chain.rpcUrl)) as [FaultyRpc, FaultyRpc];
  a.decide = only('eth_chainId', { result: '0x1' });
  const { endpoints, lines, states, pass } = door(t, [a, b]);
  await endpoints.checkChainId();
  t.same(states(), ['wrong-chain', 'up']);
  t.match(lines, [{ level: 'error', event: 'chain-id-wrong', endpoint: a.url, expected: 31_337, got: 1 }]);
  a.calls.length = 0;
  t.equal(await endpoints.send('eth_blockNumber', []), '0x10');
  t.same(a.calls, [], 'it is asked nothing');
  // It is another node by now, and is asked before it is used.
  a.decide = () => 'pass';
  pass(60_000);
  await endpoints.send('eth_getBlockByNumber', latest);
  t.same(states(), ['up', 'up']);
  for (const each of [a, b]) each.decide = only('eth_chainId', { result: '0x2' });
  await t.rejects(door(t, [a, b]).endpoints.checkChainId(), {
    code: 'chain-id-wrong',
    retry: 'never',
    message: /expected chain id 31337, got 2.*expected chain id 31337, got 2/,
  });
  // After an outage, too: what answers then may be elsewhere.
  a.decide = () => 'lose-request';
  await endpoints.send('eth_blockNumber', []);
  a.decide = only('eth_chainId', { result: '0x1' });
  pass(5_000);
  b.decide = () => 'lose-request';
  await t.rejects(endpoints.send('eth_blockNumber', []), { code: 'chain-unreachable', retry: 'later' });
  t.same(states(), ['wrong-chain', 'down']);
});

t.test('a read goes on to the next one, whatever the first one does instead of answering', async (t) => {
  const fates: Fate[] = ['lose-request', 'lose-response', 'hang', 'truncate', { status: 429 }, { status: 500 }];
  for (const fate of [...fates, { error: 'internal error' }]) {
    const [a, b] = (await proxiesOf(t, anvil.chain.rpcUrl)) as [FaultyRpc, FaultyRpc];
    a.decide = () => fate;
    const { endpoints } = door(t, [a, b]);
    t.equal(await endpoints.send('eth_blockNumber', []), '0x10', JSON.stringify(fate));
    t.equal(endpoints.health()[1]!.isInUse, true);
  }
});

t.test('the answer to another question is none', async (t) => {
  const [a] = (await proxiesOf(t, anvil.chain.rpcUrl, 1)) as [FaultyRpc];
  const { endpoints } = door(t, [a]);
  await endpoints.checkChainId();
  // The proxy answers with the id that it was asked with, so the question is changed.
  a.decide = (call) => {
    Object.assign(call, { id: 999 });
    return { result: '0x99' };
  };
  await t.rejects(endpoints.send('eth_blockNumber', []), { message: /expected the answer to request \d+, got 999/ });
});

t.test('a raw transaction goes to all, also to those that are down; one that took it is enough', async (t) => {
  const proxies = await proxiesOf(t, anvil.chain.rpcUrl, 3);
  const [a, b, c] = proxies as [FaultyRpc, FaultyRpc, FaultyRpc];
  const { endpoints, states } = door(t, proxies);
  a.decide = () => 'lose-request';
  c.decide = only('eth_sendRawTransaction', { result: `0x${'cc'.repeat(32)}` });
  await endpoints.checkChainId();
  const account = anvil.chain.account(9);
  const fees = { gasMax: 21_000n, feeWeiMax: 10n ** 10n, priorityFeeWei: 1n };
  const { raw } = await account.sign({ to: account.address, calldata: '0x', nonce: 0, ...fees }, 31_337);
  t.equal(await endpoints.sendRaw(raw), 'accepted');
  for (const { calls } of proxies) t.ok(calls.some(({ method }) => method === 'eth_sendRawTransaction'));
  await until('the hash of something else is no answer', () => states()[2] === 'down');
  for (const each of proxies) each.decide = () => ({ error: 'nonce too low' });
  t.equal(await endpoints.sendRaw(raw), 'nonce-used');
  for (const each of [a, c]) each.decide = () => 'lose-request';
  b.decide = () => ({ error: 'out of order today' });
  await t.rejects(endpoints.sendRaw(raw), { code: 'chain-unreachable', retry: 'later' });
});

t.test('one that is behind waits until it has caught up, or nobody shows the higher head any more', async (t) => {
  const [a, b] = (await proxiesOf(t, anvil.chain.rpcUrl)) as [FaultyRpc, FaultyRpc];
  const { endpoints, states, pass } = door(t, [a, b]);
  const old = await anvil.chain.request<{ number: string }>('eth_getBlockByNumber', ['0x5', false]);
  const lags = (call: RpcCall): Fate => (call.params[0] === 'latest' ? { result: old } : 'pass');
  await endpoints.send('eth_getBlockByNumber', latest);
  a.decide = () => 'lose-request';
  b.decide = lags;
  await t.rejects(endpoints.send('eth_getBlockByNumber', latest), { message: /head 5, \d+ was shown by/ });
  t.same(states(), ['down', 'lagging']);
  pass(5_000);
  b.decide = () => 'pass';
  await endpoints.send('eth_getBlockByNumber', latest);
  t.same(states(), ['down', 'up']);
  t.equal(endpoints.changes, 1);
  // The same endpoint may go back: that is a reorganisation, and the watch's business.
  b.decide = lags;
  t.match(await endpoints.send('eth_getBlockByNumber', latest), { number: '0x5' });
  b.decide = () => 'lose-request';
  a.decide = () => 'pass';
  pass(5_000);
  await endpoints.send('eth_getBlockByNumber', latest);
  a.decide = () => 'lose-request';
  b.decide = lags;
  pass(600_001);
  t.match(await endpoints.send('eth_getBlockByNumber', latest), { number: '0x5' }, 'after ten minutes');
});

t.test('one that stands still while another goes on is left', async (t) => {
  const [a, b] = (await proxiesOf(t, anvil.chain.rpcUrl)) as [FaultyRpc, FaultyRpc];
  const { endpoints, states, pass } = door(t, [a, b]);
  await endpoints.checkChainId();
  const frozen = await endpoints.send('eth_getBlockByNumber', latest);
  a.decide = only('eth_getBlockByNumber', { result: frozen });
  await anvil.chain.mine();
  t.same(await endpoints.send('eth_getBlockByNumber', latest), frozen);
  pass(60_000);
  await until('the other one is in use', async () => {
    await endpoints.send('eth_getBlockByNumber', latest);
    pass(60_000);
    return endpoints.health()[1]!.isInUse;
  });
  t.equal(states()[0], 'lagging');
});

const made = await scene(t, 21);
const { chain: node } = made.world.anvil;
const [first, second] = (await proxiesOf(t, node.rpcUrl)) as [FaultyRpc, FaultyRpc];
const lines: { event: string; [field: string]: unknown }[] = [];
const log = (_level: string, event: string, fields = {}) => void lines.push({ event, ...fields });
const life = new Life(made.world, made.folder, {
  rpcUrl: [first.url, second.url],
  policy: { retryMs: 0 },
  chain: { log },
});
const block = await node.request<{ hash: string; number: string }>('eth_getBlockByNumber', ['latest', false]);
const hash = (byte: string) => `0x${byte.repeat(32)}`;
const claimed = (blockHash: string, of?: string) => (call: RpcCall) => {
  if (call.method !== 'eth_getTransactionReceipt') return 'pass' as const;
  const receipt = { transactionHash: of ?? call.params[0], blockHash, blockNumber: block.number };
  return { result: { ...receipt, status: '0x1', gasUsed: '0x1', logs: [] } };
};

t.test('a receipt has to fit its transaction, its block, and the other endpoint', async (t) => {
  await node.request('evm_setAutomine', [false]);
  await life.round();
  const cases = [
    ['receipt-of-another', claimed(block.hash, hash('dd'))],
    ['block-not-in-chain', claimed(hash('ee'))],
    ['block-without-it', claimed(block.hash)],
  ] as const;
  for (const [reason, decide] of cases) {
    first.decide = decide;
    await life.round();
    t.equal(stateOf(life, made.orderId), 'unconfirmed', reason);
    t.match(lines.at(-1), { event: 'receipt-not-believed', reason });
  }
  first.decide = () => 'pass';
  await node.mine();
  // The same block at one endpoint, another one at the other.
  second.decide = only('eth_getBlockByNumber', { lie: (truth) => ({ ...(truth as object), hash: hash('bb') }) });
  await life.transmit.round();
  t.match(lines.at(-1), { event: 'receipt-not-believed', reason: 'endpoints-disagree' });
  t.not(stateOf(life, made.orderId), 'confirmed');
  second.decide = () => 'pass';
  await node.request('evm_setAutomine', [true]);
  await roundsUntil(life, made.orderId, 'confirmed');
  await life.round();
});

t.test('an old head is no news: what came after it stays known', async (t) => {
  const head = life.store.chain.head();
  t.equal(life.store.chain.order(made.orderId)?.order.state, 'Cancelled');
  const proxy = (await proxiesOf(t, node.rpcUrl, 1))[0]!;
  const alone = new Life(made.world, made.folder, { rpcUrl: proxy.url, store: life.store });
  proxy.decide = ({ params }) => (params[0] === 'latest' ? { result: block } : 'pass');
  await alone.watch.round();
  t.same(life.store.chain.head(), head);
  proxy.decide = () => 'pass';
  await node.mine();
  await alone.watch.round();
  t.equal(life.store.chain.order(made.orderId)?.order.state, 'Cancelled');
  alone.chain.close();
});

t.test('what was final is not given up for a node that is without it', async (t) => {
  await node.request('anvil_mine', ['0x80']);
  await roundsUntil(life, made.orderId, 'finalized');
  const head = life.store.chain.head();
  t.ok(head!.finalNumber > 0);
  for (const each of [first, second]) {
    each.decide = ({ method, params }) => {
      if (method !== 'eth_getBlockByNumber') return 'pass';
      return params[0] === 'latest' ? { result: block } : { result: null };
    };
  }
  const alone = new Life(made.world, made.folder, { rpcUrl: first.url, store: life.store });
  await t.rejects(alone.watch.round(), { code: 'chain-unreachable', message: /which was final/ });
  t.same(life.store.chain.head(), head);
  alone.chain.close();
  await cancelledOnce(t, made, 'once, whatever was said');
});

t.test('what was opened for them is closed', (t) => {
  life.close();
  t.end();
});

t.test('a block that is off the chain never becomes final, though a node names it as the latest', async (t) => {
  const made = await scene(t, 23);
  const { chain } = made.world.anvil;
  const proxy = (await proxiesOf(t, chain.rpcUrl, 1))[0]!;
  const life = new Life(made.world, made.folder, { rpcUrl: proxy.url });
  const snapshot = await chain.request<string>('evm_snapshot');
  await chain.mine();
  await life.watch.round();
  const gone = life.store.chain.head()!;
  const stale = await chain.request('eth_getBlockByNumber', ['latest', false]);
  await chain.request('evm_revert', [snapshot]);
  await chain.mine(gone.timeSec + 1);
  await chain.request('anvil_mine', ['0x80']);
  proxy.decide = ({ params }) => (params[0] === 'latest' ? { result: stale } : 'pass');
  await t.rejects(life.watch.round(), { code: 'chain-unreachable', message: /changed while it was read/ });
  t.equal(life.store.chain.head()?.finalNumber, gone.finalNumber);
  proxy.decide = () => 'pass';
  await life.watch.round();
  t.ok(life.store.chain.head()!.finalNumber > gone.number, 'and the chain that stands does');
  life.close();
});

t.test('finality: by tags, or by depth on chains that have none', async (t) => {
  const made = await scene(t, 22);
  const rpc = (await proxiesOf(t, made.world.anvil.chain.rpcUrl, 1))[0]!;
  rpc.decide = ({ params }) => {
    return params[0] === 'safe' || params[0] === 'finalized' ? { error: 'unknown block tag' } : 'pass';
  };
  const said: string[] = [];
  const log = (_level: string, event: string) => void said.push(event);
  const without = chainOf(made.world, rpc.url, { log });
  t.equal(await without.block('finalized'), undefined);
  t.equal(await without.block('safe'), undefined);
  t.same(said, ['finality-unknown'], 'said once');
  without.close();
  const life = new Life(made.world, made.folder, { rpcUrl: rpc.url, chain: { finalityBlocks: 5 } });
  await roundsUntil(life, made.orderId, 'confirmed');
  const mined = life.store.outbox.ofOrder(made.orderId)[0]!.mined!;
  await made.world.anvil.chain.request('anvil_mine', ['0x4']);
  await life.round();
  t.equal(stateOf(life, made.orderId), 'confirmed', 'four blocks are on it');
  await made.world.anvil.chain.request('anvil_mine', ['0x1']);
  await life.round();
  t.equal(stateOf(life, made.orderId), 'finalized');
  t.equal(life.store.chain.head()?.finalNumber, mined.blockNumber);
  life.close();
});
