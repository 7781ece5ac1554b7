/** Several logs, on one broker and on several: real Mosquittos, real envelopes, oracles that fail in their own ways. */
import t, { type Test } from 'tap';
import { bytesToHex, logOf } from '@coldproof/wire';
import { Journal } from '@coldproof/agent/journal';
import type { RunningAgent } from '@coldproof/agent/agent';
import { Mosquitto, skipWithoutMosquitto as skip } from '../helpers/mosquitto.ts';
import { HandClock, makeKey, makeLogKey, mustParse, startTruck, temporaryFolder, until } from './fixture.ts';
import { fillJournal, keysOf, RemoteOracle, uplinksYaml } from './remote-oracle.ts';

async function setUp(t: Test, count: number) {
  const stateDir = temporaryFolder(t);
  const keyStore = makeKey(stateDir);
  const journal = Journal.open(stateDir);
  await fillJournal(journal, keyStore, count);
  journal.close();
  const device = keyStore.device();
  const oracleAt = async (broker: Mosquitto, logKey = makeLogKey()) => {
    const oracle = await RemoteOracle.connect(broker.port, device, logKey);
    t.teardown(() => oracle.close());
    return oracle;
  };
  return { stateDir, keyStore, device, oracleAt };
}

const timing = { windowBatches: 8, resendSec: 1, reconnectSecMax: 1 };

function uplinkTo({ port }: { port: number }, oracles: readonly RemoteOracle[], rest: object = {}) {
  return {
    name: `broker-${port}`,
    url: `mqtt://127.0.0.1:${port}`,
    logPublicKeys: keysOf(oracles),
    ...timing,
    ...rest,
  };
}

const deviceOf = (agent: RunningAgent) => agent.status().devices[0]!;
const logsOf = (agent: RunningAgent) => deviceOf(agent).links.flatMap(({ logs }) => logs);
const logNamed = (agent: RunningAgent, { logKey }: RemoteOracle) =>
  logsOf(agent).find(({ log }) => log === bytesToHex(logOf(logKey.publicKey)))!;

t.test(
  'four logs on one broker: sent once, three receipts are enough, the dead one comes back',
  { skip },
  async (t) => {
    const { stateDir, device, oracleAt } = await setUp(t, 40);
    const broker = await Mosquitto.start(t);
    const oracles = await Promise.all([1, 2, 3, 4].map(() => oracleAt(broker)));
    const [first, dead] = [oracles[0]!, oracles[3]!];
    dead.isAwake = false;
    const config = mustParse(uplinksYaml(stateDir, [uplinkTo(broker, oracles, { mqtt: 5 })], { receiptsMin: 3 }));
    const { agent, log } = await startTruck(config, new HandClock());
    await until(() => deviceOf(agent).queued === 0, 'the duty is done');
    t.match(deviceOf(agent), { queued: 0, sealed: 40, receipts: 40 });
    t.ok(first.received < 60, `${first.received} messages for 40 batches, and what the dead one was asked`);
    t.match(logNamed(agent, dead), { next: 0, lag: 40, receipts: 0, missed: 0, waiting: { why: /receipt/ } });
    for (const oracle of oracles.slice(0, 3)) t.match(logNamed(agent, oracle), { next: 40, lag: 0, receipts: 40 });
    t.same(agent.status().refused, {}, 'receipts of several logs on one topic are no fault');
    dead.isAwake = true;
    await until(() => dead.stored.length === 40, 'it gets them all');
    await until(() => logNamed(agent, dead).lag === 0, 'and its receipts are known');
    t.notOk(logNamed(agent, dead).waiting);
    t.ok(log.some(({ event }) => event === 'resend'));
    t.match(JSON.parse(first.statuses.at(-1)!), { online: true, nextSequence: 40, version: /^\d/ });
    await agent.stop();
    const journal = Journal.open(stateDir);
    t.same(journal.pending(device, 0, 9), []);
    journal.close();
  },
);

t.test(
  'two brokers, one away: no slower; cursors outlive a restart; logs are removed and added',
  { skip },
  async (t) => {
    const { stateDir, device, oracleAt } = await setUp(t, 40);
    const [broker, other] = [await Mosquitto.start(t), await Mosquitto.start(t)];
    const [north, south] = [await oracleAt(broker), await oracleAt(other)];
    await other.stop();
    const ways = [uplinkTo(broker, [north]), uplinkTo(other, [south])];
    const run = async (yaml: string) => startTruck(mustParse(yaml), new HandClock());
    const { agent } = await run(uplinksYaml(stateDir, ways));
    await until(() => logNamed(agent, north).lag === 0, 'the living one has all');
    t.match(deviceOf(agent), { queued: 40, link: { connected: false, why: /ECONNREFUSED/ } });
    t.match(logNamed(agent, south), { next: 0, waiting: { why: /no connection: .*ECONNREFUSED/ } });
    t.equal(north.received, 40, 'each was sent once');
    await agent.stop();

    const { agent: again } = await run(uplinksYaml(stateDir, ways));
    await until(() => deviceOf(again).links[0]!.connected, 'connected');
    t.match(logNamed(again, north), { next: 40, receipts: 40 });
    t.equal(north.received, 40, 'and after a restart nothing is sent again');
    await again.stop();

    const late = await oracleAt(broker);
    const { agent: third, log } = await run(uplinksYaml(stateDir, [uplinkTo(broker, [north, late])]));
    const logId = (oracle: RemoteOracle) => bytesToHex(logOf(oracle.logKey.publicKey));
    t.match(
      log.filter(({ event }) => event.startsWith('log-')),
      [
        { event: 'log-added', log: logId(late), fromSequence: 0, cannotGet: 0 },
        { event: 'log-removed', log: logId(south), leftAtSequence: 0, receipts: 0 },
      ],
    );
    await until(() => deviceOf(third).queued === 0, 'the added one gets what is still kept');
    t.equal(late.stored.length, 40);
    await third.stop();

    await other.restart();
    const { agent: fourth, log: told } = await run(uplinksYaml(stateDir, ways));
    t.match(
      told.find(({ event }) => event === 'log-added'),
      { level: 'warn', log: logId(south), fromSequence: 40, cannotGet: 40 },
      'what was dropped meanwhile it has to take from another log',
    );
    t.match(logNamed(fourth, south), { next: 40, lag: 0, missed: 40 });
    await fourth.stop();
    const journal = Journal.open(stateDir);
    t.same(journal.pending(device, 0, 9), []);
    journal.close();
  },
);

t.test('attacks on the receipts: foreign, replayed, swapped, contradicting, forged', { skip }, async (t) => {
  const { stateDir, device, oracleAt } = await setUp(t, 20);
  const broker = await Mosquitto.start(t);
  const [honest, foreign] = [await oracleAt(broker), await oracleAt(broker)];
  const held: Uint8Array[] = [];
  honest.answer = (receipt, sequence) => {
    if (sequence !== 3) return [receipt, receipt, held[0] ?? receipt];
    held.push(receipt);
    // The digest of another batch, the signature of another log, one bit.
    const flipped = Uint8Array.from(receipt);
    flipped[flipped.length - 1]! ^= 1;
    return [
      honest.receiptOf(3, honest.stored[2]),
      foreign.logKey.sign({ index: 3, device, sequence: 3, digest: honest.stored[3]! }),
      flipped,
    ];
  };
  const config = mustParse(uplinksYaml(stateDir, [uplinkTo(broker, [honest])]));
  const { agent, log } = await startTruck(config, new HandClock());
  await until(() => deviceOf(agent).queued === 0, 'all settled, 3 by a replay of what was held back');
  const { refused } = agent.status();
  t.ok(refused['receipt-of-another-batch']! >= 1);
  t.ok(refused['receipt-of-another-log']! > 10, 'the foreign oracle answers each batch');
  t.ok(refused['receipt-invalid']! >= 1);
  t.notOk(refused['receipt-not-awaited'], 'a repeat is no fault');
  t.ok(log.some(({ event }) => event === 'equivocation'));
  honest.send(honest.logKey.sign({ index: 99, device, sequence: 5, digest: honest.stored[5]! }));
  await until(() => agent.status().refused['receipt-contradicts'] === 1, 'one log, two promises');
  t.equal(deviceOf(agent).receipts, 20);
  await agent.stop();
});

t.test('a broker killed in the middle of the window, again and again', { skip }, async (t) => {
  const { stateDir, oracleAt } = await setUp(t, 60);
  const broker = await Mosquitto.start(t);
  const oracle = await oracleAt(broker);
  let kills = 0;
  oracle.answer = (receipt, sequence) => {
    if (sequence % 20 !== 10 || kills > sequence / 20) return [receipt];
    kills += 1;
    // Its receipt is lost, and what was on its way.
    void broker.restart();
    return [];
  };
  const config = mustParse(uplinksYaml(stateDir, [uplinkTo(broker, [oracle])]));
  const { agent } = await startTruck(config, new HandClock());
  await until(() => deviceOf(agent).queued === 0, 'all settled');
  t.equal(kills, 3);
  t.equal(oracle.stored.length, 60);
  t.equal(deviceOf(agent).receipts, 60);
  await agent.stop();
});

t.test('live-first: with a backlog the newest is told at once, and the chain is whole', { skip }, async (t) => {
  const { stateDir, oracleAt } = await setUp(t, 50);
  const broker = await Mosquitto.start(t);
  const oracle = await oracleAt(broker);
  oracle.isAwake = false;
  const way = { windowBatches: 2, order: 'live-first' };
  const config = mustParse(uplinksYaml(stateDir, [uplinkTo(broker, [oracle], way)]));
  const { agent } = await startTruck(config, new HandClock());
  await until(() => oracle.live.length > 0, 'told');
  t.same(oracle.live, [49]);
  t.equal(deviceOf(agent).queued, 50, 'and that settles nothing');
  oracle.send(oracle.receiptOf(49, new Uint8Array(32)));
  await until(() => agent.status().refused['receipt-of-another-batch'] === 1, 'nor does a false receipt');
  oracle.isAwake = true;
  await until(() => deviceOf(agent).queued === 0, 'all in order');
  t.same(oracle.live, [49], 'once');
  t.equal(oracle.stored.length, 50);
  await agent.stop();
});
