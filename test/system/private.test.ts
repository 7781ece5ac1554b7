/**
 * End to end: a party makes its key, the gateway encrypts the door for it, the oracle logs what it cannot read and still
 * proves the excursion beside it, and the party opens its bundle offline.
 */
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { connectAsync } from 'mqtt';
import t, { type Test } from 'tap';
import { bytesToHex, cargoProbe, channels } from '@coldproof/wire';
import { startAgent, type RunningAgent } from '@coldproof/agent/agent';
import { Journal } from '@coldproof/agent/journal';
import { mqttLink } from '@coldproof/agent/link';
import { realClock } from '@coldproof/oracle/clock';
import { makeApi } from '@coldproof/oracle/http';
import { silent } from '@coldproof/oracle/log-line';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import { openStored } from '@coldproof/oracle/stored-batch';
import { TokenFile } from '@coldproof/oracle/token-file';
import { Webhooks } from '@coldproof/oracle/webhook';
import { HandClock, mustParse, sensorPassword, temporaryFolder, truckYaml } from '../agent/fixture.ts';
import { dispatchOrder, makeWorld, type World } from '../oracle/anvil.ts';
import { clockAt, makeFolder, password, startOracle, until, type Running } from '../oracle/oracle-fixture.ts';

const run = promisify(execFile);
const mainFile = fileURLToPath(new URL('../../../oracle/dist/main.js', import.meta.url));
const minutes = 25;

async function command(passphrase: string, ...args: readonly string[]): Promise<{ code: number; stdout: string }> {
  const env = { ...process.env, COLDPROOF_PARTY_PASSPHRASE: passphrase };
  try {
    return { code: 0, stdout: (await run(process.execPath, [mainFile, ...args], { env })).stdout };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, stdout: stdout + stderr };
  }
}

/** The truck's agent with the world's device, its door for one party. */
async function startGateway(
  t: Test,
  world: World,
  { oracle }: Running,
  { partyKey, clock }: { readonly partyKey: string; readonly clock: HandClock },
): Promise<RunningAgent> {
  const stateDir = temporaryFolder(t);
  const yaml = truckYaml(stateDir, { oraclePort: oracle.brokerPort!, logPublicKey: oracle.log.publicKey });
  const hidden = `    private: [{ channels: [door], to: [{ party: buyer, key: '${partyKey}' }] }]\n`;
  const config = mustParse(yaml.replace('    sealSamplesMax: 5\n', `    sealSamplesMax: 5\n${hidden}`));
  const { device } = world;
  const keyStore = {
    publicKey: () => device.publicKey,
    device: () => device.device,
    sign: (preimage: Uint8Array) => Promise.resolve(device.sign(preimage)),
  };
  const journal = Journal.open(stateDir);
  journal.adoptDevice(device.device);
  const links = config.uplinks.map(
    ({ name, url, mqtt }) => [name, mqttLink({ url, mqtt, username: 'gateway', password })] as const,
  );
  const agent = await startAgent(config, {
    ...{ clock, random: Math.random, log: () => undefined, journal, links: new Map(links) },
    keyStores: new Map([['TRUCK-7', keyStore]]),
    sensorPasswords: new Map([['TRUCK-7', sensorPassword]]),
  });
  t.teardown(() => agent.stop());
  return agent;
}

/** A warm truck: 9 °C at the probe, and the door opened in the tenth minute. */
async function drive(agent: RunningAgent, clock: HandClock, fromSec: number): Promise<void> {
  const url = `mqtt://127.0.0.1:${agent.brokerPort}`;
  const sensor = await connectAsync(url, { username: 'TRUCK-7', password: sensorPassword, reconnectPeriod: 0 });
  for (let minute = 0; minute < minutes; minute++) {
    const bt = fromSec + 60 * minute;
    clock.ms = bt * 1_000;
    const probe = { bn: 'TRUCK-7/', bt, n: 'cargo-probe-1', u: 'Cel', v: 9 + minute / 100 };
    await sensor.publishAsync('sensors/TRUCK-7', JSON.stringify([probe, { n: 'door', vb: minute === 10 }]), { qos: 1 });
  }
  await until('all batches have their receipts', () => agent.status().devices[0]!.receipts === minutes / 5);
  await sensor.endAsync();
}

async function openApi(t: Test, world: World, { store, oracle }: Running, nowSec: number) {
  const { announcer, log } = oracle;
  const { Shipments, Agreements } = world.contracts;
  const contracts = { Shipments: Shipments.address, Agreements: Agreements.address };
  const webhooks = new Webhooks({ store, announcer, pace: realClock, log: silent, source: '' }, []);
  const app = await makeApi(
    {
      ...{ store, log, crypto: opensslCrypto(), chain: { chainId: world.anvil.chain.chainId, contracts } },
      ...{ clock: clockAt(nowSec), announcer, webhooks, tokens: new TokenFile(join(makeFolder(t), 'tokens.json')) },
      ...{ status: () => ({}), isReady: () => true, say: silent },
    },
    { requestsPerMinMax: 1_000 },
  );
  t.teardown(() => app.close());
  return app;
}

t.test('agent, oracle, API, bundle, party', async (t) => {
  const folder = makeFolder(t);
  const keyFile = join(folder, 'buyer.json');
  const made = await command('of the buyer', 'party-key', keyFile);
  const { publicKey, party } = JSON.parse(made.stdout) as { publicKey: string; party: string };
  t.equal((await command('', 'party-key', keyFile)).stdout, made.stdout, 'it stays; its public part needs no passphrase');
  t.match((await command('', 'party-key', join(folder, 'x'))).stdout, /COLDPROOF_PARTY_PASSPHRASE: expected a passphrase/);

  const world = await makeWorld(43);
  t.teardown(() => world.anvil.stop());
  const { orderId, dispatchedAtSec } = await dispatchOrder(world);
  const nowSec = dispatchedAtSec + 60 * (minutes + 2);
  await world.anvil.chain.mine(nowSec);
  const running = await startOracle(world, { folder, nowSec });
  t.teardown(() => running.stop());
  const { store } = running;
  const device = bytesToHex(world.device.device);
  await until('the device is known', () => store.chain.device(device) !== undefined);
  const clock = new HandClock(dispatchedAtSec);
  const agent = await startGateway(t, world, running, { partyKey: publicKey, clock });
  await drive(agent, clock, dispatchedAtSec + 60);
  await until('the order is cancelled', () => store.chain.order(orderId)?.order.state === 'Cancelled');

  const stored = store.log.envelopes(world.device.device, 0, 99).map(({ envelope }) => openStored(envelope, opensslCrypto()));
  t.same(
    stored.map(({ series, privateChannels }) => [series.map(({ channel }) => channel), privateChannels]),
    Array(minutes / 5).fill([[cargoProbe(1)], [channels.door]]),
  );
  const app = await openApi(t, world, running, nowSec);
  const { body } = await app.inject(`/api/v1/shipments/${orderId}/readings?channel=door`);
  t.match(JSON.parse(body), { items: [], private: [{ sequence: 0, parties: [party], proof: { channels: ['door'] } }] });

  const file = join(folder, 'order.bundle.json');
  writeFileSync(file, (await app.inject(`/api/v1/shipments/${orderId}/bundle`)).body);
  const shut = await command('', 'verify', 'bundle', file);
  t.equal(shut.code, 0, shut.stdout);
  t.match(shut.stdout, new RegExp(`private {4}ok {6}door in 5 leaves, for ${party}: no party key, so not opened\\n`));
  t.match(shut.stdout, /evidence {3}ok {6}excursion /);
  const out = join(folder, 'door.csv');
  const open = await command('of the buyer', 'verify', 'bundle', file, '--party-key', keyFile, '--out', out);
  t.equal(open.code, 0, open.stdout);
  t.match(open.stdout, /5 opened with it, 25 samples\n/);
  const rows = readFileSync(out, 'utf8').trim().split('\r\n');
  t.equal(rows.length, 1 + minutes);
  t.match(
    rows.filter((row) => /,door,[^,]+,1,/.test(row)),
    [new RegExp(`,door,${new Date((dispatchedAtSec + 660) * 1_000).toISOString().replace('.000Z', 'Z')},1,,,gateway-signed$`)],
    'the one minute in which the door stood open',
  );
  const wrong = await command('of another', 'verify', 'bundle', file, '--party-key', keyFile);
  t.equal(wrong.code, 1);
  t.match(wrong.stdout, /party key .*: wrong passphrase, or the file was changed/);
  const own = join(folder, 'stranger.json');
  await command('of a stranger', 'party-key', own);
  const stranger = await command('of a stranger', 'verify', 'bundle', file, '--party-key', own);
  t.match(stranger, { code: 0, stdout: /: 0 opened with it, 0 samples\n/ });
});
