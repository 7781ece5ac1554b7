/** The embedded broker over TLS: whose certificate opens it, and that nothing else does. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { connectAsync, type IClientOptions } from 'mqtt';
import { bytesToHex, formatTopic } from '@coldproof/wire';
import { openBroker } from '@coldproof/oracle/broker';
import { CertificateAuthority, readPem, skipWithoutMosquitto as skip } from '../helpers/mosquitto.ts';
import { makeFolder, until } from './oracle-fixture.ts';

const device = new Uint8Array(32).fill(1);

t.test('with a client CA the common name is the username', { skip }, async (t) => {
  const folder = makeFolder(t);
  const [ca, other] = [new CertificateAuthority(folder, 'ca'), new CertificateAuthority(folder, 'other')];
  const server = readPem(ca.issue('oracle', { names: ['IP:127.0.0.1'] }));
  const [mine, second, foreign] = [ca.issue('gateway-7'), ca.issue('gateway-8'), other.issue('gateway-7')].map(readPem);
  const log: string[] = [];
  const broker = await openBroker({
    ...{ host: '127.0.0.1', port: 0 },
    credentials: [
      { username: 'gateway-7', password: undefined, devices: [bytesToHex(device)] },
      { username: 'gateway-8', password: 'and a password', devices: [] },
    ],
    tls: { ...server, clientCa: readFileSync(ca.caFile) },
    log: (_level, event, fields = {}) => void log.push(`${event} ${JSON.stringify(fields)}`),
  });
  t.teardown(() => broker.close());
  const connect = (options: IClientOptions, url = `mqtts://127.0.0.1:${broker.port}`) =>
    connectAsync(url, { reconnectPeriod: 0, connectTimeout: 5_000, ca: readFileSync(ca.caFile), ...options }, false);

  const client = await connect(mine!);
  await client.publishAsync(formatTopic(device, 'batch'), 'x', { qos: 1 });
  await client.publishAsync(formatTopic(device, 'live'), 'x', { qos: 1 });
  await client.endAsync();
  await (await connect({ ...mine, username: 'gateway-7' })).endAsync();
  await (await connect({ ...second, username: 'gateway-8', password: 'and a password' })).endAsync();

  await t.rejects(connect({ ...mine, username: 'gateway-8', password: 'and a password' }), /Not authorized/);
  await t.rejects(connect({ ...second, username: 'gateway-8' }), /Not authorized/, 'the password is asked for too');
  await t.rejects(connect({ ...mine, ...broker.internal }, undefined), /Not authorized/);
  await t.rejects(connect(foreign!), /unknown ca|closed|connect/i);
  await t.rejects(connect({}), /certificate required|closed|connect/i);
  await t.rejects(connect({}, `mqtt://127.0.0.1:${broker.port}`), /closed|connect|ECONNRESET/i, 'no TLS at all');
  await until('refusals are told', () => (broker.refused.get('tls-refused') ?? 0) >= 3);
  t.equal(broker.refused.get('certificate-of-another'), 2);

  t.ok(log.some((line) => line.includes('"reason":"tls-refused"')));
});

t.test('without a client CA the password counts', { skip }, async (t) => {
  const ca = new CertificateAuthority(makeFolder(t), 'ca');
  const server = readPem(ca.issue('oracle', { names: ['IP:127.0.0.1'] }));
  const credentials = [{ username: 'gateway-7', password: 'one', devices: [bytesToHex(device)] }];
  const tls = { ...server, clientCa: undefined };
  const broker = await openBroker({ host: '127.0.0.1', port: 0, credentials, tls, log: () => undefined });
  t.teardown(() => broker.close());
  const url = `mqtts://127.0.0.1:${broker.port}`;
  const options = { reconnectPeriod: 0, connectTimeout: 5_000, ca: readFileSync(ca.caFile), username: 'gateway-7' };
  await (await connectAsync(url, { ...options, password: 'one' }, false)).endAsync();
  await t.rejects(connectAsync(url, { ...options, password: 'two' }, false), /Not authorized/);
});
