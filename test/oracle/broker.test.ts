/** Who may publish, subscribe and receive what: every role against every kind of topic, with a real client. */
import { once } from 'node:events';
import { connect as connectSocket } from 'node:net';
import t from 'tap';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { bytesToHex, formatTopic, topicFilter, topicKinds } from '@coldproof/wire';
import { openBroker, type Broker } from '@coldproof/oracle/broker';
import { silent } from '@coldproof/oracle/log-line';
import { until } from './oracle-fixture.ts';

const [mine, also, foreign] = [1, 2, 3].map((fill) => new Uint8Array(32).fill(fill)) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
];

async function start(): Promise<Broker> {
  return openBroker({
    host: '127.0.0.1',
    port: 0,
    credentials: [
      { username: 'gateway', password: 'one', devices: [bytesToHex(mine), bytesToHex(also)] },
      { username: 'other', password: 'two', devices: [bytesToHex(foreign)] },
    ],
    log: silent,
  });
}

const gateway = { username: 'gateway', password: 'one' };
const other = { username: 'other', password: 'two' };

function connect(broker: Broker, options: IClientOptions): Promise<MqttClient> {
  return connectAsync(
    `mqtt://127.0.0.1:${broker.port}`,
    { reconnectPeriod: 0, connectTimeout: 5_000, ...options },
    false,
  );
}

/** Whether the broker takes it. A refused publish ends the connection, so each has its own. */
async function isTaken(broker: Broker, as: IClientOptions, topic: string, retain = false): Promise<boolean> {
  const client = await connect(broker, as);
  client.on('error', () => undefined);
  const closed = new Promise<string>((resolve) => client.once('close', () => resolve('closed')));
  const acked = client.publishAsync(topic, 'x', { qos: 1, retain }).then(
    () => 'acked',
    () => 'closed',
  );
  const outcome = await Promise.race([closed, acked]);
  await client.endAsync(true);
  return outcome === 'acked';
}

t.test('credentials', async (t) => {
  const broker = await start();
  t.teardown(() => broker.close());
  await t.rejects(connect(broker, {}), /Not authorized/);
  await t.rejects(connect(broker, { username: 'gateway' }), /Not authorized/);
  await t.rejects(connect(broker, { username: 'gateway', password: 'two' }), /Not authorized/);
  await t.rejects(connect(broker, { username: '__proto__', password: 'one' }), /Not authorized/);
  await t.rejects(connect(broker, { ...gateway, protocolVersion: 5 }), /protocol version/i);
  t.equal(broker.refused.get('credentials-wrong'), 4);
  const client = await connect(broker, gateway);
  await client.endAsync();
});

t.test('publish: own batch and status, nothing else', async (t) => {
  const broker = await start();
  t.teardown(() => broker.close());
  const allowed = new Map<string, boolean>();
  for (const kind of topicKinds) {
    for (const device of [mine, also, foreign])
      allowed.set(
        formatTopic(device, kind),
        device !== foreign && ['batch', 'live', 'status', 'config-report', 'reply'].includes(kind),
      );
  }
  for (const topic of [
    '$SYS/x/new/clients',
    'coldproof/v1',
    'coldproof/v2/x/batch',
    `/${formatTopic(mine, 'batch')}`,
  ]) {
    allowed.set(topic, false);
  }
  allowed.set(formatTopic(mine, 'batch').toUpperCase(), false);
  allowed.set(`${formatTopic(mine, 'batch')}/more`, false);
  for (const [topic, isAllowed] of allowed) t.equal(await isTaken(broker, gateway, topic), isAllowed, topic);
  t.equal(await isTaken(broker, gateway, formatTopic(mine, 'batch'), true), false, 'retained batch');
  t.equal(await isTaken(broker, gateway, formatTopic(mine, 'status'), true), true, 'retained status');
  t.equal(await isTaken(broker, broker.internal, formatTopic(mine, 'receipt')), true, 'the oracle sends receipts');
  t.equal(await isTaken(broker, broker.internal, formatTopic(mine, 'batch')), false, 'and no batches');
});

t.test('subscribe: own receipts, no wildcard', async (t) => {
  const broker = await start();
  t.teardown(() => broker.close());
  const client = await connect(broker, gateway);
  t.teardown(() => client.endAsync(true));
  const granted = async (of: MqttClient, topic: string): Promise<boolean> => {
    try {
      return (await of.subscribeAsync(topic, { qos: 1 })).every(({ qos }) => qos < 128);
    } catch {
      // mqtt.js turns a refusal into an error.
      return false;
    }
  };
  t.equal(await granted(client, formatTopic(mine, 'receipt')), true);
  t.equal(await granted(client, formatTopic(also, 'receipt')), true);
  const forbidden = ['#', '+/#', 'coldproof/#', '$SYS/#', topicFilter('batch'), topicFilter('receipt')];
  forbidden.push(formatTopic(foreign, 'receipt'), formatTopic(mine, 'batch'), formatTopic(mine, 'status'));
  for (const topic of forbidden) t.equal(await granted(client, topic), false, topic);
  const oracle = await connect(broker, broker.internal);
  t.teardown(() => oracle.endAsync(true));
  t.equal(await granted(oracle, topicFilter('batch')), true);
  t.equal(await granted(oracle, topicFilter('status')), true);
  t.equal(await granted(oracle, '#'), false, 'not even the oracle');
});

t.test('a receipt reaches its own device and nobody else', async (t) => {
  const broker = await start();
  t.teardown(() => broker.close());
  const [one, two, oracle] = await Promise.all([gateway, other, broker.internal].map((as) => connect(broker, as)));
  for (const client of [one!, two!, oracle!]) t.teardown(() => client.endAsync(true));
  const seen: string[] = [];
  one!.on('message', (topic) => seen.push(`one ${topic}`));
  two!.on('message', (topic) => seen.push(`two ${topic}`));
  await one!.subscribeAsync(formatTopic(mine, 'receipt'));
  await two!.subscribeAsync(formatTopic(foreign, 'receipt'));
  await oracle!.publishAsync(formatTopic(mine, 'receipt'), 'r', { qos: 1 });
  await oracle!.publishAsync(formatTopic(foreign, 'receipt'), 'r', { qos: 1 });
  await until('both receipts', () => seen.length === 2);
  t.same(seen.sort(), [`one ${formatTopic(mine, 'receipt')}`, `two ${formatTopic(foreign, 'receipt')}`]);
});

t.test('a will is authorised like a publish', async (t) => {
  const broker = await start();
  t.teardown(() => broker.close());
  const oracle = await connect(broker, broker.internal);
  t.teardown(() => oracle.endAsync(true));
  const seen: string[] = [];
  oracle.on('message', (topic, payload) => seen.push(`${topic} ${payload.toString()}`));
  await oracle.subscribeAsync([topicFilter('batch'), topicFilter('status')]);
  const breakOff = async (will: NonNullable<IClientOptions['will']>) => {
    const client = await connect(broker, { ...gateway, will });
    client.on('error', () => undefined);
    client.stream.destroy();
  };
  await breakOff({ topic: formatTopic(foreign, 'status'), payload: Buffer.from('forged'), qos: 1 });
  await breakOff({ topic: formatTopic(mine, 'batch'), payload: Buffer.from('kept'), qos: 1, retain: true });
  await breakOff({ topic: formatTopic(mine, 'status'), payload: Buffer.from('offline'), qos: 1, retain: true });
  await until('the lawful will', () => seen.length > 0);
  await until('the others are refused', () => {
    return (broker.refused.get('publish-forbidden') ?? 0) + (broker.refused.get('retain-forbidden') ?? 0) === 2;
  });
  t.same(seen, [`${formatTopic(mine, 'status')} offline`]);
});

t.test('a client id belongs to the username that holds it', async (t) => {
  const broker = await start();
  t.teardown(() => broker.close());
  const first = await connect(broker, { ...gateway, clientId: 'gateway-7' });
  t.teardown(() => first.endAsync(true));
  await t.rejects(connect(broker, { ...other, clientId: 'gateway-7' }), /Not authorized/);
  t.equal(first.connected, true, 'the holder was not pushed out');
  const again = await connect(broker, { ...gateway, clientId: 'gateway-7' });
  t.teardown(() => again.endAsync(true));
  t.equal(broker.refused.get('client-id-taken'), 1);
});

t.test('no session survives: a stranger finds no queue under a known client id', async (t) => {
  const broker = await start();
  t.teardown(() => broker.close());
  const client = await connect(broker, { ...gateway, clientId: 'keeps', clean: false });
  await client.subscribeAsync(formatTopic(mine, 'receipt'), { qos: 1 });
  await client.endAsync();
  const oracle = await connect(broker, broker.internal);
  t.teardown(() => oracle.endAsync(true));
  await oracle.publishAsync(formatTopic(mine, 'receipt'), 'r', { qos: 1 });
  const later = await connectAsync(`mqtt://127.0.0.1:${broker.port}`, {
    ...gateway,
    clientId: 'keeps',
    clean: false,
    resubscribe: false,
  });
  t.teardown(() => later.endAsync(true));
  let got = 0;
  later.on('message', () => (got += 1));
  await later.publishAsync(formatTopic(mine, 'status'), 'hello', { qos: 1 });
  t.equal(got, 0);
});

t.test('a packet that announces more than the limit ends the connection before it arrives', async (t) => {
  const broker = await start();
  t.teardown(() => broker.close());
  const attempt = async (bytes: Uint8Array): Promise<void> => {
    const socket = connectSocket(broker.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.on('error', () => undefined);
    const closed = once(socket, 'close');
    socket.write(bytes);
    await closed;
  };
  // PUBLISH of 256 MiB; a length that never ends; a CONNECT of 1 MiB in two chunks.
  await attempt(Uint8Array.of(0x30, 0xff, 0xff, 0xff, 0x7f));
  await attempt(Uint8Array.of(0x30, 0x80, 0x80, 0x80, 0x80, 0x01));
  await attempt(Uint8Array.of(0x10, 0x80, 0x80, 0x40, 0x00, 0x04));
  t.equal(broker.refused.get('packet-too-large'), 3);
  const client = await connect(broker, gateway);
  t.teardown(() => client.endAsync(true));
  await client.publishAsync(formatTopic(mine, 'batch'), Buffer.alloc(65_536), { qos: 1 });
  t.pass('the largest envelope passes');
  for (let i = 0; i < 300; i++) client.publish(formatTopic(mine, 'batch'), Buffer.alloc(i * 7), { qos: 0 });
  await client.publishAsync(formatTopic(mine, 'status'), 'still here', { qos: 1 });
  t.equal(client.connected, true, 'packets of all sizes, in chunks of any size');
});
