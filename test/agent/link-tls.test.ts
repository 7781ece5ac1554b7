/** TLS with client certificates against a real Mosquitto, in both versions of MQTT: who gets in, what is said else. */
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import t from 'tap';
import { describeLinkFault } from '@coldproof/agent/link-fault';
import { mqttLink, type LinkSession } from '@coldproof/agent/link';
import { readLinkTls } from '@coldproof/agent/link-tls';
import {
  CertificateAuthority,
  Mosquitto,
  skipWithoutMosquitto as skip,
  type Certificate,
} from '../helpers/mosquitto.ts';
import { temporaryFolder, until } from './fixture.ts';

const none = { caFile: undefined, certFile: undefined, keyFile: undefined, serverName: undefined };

function listenWith({ certFile, keyFile }: Certificate, caFile: string): string[] {
  const files = [`cafile ${caFile}`, `certfile ${certFile}`, `keyfile ${keyFile}`];
  return [...files, 'require_certificate true', 'use_identity_as_username true'];
}

/** Resolves with the session, or with the words of the failure. */
async function open(
  port: number,
  mqtt: '3.1.1' | 5,
  tls: object,
  closed: string[] = [],
): Promise<LinkSession | string> {
  const link = mqttLink({
    url: `mqtts://127.0.0.1:${port}`,
    ...{ username: undefined, password: undefined, mqtt },
    tls: readLinkTls('oracle', { ...none, ...tls }),
  });
  const options = {
    clientId: `truck-${mqtt}`,
    will: { topic: 'gone', payload: 'x' },
    onMessage: () => undefined,
    onClosed: (why?: string) => void closed.push(why ?? ''),
  };
  try {
    return await link.open(options, AbortSignal.timeout(15_000));
  } catch (error) {
    return (error as Error).message;
  }
}

t.test('a broker that requires certificates', { skip }, async (t) => {
  const folder = temporaryFolder(t);
  const [ca, other] = ['consortium', 'stranger'].map((name) => new CertificateAuthority(folder, name)) as [
    CertificateAuthority,
    CertificateAuthority,
  ];
  const server = ca.issue('broker', { names: ['DNS:oracle.test'] });
  const [mine, expired, foreign] = [ca.issue('truck'), ca.issue('old', { isExpired: true }), other.issue('thief')];
  const broker = await Mosquitto.start(t, listenWith(server, ca.caFile));
  const late = await Mosquitto.start(
    t,
    listenWith(ca.issue('late', { names: ['IP:127.0.0.1'], isExpired: true }), ca.caFile),
  );
  const right = { caFile: ca.caFile, serverName: 'oracle.test', ...mine };
  for (const mqtt of ['3.1.1', 5] as const) {
    const session = await open(broker.port, mqtt, right);
    if (typeof session === 'string') throw new Error(session);
    await session.publish('a', 'b', { retain: false, expirySec: 60 });
    t.equal(session.inFlightMax, mqtt === 5 ? 20 : 65_535, "mosquitto's Receive Maximum is its max_inflight_messages");
    await session.close();
    const cases: [object, RegExp][] = [
      [{ ...right, serverName: undefined }, /for another name; tls.serverName says which .*127\.0\.0\.1/],
      [{ ...right, serverName: 'other.test' }, /for another name; .*other\.test.*oracle\.test/],
      [{ ...right, caFile: other.caFile }, /of a CA that tls\.caFile does not have/],
      [{ ...right, caFile: undefined }, /of a CA that tls\.caFile does not have/],
      [{ ...right, certFile: undefined, keyFile: undefined }, /the server wants a client certificate: tls\.certFile/],
      [{ ...right, ...foreign }, /the server refused the client certificate: it does not know its CA/],
      [{ ...right, ...expired }, /the server refused the client certificate: it has expired/],
    ];
    for (const [tls, words] of cases) t.match(await open(broker.port, mqtt, tls), words);
    t.match(await open(late.port, mqtt, { caFile: ca.caFile, ...mine }), /the server's certificate has expired/);
  }
});

t.test('MQTT 5: why the broker ended it, and what it refused', { skip }, async (t) => {
  const server = createServer((socket) => {
    // CONNACK, then DISCONNECT "session taken over" (MQTT 5 sections 3.2 and 3.14).
    socket.once('data', () => socket.end(Uint8Array.of(0x20, 0x03, 0x00, 0x00, 0x00, 0xe0, 0x02, 0x8e, 0x00)));
    socket.on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const link = mqttLink({ url: `mqtt://127.0.0.1:${port}`, username: undefined, password: undefined, mqtt: 5 });
  const closed: string[] = [];
  const options = {
    clientId: 'twice',
    will: { topic: 'gone', payload: 'x' },
    onMessage: () => undefined,
    onClosed: (why?: string) => void closed.push(why ?? ''),
  };
  const signal = AbortSignal.timeout(15_000);
  await link.open(options, signal);
  await until(() => closed.length === 1, 'closed');
  t.match(closed[0], /the broker ended it: .*\(reason code 142\)/);
  const shut = await Mosquitto.start(t, ['allow_anonymous false']);
  const closedDoor = mqttLink({ url: `mqtt://127.0.0.1:${shut.port}`, username: 'a', password: 'b', mqtt: 5 });
  await t.rejects(closedDoor.open(options, signal), /Not authorized \(reason code 135\)/);
  const old = mqttLink({ url: `mqtt://127.0.0.1:${shut.port}`, username: 'a', password: 'b' });
  await t.rejects(old.open(options, signal), /Not authorized \(reason code 5\)/);
});

t.test('files that do not belong together, or are not there', { skip }, (t) => {
  const folder = temporaryFolder(t);
  const ca = new CertificateAuthority(folder, 'ca');
  const [one, two] = [ca.issue('one'), ca.issue('two')];
  const read = (tls: object) => () => readLinkTls('north', { ...none, ...tls });
  const code = 'tls-unusable';
  t.throws(read({ caFile: '/nowhere' }), { code, message: /uplink north: tls\.caFile: .*\/nowhere/ });
  t.throws(read({ certFile: one.certFile, keyFile: two.keyFile }), { code, message: /key values mismatch/ });
  t.throws(read({ certFile: one.keyFile, keyFile: one.keyFile }), { code, message: /PEM files that belong together/ });
  t.ok(read(one)().expiresAtMs! > Date.now());
  t.end();
});

t.test('a fault that nobody has words for is told as it is', (t) => {
  t.equal(describeLinkFault(new Error('connect ECONNREFUSED')), 'connect ECONNREFUSED');
  t.equal(describeLinkFault(Object.assign(new Error('odd'), { code: 'ERR_ODD' })), 'odd');
  t.end();
});
