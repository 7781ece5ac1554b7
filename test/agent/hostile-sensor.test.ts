/**
 * All that a sensor, or whoever has its password, can send: each is counted by its reason, nothing of it is delivered,
 * and an honest sensor beside it has its PUBACK all the while.
 */
import { once } from 'node:events';
import { connect as connectSocket } from 'node:net';
import { connectAsync, type IClientPublishOptions, type MqttClient } from 'mqtt';
import t, { type Test } from 'tap';
import { Refusals } from '@coldproof/agent/refusal';
import { openSensorBroker } from '@coldproof/agent/sensors/mqtt';
import { senmlBytesMax } from '@coldproof/agent/sensors/senml';
import type { SensorSample } from '@coldproof/agent/sensors/sensor';
import { HandClock, mustParse, sensorPassword, truckYaml, until, voyageStartSec } from './fixture.ts';

async function setUp(t: Test) {
  const yaml = truckYaml('/nowhere', { oraclePort: 1, logPublicKey: new Uint8Array(32) })
    .replace('{ topic: sensors/TRUCK-7, name: TRUCK-7/door }', '{ topic: json/door, value: /contact }')
    .replace('topics: [sensors/TRUCK-7]', 'topics: [sensors/TRUCK-7, json/door]');
  const config = mustParse(yaml);
  const refusals = new Refusals(() => undefined);
  const delivered: SensorSample[] = [];
  const broker = await openSensorBroker(config.sensorBroker!, config.devices, new Map([['TRUCK-7', sensorPassword]]), {
    clock: new HandClock(),
    log: () => undefined,
    refuse: (reason, detail) => refusals.refuse(reason, detail),
    deliver: (samples) => {
      delivered.push(...samples);
      return Promise.resolve();
    },
  });
  t.teardown(() => broker.stop());
  const connect = async (): Promise<MqttClient> => {
    const login = { username: 'TRUCK-7', password: sensorPassword, reconnectPeriod: 0 };
    const client = await connectAsync(`mqtt://127.0.0.1:${broker.port}`, login);
    client.on('error', () => undefined);
    t.teardown(() => {
      client.end(true);
    });
    return client;
  };
  return { port: broker.port, delivered, connect, counts: () => refusals.counts() };
}

const good = JSON.stringify([{ n: 'TRUCK-7/cargo-probe-1', t: voyageStartSec, u: 'Cel', v: 4.25 }]);
const senml = 'sensors/TRUCK-7';
const json = 'json/door';
const deep = (open: string, close: string, depth: number) => open.repeat(depth) + close.repeat(depth);

type Row = readonly [what: string, topic: string, payload: string | Uint8Array, reason: string, IClientPublishOptions?];

const rows: readonly Row[] = [
  ['a topic of nobody', 'sensors/TRUCK-8', good, 'topic-not-allowed'],
  ['a topic of the agent', 'agent/TRUCK-7/receipts', good, 'topic-not-allowed'],
  ['a topic of an oracle', `coldproof/v1/${'ab'.repeat(32)}/batch`, good, 'topic-not-allowed'],
  ['a name of the language', '__proto__', good, 'topic-not-allowed'],
  ['a topic of 60,000 characters', 's'.repeat(60_000), good, 'topic-not-allowed'],
  ['a retained reading', senml, good, 'publish-retained', { retain: true }],
  ['a retained nothing', senml, '', 'publish-retained', { retain: true }],
  ['nothing', senml, '', 'senml-malformed'],
  ['words', senml, 'on', 'senml-malformed'],
  ['bytes of no character set', senml, Uint8Array.of(0xc3, 0x28, 0xff, 0xfe), 'senml-malformed'],
  ['half a pack', senml, good.slice(0, -4), 'senml-malformed'],
  ['brackets without end', senml, '['.repeat(200_000), 'senml-malformed'],
  ['JSON 100,000 deep', senml, deep('[', ']', 100_000), 'senml-malformed'],
  ['objects 30,000 deep', senml, `${'{"n":'.repeat(30_000)}1${'}'.repeat(30_000)}`, 'senml-malformed'],
  ['NaN', senml, good.replace('4.25', 'NaN'), 'senml-malformed'],
  ['over the size', senml, ' '.repeat(senmlBytesMax + 1), 'senml-too-large'],
  ['a field that must be understood', senml, '[{"n":"a","v":1,"must_":1}]', 'senml-unsupported'],
  ['a sensor of nobody', senml, '[{"n":"TRUCK-8/cargo-probe-1","v":1}]', 'sensor-unknown'],
  ['CBOR arrays without end', senml, new Uint8Array(100_000).fill(0x81), 'senml-malformed'],
  ['CBOR of a length that is not there', senml, Uint8Array.of(0x9b, 0, 0, 0, 1, 0, 0, 0, 0), 'senml-malformed'],
  ['CBOR of indefinite length', senml, Uint8Array.of(0x9f, 0xff), 'senml-malformed'],
  ['plain JSON that is none', json, 'on', 'json-malformed'],
  ['plain JSON over the size', json, deep('[', ']', 100_000), 'json-too-large'],
  ['plain JSON 10,000 deep', json, deep('[', ']', 10_000), 'sensor-unknown'],
  ['plain JSON without its value', json, '{"__proto__":{"contact":1}}', 'sensor-unknown'],
];

t.test('each message is acknowledged, counted by its reason, and delivers nothing', async (t) => {
  const { connect, counts, delivered } = await setUp(t);
  const [hostile, honest] = [await connect(), await connect()];
  for (const [what, topic, payload, reason, options] of rows) {
    const before = { ...counts() };
    const bytes = typeof payload === 'string' ? payload : Buffer.from(payload);
    await hostile.publishAsync(topic, bytes, { qos: 1, ...options });
    t.same(counts(), { ...before, [reason]: (before[reason] ?? 0) + 1 }, `${what}: ${reason}`);
    t.equal(delivered.length, 0, what);
    await honest.publishAsync(senml, good, { qos: 1 });
    t.equal(delivered.splice(0).length, 1, 'the honest one is taken');
  }
  t.equal(hostile.connected, true);
});

t.test('what is no number is delivered as no number, to be marked by the sampler', async (t) => {
  const { connect, counts, delivered } = await setUp(t);
  const sensor = await connect();
  await sensor.publishAsync(senml, good.replace('4.25', '1e999'), { qos: 1 });
  await sensor.publishAsync(json, '{"contact":"nonsense"}', { qos: 1 });
  t.equal(delivered.length + Object.values(counts()).reduce((sum, count) => sum + count, 0), 2, 'taken or counted');
  for (const { raw } of delivered) t.not(Number.isFinite(raw.value), true);
});

t.test('packets that break the protocol end their own connection, and are counted', async (t) => {
  const { port, connect, counts, delivered } = await setUp(t);
  const honest = await connect();
  const password = Buffer.from(sensorPassword);
  const login = Buffer.concat([
    Uint8Array.of(0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 0xc2, 0, 60, 0, 1, 0x78, 0, 7),
    Buffer.from('TRUCK-7'),
    Uint8Array.of(0, password.length),
    password,
  ]);
  const connectPacket = Buffer.concat([Uint8Array.of(0x10, login.length), login]);
  const publish = (head: number) => Uint8Array.of(head, 6, 0, 1, 0x61, 0, 1, 0x62);
  const broken: readonly [string, Uint8Array][] = [
    ['QoS 3', publish(0x36)],
    ['SUBSCRIBE without its flag', Uint8Array.of(0x80, 6, 0, 1, 0, 1, 0x61, 0)],
    ['a packet type that is none', Uint8Array.of(0x00, 0)],
    ['a topic with a wildcard', Uint8Array.of(0x30, 4, 0, 1, 0x23, 0x62)],
  ];
  for (const [i, [what, bytes]] of broken.entries()) {
    const socket = connectSocket(port, '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.write(connectPacket);
    await once(socket, 'data');
    socket.write(bytes);
    socket.resume();
    await once(socket, 'close');
    t.equal(counts()['packet-invalid'], i + 1, what);
  }
  await honest.publishAsync(senml, good, { qos: 1 });
  t.equal(delivered.length, 1);
});

t.test('a flood of 5,000 without waiting for an answer: counted, and the honest one goes on', async (t) => {
  const { connect, counts, delivered } = await setUp(t);
  const [hostile, honest] = [await connect(), await connect()];
  for (let i = 0; i < 5_000; i++) hostile.publish(senml, 'flood', { qos: i % 2 === 0 ? 0 : 1 });
  for (let i = 0; i < 5; i++) await honest.publishAsync(senml, good, { qos: 1 });
  t.equal(delivered.length, 5, 'taken amid the flood');
  await until(() => counts()['senml-malformed'] === 5_000, 'all of the flood is counted');
  t.same(Object.keys(counts()), ['senml-malformed']);
});
