/** The statements of the store's families, the same on SQLite and on PostgreSQL. For the log see rfc9162-log.test. */
import t from 'tap';
import { bytesToHex } from '@coldproof/wire';
import type { Finding } from '@coldproof/wire';
import { OperatingError } from '@coldproof/oracle/operating-error';
import { Store } from '@coldproof/oracle/store';
import type { Device, Order, StoredEvent } from '@coldproof/oracle/store-chain';
import { Postgres, skipWithoutPostgresql } from '../helpers/postgres.ts';
import { terms } from './api-fixture.ts';
import { testOnEachEngine } from './stores.ts';

/** Above 2^32, below 2^53: what a driver may cut. */
const large = 2 ** 52 + 1;

const order = (orderId: string, state: Order['state']): Order => ({
  orderId,
  state,
  cause: 'None',
  agreementId: '1',
  buyer: '0x01',
  supplier: '0x02',
  device: 'ab'.repeat(32),
  truck: '0x03',
  dispatchedAtSec: 1,
  judgedFromSec: 1,
  deliveredAtSec: 0,
  replacementId: '0',
  replacementOf: '0',
  ticketId: '0',
  evidenceDigest: '0x00',
  price: '115792089237316195423570985008687907853269984665640564039457584007913129639935',
  limits: [],
  terms,
  disputes: '0x00',
  cryptlets: ['cd'.repeat(32)],
});

testOnEachEngine('log: keys that are bytes, counts that add up, the first equivocation', (t, place) => {
  const { log, close, transaction } = open(place);
  const leaf = (index: number, fill: number) => ({
    ...{ index, device: new Uint8Array(32).fill(fill), sequence: index, digest: new Uint8Array(32).fill(index) },
    ...{ firstSec: 10 * index, lastSec: 10 * index + 5, loggedMs: large, envelope: new Uint8Array([0, 255, index]) },
  });
  const leaves = [leaf(0, 0x00), leaf(1, 0xff), leaf(2, 0xff)];
  transaction(() => log.insertLeaves(leaves));
  t.equal(log.size(), 3);
  t.same(bytes(log.digest(2)), bytes(leaves[2]!.digest));
  t.equal(log.digest(3), undefined);
  const found = log.storedAll([leaves[0]!, leaves[2]!, { device: leaves[0]!.device, sequence: 2 }]);
  t.same(found.map(({ index }) => index).sort(), [0, 2]);
  t.same(
    log.envelopes(leaves[1]!.device, 0, 9).map(({ sequence, envelope }) => [sequence, bytes(envelope)]),
    [
      [1, '00ff01'],
      [2, '00ff02'],
    ],
  );
  t.equal(log.firstSequenceSince(leaves[1]!.device, 16), 2);
  t.equal(log.firstSequenceSince(leaves[1]!.device, 26), undefined);
  log.insertSubtrees([{ level: 1, position: 0, hash: new Uint8Array(32).fill(7) }]);
  t.same(bytes(log.subtree(1, 0)), '07'.repeat(32));
  const device = leaves[0]!.device;
  log.setHeads(new Map([[bytesToHex(device), { nextSequence: 1, digest: leaves[0]!.digest }]]));
  log.setHeads(new Map([[bytesToHex(device), { nextSequence: large, digest: leaves[2]!.digest }]]));
  t.equal(log.head(device)?.nextSequence, large);
  t.equal(log.head(leaves[1]!.device), undefined);
  log.addCounts(new Map([['verified', 2]]));
  log.addCounts(new Map([...Object.entries({ verified: large - 2, repeated: 1 })]));
  t.same(Object.fromEntries(log.counts()), { verified: large, repeated: 1 });
  log.insertEquivocation({ ...leaf(1, 0xff), loggedMs: 5 });
  log.insertEquivocation({ ...leaf(1, 0xff), digest: device, loggedMs: 6 });
  t.same(
    log.equivocations().map(({ sequence, digest }) => [sequence, bytes(digest)]),
    [[1, '01'.repeat(32)]],
  );
  close();
});

testOnEachEngine('evaluation: a cursor and findings, each again in place', (t, place) => {
  const { evaluation, close } = open(place);
  t.equal(evaluation.load('7'), undefined);
  evaluation.save('7', { dispatch: 'd', nextSequence: 1, state: '{}' });
  evaluation.save('7', { dispatch: 'e', nextSequence: 2, state: '{"a":1}' });
  t.same(evaluation.load('7'), { dispatch: 'e', nextSequence: 2, state: '{"a":1}' });
  const finding: Finding = { rule: 'excursion', channel: 3, openedAtSec: 5, detail: { durationSec: 9 } };
  evaluation.saveFinding('7', finding);
  evaluation.saveFinding('7', { ...finding, closedAtSec: 8, detail: { durationSec: 10 } });
  evaluation.saveFinding('7', { ...finding, openedAtSec: 6 });
  t.same(evaluation.findings(), [
    { ...finding, orderId: '7', openedAtSec: 6 },
    { ...finding, orderId: '7', closedAtSec: 8, detail: { durationSec: 10 } },
  ]);
  evaluation.reset('7');
  t.equal(evaluation.load('7'), undefined);
  t.same(evaluation.findings(), []);
  close();
});

testOnEachEngine('outbox: an action once, attempts in the order of their signing', (t, place) => {
  const { outbox, close } = open(place);
  const action = { id: '7@1:ab:0', orderId: '7', evidence: '{}', dueMs: 0, createdMs: large };
  t.equal(outbox.insert(action), true);
  t.equal(outbox.insert({ ...action, evidence: '{"other":1}' }), false, 'a second one changes nothing');
  t.same(outbox.open(), [{ ...action, state: 'unstarted' }]);
  const attempt = { actionId: action.id, raw: '0x', priorityFeeWei: 1n, gasMax: 2n, signedMs: 3 };
  // Hashes that sort against the order of signing.
  outbox.insertAttempt({ ...attempt, hash: '0xff', nonce: 4, feeWeiMax: 10n ** 30n });
  outbox.insertAttempt({ ...attempt, hash: '0x0a', nonce: 4, feeWeiMax: 10n ** 31n });
  outbox.insertAttempt({ ...attempt, hash: '0x0b', nonce: 5, feeWeiMax: 7n });
  t.same(
    outbox.attempts(action.id).map(({ hash }) => hash),
    ['0xff', '0x0a', '0x0b'],
  );
  t.same(outbox.feesByNonce(4), [
    { nonce: 4, feeWeiMax: 10n ** 31n, priorityFeeWei: 1n },
    { nonce: 5, feeWeiMax: 7n, priorityFeeWei: 1n },
  ]);
  outbox.setSent('0x0b', 9);
  outbox.setState(action.id, 'unconfirmed', { reason: 'why', dueMs: 12 });
  t.match(outbox.ofOrder('7')[0], { state: 'unconfirmed', reason: 'why', dueMs: 12 });
  outbox.setState(action.id, 'unconfirmed');
  t.match(outbox.ofOrder('7')[0], { dueMs: 12 }, 'a due time stays until it is set');
  const mined = { transactionHash: '0x0b', blockNumber: 8, blockHash: '0x88', gasUsed: 21_000 };
  outbox.setMined(action.id, 'confirmed', mined);
  t.match(outbox.open()[0], { state: 'confirmed', mined });
  outbox.setUnmined(action.id);
  t.equal(outbox.open()[0]?.mined, undefined);
  t.equal(outbox.attempts(action.id).at(-1)?.sentMs, undefined);
  outbox.setState(action.id, 'fatal');
  t.same(outbox.open(), []);
  close();
});

testOnEachEngine('chain: heads, events and views; a roll-back', (t, place) => {
  const { chain, close } = open(place);
  t.equal(chain.head(), undefined);
  for (const number of [5, 6, 7]) {
    chain.setHead({ number, hash: `0x${number}`, timeSec: number, safeNumber: 5, finalNumber: 0 });
  }
  t.same(
    chain.blocks().map(({ number }) => number),
    [7, 6, 5],
  );
  chain.setHead({ number: 8, hash: '0x8', timeSec: 8, safeNumber: 7, finalNumber: 6 });
  t.same(
    chain.blocks().map(({ number }) => number),
    [8, 7, 6],
    'one final block is enough',
  );
  const event = (blockNumber: number, logIndex: number): StoredEvent => {
    return { blockNumber, logIndex, transactionHash: '0x', contract: 'S', name: 'N', subject: 'order:9', args: '{}' };
  };
  for (const [number, index] of [
    [8, 1],
    [7, 2],
    [8, 0],
  ] as const)
    chain.insertEvent(event(number, index));
  chain.insertEvent({ ...event(8, 0), name: 'Again' });
  t.same(
    chain.eventsOf('order:9').map(({ logIndex, name }) => `${logIndex}${name}`),
    ['2N', '0Again', '1N'],
  );
  t.equal(chain.lastBlockOf('order:9'), 8);
  t.equal(chain.lastBlockOf('order:1'), 0);
  for (const id of ['2', '10', '9']) chain.setOrder(order(id, 'InTransit'), 8);
  chain.setOrder(order('10', 'Cancelled'), 9);
  t.same(
    chain.orders().map(({ order }) => order.orderId),
    ['10', '9', '2'],
    'by number, not by text',
  );
  t.same(
    chain.ordersIn('InTransit').map(({ orderId }) => orderId),
    ['2', '9'],
  );
  t.same(chain.order('10'), { order: order('10', 'Cancelled'), blockNumber: 9 });
  const calibration = { calibrationDigest: 'c0', calibrationUntilSec: 9 };
  const device: Device = { device: 'ab', publicKey: 'cd', owner: '0x', asset: 'A', validFromSec: 1, ...calibration };
  chain.setDevice(device, 3);
  chain.setDevice({ ...device, revokedFromSec: large }, 9);
  t.same(chain.device('ab'), { ...device, revokedFromSec: large });
  t.same(chain.touchedAfter(8).sort(), ['device:ab', 'order:10']);
  chain.rollBack(7);
  t.same(
    chain.eventsOf('order:9').map(({ blockNumber }) => blockNumber),
    [7],
  );
  chain.deleteDevice('ab');
  chain.deleteOrder('10');
  t.equal(chain.device('ab'), undefined);
  t.equal(chain.order('10'), undefined);
  close();
});

testOnEachEngine('a transaction is whole, also one within another', (t, place) => {
  const { log, close, transaction } = open(place);
  const add = (name: string) => log.addCounts(new Map([[name, 1]]));
  t.throws(() =>
    transaction(() => {
      add('outer');
      throw new Error('no');
    }),
  );
  transaction(() => {
    add('kept');
    t.throws(() =>
      transaction(() => {
        add('inner');
        throw new Error('no');
      }),
    );
  });
  t.same([...log.counts().keys()], ['kept']);
  close();
});

t.test(
  'a server that forgets commits is refused, and so is another schema',
  { skip: skipWithoutPostgresql },
  async (t) => {
    const postgres = await Postgres.start({ synchronous_commit: 'off' });
    t.teardown(() => postgres.stop());
    const url = await postgres.makeDatabase();
    t.throws(() => new Store(url), { code: 'store-failed', message: /synchronous_commit: expected on, got off/ });
    await postgres.query('ALTER SYSTEM SET synchronous_commit = on');
    t.throws(() => new Store(url), { code: 'store-failed' }, 'the command line wins');
    const durable = `${url}?options=-c%20synchronous_commit%3Don`;
    new Store(durable).close();
    const shared = [new Store(durable, 'shared'), new Store(durable, 'shared')];
    t.throws(() => new Store(durable), { code: 'store-locked' }, 'workers keep an oracle of its own out');
    for (const store of shared) store.close();
    await postgres.query('UPDATE schema_version SET version = 1', url);
    t.throws(() => new Store(durable), { code: 'store-failed', message: /expected schema version \d+, got 1/ });
    t.throws(() => new Store('postgres://postgres@127.0.0.1:1/none'), OperatingError);
  },
);

function open(place: string) {
  const store = new Store(place);
  const { log, evaluation, outbox, chain } = store;
  return {
    ...{ log, evaluation, outbox, chain },
    transaction: <Result>(run: () => Result) => store.transaction(run),
    close: () => store.close(),
  };
}

function bytes(found: Uint8Array | undefined): string {
  return found === undefined ? 'nothing' : bytesToHex(found);
}
