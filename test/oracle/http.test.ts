/** The read side: what it says is true, and hostile requests get a 4xx that says why, never a 5xx. */
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import {
  bytesToHex,
  hexToBytes,
  leafHash,
  noPrevious,
  verifyCheckpoint,
  verifyConsistency,
  verifyInclusion,
} from '@coldproof/wire';
import { Announcer } from '@coldproof/oracle/announce';
import { ChainEndpoints } from '@coldproof/oracle/chain-endpoints';
import { realClock } from '@coldproof/oracle/clock';
import { openHttp } from '@coldproof/oracle/http';
import { Log } from '@coldproof/oracle/log';
import { silent } from '@coldproof/oracle/log-line';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import { Store } from '@coldproof/oracle/store';
import { readStatus } from '@coldproof/oracle/status';
import { TokenFile } from '@coldproof/oracle/token-file';
import { Webhooks } from '@coldproof/oracle/webhook';
import { seeded } from '../helpers/seed.ts';
import { logKeyIn, makeFolder } from './oracle-fixture.ts';

const origin = 'coldproof.example/test';

async function start(t: Test, leaves: number) {
  const store = new Store(':memory:');
  const log = new Log({ store, key: logKeyIn(makeFolder(t)), origin });
  const digests = Array.from({ length: leaves }, (_, i) => new Uint8Array(32).fill(i + 1));
  const device = new Uint8Array(32).fill(7);
  const group = digests.map((digest, sequence) => {
    const previous = digests[sequence - 1] ?? noPrevious;
    return { device, sequence, previous, digest, firstSec: 1, lastSec: 2, envelope: digest };
  });
  log.append(group, 0);
  let isReady = true;
  const none = new Map<string, number>();
  const links = () => ({
    ...{ live: [], queued: 0, isReceiving: true, chainError: undefined },
    ...{ refusedByReceiver: new Map([['queue-full', 2]]), refusedByBroker: none },
  });
  const rpcUrls = ['https://user:secret@rpc.example/key/pathkey?token=x', 'https://rpc.example/other?token=y'];
  const chain = { rpcUrls, chainId: 1, contracts: {} };
  const endpoints = new ChainEndpoints(chain);
  t.teardown(() => endpoints.close());
  const account = () => ({
    ...{ balanceWei: 5n, balanceWeiMin: 6n, isBalanceLow: true, spentWei: 7n, spendWeiMaxPerDay: undefined },
    endpoints: endpoints.health(),
  });
  const status = () => readStatus({ store, log, chain, transmitter: '0x00', links, account });
  const announcer = new Announcer({ store, clock: realClock });
  const tokens = new TokenFile(`${makeFolder(t)}/tokens.json`);
  const parts = { store, log, crypto: opensslCrypto(), chain, clock: realClock, announcer, tokens };
  const webhooks = new Webhooks({ store, announcer, pace: realClock, log: silent, source: '' }, []);
  const http = await openHttp(
    { ...parts, account, webhooks, status, isReady: () => isReady, say: silent },
    { host: '127.0.0.1', port: 0, requestsPerMinMax: 1 },
  );
  t.teardown(async () => {
    await http.close();
    store.close();
  });
  const get = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(`http://127.0.0.1:${http.port}${path}`, init);
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.startsWith('application/json') === true;
    return {
      code: response.status,
      text,
      json: (isJson && text !== '' ? JSON.parse(text) : {}) as Record<string, unknown>,
    };
  };
  return { get, log, digests, port: http.port, setReady: (ready: boolean) => (isReady = ready) };
}

t.test('proofs and checkpoint verify with wire alone', async (t) => {
  const { get, log, digests } = await start(t, 13);
  const note = verifyCheckpoint((await get('/api/v1/checkpoint')).text, origin, log.publicKey);
  if (!note.ok) return t.fail(note.detail);
  const { size, root } = note.value;
  t.equal(size, 13);
  for (let index = 0; index < size; index++) {
    const { json } = await get(`/api/v1/proof/inclusion?index=${index}&size=${size}`);
    const path = (json['path'] as string[]).map(hexToBytes);
    t.ok(verifyInclusion(leafHash(digests[index]!), index, size, path, root), `leaf ${index}`);
    t.equal(json['digest'], bytesToHex(digests[index]!));
  }
  for (let first = 1; first <= size; first++) {
    const { json } = await get(`/api/v1/proof/consistency?first=${first}`);
    t.ok(verifyConsistency(first, size, log.root(first), root, (json['path'] as string[]).map(hexToBytes)));
  }
});

t.test('status shows counts and hides what is secret in the RPC address', async (t) => {
  const { get } = await start(t, 3);
  const { code, text, json } = await get('/api/v1/status');
  t.equal(code, 200);
  t.notMatch(text, /secret|pathkey|token/);
  t.match(json, {
    log: { size: 3, origin },
    batches: { verified: 3, rejected: 2, receipts: 3, byReason: { 'queue-full': 2 } },
    chain: {
      ...{ rpcUrl: 'https://rpc.example', balanceWei: '5', isBalanceLow: true, spentWeiPerDay: '7' },
      endpoints: [{ endpoint: 'https://rpc.example#1', state: 'new' }, { endpoint: 'https://rpc.example#2' }],
    },
    orders: [],
    findings: [],
  });
});

t.test('health and readiness', async (t) => {
  const { get, setReady } = await start(t, 0);
  t.equal((await get('/healthz')).code, 200);
  t.equal((await get('/readyz')).code, 200);
  setReady(false);
  t.equal((await get('/readyz')).code, 503);
  t.equal((await get('/healthz')).code, 200, 'alive all the same');
});

t.test('bounds are named', async (t) => {
  const { get } = await start(t, 5);
  const cases: [string, number, RegExp][] = [
    ['/api/v1/proof/inclusion?index=5&size=5', 404, /expected index < size <= 5, got index 5, size 5/],
    ['/api/v1/proof/inclusion?index=0&size=6', 404, /size 6/],
    ['/api/v1/proof/inclusion', 400, /index/],
    ['/api/v1/proof/inclusion?index=-1', 400, /index/],
    ['/api/v1/proof/inclusion?index=1e0', 400, /index/],
    ['/api/v1/proof/inclusion?index=01', 400, /index/],
    ['/api/v1/proof/inclusion?index=0&index=1', 400, /index/],
    ['/api/v1/proof/inclusion?index=99999999999999999999', 400, /index/],
    ['/api/v1/proof/consistency?first=0', 404, /1 <= first/],
    ['/api/v1/proof/consistency?first=4&second=3', 404, /first 4, second 3/],
    ['/api/v1/evidence/1', 404, /no evidence about order 1/],
    ['/api/v1/evidence/0', 400, /orderId/],
    ['/api/v1/evidence/__proto__', 400, /orderId/],
    ['/api/v1/evidence/%00', 400, /orderId/],
    ['/api/v1/nothing', 404, /no GET/],
  ];
  for (const [path, code, says] of cases) {
    const answer = await get(path);
    t.equal(answer.code, code, path);
    t.match(String(answer.json['error']), says, path);
  }
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
    t.equal((await get('/api/v1/status', { method })).code, 404, method);
  }
  t.equal((await get('/api/v1/status', { method: 'POST', body: 'x'.repeat(5_000) })).code, 413);
});

t.test('1,500 generated requests: no 5xx', async (t) => {
  const { get } = await start(t, 9);
  const random = seeded(t, 80);
  const paths = ['status', 'checkpoint', 'proof/inclusion', 'proof/consistency', 'evidence/1', 'evidence', '..', ''];
  const names = ['index', 'size', 'first', 'second', '__proto__', 'constructor', 'index[]', ''];
  const values = [
    '0',
    '1',
    '8',
    '9',
    '-1',
    '1.5',
    'NaN',
    '1e9',
    '9007199254740993',
    '%00',
    '%ff',
    '🧊',
    'x'.repeat(300),
    '',
  ];
  const answers = new Map<number, number>();
  for (let i = 0; i < 1_500; i++) {
    const pairs = Array.from({ length: random.integer(0, 3) }, () => `${random.pick(names)}=${random.pick(values)}`);
    const method = random.pick(['GET', 'GET', 'GET', 'POST', 'OPTIONS', 'HEAD']);
    const { code } = await get(`/api/v1/${random.pick(paths)}?${pairs.join('&')}`, { method });
    answers.set(code, (answers.get(code) ?? 0) + 1);
  }
  t.comment(JSON.stringify(Object.fromEntries(answers)));
  t.ok([...answers.keys()].every((code) => code < 500));
});

t.test('what is not HTTP is closed, and the server lives', async (t) => {
  const { get, port } = await start(t, 1);
  for (const text of ['\0\0\0\0\r\n\r\n', 'GET / HTTP/9.9\r\n\r\n', `GET /${'a'.repeat(100_000)} HTTP/1.1\r\n\r\n`]) {
    const socket = connect(port, '127.0.0.1');
    // What the server leaves unread comes back as a reset, an error before the close.
    socket.on('error', () => undefined);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.resume().write(text);
    await closed;
  }
  t.equal((await get('/healthz')).code, 200);
});
