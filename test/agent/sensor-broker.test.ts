/** The local broker under attack: what is counted, what is acknowledged, what never happens. */
import { once } from 'node:events';
import { connect as connectSocket } from 'node:net';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import t, { type Test } from 'tap';
import { OperatingError } from '@coldproof/agent/operating-error';
import { Refusals } from '@coldproof/agent/refusal';
import { openSensorBroker } from '@coldproof/agent/sensors/mqtt';
import { PacketGate } from '@coldproof/agent/sensors/packet-gate';
import { senmlBytesMax } from '@coldproof/agent/sensors/senml';
import type { SensorSample } from '@coldproof/agent/sensors/sensor';
import { seeded } from '../helpers/seed.ts';
import { HandClock, mustParse, sensorPassword, truckYaml, until, voyageStartSec } from './fixture.ts';

async function setUp(t: Test, yaml = truckYaml('/nowhere', { oraclePort: 1, logPublicKey: new Uint8Array(32) })) {
  const config = mustParse(yaml);
  const refusals = new Refusals(() => undefined);
  const delivered: SensorSample[][] = [];
  const journal = { take: (): Promise<void> => Promise.resolve() };
  const passwords = new Map([['TRUCK-7', sensorPassword]]);
  const broker = await openSensorBroker(config.sensorBroker!, config.devices, passwords, {
    clock: new HandClock(),
    log: () => undefined,
    refuse: (reason, detail) => refusals.refuse(reason, detail),
    deliver: async (samples) => {
      await journal.take();
      if (samples.length > 0) delivered.push([...samples]);
    },
  });
  t.teardown(() => broker.stop());
  const url = `mqtt://127.0.0.1:${broker.port}`;
  const connect = async (options: IClientOptions = {}): Promise<MqttClient> => {
    const login = { username: 'TRUCK-7', password: sensorPassword, reconnectPeriod: 0 };
    const client = await connectAsync(url, { ...login, ...options });
    client.on('error', () => undefined);
    t.teardown(() => {
      client.end(true);
    });
    return client;
  };
  return { broker, journal, delivered, connect, url, counts: () => refusals.counts() };
}

const good = JSON.stringify([{ n: 'TRUCK-7/cargo-probe-1', t: voyageStartSec, u: 'Cel', v: 4.25 }]);

t.test('PUBACK means delivered: it does not come before', async (t) => {
  const { journal, delivered, connect } = await setUp(t);
  let finish: () => void = () => undefined;
  journal.take = () =>
    new Promise((resolve) => {
      finish = resolve;
    });
  const sensor = await connect();
  let isAcknowledged = false;
  const publishing = sensor.publishAsync('sensors/TRUCK-7', good, { qos: 1 }).then(() => {
    isAcknowledged = true;
  });
  await until(() => String(finish) !== String(() => undefined), 'the message at the journal');
  // A PINGREQ behind the PUBLISH is answered in the meantime: the PUBACK had its chance.
  const answered = new Promise((resolve) => {
    sensor.once('packetreceive', resolve);
  });
  sensor.sendPing();
  await answered;
  t.equal(isAcknowledged, false);
  finish();
  await publishing;
  const raw = { timeSec: voyageStartSec, value: 4.25, unit: 'Cel' };
  t.match(delivered, [[{ device: 'TRUCK-7', channel: 16, raw }]]);
});

t.test('a journal that fails gives no PUBACK', async (t) => {
  const { journal, connect } = await setUp(t);
  journal.take = () => Promise.reject(new OperatingError('journal-write-failed', 'no', { retry: 'never' }));
  const sensor = await connect();
  const acknowledged = sensor.publishAsync('sensors/TRUCK-7', good, { qos: 1 }).then(() => 'acknowledged');
  const closed = new Promise((resolve) => {
    sensor.once('close', () => resolve('closed'));
  });
  t.equal(await Promise.race([acknowledged, closed]), 'closed');
});

t.test('wrong credentials', async (t) => {
  const { connect, counts } = await setUp(t);
  for (const options of [{ password: 'wrong' }, { username: 'TRUCK-8' }, { username: '__proto__' }, { password: '' }]) {
    await t.rejects(connect(options), /Not authorized/);
  }
  t.same(counts(), { 'sensor-credentials-wrong': 4 });
});

t.test('hostile messages are acknowledged, counted by reason, and deliver nothing', async (t) => {
  const { connect, counts, delivered } = await setUp(t);
  const sensor = await connect();
  const rows: readonly [topic: string, payload: string, options: { retain?: boolean }, reason: string][] = [
    ['sensors/TRUCK-8', good, {}, 'topic-not-allowed'],
    ['sensors/TRUCK-7/x', good, {}, 'topic-not-allowed'],
    ['__proto__', good, {}, 'topic-not-allowed'],
    ['sensors/TRUCK-7', good, { retain: true }, 'publish-retained'],
    ['sensors/TRUCK-7', 'not json', {}, 'senml-malformed'],
    ['sensors/TRUCK-7', '', {}, 'senml-malformed'],
    ['sensors/TRUCK-7', '[{"n":"a","v":1,"must_":1}]', {}, 'senml-unsupported'],
    ['sensors/TRUCK-7', ' '.repeat(senmlBytesMax + 1), {}, 'senml-too-large'],
    ['sensors/TRUCK-7', '[{"n":"TRUCK-8/cargo-probe-1","v":1}]', {}, 'sensor-unknown'],
  ];
  for (const [topic, payload, options, reason] of rows) {
    const before = counts()[reason] ?? 0;
    await sensor.publishAsync(topic, payload, { qos: 1, ...options });
    t.equal(counts()[reason], before + 1, `${topic} ${payload.slice(0, 30)}: ${reason}`);
  }
  t.same(delivered, []);
  await sensor.publishAsync('sensors/TRUCK-7', good, { qos: 1 });
  await sensor.publishAsync('sensors/TRUCK-7', good, { qos: 2 });
  t.equal(delivered.length, 2, 'and the next good ones are taken, at QoS 2 too');
});

t.test('a pack with a stranger in it: the others are taken; text is a fault; records are put in order', async (t) => {
  const { connect, counts, delivered } = await setUp(t);
  const sensor = await connect();
  const pack = [
    { bn: 'TRUCK-7/', n: 'door', vb: true, t: voyageStartSec + 60 },
    { n: 'oil', v: 3 },
    { n: 'cargo-probe-1', vs: 'ERROR', t: voyageStartSec + 30 },
    { n: 'cargo-probe-1', u: 'Cel', v: 4, t: voyageStartSec },
  ];
  await sensor.publishAsync('sensors/TRUCK-7', JSON.stringify(pack), { qos: 1 });
  t.same(counts(), { 'sensor-unknown': 1 });
  t.match(
    delivered[0]?.map(({ channel, raw }) => [channel, raw.timeSec - voyageStartSec, raw.value]),
    [
      [16, 0, 4],
      [16, 30, undefined],
      [6, 60, true],
    ],
  );
});

t.test('$SYS closes the connection; nobody reads; a will is taken off', async (t) => {
  const { connect, counts, delivered } = await setUp(t);
  const will = { topic: 'sensors/TRUCK-7', payload: Buffer.from(good), qos: 1, retain: true } as const;
  const sensor = await connect({ will });
  for (const topic of ['#', '$SYS/#', 'sensors/TRUCK-7', '+/+']) {
    await t.rejects(sensor.subscribeAsync(topic), topic);
  }
  const victim = await connect({ clientId: 'victim' });
  const closed = new Promise<void>((resolve) => {
    sensor.once('close', () => resolve());
  });
  sensor.publish('$SYS/x/new/clients', 'victim', { qos: 1 });
  await closed;
  t.equal(victim.connected, true);
  await victim.publishAsync('sensors/TRUCK-7', good, { qos: 1 });
  t.equal(delivered.length, 1, 'the will of the closed connection delivered nothing');
  t.match(counts(), { 'topic-reserved': 1, 'subscription-not-allowed': 4, 'will-not-allowed': 1 });
});

t.test('a packet that says it is huge is cut off at its head', async (t) => {
  const { broker, counts, connect } = await setUp(t);
  const socket = connectSocket(broker.port, '127.0.0.1');
  await once(socket, 'connect');
  // CONNECT of 268,435,455 bytes: the largest that MQTT can say.
  socket.write(Uint8Array.of(0x10, 0xff, 0xff, 0xff, 0x7f));
  socket.on('error', () => undefined);
  await once(socket, 'close');
  t.same(counts(), { 'packet-too-large': 1 });
  t.equal((await connect()).connected, true, 'others are served');
});

t.test('the gate passes every byte of fitting packets, at every split', async (t) => {
  const random = seeded(t, 311);
  const packets = Array.from({ length: 40 }, () => {
    const size = random.pick([0, 1, 127, 128, 129, 500, 16_383, 16_384]);
    const length: number[] = [];
    for (let rest = size; ; rest = Math.floor(rest / 128)) {
      length.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
      if (rest < 128) break;
    }
    return Buffer.concat([Uint8Array.of(0x30, ...length), random.bytes(size)]);
  });
  const stream = Buffer.concat(packets);
  for (let round = 0; round < 40; round++) {
    const gate = new PacketGate(16_384);
    const passed: Buffer[] = [];
    gate.on('data', (chunk: Buffer) => passed.push(chunk));
    for (let at = 0; at < stream.length;) {
      const end = at + random.pick([1, 2, 3, 100, 5_000]);
      gate.write(stream.subarray(at, end));
      at = end;
    }
    gate.end();
    await once(gate, 'end');
    if (!Buffer.concat(passed).equals(stream)) t.fail(`round ${round}`);
  }
  const small = new PacketGate(16_383);
  small.resume();
  const refused = once(small, 'error');
  small.write(stream);
  t.match(await refused, [/expected <= 16383 bytes, got 16384/]);
  t.pass();
});

t.test('bytes that are no MQTT end their own connection only', async (t) => {
  const { broker, connect, delivered } = await setUp(t);
  const random = seeded(t, 1883);
  const sensor = await connect();
  for (let round = 0; round < 60; round++) {
    const socket = connectSocket(broker.port, '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.end(random.bytes(random.integer(1, 200)));
    socket.resume();
    await once(socket, 'close');
  }
  await sensor.publishAsync('sensors/TRUCK-7', good, { qos: 1 });
  t.equal(delivered.length, 1);
});

t.test('plain JSON over a topic pattern: the same PUBACK, the same refusals', async (t) => {
  const yaml = truckYaml('/nowhere', { oraclePort: 1, logPublicKey: new Uint8Array(32) });
  const json = '{ topic: zigbee/+/probe, value: /temperature, time: /at, timeFormat: rfc3339 }';
  const config = yaml
    .replace('{ topic: sensors/TRUCK-7, name: TRUCK-7/cargo-probe-1 }', json)
    .replace('topics: [sensors/TRUCK-7]', "topics: [sensors/TRUCK-7, 'zigbee/#']");
  const { connect, counts, delivered } = await setUp(t, config);
  const sensor = await connect();
  const message = JSON.stringify({ temperature: '4.25', at: '2026-01-01T00:00:00Z', battery: 97 });
  await sensor.publishAsync('zigbee/0x00158d/probe', message, { qos: 1 });
  const raw = { timeSec: voyageStartSec, value: 4.25, unit: undefined };
  t.same(delivered, [[{ device: 'TRUCK-7', channel: 16, raw }]]);
  await sensor.publishAsync('zigbee/0x00158d/probe/set', message, { qos: 1 });
  await sensor.publishAsync('zigbee/0x00158d/probe', 'on', { qos: 1 });
  t.same(counts(), { 'topic-not-allowed': 1, 'json-malformed': 1 });
  t.equal(delivered.length, 1);
});
