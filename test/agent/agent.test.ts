/** The whole agent against a stub of the oracle, over real MQTT on both sides. */
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connectAsync, type MqttClient } from 'mqtt';
import t, { type Test } from 'tap';
import { bytesToHex, flags, formatTopic, marks } from '@coldproof/wire';
import type { RunningAgent } from '@coldproof/agent/agent';
import type { SenmlSource } from '@coldproof/agent/config-source';
import { agentVersion as version } from '@coldproof/agent/version';
import { Journal } from '@coldproof/agent/journal';
import { openKeyFile } from '@coldproof/agent/key-file';
import { OperatingError } from '@coldproof/agent/operating-error';
import { seeded } from '../helpers/seed.ts';
import {
  HandClock,
  makeKey,
  makeLogKey,
  mustParse,
  passphrase,
  sensorPassword,
  startTruck,
  StubOracle,
  temporaryFolder,
  truckYaml,
  until,
  voyageStartSec,
} from './fixture.ts';

async function setUp(t: Test) {
  const stateDir = temporaryFolder(t);
  const keyStore = makeKey(stateDir);
  const oracle = new StubOracle();
  oracle.trust(keyStore);
  await oracle.start();
  t.teardown(() => oracle.stop());
  const yaml = truckYaml(stateDir, { oraclePort: oracle.port, logPublicKey: oracle.logKey.publicKey });
  const clock = new HandClock();
  return { keyStore, oracle, config: mustParse(yaml), clock, device: bytesToHex(keyStore.device()) };
}

async function sensorOf(agent: RunningAgent): Promise<MqttClient> {
  return connectAsync(`mqtt://127.0.0.1:${agent.brokerPort ?? 0}`, {
    username: 'TRUCK-7',
    password: sensorPassword,
    reconnectPeriod: 0,
  });
}

/** One message as the truck's firmware sends it. Resolves at the PUBACK. */
async function publish(
  sensor: MqttClient,
  clock: HandClock,
  minute: number,
  celsius: number,
  truck = 'TRUCK-7',
): Promise<void> {
  const bt = voyageStartSec + 60 * minute;
  clock.ms = Math.max(clock.ms, bt * 1_000);
  const pack = [
    { bn: `${truck}/`, bt, n: 'cargo-probe-1', u: 'Cel', v: celsius },
    { n: 'door', vb: minute % 7 === 0 },
  ];
  await sensor.publishAsync(`sensors/${truck}`, JSON.stringify(pack), { qos: 1 });
}

t.test('readings become batches, in order, with a receipt for each', async (t) => {
  const { oracle, config, clock, device } = await setUp(t);
  const { agent } = await startTruck(config, clock);
  const sensor = await sensorOf(agent);
  for (let minute = 0; minute < 23; minute++) await publish(sensor, clock, minute, 4 + minute / 100);
  await until(() => agent.status().devices[0]!.receipts === 4, 'four receipts');
  const status = agent.status().devices[0]!;
  t.match(status, { name: 'TRUCK-7', device, unsealed: 6, queued: 0, sealed: 4, receipts: 4, faults: {} });
  t.equal(status.lastReadingAt, new Date((voyageStartSec + 22 * 60) * 1_000).toISOString());
  await sensor.endAsync();
  await agent.stop();
  await agent.finished;
  const chain = oracle.stored.get(device)!;
  t.same(
    chain.map(({ batch }) => batch.sequence),
    [0, 1, 2, 3],
  );
  t.same(
    chain.map(({ series }) => series.map(({ channel }) => channel)),
    Array(4).fill([6, 16]),
  );
  t.same(
    chain.flatMap(({ series }) => series[1]!.samples),
    Array.from({ length: 20 }, (_, i) => ({ timeSec: voyageStartSec + 60 * i, value: 400 + i })),
  );
  t.same(
    oracle.statuses.map(({ payload, retain }) => ({ payload, retain })),
    [
      { payload: JSON.stringify({ online: true, version, nextSequence: 0, queued: 0 }), retain: true },
      { payload: JSON.stringify({ online: false, version, nextSequence: 4, queued: 0 }), retain: true },
    ],
  );
});

t.test('link down for 6 hours with restarts inside: all batches once, in order, with their own times', async (t) => {
  const { oracle, config, clock, device } = await setUp(t);
  const port = oracle.port;
  await oracle.stop();
  let { agent } = await startTruck(config, clock);
  let sensor = await sensorOf(agent);
  for (let minute = 0; minute < 360; minute++) {
    if (minute === 100 || minute === 231) {
      await agent.stop();
      ({ agent } = await startTruck(config, clock));
      sensor = await sensorOf(agent);
    }
    await publish(sensor, clock, minute, minute / 100);
  }
  const waiting = agent.status().devices[0]!;
  t.match(waiting, { queued: 72, sealed: 72, receipts: 0, link: { connected: false } });
  await oracle.start(port);
  await until(() => agent.status().devices[0]!.receipts === 72, 'a receipt for each');
  await sensor.endAsync();
  await agent.stop();
  const chain = oracle.stored.get(device)!;
  t.same(
    chain.map(({ batch }) => batch.sequence),
    Array.from({ length: 72 }, (_, i) => i),
  );
  const samples = chain.flatMap(({ series }) => series.find(({ channel }) => channel === 16)!.samples);
  t.same(
    samples,
    Array.from({ length: 360 }, (_, i) => ({ timeSec: voyageStartSec + 60 * i, value: i })),
  );
  t.same(oracle.refused, []);
});

t.test('a network that loses messages and receipts and breaks: still once and in order', async (t) => {
  const random = seeded(t, 4711);
  const { oracle, config, clock, device } = await setUp(t);
  oracle.admits = () => random.next() < 0.85;
  oracle.delivers = () => random.next() < 0.85;
  const { agent } = await startTruck({ ...config, uplinks: [{ ...config.uplinks[0]!, resendSec: 0.05 }] }, clock);
  const sensor = await sensorOf(agent);
  for (let minute = 0; minute < 200; minute++) {
    await publish(sensor, clock, minute, minute / 100);
    if (random.next() < 0.03) oracle.cut();
  }
  await until(() => agent.status().devices[0]!.receipts === 40, 'a receipt for each');
  await sensor.endAsync();
  await agent.stop();
  t.same(
    oracle.stored.get(device)!.map(({ batch }) => batch.sequence),
    Array.from({ length: 40 }, (_, i) => i),
  );
  t.notOk(oracle.refused.includes('equivocation'));
  t.ok(oracle.received > 40, `${oracle.received} messages for 40 batches`);
});

t.test('no PUBACK and no forged receipt drops a batch', async (t) => {
  const { oracle, config, clock, keyStore } = await setUp(t);
  oracle.isAnswering = false;
  const { agent, log } = await startTruck(config, clock);
  const sensor = await sensorOf(agent);
  for (let minute = 0; minute < 5; minute++) await publish(sensor, clock, minute, 4);
  await until(() => oracle.received > 0, 'the batch at the broker');
  const topic = formatTopic(keyStore.device(), 'receipt');
  const of = { index: 0, device: keyStore.device(), sequence: 0, digest: new Uint8Array(32).fill(7) };
  const refusedAfter = async (payload: Uint8Array, reason: string) => {
    const before = agent.status().refused[reason] ?? 0;
    oracle.send(topic, payload);
    await until(() => (agent.status().refused[reason] ?? 0) > before, reason);
    t.equal(agent.status().devices[0]!.queued, 1, reason);
  };
  await refusedAfter(Uint8Array.of(1, 2, 3), 'receipt-invalid');
  await refusedAfter(makeLogKey().sign(of), 'receipt-of-another-log');
  await refusedAfter(oracle.logKey.sign(of), 'receipt-of-another-batch');
  await refusedAfter(oracle.logKey.sign({ ...of, sequence: 1 }), 'receipt-not-awaited');
  await refusedAfter(oracle.logKey.sign({ ...of, device: of.digest }), 'receipt-of-another-device');
  const flipped = oracle.logKey.sign(of);
  flipped[flipped.length - 1]! ^= 1;
  await refusedAfter(flipped, 'receipt-invalid');
  t.ok(log.some(({ event }) => event === 'equivocation'));
  oracle.isAnswering = true;
  await until(() => agent.status().devices[0]!.queued === 0, 'sent again after resendSec');
  await sensor.endAsync();
  await agent.stop();
});

t.test('a stuck probe is marked from its 10th equal sample on, across batches and a restart', async (t) => {
  const { oracle, config, clock, device } = await setUp(t);
  let { agent } = await startTruck(config, clock);
  let sensor = await sensorOf(agent);
  for (let minute = 0; minute < 25; minute++) {
    if (minute === 8) {
      await agent.stop();
      ({ agent } = await startTruck(config, clock));
      sensor = await sensorOf(agent);
    }
    await publish(sensor, clock, minute, minute < 20 ? 9.37 : 9.36);
  }
  await until(() => agent.status().devices[0]!.receipts === 6, 'six receipts');
  t.same(agent.status().devices[0]!.faults, {});
  await sensor.endAsync();
  await agent.stop();
  const marked = oracle.stored.get(device)!.map(({ series }) => series.find(({ channel }) => channel === 16)!.marks);
  // Minutes 0-4, 5-8, 9-13, 14-18, 19, 20-24: a batch ends where the probe began to be stuck, and where it ceased.
  t.same(marked, [0, 0, marks.stuck, marks.stuck, marks.stuck, 0]);
});

t.test('a disconnected probe is a fault in the series, a mark on it, and a fault in the status', async (t) => {
  const { oracle, config, clock, device } = await setUp(t);
  const { agent } = await startTruck(config, clock);
  const sensor = await sensorOf(agent);
  for (let minute = 0; minute < 9; minute++) await publish(sensor, clock, minute, minute < 4 ? 4 : -127);
  await until(() => agent.status().devices[0]!.receipts === 2, 'two receipts');
  t.same(agent.status().devices[0]!.faults, { 'cargo-probe-1': 'invalid-value' });
  await sensor.endAsync();
  await agent.stop();
  const series = oracle.stored.get(device)!.map((each) => each.series[1]!);
  t.same(
    series.map((each) => [each.marks, each.samples.map(({ value }) => value)]),
    [
      [0, [400, 400, 400, 400]],
      [marks.invalidValue, Array(5).fill(-0x8000)],
    ],
    'what was good before the fault is good evidence',
  );
});

t.test('an unset clock flags the batch; evidence of it is no evidence', async (t) => {
  const { oracle, config, device } = await setUp(t);
  const clock = new HandClock(1_000);
  const { agent } = await startTruck(config, clock);
  const sensor = await sensorOf(agent);
  for (let minute = 0; minute < 5; minute++) {
    clock.ms += 60_000;
    await sensor.publishAsync('sensors/TRUCK-7', '[{"n":"TRUCK-7/cargo-probe-1","v":4}]', { qos: 1 });
  }
  clock.ms = voyageStartSec * 1_000;
  for (let minute = 0; minute < 5; minute++) await publish(sensor, clock, minute, 4);
  await until(() => agent.status().devices[0]!.receipts === 2, 'two receipts');
  await sensor.endAsync();
  await agent.stop();
  t.same(
    oracle.stored.get(device)!.map(({ batch }) => batch.flags),
    [flags.clockUnsynchronised, 0],
  );
});

t.test('two devices: two keys, two chains, two connections, nothing in common', async (t) => {
  const { oracle, config, clock, device } = await setUp(t);
  const second = makeKey(config.stateDir, 'TRUCK-8');
  oracle.trust(second);
  const truck = config.devices[0]!;
  const rename = (text: string) => text.replaceAll('TRUCK-7', 'TRUCK-8');
  const devices = [
    truck,
    {
      ...truck,
      name: 'TRUCK-8',
      sensors: truck.sensors.map((sensor) => {
        const source = sensor.source as SenmlSource;
        return { ...sensor, source: { ...source, topic: rename(source.topic), name: rename(source.name) } };
      }),
    },
  ];
  const broker = config.sensorBroker!;
  const credentials = [{ ...broker.credentials[0]!, topics: ['sensors/TRUCK-7', 'sensors/TRUCK-8'] }];
  const { agent } = await startTruck({ ...config, devices, sensorBroker: { ...broker, credentials } }, clock);
  const sensor = await sensorOf(agent);
  for (let minute = 0; minute < 10; minute++) {
    await publish(sensor, clock, minute, 4 + minute / 100);
    await publish(sensor, clock, minute, 5 + minute / 100, 'TRUCK-8');
  }
  await until(() => agent.status().devices.every(({ receipts }) => receipts === 2), 'two receipts each');
  await sensor.endAsync();
  await agent.stop();
  const valuesOf = (id: string) =>
    oracle.stored.get(id)!.flatMap(({ series }) => series[1]!.samples.map(({ value }) => value));
  const rising = (from: number) => Array.from({ length: 10 }, (_, i) => from + i);
  t.same(valuesOf(device), rising(400));
  t.same(valuesOf(bytesToHex(second.device())), rising(500));
});

t.test("a journal that fails ends the agent; the reading is not acknowledged, and still the sensor's", async (t) => {
  const { config, clock } = await setUp(t);
  const journal = Journal.open(config.stateDir);
  const { agent } = await startTruck(config, clock, journal);
  const sensor = await sensorOf(agent);
  await publish(sensor, clock, 0, 4);
  journal.record = () => {
    throw new OperatingError('journal-write-failed', 'no space left on device', { retry: 'never' });
  };
  const isAcknowledged = publish(sensor, clock, 1, 4).then(() => true);
  const closed = new Promise<boolean>((resolve) => {
    sensor.once('close', () => resolve(false));
  });
  t.equal(await Promise.race([isAcknowledged, closed]), false);
  await t.rejects(agent.finished, { code: 'journal-write-failed' });
  const { agent: next } = await startTruck(config, clock);
  t.equal(next.status().devices[0]!.unsealed, 2, 'what was recorded before is there');
  await next.stop();
});

t.test('a stop in the middle of a storm: what was acknowledged is journaled, and nothing else breaks', async (t) => {
  const { config, clock } = await setUp(t);
  clock.ms += 3_600_000;
  const { agent } = await startTruck(config, clock);
  const sensor = await sensorOf(agent);
  sensor.on('error', () => undefined);
  const acknowledged: number[] = [];
  for (let second = 0; second < 3_000; second++) {
    const pack = JSON.stringify([{ n: 'TRUCK-7/cargo-probe-1', t: voyageStartSec + second, v: 4 + second / 100 }]);
    sensor.publishAsync('sensors/TRUCK-7', pack, { qos: 1 }).then(
      () => acknowledged.push(second),
      () => undefined,
    );
  }
  await until(() => acknowledged.length > 0, 'the storm has begun');
  await agent.stop();
  await agent.finished;
  const journal = Journal.open(config.stateDir);
  const device = openKeyFile(join(config.stateDir, 'keys', 'TRUCK-7.json'), passphrase).device();
  const newestSec = journal.samplerStates(device).get(16)!.newestSec;
  journal.close();
  t.ok(acknowledged.length < 3_000, 'it was in the middle');
  t.ok(newestSec >= voyageStartSec + acknowledged.at(-1)!, `${acknowledged.length} of 3000 acknowledged`);
  t.same(
    acknowledged,
    acknowledged.map((_, i) => i),
    'PUBACKs came in order',
  );
});

t.test('a broker that takes the connection and then says nothing does not hold up a stop', async (t) => {
  const { config, clock } = await setUp(t);
  const mute = createServer((socket) => {
    // CONNACK, then silence (MQTT 3.1.1 section 3.2).
    socket.once('data', () => socket.write(Uint8Array.of(0x20, 0x02, 0x00, 0x00)));
    socket.on('error', () => undefined);
  });
  mute.listen(0, '127.0.0.1');
  await once(mute, 'listening');
  t.teardown(() => mute.close());
  const { port } = mute.address() as AddressInfo;
  const uplinks = [{ ...config.uplinks[0]!, url: `mqtt://127.0.0.1:${port}` }];
  const connected = once(mute, 'connection');
  const { agent } = await startTruck({ ...config, uplinks }, clock);
  await connected;
  const startedMs = performance.now();
  await agent.stop();
  t.ok(performance.now() - startedMs < 3_000);
});

t.test('GET /status and /healthz, and nothing else', async (t) => {
  const { config, clock } = await setUp(t);
  const { agent } = await startTruck(config, clock);
  const base = `http://127.0.0.1:${agent.httpPort}`;
  const status = await fetch(`${base}/status`);
  t.same(await status.json(), JSON.parse(JSON.stringify(agent.status())));
  t.same(await (await fetch(`${base}/healthz`)).json(), { status: 'ok' });
  t.equal((await fetch(`${base}/../etc/passwd`)).status, 404);
  t.equal((await fetch(`${base}/status`, { method: 'POST', body: 'x' })).status, 405);
  await agent.stop();
});

t.test(
  'a sensor that has fallen silent is a fault in /status until it speaks, and the gap is in the log',
  async (t) => {
    const { config, clock } = await setUp(t);
    const truck = config.devices[0]!;
    const sensors = truck.sensors.map((sensor) => ({ ...sensor, gapSecMax: 150 }));
    const { agent, log } = await startTruck({ ...config, devices: [{ ...truck, sensors }] }, clock);
    const sensor = await sensorOf(agent);
    await publish(sensor, clock, 0, 4);
    clock.ms += 150_000;
    t.same(agent.status().devices[0]!.faults, {});
    clock.ms += 1_000;
    t.same(agent.status().devices[0]!.faults, { door: 'gap', 'cargo-probe-1': 'gap' });
    await publish(sensor, clock, 5, 4.1);
    t.same(agent.status().devices[0]!.faults, {});
    t.match(
      log.filter(({ event }) => event === 'sensor-gap'),
      [{ gapSec: 300 }, { channel: 'door', gapSec: 300 }],
    );
    await sensor.endAsync();
    await agent.stop();
  },
);
