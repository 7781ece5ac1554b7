/** Who may configure and command a device through the broker: owners theirs, devices nobody, strangers nothing. */
import t from 'tap';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { bytesToHex, formatTopic, ownerConfigBytesMax, topicFilter, topicKinds, type TopicKind } from '@coldproof/wire';
import { openBroker } from '@coldproof/oracle/broker';
import { silent } from '@coldproof/oracle/log-line';
import { until } from './oracle-fixture.ts';

const [mine, foreign] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
const logins = {
  gateway: { username: 'gateway', password: 'one' },
  owner: { username: 'owner', password: 'two' },
  stranger: { username: 'stranger', password: 'three' },
};
type Role = keyof typeof logins;

const mayPublish: { readonly [role in Role]: readonly TopicKind[] } = {
  gateway: ['batch', 'live', 'status', 'config-report', 'reply'],
  owner: ['config', 'command'],
  stranger: [],
};
const mayHear: { readonly [role in Role]: readonly TopicKind[] } = {
  gateway: ['receipt', 'config', 'command'],
  owner: ['status', 'config', 'command', 'config-report', 'reply'],
  stranger: [],
};

t.test('every role against every kind, of its own device and of another', async (t) => {
  const broker = await openBroker({
    host: '127.0.0.1',
    port: 0,
    credentials: [
      { ...logins.gateway, devices: [bytesToHex(mine)] },
      { ...logins.owner, devices: [], owns: [bytesToHex(mine)] },
      { ...logins.stranger, devices: [bytesToHex(foreign)], owns: [bytesToHex(foreign)] },
    ],
    log: silent,
  });
  t.teardown(() => broker.close());
  const connect = async (options: IClientOptions): Promise<MqttClient> => {
    const client = await connectAsync(`mqtt://127.0.0.1:${broker.port}`, { reconnectPeriod: 0, ...options }, false);
    client.on('error', () => undefined);
    return client;
  };
  const isTaken = async (as: IClientOptions, topic: string, payload: Buffer | string = 'x'): Promise<boolean> => {
    const client = await connect(as);
    const closed = new Promise<boolean>((resolve) => client.once('close', () => resolve(false)));
    const acked = client.publishAsync(topic, payload, { qos: 1 }).then(
      () => true,
      () => false,
    );
    const outcome = await Promise.race([closed, acked]);
    await client.endAsync(true);
    return outcome;
  };
  const isGranted = async (client: MqttClient, topic: string): Promise<boolean> => {
    try {
      return (await client.subscribeAsync(topic, { qos: 1 })).every(({ qos }) => qos < 128);
    } catch {
      // mqtt.js turns a refusal into an error.
      return false;
    }
  };
  for (const role of ['gateway', 'owner', 'stranger'] as const) {
    const client = await connect(logins[role]);
    for (const kind of topicKinds) {
      const topic = formatTopic(mine, kind);
      t.equal(await isTaken(logins[role], topic), mayPublish[role].includes(kind), `${role} says ${kind}`);
      t.equal(await isGranted(client, topic), mayHear[role].includes(kind), `${role} hears ${kind}`);
      t.equal(await isGranted(client, topicFilter(kind)), false, `${role} hears ${kind} of all`);
    }
    await client.endAsync(true);
  }
  const tooLarge = Buffer.alloc(ownerConfigBytesMax + 1);
  t.equal(await isTaken(logins.owner, formatTopic(mine, 'config'), tooLarge), false, 'a byte too many');
  t.equal(await isTaken(logins.owner, formatTopic(mine, 'config'), tooLarge.subarray(1)), true);
});

t.test('a retained configuration is there for the device that connects later', async (t) => {
  const broker = await openBroker({
    host: '127.0.0.1',
    port: 0,
    credentials: [
      { ...logins.gateway, devices: [bytesToHex(mine)] },
      { ...logins.owner, devices: [], owns: [bytesToHex(mine)] },
    ],
    log: silent,
  });
  t.teardown(() => broker.close());
  const url = `mqtt://127.0.0.1:${broker.port}`;
  const owner = await connectAsync(url, logins.owner);
  await owner.publishAsync(formatTopic(mine, 'config'), 'settings', { qos: 1, retain: true });
  await owner.endAsync();
  const gateway = await connectAsync(url, logins.gateway);
  t.teardown(() => gateway.endAsync(true));
  const heard: string[] = [];
  gateway.on('message', (topic, payload, { retain }) => heard.push(`${topic} ${payload.toString()} ${retain}`));
  await gateway.subscribeAsync(formatTopic(mine, 'config'), { qos: 1 });
  await until('retained', () => heard.length > 0);
  t.same(heard, [`${formatTopic(mine, 'config')} settings true`]);
});
