/** The oracle on a broker of others: a real Mosquitto with TLS, which is not there at first, and live batches. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { connectAsync } from 'mqtt';
import { bytesToHex, encodeEnvelope, formatTopic, verifyReceipt } from '@coldproof/wire';
import { deflateEnvelope } from '@coldproof/agent/deflate';
import { CertificateAuthority, Mosquitto, readPem, skipWithoutMosquitto as skip } from '../helpers/mosquitto.ts';
import { dispatchOrder, makeWorld } from './anvil.ts';
import { makeFolder, quarter, startOracle, until } from './oracle-fixture.ts';

t.test('batches and live ones through a Mosquitto that comes later', { skip }, async (t) => {
  const folder = makeFolder(t);
  const ca = new CertificateAuthority(folder, 'ca');
  const server = ca.issue('broker', { names: ['IP:127.0.0.1'] });
  const files = [`cafile ${ca.caFile}`, `certfile ${server.certFile}`, `keyfile ${server.keyFile}`];
  const broker = await Mosquitto.start(t, [...files, 'require_certificate true', 'allow_anonymous true']);
  await broker.stop();
  const world = await makeWorld();
  t.teardown(() => world.anvil.stop());
  const { dispatchedAtSec } = await dispatchOrder(world);
  const { device } = world;
  const nowSec = dispatchedAtSec + 5 * 900;
  const tls = { ca: readFileSync(ca.caFile), ...readPem(ca.issue('oracle')), serverName: undefined };
  const url = `mqtts://127.0.0.1:${broker.port}`;
  const external = { url, username: 'oracle', password: 'unused', tls };
  const running = await startOracle(world, { folder, nowSec, settings: { broker: external } });
  t.teardown(() => running.stop());
  t.equal(running.oracle.brokerPort, undefined);
  await until('it is told', () => running.lines.some(({ event }) => event === 'receive-link'));
  t.equal(running.oracle.links.isReceiving, false);
  await broker.restart();
  await until('it connects by itself', () => running.oracle.links.isReceiving);
  await until('the device is known', () => running.store.chain.device(bytesToHex(device.device)) !== undefined);

  const client = await connectAsync(url, { ca: tls.ca, ...readPem(ca.issue('truck')), reconnectPeriod: 0 });
  t.teardown(() => client.endAsync(true));
  const receipts: number[] = [];
  client.on('message', (_topic, payload) => {
    const receipt = verifyReceipt(payload, running.oracle.log.publicKey);
    if (receipt.ok) receipts.push(receipt.value.sequence);
  });
  await client.subscribeAsync(formatTopic(device.device, 'receipt'), { qos: 1 });
  const envelopes = [0, 1, 2].map((i) => encodeEnvelope(device.seal(quarter(dispatchedAtSec + i * 900 + 60, 500))));
  const send = (kind: 'batch' | 'live', bytes: Uint8Array) =>
    client.publishAsync(formatTopic(device.device, kind), Buffer.from(bytes), { qos: 1 });

  const forged = Uint8Array.from(envelopes[2]!);
  forged[forged.length - 1]! ^= 1;
  const refusals = () => running.lines.filter(({ event }) => event === 'live-refused').map(({ reason }) => reason);
  await send('live', forged);
  await until('a forged one is refused', () => refusals().length === 1);
  await send('live', envelopes[2]!);
  await until('and one that follows at once', () => refusals().includes('live-too-often'));
  await until('the true one is taken when its time has come', async () => {
    await send('live', envelopes[2]!);
    return running.oracle.links.live.length === 1;
  });
  const [live] = running.oracle.links.live;
  t.match(live, { device: bytesToHex(device.device), sequence: 2 });
  t.same(live?.channels[1], {
    channel: 'cargo-probe-1',
    time: dispatchedAtSec + 2 * 900 + 60 + 14 * 60,
    value: 500,
    marks: 0,
  });
  t.equal(running.oracle.log.size, 0, 'not logged');
  t.same(receipts, [], 'and no receipt');
  // One deflated among plain ones.
  for (const [i, envelope] of envelopes.entries()) await send('batch', i === 1 ? deflateEnvelope(envelope) : envelope);
  await until('receipts', () => receipts.length === 3);
  t.same(receipts, [0, 1, 2]);
  t.same(running.oracle.links.live, [], 'logged, so not live any more');
});
