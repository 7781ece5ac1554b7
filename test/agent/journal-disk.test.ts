/**
 * The agent on a disk that fails: full (a tmpfs of 1 MiB), read-only, and one that fails an fsync (strace). It stops
 * with a clear error, and what it had acknowledged is there when it starts again.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { connectAsync } from 'mqtt';
import t, { type Test } from 'tap';
import { Journal } from '@coldproof/agent/journal';
import { decodeEnvelope, deviceOf, openEnvelope } from '@coldproof/wire';
import { makeKey, sensorPassword, StubOracle, temporaryFolder, truckYaml, until } from './fixture.ts';
import { command, environment, main, start, stop, type Line } from './process.ts';

const isRoot = process.getuid?.() === 0;
const hasStrace = spawnSync('strace', ['-V']).status === 0;
const skipUnless = (isThere: boolean, what: string) => (isThere || process.env['CI'] === 'true' ? false : what);

/** A folder on a file system of its own. */
function mountTmpfs(t: Test, bytes: string): string {
  const folder = temporaryFolder(t);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder], { encoding: 'utf8' });
  if (mounted.status !== 0) throw new Error(`mount: ${mounted.stderr}`);
  t.teardown(() => spawnSync('umount', [folder]));
  return folder;
}

function setUp(t: Test, folder: string) {
  const stateDir = join(folder, 'state');
  mkdirSync(stateDir);
  const keyStore = makeKey(stateDir);
  const file = join(temporaryFolder(t), 'agent.yaml');
  const { publicKey: logPublicKey } = new StubOracle().logKey;
  // Nobody listens on port 1: all stays in the journal.
  writeFileSync(file, truckYaml(stateDir, { oraclePort: 1, logPublicKey }));
  return { stateDir, file, device: deviceOf(keyStore.publicKey()) };
}

/** Sends until the broker is gone. Gives the times that were acknowledged. */
async function sendUntilEnd(port: number, fromSec: number): Promise<number[]> {
  const login = { username: 'TRUCK-7', password: sensorPassword, reconnectPeriod: 0 };
  const sensor = await connectAsync(`mqtt://127.0.0.1:${port}`, login);
  sensor.on('error', () => undefined);
  const closed = new Promise<false>((resolve) => {
    sensor.once('close', () => resolve(false));
  });
  const acknowledged: number[] = [];
  for (let timeSec = fromSec; timeSec < fromSec + 20_000; timeSec++) {
    const pack = JSON.stringify([{ n: 'TRUCK-7/cargo-probe-1', t: timeSec, v: (timeSec % 500) / 10 }]);
    const sent = sensor.publishAsync('sensors/TRUCK-7', pack, { qos: 1 }).then(
      () => true,
      () => false,
    );
    if (!(await Promise.race([sent, closed]))) return acknowledged;
    acknowledged.push(timeSec);
  }
  throw new Error('the disk took everything');
}

function samplesIn(envelope: Uint8Array): number {
  const decoded = decodeEnvelope(envelope);
  const opened = decoded.ok ? openEnvelope(decoded.value) : decoded;
  if (!opened.ok) throw new Error(opened.detail);
  return opened.value.series.reduce((sum, { samples }) => sum + samples.length, 0);
}

/** Readings that the journal has, sealed or not, as a count; and that it is sound. */
function heldCount(stateDir: string, file: string, device: Uint8Array): number {
  const verified = command('verify', '--config', file);
  if (verified.status !== 0) throw new Error(verified.out + verified.err);
  const journal = Journal.open(stateDir);
  try {
    const sealed = journal.pending(device, 0, 1_000_000).map(({ bytes }) => samplesIn(bytes));
    return sealed.reduce((sum, count) => sum + count, journal.readings(device).length);
  } finally {
    journal.close();
  }
}

const startSec = Math.floor(Date.now() / 1_000) - 100_000;

t.test('a full disk', { skip: skipUnless(isRoot, 'a tmpfs takes root') }, async (t) => {
  const folder = mountTmpfs(t, '1m');
  const { stateDir, file, device } = setUp(t, folder);
  const ballast = join(folder, 'ballast');
  writeFileSync(ballast, Buffer.alloc(400_000));
  const { child, brokerPort, lines } = await start(file);
  const exited = once(child, 'exit');
  const acknowledged = await sendUntilEnd(brokerPort, startSec);
  await exited;
  t.equal(child.exitCode, 1);
  await until(() => lines.some(({ event }) => event === 'failed'), 'the reason');
  t.match(lines.at(-1), { code: 'journal-write-failed', message: /full .*not acknowledged and not tried again/ });
  t.ok(acknowledged.length > 20, `${acknowledged.length} acknowledged before`);
  rmSync(ballast);
  t.ok(heldCount(stateDir, file, device) >= acknowledged.length, 'all that was acknowledged is there');
  const again = await start(file);
  t.match(
    again.lines.find(({ event }) => event === 'resumed'),
    { device: 'TRUCK-7' },
  );
  t.equal(await stop(again.child, 'SIGTERM'), 0);
});

t.test('a read-only disk', { skip: skipUnless(isRoot, 'a tmpfs takes root') }, (t) => {
  const folder = mountTmpfs(t, '4m');
  const { file } = setUp(t, folder);
  t.equal(spawnSync('mount', ['-o', 'remount,ro', folder]).status, 0);
  const refused = command('--config', file);
  t.equal(refused.status, 1);
  t.match(JSON.parse(refused.err), { code: 'state-unavailable', message: /journal\.db: EROFS: read-only file system/ });
  t.end();
});

t.test('a failed fsync', { skip: skipUnless(hasStrace, 'strace is not installed') }, async (t) => {
  const { stateDir, file, device } = setUp(t, temporaryFolder(t));
  let fromSec = startSec;
  let acknowledgedCount = 0;
  // Of the whole agent one; disk-faults.test.ts goes through all of them.
  for (const when of [25]) {
    const inject = `inject=fsync,fdatasync:error=EIO:when=${when}`;
    const args = ['-f', '-qq', '-o', '/dev/null', '-e', 'trace=fsync,fdatasync', '-e', inject];
    const child = spawn('strace', [...args, process.execPath, main, '--config', file], {
      env: environment,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const exited = once(child, 'exit');
    const lines: Line[] = [];
    createInterface({ input: child.stderr }).on('line', (line) => lines.push(JSON.parse(line) as Line));
    const started = () => lines.find(({ event }) => event === 'started');
    await until(() => started() !== undefined || child.exitCode !== null, 'started', 30_000);
    const acknowledged = await sendUntilEnd(Number(started()!['brokerPort']), fromSec);
    await exited;
    t.equal(child.exitCode, 1, `fsync ${when}`);
    await until(() => lines.some(({ event }) => event === 'failed'), 'the reason');
    t.match(lines.at(-1), { code: 'journal-write-failed', message: /SQLITE_IOERR_FSYNC/ });
    acknowledgedCount += acknowledged.length;
    fromSec = startSec + 1_000 * when;
    t.ok(heldCount(stateDir, file, device) >= acknowledgedCount, `${acknowledgedCount} acknowledged are there`);
  }
});
