/** A device gets another key: nothing is lost, nothing is signed twice, and both keys have consented. */
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import t, { type Test } from 'tap';
import { openKeyFile } from '@coldproof/agent/key-file';
import type { KeyStore } from '@coldproof/agent/key-store';
import { sendToOwner } from '@coldproof/agent/owner';
import {
  concatBytes,
  encodeEnrolment,
  encodeRotation,
  enrolmentPreimage,
  parseHex,
  referenceCrypto,
  rotationPreimage,
} from '@coldproof/wire';
import {
  makeKey,
  passphrase,
  sensorPassword,
  StubOracle,
  temporaryFolder,
  truckYaml,
  until,
  voyageStartSec,
} from './fixture.ts';
import { command, runBeside, start, stop, type Started } from './process.ts';

async function setUp(t: Test, isWithOracle = false) {
  const oracle = new StubOracle();
  if (isWithOracle) await oracle.start();
  t.teardown(() => oracle.stop());
  const folder = temporaryFolder(t);
  const stateDir = join(folder, 'state');
  const file = join(folder, 'agent.yaml');
  writeFileSync(file, truckYaml(stateDir, { oraclePort: oracle.port, logPublicKey: oracle.logKey.publicKey }));
  const old = makeKey(stateDir);
  return { oracle, file, old, keys: join(stateDir, 'keys') };
}

const registry = '1a'.repeat(20);
const owner = 'ab'.repeat(20);
const asset = 'CSQU3054383';

function rotate(file: string, ...more: string[]) {
  const chain = ['--chain-id', '31337', '--registry', `0x${registry}`, '--owner', `0x${owner}`, '--asset', asset];
  return command('rotate', '--config', file, '--device', 'TRUCK-7', ...chain, ...more);
}

type Pair = { r: string; s: string };
type Request = {
  device: string;
  successor: string;
  from: number;
  x: string;
  y: string;
  consent: Pair;
  possession: Pair;
};

async function publish({ brokerPort }: Started, minutes: readonly number[]): Promise<void> {
  const login = { username: 'TRUCK-7', password: sensorPassword, reconnectPeriod: 0 };
  const sensor = await connectAsync(`mqtt://127.0.0.1:${brokerPort}`, login);
  for (const minute of minutes) {
    const pack = JSON.stringify([{ n: 'TRUCK-7/cargo-probe-1', t: voyageStartSec + 60 * minute, v: 4 + minute / 100 }]);
    await sensor.publishAsync('sensors/TRUCK-7', pack, { qos: 1 });
  }
  await sensor.endAsync();
}

type Page = { devices: { queued: number; formerQueued: number; sealed: number; unsealed: number }[] };

async function statusOf({ httpPort }: Started) {
  return ((await (await fetch(`http://127.0.0.1:${httpPort}/status`)).json()) as Page).devices[0]!;
}

/** Gives the new key, as it is in place now. */
function checkConsent(t: Test, request: Request, old: KeyStore, path: string): KeyStore {
  const next = openKeyFile(path, passphrase);
  t.same(parseHex(request.device, 32), old.device());
  t.same(parseHex(request.successor, 32), next.device());
  t.same(concatBytes(parseHex(request.x, 32)!, parseHex(request.y, 32)!), next.publicKey());
  const chain = { chainId: 31337, registry: parseHex(registry, 20)! };
  const rotation = encodeRotation({ ...chain, successor: next.device(), fromSec: request.from });
  const enrolment = encodeEnrolment({ ...chain, owner: parseHex(owner, 20)!, asset });
  const isSigned = ({ r, s }: Pair, preimage: Uint8Array, publicKey: Uint8Array) =>
    referenceCrypto.verifyP256(publicKey, preimage, concatBytes(parseHex(r, 32)!, parseHex(s, 32)!));
  t.ok(isSigned(request.consent, rotationPreimage(rotation), old.publicKey()), 'the old key consents');
  t.ok(isSigned(request.possession, enrolmentPreimage(enrolment), next.publicKey()), 'the new one too');
  t.ok(request.from > voyageStartSec + 6 * 60, 'after the last reading of the old one');
  return next;
}

t.test('the old key leaves no reading behind, its batches go first, the new one begins at 0', async (t) => {
  const { oracle, file, old, keys } = await setUp(t, true);
  oracle.trust(old);
  oracle.isAnswering = false;
  let agent = await start(file);
  t.teardown(() => agent.child.kill('SIGKILL'));
  await publish(agent, [0, 1, 2, 3, 4, 5, 6]);
  t.match(JSON.parse(rotate(file).err), { code: 'journal-locked' }, 'not beside a running agent');
  t.equal(await stop(agent.child, 'SIGTERM'), 0);

  const answered = rotate(file);
  t.equal(answered.status, 0, answered.err);
  const request = JSON.parse(answered.out) as Request;
  const next = checkConsent(t, request, old, join(keys, 'TRUCK-7.json'));
  const former = `TRUCK-7~${request.device.slice(0, 16)}`;
  t.same(readdirSync(keys).sort(), ['TRUCK-7.json', `${former}.json`, `${former}.rotation.json`]);
  t.same(JSON.parse(readFileSync(join(keys, `${former}.rotation.json`), 'utf8')), request);

  const waiting = JSON.parse(command('queue', '--config', file).out) as { name: string; queued: number }[];
  t.match(waiting, [
    { name: former, queued: 2 },
    { name: 'TRUCK-7', queued: 0 },
  ]);
  const { devices } = JSON.parse(command('verify', '--config', file).out) as { devices: { problems: unknown[] }[] };
  t.equal(devices.length, 2);
  t.same(
    devices.map((each) => each.problems),
    [[], []],
  );

  oracle.trust(next);
  agent = await start(file);
  // A repeat of what the old key has sealed, and new ones.
  await publish(agent, [5, 6, 7, 8, 9, 10, 11]);
  const before = oracle.received;
  await until(() => oracle.received > before + 1, 'the old batches are sent');
  t.match(await statusOf(agent), { formerQueued: 2, queued: 1, sealed: 1, unsealed: 0 });
  t.notOk(oracle.stored.has(request.successor), 'the new one waits');
  oracle.isAnswering = true;
  await until(() => oracle.stored.get(request.successor)?.length === 1, 'the new batch');
  const times = [request.device, request.successor].map((device) =>
    oracle.stored.get(device)!.flatMap(({ batch, series }) => {
      t.equal(batch.sequence < 2, true);
      return series[0]!.samples.map(({ timeSec }) => (timeSec - voyageStartSec) / 60);
    }),
  );
  t.same(
    times,
    [
      [0, 1, 2, 3, 4, 5, 6],
      [7, 8, 9, 10, 11],
    ],
    'each reading once',
  );
  t.same([...oracle.stored.keys()], [request.device, request.successor], 'in that order');
  t.match(await statusOf(agent), { formerQueued: 0 });
  t.equal(await stop(agent.child, 'SIGTERM'), 0);
  t.same(oracle.refused, []);
});

t.test('after a crash between any two steps the same command ends it', async (t) => {
  const { file, old, keys } = await setUp(t);
  const first = JSON.parse(rotate(file).out) as Request;
  const former = join(keys, `TRUCK-7~${first.device.slice(0, 16)}.json`);
  const current = join(keys, 'TRUCK-7.json');
  const next = join(keys, 'TRUCK-7~next.json');
  // As it was just before the rename, and as before the second name and the note.
  for (const undo of [() => undefined, () => rmSync(former), () => rmSync(former.replace('.json', '.rotation.json'))]) {
    renameSync(current, next);
    writeFileSync(current, readFileSync(former), { mode: 0o600 });
    undo();
    const again = rotate(file);
    t.equal(again.status, 0, again.err);
    const request = JSON.parse(again.out) as Request;
    t.same([request.device, request.successor], [first.device, first.successor], 'the same two keys');
    t.same(openKeyFile(former, passphrase).publicKey(), old.publicKey());
    t.notOk(existsSync(next));
  }
});

t.test('--send: to the owner, and what is no owner', async (t) => {
  const { file } = await setUp(t);
  const received: unknown[] = [];
  let status = 200;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      received.push([request.method, JSON.parse(Buffer.concat(chunks).toString())]);
      response.writeHead(status).end('a long answer that nobody reads');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/enrol`;
  const sent = await runBeside('enrol', '--config', file, ...enrolment, '--send', url);
  t.equal(sent.status, 0, sent.err);
  t.same(received, [['POST', JSON.parse(sent.out)]]);
  t.notOk(JSON.stringify(received).includes(passphrase));
  status = 403;
  const refused = await runBeside('enrol', '--config', file, ...enrolment, '--send', url);
  t.match(JSON.parse(refused.err), { code: 'owner-away', message: /expected HTTP 200 to 299, got 403/ });
  t.match(JSON.parse(refused.out), { asset }, 'what was signed is printed all the same');
  for (const [wrong, code] of [
    ['ftp://owner.example', 'config-invalid'],
    ['https://user:secret@owner.example', 'config-invalid'],
    ['http://127.0.0.1:1', 'owner-away'],
  ] as const) {
    await t.rejects(sendToOwner(wrong, {}), { code }, wrong);
  }
});

const enrolment = ['--chain-id', '1', '--registry', `0x${registry}`, '--owner', `0x${owner}`, '--asset', asset];
