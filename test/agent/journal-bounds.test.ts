/** The journal's bounds, heartbeats, and the clock: the whole agent with a real journal, against a stub of the oracle. */
import { connectAsync } from 'mqtt';
import t, { type Test } from 'tap';
import { bytesToHex, droppedIn } from '@coldproof/wire';
import type { RunningAgent } from '@coldproof/agent/agent';
import type { AgentConfig } from '@coldproof/agent/config';
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
  const series = (oracle.stored.get(id) ?? []).flatMap((each) => each.series.filter(({ channel }) => channel === probe));
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
  t.equal(new Set(times).size, times.length, 'each once');
  const missing = Array.from({ length: count - left }, (_, i) => i).filter((time) => !new Set(times).has(time));
  t.equal(missing.length, lost, 'nothing else is missing');
  const isTold = (time: number) =>
    statements.some(({ firstSec, lastSec }) => {
      return time >= firstSec - voyageStartSec && time <= lastSec - voyageStartSec;
    });
  t.ok(missing.every(isTold), 'and when');
  const first = oracle.stored.get(id)!.findIndex(({ series }) => droppedIn(series) !== undefined);
  t.equal(first, sealed, 'told before any reading that was taken after');
});

t.test('ageMaxDays: what is too old and in no batch is given up, counted and told', async (t) => {
  const { oracle, config, id } = await setUp(t, { ageMaxDays: 2 });
  const clock = new HandClock();
  const { agent, log } = await startTruck(config, clock);
  await fill(agent, clock, 0, () => only(agent).unsealed === 200 || only(agent).sealed > 0);
  const sent = await fill(agent, clock, 200, () => only(agent).unsealed > 0);
  // One more than a batch: it waits for others, and none come.
  t.equal(sent, 400);
  const { unsealed } = only(agent);
  await agent.stop();
  clock.ms += 2 * 86_400_000 + 1_000_000;
  const again = await startTruck(config, clock);
  if (unsealed > 0) {
    await until(() => only(again.agent).dropped === unsealed, 'given up');
    t.match(eventsOf(again.log, 'readings-dropped'), [{ why: 'age', readings: unsealed }]);
    await until(() => only(again.agent).queued === 0, 'told');
  }
  await again.agent.stop();
  t.equal(eventsOf(log, 'readings-dropped').length, 0);
  const told = oracle.stored.get(id)!.flatMap(({ series }) => droppedIn(series) ?? []);
  t.same(
    told.map((each) => each.count),
    unsealed > 0 ? [unsealed] : [],
  );
});
