/** Who may hear what the agent says on its local broker, what nobody can say in its place, and who holds up whom. */
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import t, { type Test } from 'tap';
import { Refusals } from '@coldproof/agent/refusal';
import { maySubscribe } from '@coldproof/agent/local-topic';
import { openSensorBroker } from '@coldproof/agent/sensors/mqtt';
import type { SensorSample } from '@coldproof/agent/sensors/sensor';
import { HandClock, mustParse, sensorPassword, truckYaml, until, voyageStartSec } from './fixture.ts';

const reader = { username: 'reader', password: sensorPassword };
const sensor = { username: 'TRUCK-7', password: sensorPassword };

async function setUp(t: Test) {
  const user = '    - { username: reader, passwordEnv: READER, reads: [TRUCK-7] }\n';
  const yaml = truckYaml('/nowhere', { oraclePort: 1, logPublicKey: new Uint8Array(32) });
  const config = mustParse(yaml.replace('uplink:', `${user}uplink:`));
  const refusals = new Refusals(() => undefined);
  const delivered: SensorSample[] = [];
  const passwords = new Map(['TRUCK-7', 'reader'].map((name) => [name, sensorPassword]));
  const broker = await openSensorBroker(config.sensorBroker!, config.devices, passwords, {
    clock: new HandClock(),
    log: () => undefined,
    refuse: (reason, detail) => refusals.refuse(reason, detail),
    deliver: (samples) => {
      delivered.push(...samples);
      return Promise.resolve();
    },
  });
  t.teardown(() => broker.stop());
  const connect = async (options: IClientOptions): Promise<{ client: MqttClient; heard: string[] }> => {
    const client = await connectAsync(`mqtt://127.0.0.1:${broker.port}`, { reconnectPeriod: 0, ...options });
    const heard: string[] = [];
    client.on('error', () => undefined);
    client.on('message', (topic, payload, { retain }) => heard.push(`${topic} ${payload.toString()} ${retain}`));
    t.teardown(() => {
      client.end(true);
    });
    return { client, heard };
  };
  return { broker, connect, delivered, counts: () => refusals.counts() };
}

t.test('rights: what a filter may name', (t) => {
  const reads = new Set(['TRUCK-7']);
  for (const filter of ['agent/#', 'agent/+/queue', 'agent/TRUCK-7/#', 'agent/TRUCK-7/readings', 'agent/refused']) {
    t.ok(maySubscribe(filter, reads), filter);
    t.notOk(maySubscribe(filter, new Set()), `${filter}, without reads`);
  }
  for (const filter of ['#', '+/#', '+/TRUCK-7/queue', '$SYS/#', 'sensors/#', 'sensors/TRUCK-7', 'agent', 'agentx/#']) {
    t.notOk(maySubscribe(filter, reads), filter);
  }
  for (const filter of ['agent/TRUCK-8/#', 'agent/TRUCK-8/queue', 'agent/TRUCK-77/queue', 'agent/', 'agent/x']) {
    t.notOk(maySubscribe(filter, reads), filter);
  }
  t.end();
});

t.test('a reader hears its device, state at once; a sensor hears nothing; a lasting session is refused', async (t) => {
  const { broker, connect, counts } = await setUp(t);
  broker.publish('agent/TRUCK-7/queue', '1', { retain: true });
  broker.publish('agent/TRUCK-8/queue', '2', { retain: true });
  const { client, heard } = await connect(reader);
  await client.subscribeAsync('agent/#', { qos: 1 });
  for (const device of ['TRUCK-8', 'TRUCK-7']) broker.publish(`agent/${device}/readings`, '[3]', { retain: false });
  broker.publish('agent/refused', '{}', { retain: true });
  await until(() => heard.length === 3, 'three');
  t.same(heard, ['agent/TRUCK-7/queue 1 true', 'agent/TRUCK-7/readings [3] false', 'agent/refused {} false']);
  const other = await connect(sensor);
  await t.rejects(other.client.subscribeAsync('agent/#'));
  const lasting = await connect({ ...reader, clean: false, clientId: 'lasting' });
  await t.rejects(lasting.client.subscribeAsync('agent/#'));
  t.same(counts(), { 'subscription-not-allowed': 2 });
});

t.test('nobody speaks for the agent, and no message of a sensor is forwarded', async (t) => {
  const { broker, connect, counts, delivered } = await setUp(t);
  const { client, heard } = await connect(reader);
  await client.subscribeAsync('agent/#', { qos: 1 });
  const liar = await connect(sensor);
  for (const topic of ['agent/TRUCK-7/queue', 'agent/TRUCK-7/readings', 'agent/refused', 'sensors/TRUCK-7']) {
    await liar.client.publishAsync(topic, '{"queued":0}', { qos: 1 });
    await liar.client.publishAsync(topic, '{"queued":0}', { qos: 2, retain: true });
    await client.publishAsync(topic, '{"queued":0}', { qos: 1 });
  }
  broker.publish('agent/TRUCK-7/queue', 'end', { retain: true });
  await until(() => heard.length > 0, 'the agent itself');
  t.same(heard, ['agent/TRUCK-7/queue end false']);
  const late = await connect(reader);
  await late.client.subscribeAsync('agent/#', { qos: 1 });
  await until(() => late.heard.length > 0, 'what is retained');
  t.same(late.heard, ['agent/TRUCK-7/queue end true']);
  t.same(delivered, []);
  t.match(counts(), { 'topic-not-allowed': 7, 'publish-retained': 4, 'senml-malformed': 1 });
});

t.test('a reader that takes nothing loses events, and holds up neither sensors nor other readers', async (t) => {
  const { broker, connect, counts } = await setUp(t);
  const frozen = await connect(reader);
  await frozen.client.subscribeAsync('agent/#', { qos: 1 });
  frozen.client.stream.unpipe();
  frozen.client.stream.pause();
  const { client, heard } = await connect(reader);
  await client.subscribeAsync('agent/#', { qos: 1 });
  const probe = await connect(sensor);
  const readings = JSON.stringify('x'.repeat(50_000));
  for (let i = 0; (counts()['reader-slow'] ?? 0) < 50; i++) {
    broker.publish('agent/TRUCK-7/readings', readings, { retain: false });
    const startedMs = performance.now();
    const pack = JSON.stringify([{ n: 'TRUCK-7/cargo-probe-1', t: voyageStartSec + i, v: 4 }]);
    await probe.client.publishAsync('sensors/TRUCK-7', pack, { qos: 1 });
    if (performance.now() - startedMs > 1_500) t.fail(`a PUBACK took ${performance.now() - startedMs} ms`);
    if (i > 5_000) throw new Error('the socket takes everything');
  }
  broker.publish('agent/TRUCK-7/queue', 'end', { retain: true });
  await until(() => heard.at(-1)?.startsWith('agent/TRUCK-7/queue end') === true, 'the other reader hears');
  t.same(frozen.heard, []);
});
