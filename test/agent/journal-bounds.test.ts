/** The journal's bounds, heartbeats, replay: the whole agent with a real journal, against a stub of the oracle. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import t, { type Test } from 'tap';
import { bytesToHex, droppedIn } from '@coldproof/wire';
import type { RunningAgent } from '@coldproof/agent/agent';
import type { AgentConfig } from '@coldproof/agent/config';
import { requestReplay } from '@coldproof/agent/replay';
import {
  HandClock,
  makeKey,
  mustParse,
  sensorPassword,
  startTruck,
  StubOracle,
  temporaryFolder,
  truckYaml,
  until,
  voyageStartSec,
  type LogLine,
} from './fixture.ts';

const probe = 16;

async function setUp(t: Test, journal: Partial<AgentConfig['journal']>, heartbeatSec?: number) {
  const stateDir = temporaryFolder(t);
  const keyStore = makeKey(stateDir);
  const oracle = new StubOracle();
  oracle.trust(keyStore);
  await oracle.start();
  t.teardown(() => oracle.stop());
  const parsed = mustParse(truckYaml(stateDir, { oraclePort: oracle.port, logPublicKey: oracle.logKey.publicKey }));
  const config: AgentConfig = {
    ...parsed,
    // Smaller than a file may say: 5 MiB of it are the write-ahead log's.
    journal: { ...parsed.journal, sizeMaxMiB: 5.5, ...journal },
    devices: parsed.devices.map((each) => ({ ...each, sealSamplesMax: 200, sealAgeSecMax: 60_000, heartbeatSec })),
  };
  return { oracle, config, id: bytesToHex(keyStore.device()) };
}

/** Sends packs of 200 readings, a second apart, until `isEnough`, or one is not acknowledged. Gives how many were. */
async function fill(agent: RunningAgent, clock: HandClock, from: number, isEnough: () => boolean): Promise<number> {
  const login = { username: 'TRUCK-7', password: sensorPassword, reconnectPeriod: 0 };
  const sensor = await connectAsync(`mqtt://127.0.0.1:${agent.brokerPort ?? 0}`, login);
  const closed = new Promise<false>((resolve) => {
    sensor.once('close', () => resolve(false));
  });
  sensor.on('error', () => undefined);
  let count = from;
  for (; !isEnough(); count += 200) {
    const pack = Array.from({ length: 200 }, (_, i) => ({
      n: 'TRUCK-7/cargo-probe-1',
      t: voyageStartSec + count + i,
      v: ((count + i) % 500) / 100,
    }));
    clock.ms = (voyageStartSec + count + 200) * 1_000;
    const sent = sensor.publishAsync('sensors/TRUCK-7', JSON.stringify(pack), { qos: 1 }).then(
      () => true,
      () => false,
    );
    if (!(await Promise.race([sent, closed]))) break;
  }
  sensor.end(true);
  return count;
}

const only = (agent: RunningAgent) => agent.status().devices[0]!;
const eventsOf = (log: readonly LogLine[], name: string) => log.filter(({ event }) => event === name);

function storedTimes(oracle: StubOracle, id: string): number[] {
  const series = (oracle.stored.get(id) ?? []).flatMap((each) =>
    each.series.filter(({ channel }) => channel === probe),
  );
  return series.flatMap(({ samples }) => samples.map(({ timeSec }) => timeSec - voyageStartSec));
}

t.test('refuse-new: full means no acknowledgement, and nothing acknowledged is lost; receipts make room', async (t) => {
  const { oracle, config, id } = await setUp(t, { onFull: 'refuse-new', keepDays: 7, sizeMaxMiB: 5.4 });
  oracle.isAnswering = false;
  const clock = new HandClock();
  const { agent, log } = await startTruck(config, clock);
  const count = await fill(agent, clock, 0, () => false);
  t.ok(count > 5_000, `${count} readings`);
  t.match(agent.status(), { journal: { state: 'full', onFull: 'refuse-new' }, refused: { 'journal-full': 200 } });
  t.ok(agent.status().journal.usedBytes < 1_048_576);
  t.equal(eventsOf(log, 'journal-full').length, 1);
  t.equal(only(agent).dropped, 0);
  oracle.isAnswering = true;
  await until(() => only(agent).queued === 0, 'all receipts', 60_000);
  const { sealed } = only(agent);
  const more = await fill(agent, clock, count, () => only(agent).sealed >= sealed + 20);
  t.ok(more > count, 'there is room again, as settled envelopes give way');
  t.match(agent.status().journal, { state: 'open' });
  await until(() => only(agent).queued === 0, 'all receipts');
  const left = only(agent).unsealed;
  await agent.stop();
  const times = storedTimes(oracle, id);
  t.same(
    times,
    Array.from({ length: more - left }, (_, i) => i),
  );
});

t.test('overwrite-oldest: sealed batches stay, each loss is counted and told by the device itself', async (t) => {
  const { oracle, config, id } = await setUp(t, { onFull: 'overwrite-oldest' });
  oracle.isAnswering = false;
  const clock = new HandClock();
  let { agent, log } = await startTruck(config, clock);
  let count = await fill(agent, clock, 0, () => only(agent).dropped > 300);
  t.match(agent.status().journal, { state: 'sealing-paused' });
  const { dropped, sealed } = only(agent);
  t.equal(
    eventsOf(log, 'readings-dropped').reduce((sum, line) => sum + Number(line['readings']), 0),
    dropped,
    'each in the log',
  );
  await agent.stop();
  ({ agent, log } = await startTruck(config, clock));
  t.match(only(agent), { dropped, sealed }, 'counted durably');
  count = await fill(agent, clock, count, () => only(agent).dropped > 900);
  const lost = only(agent).dropped;
  t.equal(only(agent).sealed, sealed, 'no batch was made meanwhile, and none was dropped');
  oracle.isAnswering = true;
  await until(() => only(agent).queued === 0 && only(agent).unsealed < 200, 'all receipts', 60_000);
  const left = only(agent).unsealed;
  t.equal(only(agent).dropped, lost);
  await agent.stop();
  const statements = oracle.stored.get(id)!.flatMap(({ series }) => droppedIn(series) ?? []);
  t.equal(
    statements.reduce((sum, each) => sum + each.count, 0),
    lost,
    'the statements say how many',
  );
  const times = storedTimes(oracle, id);
  const stored = new Set(times);
  t.equal(stored.size, times.length, 'each once');
  const missing = Array.from({ length: count - left }, (_, i) => i).filter((time) => !stored.has(time));
  t.equal(missing.length, lost, 'nothing else is missing');
  const isTold = (time: number) =>
    statements.some(({ firstSec, lastSec }) => {
      return time >= firstSec - voyageStartSec && time <= lastSec - voyageStartSec;
    });
  t.ok(missing.every(isTold), 'and when');
  const chain = oracle.stored.get(id)!;
  const before = chain.slice(
    0,
    chain.findIndex(({ series }) => droppedIn(series) !== undefined),
  );
  t.ok(
    before.every(({ batch }) => batch.lastSec < statements[0]!.firstSec),
    'told before any reading that was taken after',
  );
});

t.test('ageMaxDays: what is too old and in no batch is given up, counted and told', async (t) => {
  const { oracle, config, id } = await setUp(t, { ageMaxDays: 2 });
  const devices = config.devices.map((each) => ({ ...each, sealSamplesMax: 1_000 }));
  const clock = new HandClock();
  const { agent } = await startTruck({ ...config, devices }, clock);
  await fill(agent, clock, 0, () => only(agent).unsealed > 0);
  await agent.stop();
  clock.ms += 3 * 86_400_000;
  const again = await startTruck({ ...config, devices }, clock);
  await until(() => only(again.agent).receipts === 1, 'told');
  t.match(only(again.agent), { dropped: 200, unsealed: 0 });
  t.match(eventsOf(again.log, 'readings-dropped'), [{ why: 'age', readings: 200, total: 200 }]);
  await again.agent.stop();
  const told = oracle.stored.get(id)!.map(({ series }) => droppedIn(series));
  t.same(told, [{ firstSec: voyageStartSec, lastSec: voyageStartSec + 199, count: 200 }]);
});

t.test(
  'a device that measures nothing seals what it has, then a heartbeat; a replay sends both once more',
  async (t) => {
    const { oracle, config, id } = await setUp(t, {}, 600);
    const clock = new HandClock();
    const first = await startTruck(config, clock);
    const login = { username: 'TRUCK-7', password: sensorPassword, reconnectPeriod: 0 };
    const sensor = await connectAsync(`mqtt://127.0.0.1:${first.agent.brokerPort ?? 0}`, login);
    await sensor.publishAsync('sensors/TRUCK-7', '[{"n":"TRUCK-7/cargo-probe-1","v":4}]', { qos: 1 });
    await sensor.endAsync();
    t.equal(only(first.agent).sealed, 0);
    await first.agent.stop();
    clock.ms += 700_000;
    const { agent } = await startTruck(config, clock);
    await until(() => only(agent).receipts === 2, 'both settled');
    const chain = oracle.stored.get(id)!;
    t.same(
      chain.map(({ batch, series }) => [batch.lastSec - voyageStartSec, series.length]),
      [
        [0, 1],
        [700, 0],
      ],
    );
    const { received } = oracle;
    requestReplay(config.stateDir, 'TRUCK-7', { from: 0, to: 9 });
    const request = join(config.stateDir, 'replay', 'TRUCK-7.json');
    await until(() => oracle.received === received + 2 && !existsSync(request), 'sent once more');
    t.equal(chain.length, 2, 'and stored once');
    await agent.stop();
  },
);
