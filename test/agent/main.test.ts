/** The agent as a field engineer has it: a program with a file, an environment and signals. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import t, { type Test } from 'tap';
import {
  deviceOf,
  encodeEnrolment,
  enrolmentPreimage,
  isLowS,
  parseHex,
  referenceCrypto,
  concatBytes,
  bytesToHex,
} from '@coldproof/wire';
import { openKeyFile } from '@coldproof/agent/key-file';
import { seeded } from '../helpers/seed.ts';
import { makeKey, passphrase, sensorPassword, StubOracle, temporaryFolder, truckYaml, until } from './fixture.ts';
import { command, environment, main, start, stop, type Started } from './process.ts';

const voyageStartMs = 1_767_225_600_000;

function writeConfig(t: Test, oracle: StubOracle): { file: string; stateDir: string } {
  const folder = temporaryFolder(t);
  const stateDir = join(folder, 'state');
  const file = join(folder, 'agent.yaml');
  writeFileSync(file, truckYaml(stateDir, { oraclePort: oracle.port, logPublicKey: oracle.logKey.publicKey }));
  return { file, stateDir };
}

t.test('--check-config: all problems, exit 1; or ok, exit 0', (t) => {
  t.match(command('--help'), { status: 0, out: /^usage: main\.js --config FILE/, err: '' });
  const { file } = writeConfig(t, new StubOracle());
  const good = command('--config', file, '--check-config');
  t.match(good, { status: 0, out: '{"config":"ok","devices":1}\n', err: '' });
  const yaml = readFileSync(file, 'utf8');
  writeFileSync(file, yaml.replace('sealSamplesMax: 5', 'sealSamplesMax: 0').replace('  port: 0', '  port: x'));
  const bad = command('--config', file, '--check-config');
  t.equal(bad.status, 1);
  t.match(bad.err, /sealSamplesMax: expected .* got 0/);
  t.match(bad.err, /sensorBroker\.port: expected .* got \\"x\\"/);
  for (const args of [[], ['--confg', file], ['fly', '--config', file]]) {
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
  const preimage = enrolmentPreimage(
    encodeEnrolment({
      chainId: 31337,
      registry: parseHex('1a'.repeat(20), 20)!,
      owner: parseHex('ab'.repeat(20), 20)!,
      asset: 'CSQU3054383',
    }),
  );
  t.ok(referenceCrypto.verifyP256(publicKey, preimage, signature) && isLowS(signature));
  const wrong = command(...enrol, 'CSQU3054384');
  t.match(JSON.parse(wrong.err), { code: 'config-invalid', message: /--asset.*CSQU3054384/ });
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
  const failure = (env: NodeJS.ProcessEnv = {}) => {
    const options = { env: { ...environment, ...env }, encoding: 'utf8' } as const;
    const run = spawnSync(process.execPath, [main, '--config', file], options);
    return JSON.parse(run.stderr.trim().split('\n').at(-1)!) as { code: string };
  };
  t.match(failure(), { code: 'key-missing' });
  makeKey(stateDir);
  t.match(failure({ SENSOR_PASSWORD: undefined }), { code: 'secret-missing' });
  t.match(failure({ COLDPROOF_PASSPHRASE: 'a guess' }), { code: 'key-passphrase-wrong' });
  t.match(failure({ COLDPROOF_DEMONSTRATION_CLOCK: 'noon' }), { code: 'config-invalid' });
  const { child } = await start(file);
  t.match(failure(), { code: 'journal-locked' });
  t.equal(await stop(child, 'SIGTERM'), 0);
  for (const name of ['journal.db', 'journal.db-wal']) {
    if (existsSync(join(stateDir, name))) writeFileSync(join(stateDir, name), '');
  }
  t.match(failure(), { code: 'journal-of-another-key', message: /needs a new key/ });
  mkdirSync(join(stateDir, 'empty'));
});

t.test('kill -9 at random moments under a fast clock: each acknowledged reading arrives, once, in order', async (t) => {
  const random = seeded(t, 137);
  const oracle = new StubOracle();
  await oracle.start();
  t.teardown(() => oracle.stop());
  const { file, stateDir } = writeConfig(t, oracle);
  const keyStore = makeKey(stateDir);
  oracle.trust(keyStore);
  const voyage = new Voyage();
  let agent: Started | undefined;
  t.teardown(() => agent?.child.kill('SIGKILL'));
  for (let round = 0; round < 5; round++) {
    agent = await start(file, { COLDPROOF_DEMONSTRATION_CLOCK: voyage.clock });
    // In all rounds but the last: at any point between the arrival of the last message and its forwarding.
    await voyage.sail(agent, random.integer(3, 20), round < 4 ? random.integer(0, 12) : undefined);
  }
  const left = await untilForwarded(agent!);
  t.equal(await stop(agent!.child, 'SIGTERM'), 0);
  const chain = oracle.stored.get(bytesToHex(keyStore.device()))!;
  const arrived = chain.flatMap(({ series }) => series[0]!.samples.map(({ timeSec }) => timeSec));
  t.same(
    arrived,
    [...new Set(arrived)].sort((a, b) => a - b),
    'once and in order',
  );
  const { acknowledged } = voyage;
  const lost = acknowledged.filter((timeSec) => timeSec <= arrived.at(-1)! && !arrived.includes(timeSec));
  t.same(lost, [], `${acknowledged.length} acknowledged, ${arrived.length} arrived, ${left.unsealed} not due`);
  t.ok(acknowledged.length - arrived.length <= left.unsealed);
  t.notOk(oracle.refused.includes('equivocation'));
  t.ok(agent!.lines.every((line) => !JSON.stringify(line).includes(sensorPassword)));
});

/** A sensor on a fast clock, and what it was told has arrived. */
class Voyage {
  readonly acknowledged: number[] = [];
  readonly #realStartMs = Date.now();
  readonly #speed = 3_600;
  #minute = 0;

  get clock(): string {
    return `${voyageStartMs}@${this.#realStartMs}x${this.#speed}`;
  }

  /** Sends so many readings, each when it is due. With `killMs`, kills the agent so long after it sent the last. */
  async sail({ child, brokerPort }: Started, count: number, killMs: number | undefined): Promise<void> {
    const login = { username: 'TRUCK-7', password: sensorPassword, reconnectPeriod: 0 };
    const sensor = await connectAsync(`mqtt://127.0.0.1:${brokerPort}`, login);
    sensor.on('error', () => undefined);
    const ended = new Promise<void>((resolve) => {
      sensor.once('close', () => resolve());
    });
    for (let i = 0; i < count; i++) {
      const dueMs = 60_000 * this.#minute++;
      await until(() => (Date.now() - this.#realStartMs) * this.#speed >= dueMs, 'due');
      const timeSec = (voyageStartMs + dueMs) / 1_000;
      const pack = JSON.stringify([{ n: 'TRUCK-7/cargo-probe-1', t: timeSec, v: 4 + this.#minute / 100 }]);
      const sent = sensor.publishAsync('sensors/TRUCK-7', pack, { qos: 1 }).then(
        () => this.acknowledged.push(timeSec),
        () => undefined,
      );
      if (killMs === undefined || i < count - 1) await sent;
    }
    if (killMs === undefined) {
      await sensor.endAsync();
      return;
    }
    setTimeout(() => child.kill('SIGKILL'), killMs);
    await ended;
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
}

type DevicePage = { readonly queued: number; readonly unsealed: number };

async function untilForwarded({ httpPort }: Started): Promise<DevicePage> {
  for (const startedMs = performance.now(); ;) {
    const answer = await fetch(`http://127.0.0.1:${httpPort}/status`);
    const { devices } = (await answer.json()) as { devices: DevicePage[] };
    if (devices[0]!.queued === 0) return devices[0]!;
    if (performance.now() - startedMs > 10_000) throw new Error(`${devices[0]!.queued} batches without receipt`);
  }
}
