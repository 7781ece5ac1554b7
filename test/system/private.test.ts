/**
 * End to end: a party makes its key, the gateway encrypts the door for it, the oracle logs what it cannot read and
 * still proves the excursion beside it, and the party opens its bundle offline.
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
import { partyKeyCommand, partySecret, verifyCommand } from '@coldproof/oracle/command';
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

const environmentOf = (passphrase: string) => ({ COLDPROOF_PARTY_PASSPHRASE: passphrase });

/** In a process of its own; throws where it ends with another code than 0. */
async function command(passphrase: string, ...args: readonly string[]): Promise<string> {
  const env = { ...process.env, ...environmentOf(passphrase) };
  return (await run(process.execPath, [mainFile, ...args], { env })).stdout;
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
  const { publicKey, party } = JSON.parse(made) as { publicKey: string; party: string };
  t.equal(`${partyKeyCommand(keyFile, {})}\n`, made, 'it stays; its public part needs no passphrase');
  const noPassphrase = { message: /COLDPROOF_PARTY_PASSPHRASE: expected a passphrase, got none/ };
  t.throws(() => partyKeyCommand(join(folder, 'x'), {}), noPassphrase);

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

  const stored = store.log
    .envelopes(world.device.device, 0, 99)
    .map(({ envelope }) => openStored(envelope, opensslCrypto()));
  t.same(
    stored.map(({ series, privateChannels }) => [series.map(({ channel }) => channel), privateChannels]),
    Array(minutes / 5).fill([[cargoProbe(1)], [channels.door]]),
  );
  const app = await openApi(t, world, running, nowSec);
  const { body } = await app.inject(`/api/v1/shipments/${orderId}/readings?channel=door`);
  t.match(JSON.parse(body), { items: [], private: [{ sequence: 0, parties: [party], proof: { channels: ['door'] } }] });

  const file = join(folder, 'order.bundle.json');
  writeFileSync(file, (await app.inject(`/api/v1/shipments/${orderId}/bundle`)).body);
  const shut = verifyCommand(file, {});
  t.ok(shut.isSound, shut.text);
  t.match(shut.text, new RegExp(`private {4}ok {6}door in 5 leaves, for ${party}: no party key, so not opened\\n`));
  t.match(shut.text, /evidence {3}ok {6}excursion /);
  const out = join(folder, 'door.csv');
  const open = await command('of the buyer', 'verify', 'bundle', file, '--party-key', keyFile, '--out', out);
  t.match(open, /5 opened with it, 25 samples\n/);
  const rows = readFileSync(out, 'utf8').trim().split('\r\n');
  t.equal(rows.length, 1 + minutes);
  t.match(
    rows.filter((row) => /,door,[^,]+,1,/.test(row)),
    [
      new RegExp(
        `,door,${new Date((dispatchedAtSec + 660) * 1_000).toISOString().replace('.000Z', 'Z')},1,,,gateway-signed$`,
      ),
    ],
    'the one minute in which the door stood open',
  );
  const wrong = { message: /party key .*: wrong passphrase, or the file was changed/ };
  t.throws(() => partySecret({ partyKey: keyFile }, environmentOf('of another')), wrong);
  const own = join(folder, 'stranger.json');
  partyKeyCommand(own, environmentOf('of a stranger'));
  const stranger = verifyCommand(file, partySecret({ partyKey: own }, environmentOf('of a stranger')));
  t.match(stranger, { isSound: true, text: /: 0 opened with it, 0 samples\n/ });
  t.throws(() => verifyCommand(file, {}, { out }), { message: /--party-key: expected it beside --out/ });
  writeFileSync(file, readFileSync(file, 'utf8').replace('"state":"Cancelled"', '"state":"Settled"'));
  const unsound = { message: /--out: expected a sound bundle to take readings from/ };
  t.throws(
    () => verifyCommand(file, partySecret({ partyKey: keyFile }, environmentOf('of the buyer')), { out }),
    unsound,
  );
});
