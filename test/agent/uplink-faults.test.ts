/** An uplink that changes under the agent: a broker that is slow, and a client certificate that is replaced. */
import { once } from 'node:events';
import { copyFileSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Journal } from '@coldproof/agent/journal';
import { CertificateAuthority, Mosquitto, skipWithoutMosquitto as skip } from '../helpers/mosquitto.ts';
import { HandClock, makeKey, makeLogKey, mustParse, startTruck, temporaryFolder, until } from './fixture.ts';
import { start, stop } from './process.ts';
import { fillJournal, keysOf, RemoteOracle, uplinksYaml } from './remote-oracle.ts';

/** Takes everything at once, and answers late: PUBACKs and receipts wait for so long. */
async function slowWay(t: Test, targetPort: number, lateMs: number): Promise<number> {
  const server = createServer((near) => {
    const far = connect(targetPort, '127.0.0.1');
    near.pipe(far);
    far.on('data', (bytes) => setTimeout(() => near.write(bytes), lateMs));
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
    near.once('close', () => far.destroy());
    far.once('close', () => near.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

t.test('a slow broker: no more than a window on the way, and all of it visible', { skip }, async (t) => {
  const stateDir = temporaryFolder(t);
  const keyStore = makeKey(stateDir);
  const filling = Journal.open(stateDir);
  await fillJournal(filling, keyStore, 60);
  filling.close();
  const broker = await Mosquitto.start(t);
  const oracle = await RemoteOracle.connect(broker.port, keyStore.device());
  t.teardown(() => oracle.close());
  const port = await slowWay(t, broker.port, 60);
  const timing = { windowBatches: 8, resendSec: 5, reconnectSecMax: 1 };
  const uplink = { name: 'slow', url: `mqtt://127.0.0.1:${port}`, logPublicKeys: keysOf([oracle]), ...timing };
  const { agent } = await startTruck(mustParse(uplinksYaml(stateDir, [uplink])), new HandClock());
  const device = () => agent.status().devices[0]!;
  let inFlightMax = 0;
  const reasons = new Set<string>();
  await until(() => {
    const [log] = device().links[0]!.logs;
    inFlightMax = Math.max(inFlightMax, log!.inFlight);
    if (log!.waiting !== undefined && log!.inFlight > 0) {
      reasons.add(log!.waiting.why);
      if (log!.lag !== device().queued) reasons.add(`a lag of ${log!.lag} and a queue of ${device().queued}`);
    }
    return device().queued === 0;
  }, 'all is delivered');
  t.equal(inFlightMax, 8, 'the window is full, and no fuller');
  t.same([...reasons], ['sent, receipt awaited']);
  t.equal(oracle.stored.length, 60);
  t.equal(oracle.received, 60, 'late is not lost: nothing is sent again');
  await agent.stop();
});

t.test('SIGHUP: a replaced client certificate is used from the next connection on', { skip }, async (t) => {
  const folder = temporaryFolder(t);
  const [ca, other] = [new CertificateAuthority(folder, 'consortium'), new CertificateAuthority(folder, 'stranger')];
  const server = ca.issue('broker', { names: ['IP:127.0.0.1'] });
  const broker = await Mosquitto.start(t, [
    ...[`cafile ${ca.caFile}`, `certfile ${server.certFile}`, `keyfile ${server.keyFile}`],
    ...['require_certificate true', 'use_identity_as_username true'],
  ]);
  const [mine, foreign] = [ca.issue('truck'), other.issue('thief')];
  const [certFile, keyFile] = [join(folder, 'client.pem'), join(folder, 'client.key')];
  const install = (from: typeof mine) => {
    copyFileSync(from.certFile, certFile);
    copyFileSync(from.keyFile, keyFile);
  };
  install(foreign);
  const stateDir = temporaryFolder(t);
  makeKey(stateDir);
  const uplink = {
    ...{ name: 'north', url: `mqtts://127.0.0.1:${broker.port}`, tls: { caFile: ca.caFile, certFile, keyFile } },
    ...{ logPublicKey: Buffer.from(makeLogKey().publicKey).toString('hex'), reconnectSecMax: 1 },
  };
  const file = join(folder, 'agent.yaml');
  writeFileSync(file, uplinksYaml(stateDir, [uplink], { passphraseEnv: 'COLDPROOF_PASSPHRASE' }));
  const { child, lines } = await start(file, { P: 'a password of the sensors' });
  const downs = () => lines.filter(({ event }) => event === 'link-down');
  await until(() => downs().length > 0, 'refused');
  t.match(downs()[0], { why: /does not know its CA/ });
  install(mine);
  const before = downs().length;
  await until(() => downs().length > before + 1, 'refused again: nobody has told it');
  t.notOk(lines.some(({ event }) => event === 'link-up'));
  child.kill('SIGHUP');
  await until(() => lines.some(({ event }) => event === 'link-up'), 'taken');
  t.ok(lines.some(({ event }) => event === 'reloaded'));
  t.equal(await stop(child, 'SIGTERM'), 0);
});
