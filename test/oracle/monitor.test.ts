/**
 * One node reads another's log over HTTP (oracle/NETWORK.md): what the other has removed by log.retentionDays is no lie
 * of its own, and covers none.
 */
import t, { type Test } from 'tap';
import { encodeEnvelope, logOf } from '@coldproof/wire';
import { realClock } from '@coldproof/oracle/clock';
import { makeApi } from '@coldproof/oracle/http';
import { peerRoutes } from '@coldproof/oracle/http-peers';
import { Log } from '@coldproof/oracle/log';
import { silent } from '@coldproof/oracle/log-line';
import { Monitor } from '@coldproof/oracle/network/monitor';
import { openPeerApi } from '@coldproof/oracle/network/peer-api';
import { Peers } from '@coldproof/oracle/network/peers';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import { Retention } from '@coldproof/oracle/retention';
import { Store } from '@coldproof/oracle/store';
import { verifyBatch } from '@coldproof/oracle/verify';
import { cancelOrder, openDesk, origin, startSec } from './api-fixture.ts';
import { logKeyIn, makeFolder } from './oracle-fixture.ts';

const days = 30;
const lateSec = startSec + (days + 1) * 86_400;
const clock = { ...realClock, nowMs: () => lateSec * 1_000 };

/** Changes what the other node answers on a path. */
type Bend = (path: string, answer: Response) => Response | Promise<Response>;

const address = (byte: number) => new Uint8Array(20).fill(byte);
const readerAt = { name: 'reader', address: address(1), origin: 'reader.example/log', url: 'http://unused.example' };

/** A desk whose log other nodes may read; with `isSwept`, all but the newest envelope are removed. */
async function serve(t: Test, { isSwept }: { isSwept: boolean }) {
  const desk = await openDesk(t);
  const logKey = logKeyIn(makeFolder(t));
  const otherAt = { name: 'other', address: address(2), logPublicKey: desk.log.publicKey, origin };
  const settings = (url: string) => [
    { ...readerAt, logPublicKey: logKey.publicKey },
    { ...otherAt, url },
  ];
  const peers = new Peers(settings('http://unused.example'), logOf(desk.log.publicKey));
  const extend = peerRoutes({ store: desk.store, peers, nowSec: () => lateSec });
  const app = await makeApi({ ...desk.sources, extend }, { requestsPerMinMax: 1_000_000 });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  t.teardown(() => app.close());
  cancelOrder(desk);
  const { store } = desk;
  const retention = new Retention({ store, clock, pace: realClock, log: silent }, days);
  if (isSwept) t.equal(await retention.sweep(), 3);
  return { desk, logKey, peers: new Peers(settings(url), logKey.log) };
}

/** A node that has the first `known` of the batches, and reads the rest. */
function openReader(
  { desk, logKey, peers }: Awaited<ReturnType<typeof serve>>,
  { known = 0, bend = (_path, answer) => answer }: { known?: number; bend?: Bend } = {},
) {
  const store = new Store(':memory:');
  const log = new Log({ store, key: logKey, origin: readerAt.origin });
  const offered: number[] = [];
  const take = (bytes: Uint8Array): void => {
    const record = { publicKey: desk.device.publicKey };
    const verified = verifyBatch({ device: desk.device.device, bytes, record, nowSec: lateSec }, opensslCrypto());
    if (!verified.ok) throw new Error(verified.detail);
    offered.push(verified.value.sequence);
    log.append([{ ...verified.value, device: desk.device.device, envelope: bytes }], 0);
  };
  for (const envelope of desk.envelopes.slice(0, known)) take(encodeEnvelope(envelope));
  offered.length = 0;
  const accusations: object[] = [];
  const monitor = new Monitor(peers.others[0]!, {
    store,
    log: silent,
    api: openPeerApi({
      ...{ logKey, self: peers.self, nowSec: () => lateSec },
      fetch: async (input, init) => bend(new URL(input).pathname, await fetch(input, init)),
    }),
    offer: ({ bytes }) => {
      take(bytes);
      return true;
    },
    accuse: (accusation) => accusations.push(accusation),
  });
  return { store, log, monitor, offered, accusations };
}

/** As often as a node looks before it gives a batch up. */
async function rounds(monitor: Monitor): Promise<void> {
  for (let round = 0; round < 6; round++) await monitor.round();
}

const whole = await serve(t, { isSwept: false });
const swept = await serve(t, { isSwept: true });

t.test('a log is read with its batches, and to its end without those that were removed', async (t) => {
  const reader = openReader(whole);
  await rounds(reader.monitor);
  t.same(reader.offered, [0, 1, 2, 3]);
  t.same([reader.monitor.state, reader.monitor.removed, reader.log.size], ['followed', 0, 4]);

  for (const known of [0, 2, 3]) {
    const { store, monitor, offered, accusations } = openReader(swept, { known });
    await rounds(monitor);
    const { id } = monitor.peer;
    t.same([monitor.state, monitor.removed], ['followed', 3 - known], `with ${known} of them`);
    t.match(store.quorum.followed(id), { size: 4, leafCount: 4, root: swept.desk.log.root() });
    t.same(accusations, []);
    t.same([...new Set(offered)], [3], 'the newest is there, and is fetched');
    t.equal(store.log.size(), known === 3 ? 4 : known, 'a batch whose predecessor is missing is not logged');
  }
});

t.test('a removed envelope covers no lie: its leaf is under the head, or the log is not believed', async (t) => {
  const flip = (text: string) => text.replace(/(?<="digest":")./, (digit) => (digit === '0' ? '1' : '0'));
  const lies: Record<string, Bend> = {
    'another leaf': async (path, answer) =>
      path.endsWith('/leaves') ? new Response(flip(await answer.text())) : answer,
    'a leaf too few': async (path, answer) => {
      if (!path.endsWith('/leaves')) return answer;
      const { leaves } = (await answer.json()) as { leaves: unknown[] };
      return Response.json({ leaves: leaves.toSpliced(1, 1) });
    },
    'the envelope of another leaf': (path, answer) => {
      if (!path.endsWith('/envelope') || answer.status === 410) return answer;
      return Response.json({ envelope: Buffer.from(encodeEnvelope(other!)).toString('base64') });
    },
  };
  const [other] = swept.desk.envelopes;
  for (const [name, bend] of Object.entries(lies)) {
    const { store, monitor, offered } = openReader(swept, { bend });
    await rounds(monitor);
    t.equal(monitor.state, 'leaves-differ', name);
    t.equal(store.quorum.followed(monitor.peer.id)?.leafCount, 0, 'nothing is read');
    t.same(offered, [], 'and nothing taken in');
  }
});

t.test('any other refusal is no removal: the node is asked again', async (t) => {
  for (const status of [404, 403, 500]) {
    let isAway = true;
    const bend: Bend = (path, answer) => {
      return path.endsWith('/envelope') && isAway ? new Response('{}', { status }) : answer;
    };
    const { monitor, offered } = openReader(whole, { bend });
    await t.rejects(monitor.round(), { code: 'peer-unreachable', retry: 'later' }, `HTTP ${status}`);
    t.equal(monitor.removed, 0);
    isAway = false;
    await rounds(monitor);
    t.same(offered, [0, 1, 2, 3]);
  }
  const gone: Bend = (path, answer) => (path.endsWith('/checkpoint') ? new Response('', { status: 410 }) : answer);
  const { monitor } = openReader(whole, { bend: gone });
  await t.rejects(monitor.round(), { code: 'peer-unreachable' }, 'a head is never gone');
});
