/** The agent as a field engineer has it: a program with a file, an environment and signals. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { connectAsync } from 'mqtt';
import t, { type Test } from 'tap';
import {
  deviceOf, encodeEnrolment, enrolmentPreimage, isLowS, parseHex, referenceCrypto, concatBytes, bytesToHex,
} from '@coldproof/wire';
import { openKeyFile } from '@coldproof/agent/key-store';
import { seeded } from '../helpers/seed.ts';
import { passphrase, sensorPassword, StubOracle, temporaryFolder, truckYaml, until } from './fixture.ts';

const main = fileURLToPath(import.meta.resolve('@coldproof/agent/main'));
const voyageStartMs = 1_767_225_600_000;

const environment = {
  ...process.env,
  COLDPROOF_PASSPHRASE: passphrase,
  SENSOR_PASSWORD: sensorPassword,
  COLDPROOF_DEMONSTRATION_CLOCK: undefined,
};

function command(...args: string[]): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { env: environment, encoding: 'utf8' });
  return { status, out: stdout, err: stderr };
}

function writeConfig(t: Test, oracle: { port: number; logKey: { publicKey: Uint8Array } }): { file: string; stateDir: string } {
  const folder = temporaryFolder(t);
  const stateDir = join(folder, 'state');
  const file = join(folder, 'agent.yaml');
  writeFileSync(file, truckYaml(stateDir, { oraclePort: oracle.port, logPublicKey: oracle.logKey.publicKey }));
  return { file, stateDir };
}

type Started = { child: ChildProcess; brokerPort: number; httpPort: number; lines: { event: string }[] };

async function start(file: string, extra: { [name: string]: string } = {}): Promise<Started> {
  const child = spawn(process.execPath, [main, '--config', file], {
    env: { ...environment, ...extra },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const lines: { event: string }[] = [];
  let started: { brokerPort: number; httpPort: number } | undefined;
  createInterface({ input: child.stderr }).on('line', (line) => {
    const parsed = JSON.parse(line) as { event: string; brokerPort: number; httpPort: number };
    lines.push(parsed);
    if (parsed.event === 'started') started = parsed;
  });
  await until(() => started !== undefined || child.exitCode !== null, 'started');
  if (started === undefined) throw new Error(JSON.stringify(lines));
  return { child, ...started, lines };
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  const exited = once(child, 'exit');
  child.kill(signal);
  await exited;
  return child.exitCode;
}

t.test('--check-config: all problems, exit 1; or ok, exit 0', (t) => {
  const { file } = writeConfig(t, new StubOracle());
  const good = command('--config', file, '--check-config');
  t.match(good, { status: 0, out: '{"config":"ok","devices":1}\n', err: '' });
  writeFileSync(file, readFileSync(file, 'utf8').replace('sealSamplesMax: 5', 'sealSamplesMax: 0').replace('  port: 0', '  port: x'));
  const bad = command('--config', file, '--check-config');
  t.equal(bad.status, 1);
  t.match(bad.err, /sealSamplesMax: expected .* got 0/);
  t.match(bad.err, /sensorBroker\.port: expected .* got \\"x\\"/);
  for (const args of [[], ['--config', '/nowhere.yaml'], ['--confg', file], ['fly', '--config', file], ['--config']]) {
    const { status, err } = command(...args);
    t.equal(status, 1, args.join(' '));
    t.match(JSON.parse(err), { level: 'error', event: 'failed', code: 'config-invalid' });
  }
  t.end();
});

t.test('keygen and enrol: what they print verifies; the key is never printed or overwritten', (t) => {
  const { file, stateDir } = writeConfig(t, new StubOracle());
  const made = command('keygen', '--config', file, '--device', 'TRUCK-7');
  t.equal(made.status, 0, made.err);
  const key = JSON.parse(made.out) as { name: string; device: string; x: string; y: string };
  const publicKey = concatBytes(parseHex(key.x, 32)!, parseHex(key.y, 32)!);
  t.same([key.name, key.device], ['TRUCK-7', bytesToHex(deviceOf(publicKey))]);
  t.match(JSON.parse(command('keygen', '--config', file).err), { code: 'key-exists' });
  t.match(JSON.parse(command('keygen', '--config', file, '--device', 'TRUCK-8').err), { code: 'config-invalid' });

  const registry = `0x${'1a'.repeat(20)}`;
  const owner = `0x${'Ab'.repeat(20)}`;
  const enrol = ['enrol', '--config', file, '--chain-id', '31337', '--registry', registry, '--owner', owner, '--asset'];
  const answer = command(...enrol, 'CSQU3054383');
  t.equal(answer.status, 0, answer.err);
  const enrolment = JSON.parse(answer.out) as { r: string; s: string };
  t.match(enrolment, { device: key.device, x: key.x, y: key.y, asset: 'CSQU3054383', chainId: 31337, registry });
  const signature = concatBytes(parseHex(enrolment.r, 32)!, parseHex(enrolment.s, 32)!);
  const preimage = enrolmentPreimage(encodeEnrolment({
    chainId: 31337, registry: parseHex('1a'.repeat(20), 20)!, owner: parseHex('ab'.repeat(20), 20)!, asset: 'CSQU3054383',
  }));
  t.ok(referenceCrypto.verifyP256(publicKey, preimage, signature) && isLowS(signature));
  t.match(JSON.parse(command(...enrol, 'CSQU3054384').err), { code: 'config-invalid', message: /--asset.*CSQU3054384/ });
  t.match(JSON.parse(command('enrol', '--config', file).err), { code: 'config-invalid', message: /--registry/ });
  t.notOk((made.out + answer.out).includes(passphrase));
  t.same(openKeyFile(join(stateDir, 'keys', 'TRUCK-7.json'), passphrase).publicKey(), publicKey);
  t.end();
});

t.test('a start that cannot be: no key, no secret, a lost journal, a second agent', async (t) => {
  const oracle = new StubOracle();
  await oracle.start();
  t.teardown(() => oracle.stop());
  const { file, stateDir } = writeConfig(t, oracle);
  const failure = (args: string[], env: NodeJS.ProcessEnv = environment) => {
    const { stderr } = spawnSync(process.execPath, [main, ...args], { env, encoding: 'utf8' });
    return JSON.parse(stderr.trim().split('\n').at(-1)!) as { code: string };
  };
  t.match(failure(['--config', file]), { code: 'key-missing' });
  t.equal(command('keygen', '--config', file).status, 0);
  t.match(failure(['--config', file], { ...environment, SENSOR_PASSWORD: undefined }), { code: 'secret-missing' });
  t.match(failure(['--config', file], { ...environment, COLDPROOF_PASSPHRASE: 'a guess' }), { code: 'key-passphrase-wrong' });
  t.match(failure(['--config', file], { ...environment, COLDPROOF_DEMONSTRATION_CLOCK: 'noon' }), { code: 'config-invalid' });
  const { child } = await start(file);
  t.match(failure(['--config', file]), { code: 'journal-locked' });
  t.equal(await stop(child, 'SIGTERM'), 0);
  for (const name of ['journal.db', 'journal.db-wal']) {
    if (existsSync(join(stateDir, name))) writeFileSync(join(stateDir, name), '');
  }
  t.match(failure(['--config', file]), { code: 'journal-of-another-key', message: /needs a new key/ });
  mkdirSync(join(stateDir, 'empty'));
});

t.test('kill -9 at random moments under a fast clock: each acknowledged reading arrives, once, in order', async (t) => {
  const random = seeded(t, 137);
  const oracle = new StubOracle();
  await oracle.start();
  t.teardown(() => oracle.stop());
  const { file, stateDir } = writeConfig(t, oracle);
  t.equal(command('keygen', '--config', file).status, 0);
  const keyStore = openKeyFile(join(stateDir, 'keys', 'TRUCK-7.json'), passphrase);
  oracle.trust(keyStore);
  const clock = { COLDPROOF_DEMONSTRATION_CLOCK: `${voyageStartMs}@${Date.now()}x3600` };
  const acknowledged: number[] = [];
  let minute = 0;
  let agent: Started | undefined;
  t.teardown(() => {
    agent?.child.kill('SIGKILL');
  });
  for (let round = 0; round < 6; round++) {
    agent = await start(file, clock);
    const sensor = await connectAsync(`mqtt://127.0.0.1:${agent.brokerPort}`, {
      username: 'TRUCK-7', password: sensorPassword, reconnectPeriod: 0,
    });
    sensor.on('error', () => undefined);
    const ended = new Promise<void>((resolve) => {
      sensor.once('close', () => resolve());
    });
    const messages = random.integer(3, 20);
    for (let i = 0; i < messages; i++, minute++) {
      const bt = voyageStartMs / 1_000 + 60 * minute;
      await until(() => voyageStartMs + (Date.now() - Number(/@(\d+)x/.exec(clock.COLDPROOF_DEMONSTRATION_CLOCK)![1])) * 3_600 >= bt * 1_000, 'due');
      const pack = JSON.stringify([{ n: 'TRUCK-7/cargo-probe-1', t: bt, v: 4 + minute / 100 }]);
      const sent = sensor.publishAsync('sensors/TRUCK-7', pack, { qos: 1 }).then(() => acknowledged.push(bt), () => undefined);
      if (i === messages - 1 && round < 5) {
        // At any point between the arrival and the forwarding.
        setTimeout(() => agent!.child.kill('SIGKILL'), random.integer(0, 12));
        await ended;
      } else {
        await sent;
      }
    }
    if (round === 5) await sensor.endAsync();
  }
  const status = async () => {
    const answer = await fetch(`http://127.0.0.1:${agent!.httpPort}/status`);
    return (await answer.json()) as { devices: { queued: number; unsealed: number }[] };
  };
  let left = await status();
  for (const startedMs = Date.now(); left.devices[0]!.queued > 0 && Date.now() - startedMs < 10_000;) left = await status();
  t.equal(left.devices[0]!.queued, 0);
  t.equal(await stop(agent!.child, 'SIGTERM'), 0);
  const chain = oracle.stored.get(bytesToHex(keyStore.device()))!;
  const arrived = chain.flatMap(({ series }) => series[0]!.samples.map(({ timeSec }) => timeSec));
  t.same(arrived, [...new Set(arrived)].sort((a, b) => a - b), 'once and in order');
  const lost = acknowledged.filter((timeSec) => timeSec <= arrived.at(-1)! && !arrived.includes(timeSec));
  t.same(lost, [], `${acknowledged.length} acknowledged, ${arrived.length} arrived, ${left.devices[0]!.unsealed} not due`);
  t.ok(acknowledged.length - arrived.length <= left.devices[0]!.unsealed);
  t.notOk(oracle.refused.includes('equivocation'));
  t.ok(agent!.lines.every((line) => !JSON.stringify(line).includes(sensorPassword)));
});
