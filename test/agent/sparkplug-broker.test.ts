/** A Sparkplug edge node, the simulator's, on the local broker: over real MQTT, with cuts, wills and requests. */
import { connectAsync, type MqttClient } from 'mqtt';
import t, { type Test } from 'tap';
import { Refusals } from '@coldproof/agent/refusal';
import { openSensorBroker } from '@coldproof/agent/sensors/mqtt';
import type { SensorSample } from '@coldproof/agent/sensors/sensor';
import { realClock } from '@coldproof/firmware-sim/clock';
import { openLink, type Link } from '@coldproof/firmware-sim/device-mqtt';
import { SparkplugDevice } from '@coldproof/firmware-sim/device-sparkplug';
import { Random } from '@coldproof/firmware-sim/random';
import { EdgeNode } from '@coldproof/firmware-sim/sparkplug';
import { HandClock, mustParse, sensorPassword, until, voyageStartSec } from './fixture.ts';

const config = mustParse(`
stateDir: /s
passphraseEnv: P
devices:
  - name: TRUCK-7
    sensors:
      - { channel: cargo-probe-1, sparkplug: { group: Fleet, node: PLC, device: sensors, metric: cargo-probe-1 } }
sensorBroker:
  port: 0
  credentials:
    - { username: PLC, passwordEnv: P, topics: [spBv1.0/Fleet/+/PLC/#] }
    - { username: OTHER, passwordEnv: P, topics: ['#'] }
uplink: { url: 'mqtt://o:1', logPublicKey: '${'ab'.repeat(32)}' }
`);

async function setUp(t: Test) {
  const refusals = new Refusals(() => undefined);
  const delivered: SensorSample[] = [];
  const passwords = new Map(['PLC', 'OTHER'].map((name) => [name, sensorPassword]));
  const clock = new HandClock();
  const broker = await openSensorBroker(config.sensorBroker!, config.devices, passwords, {
    clock,
    log: () => undefined,
    refuse: (reason, detail) => refusals.refuse(reason, detail),
    deliver: (samples) => {
      delivered.push(...samples);
      return Promise.resolve();
    },
  });
  t.teardown(() => broker.stop());
  const url = `mqtt://127.0.0.1:${broker.port}`;
  const connect = async (username: string): Promise<MqttClient> => {
    const client = await connectAsync(url, { username, password: sensorPassword, reconnectPeriod: 0 });
    client.on('error', () => undefined);
    t.teardown(() => void client.end(true));
    return client;
  };
  const valuesOf = () => delivered.map(({ raw }) => [raw.timeSec - voyageStartSec, raw.value]);
  return { broker, clock, url, connect, valuesOf, counts: () => refusals.counts() };
}

t.test('births, data, a cut with its will, and what was kept meanwhile as historical', async (t) => {
  const { url, valuesOf, counts } = await setUp(t);
  const stop = new AbortController();
  let link: Link | undefined;
  let opened = 0;
  let isDown = false;
  const deps = {
    realClock,
    random: Random.fromSeed(1),
    log: () => undefined,
    openLink: async (signal: AbortSignal, session: object) => {
      while (isDown) await realClock.wait(5, signal);
      const login = { url, clientId: 'plc', username: 'PLC', password: sensorPassword };
      link = await openLink({ ...login, ...session }, signal);
      opened += 1;
      return link;
    },
  };
  const device = new SparkplugDevice(deps, { group: 'Fleet', node: 'PLC', device: 'sensors' });
  const running = device.run(stop.signal);
  const sample = (minute: number) => {
    const readings = [{ name: 'cargo-probe-1', centiC: 100 * minute }];
    device.sample(voyageStartSec + 60 * minute, readings);
  };
  sample(1);
  await until(() => valuesOf().length === 1, 'the birth');
  sample(2);
  sample(3);
  await until(() => valuesOf().length === 3, 'two samples');
  isDown = true;
  // Without a DISCONNECT: the broker publishes the will, the death certificate.
  link!.close();
  await link!.closed;
  await realClock.wait(20);
  for (const minute of [4, 5, 6]) sample(minute);
  isDown = false;
  await until(() => valuesOf().length === 6, 'what was kept');
  sample(7);
  await until(() => valuesOf().length === 7, 'and now');
  t.same(
    valuesOf(),
    [1, 2, 3, 4, 5, 6, 7].map((minute) => [60 * minute, minute]),
  );
  t.equal(opened, 2);
  t.same(counts(), {});
  stop.abort();
  await running;
});

t.test('an edge node that was born before this host is asked to be born again', async (t) => {
  const { connect, valuesOf, counts, clock } = await setUp(t);
  const node = await connect('PLC');
  const edge = new EdgeNode({ group: 'Fleet', node: 'PLC', device: 'sensors' });
  edge.nextWill(clock.ms);
  const readings = [{ name: 'cargo-probe-1', centiC: 425 }];
  edge.births(voyageStartSec, readings);
  const heard: string[] = [];
  node.on('message', (topic, payload) => heard.push(`${topic} ${payload.toString('latin1')}`));
  await node.subscribeAsync(['spBv1.0/Fleet/NCMD/PLC', 'spBv1.0/STATE/coldproof'], { qos: 1 });
  await until(() => heard.length === 1, 'the state of the host, retained');
  t.equal(heard[0], `spBv1.0/STATE/coldproof {"online":true,"timestamp":${clock.ms}}`);
  const data = edge.sample(voyageStartSec + 60, readings, false);
  await node.publishAsync(data.topic, Buffer.from(data.payload), { qos: 0 });
  await until(() => heard.length === 2, 'the request');
  t.match(heard[1], /^spBv1\.0\/Fleet\/NCMD\/PLC .*Node Control\/Rebirth/s);
  for (const birth of edge.births(voyageStartSec + 60, readings)) {
    await node.publishAsync(birth.topic, Buffer.from(birth.payload), { qos: 0 });
  }
  await until(() => valuesOf().length === 1, 'the value of the birth');
  t.same(valuesOf(), [[60, 4.25]]);
  t.same(counts(), { 'sparkplug-unborn': 1 });
});

t.test('nobody but the host commands: the connection of who tries is closed', async (t) => {
  const { connect, counts } = await setUp(t);
  const node = await connect('PLC');
  const heard: string[] = [];
  node.on('message', (topic) => heard.push(topic));
  await node.subscribeAsync('spBv1.0/Fleet/NCMD/PLC/#', { qos: 1 });
  for (const topic of ['spBv1.0/Fleet/NCMD/PLC', 'spBv1.0/Fleet/DCMD/PLC/sensors', 'spBv1.0/STATE/coldproof']) {
    const other = await connect('OTHER');
    const closed = new Promise<void>((resolve) => {
      other.once('close', () => resolve());
    });
    other.publish(topic, 'open the valve', { qos: 1 });
    await closed;
  }
  t.same(counts(), { 'topic-reserved': 3 });
  await t.rejects(node.subscribeAsync('spBv1.0/Fleet/DDATA/PLC/#'), 'and data is not for other sensors');
  t.same(heard, []);
});
