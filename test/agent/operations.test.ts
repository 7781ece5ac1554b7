/** What supervisors and field engineers do with a running agent, and with what a stopped one has left. */
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import t, { type Test } from 'tap';
import { formatMetrics } from '@coldproof/agent/metrics';
import { verifyState } from '@coldproof/agent/inspect';
import { SqliteDatabase } from '@coldproof/agent/journal-sqlite';
import { freePort } from '@coldproof/oracle/demonstration/free-ports';
import { seeded } from '../helpers/seed.ts';
import { makeKey, mustParse, sensorPassword, StubOracle, temporaryFolder, truckYaml, until } from './fixture.ts';
import { command, start, stop, type Line, type Started } from './process.ts';

async function setUp(t: Test) {
  const folder = temporaryFolder(t);
  const stateDir = join(folder, 'state');
  const keyStore = makeKey(stateDir);
  const oracle = new StubOracle();
  oracle.trust(keyStore);
  await oracle.start();
  t.teardown(() => oracle.stop());
  const file = join(folder, 'agent.yaml');
  const ports = { broker: await freePort(), http: await freePort() };
  const yaml = truckYaml(stateDir, { oraclePort: oracle.port, logPublicKey: oracle.logKey.publicKey })
    .replace('http: { port: 0 }', `http: { port: ${ports.http} }`)
    .replace('  port: 0', `  port: ${ports.broker}`);
  writeFileSync(file, yaml);
  const run = async (extra: { [name: string]: string } = {}): Promise<Started> => {
    const started = await start(file, extra);
    t.teardown(() => started.child.kill('SIGKILL'));
    return started;
  };
  return { stateDir, oracle, file, yaml, run, base: `http://127.0.0.1:${ports.http}`, ports };
}

const startSec = Math.floor(Date.now() / 1_000) - 50_000;

async function send(port: number, channel: string, from: number, count: number): Promise<void> {
  const login = { username: 'TRUCK-7', password: sensorPassword, reconnectPeriod: 0 };
  const sensor = await connectAsync(`mqtt://127.0.0.1:${port}`, login);
  for (let i = from; i < from + count; i++) {
    const pack = JSON.stringify([{ n: `TRUCK-7/${channel}`, t: startSec + 60 * i, v: i % 5 }]);
    await sensor.publishAsync('sensors/TRUCK-7', pack, { qos: 1 });
  }
  await sensor.endAsync();
}

/** Polls a page of another process until it says so. */
async function untilPage(url: string, pattern: RegExp): Promise<string> {
  for (const startedMs = performance.now(); ;) {
    const text = await (await fetch(url)).text();
    if (pattern.test(text)) return text;
    if (performance.now() - startedMs > 15_000) throw new Error(`${url}: ${text}`);
  }
}

t.test('pages: /healthz, /readyz, /metrics in the exposition format; commands: status and queue', async (t) => {
  const { run, base, file, ports, oracle } = await setUp(t);
  t.match(JSON.parse(command('status', '--config', file).err), { code: 'agent-away', message: /ECONNREFUSED/ });
  const { child } = await run();
  await send(ports.broker, 'cargo-probe-1', 0, 12);
  await send(ports.broker, 'oil', 0, 1);
  const metrics = await untilPage(`${base}/metrics`, /coldproof_agent_receipts_total\{device="TRUCK-7"\} 2\n/);
  for (const line of metrics.trimEnd().split('\n')) {
    t.match(line, /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+="[^"\n]*"(,[a-z]+="[^"\n]*")*\})? -?[0-9.e+]+)$/);
  }
  t.match(metrics, 'coldproof_agent_refused_total{reason="sensor-unknown"} 1\n');
  t.match(metrics, `coldproof_agent_last_reading_timestamp_seconds{device="TRUCK-7"} ${startSec + 660}\n`);
  t.match(metrics, /^coldproof_agent_readings_unsealed\{device="TRUCK-7"\} 2$/m);
  t.match(metrics, /^process_resident_memory_bytes \d{7,}$/m);
  const ready = await fetch(`${base}/readyz`);
  t.same([ready.status, await ready.json()], [200, { ready: true }]);
  t.match(await (await fetch(`${base}/healthz`)).json(), { status: 'ok' });
  const status = JSON.parse(command('status', '--config', file).out) as object;
  t.match(status, { devices: [{ name: 'TRUCK-7', sealed: 2, receipts: 2, link: { connected: true } }] });
  await oracle.stop();
  await send(ports.broker, 'cargo-probe-1', 12, 10);
  await untilPage(`${base}/status`, /"queued":2,.*"link":\{"connected":false\}/);
  const firstReadingAt = new Date((startSec + 600) * 1_000).toISOString();
  const queue = [{ name: 'TRUCK-7', queued: 2, oldest: { sequence: 2, firstReadingAt }, newestSequence: 3 }];
  const running = JSON.parse(command('queue', '--config', file).out) as { bytes: number }[];
  t.match(running, queue);
  t.match(JSON.parse(command('status', '--config', file).out), { devices: [{ link: { why: /ECONNREFUSED/ } }] });
  t.equal(await stop(child, 'SIGTERM'), 0);
  t.same(JSON.parse(command('queue', '--config', file).out), running, 'the same of the journal alone');
});

t.test('metrics: what a label may not hold is escaped', (t) => {
  const text = formatMetrics(
    {
      devices: [],
      refused: { 'a"b\\c\nd': 1 },
      link: { connected: true },
      warn: { ran: 0, failed: 0, failure: undefined },
      journal: { usedBytes: 1, usedBytesMax: 2, onFull: 'refuse-new', state: 'open' },
      clock: { source: 'none', synchronised: undefined, why: 'not asked', steps: 0 },
    },
    { residentBytes: 1, cpuSec: 0.5, startSec: 2 },
  );
  t.match(text, 'coldproof_agent_refused_total{reason="a\\"b\\\\c\\nd"} 1\n');
  t.end();
});

t.test('verify: a sound journal is; any flipped byte of it is found', async (t) => {
  const random = seeded(t, 1907);
  const { run, file, yaml, ports, base, oracle, stateDir } = await setUp(t);
  const { child } = await run();
  await send(ports.broker, 'cargo-probe-1', 0, 10);
  await untilPage(`${base}/status`, /"receipts":2/);
  await oracle.stop();
  await send(ports.broker, 'cargo-probe-1', 10, 15);
  t.match(JSON.parse(command('verify', '--config', file).err), { code: 'journal-locked' });
  t.equal(await stop(child, 'SIGTERM'), 0);
  const sound = command('verify', '--config', file);
  t.equal(sound.status, 0, sound.err);
  t.same(JSON.parse(sound.out), { devices: [{ name: 'TRUCK-7', envelopes: 3, receipts: 2, problems: [] }] });
  const config = mustParse(yaml);
  const problems = () => verifyState(config).flatMap((device) => device.problems);
  const rows = [
    ['envelopes', 'bytes'],
    ['envelopes', 'digest'],
    ['envelopes', 'checksum'],
    ['receipts', 'bytes'],
    ['heads', 'previous'],
  ] as const;
  for (const [table, column] of rows) {
    const database = new SqliteDatabase(join(stateDir, 'journal.db'));
    const { rowid, bytes } = database
      .prepare(`SELECT ${table === 'heads' ? 'device' : 'sequence'} AS rowid, ${column} AS bytes FROM ${table}`)
      .get() as { rowid: number | Buffer; bytes: Buffer };
    const where = table === 'heads' ? 'device' : 'sequence';
    const put = database.prepare(`UPDATE ${table} SET ${column} = ? WHERE ${where} = ?`);
    const flipped = Buffer.from(bytes);
    const at = random.integer(0, bytes.length - 1);
    flipped[at] = flipped[at]! ^ (1 << random.integer(0, 7));
    put.run(flipped, rowid);
    database.close();
    t.not(problems().length, 0, `${table}.${column}, byte ${at}`);
    if (column === 'checksum') {
      const found = command('verify', '--config', file);
      t.equal(found.status, 1, 'and the command says so');
      t.match(JSON.parse(found.err), { code: 'journal-unsound' });
    }
    const again = new SqliteDatabase(join(stateDir, 'journal.db'));
    again.prepare(`UPDATE ${table} SET ${column} = ? WHERE ${where} = ?`).run(bytes, rowid);
    again.close();
  }
  t.same(problems(), [], 'and is sound again');
});

t.test(
  'SIGHUP: a bad file is refused whole, with all its problems; a good one is taken; nothing is lost',
  async (t) => {
    const { run, file, yaml, ports, base } = await setUp(t);
    const { child, lines } = await run();
    await send(ports.broker, 'cargo-probe-1', 0, 3);
    const events = (event: string): Line[] => lines.filter((line) => line.event === event);
    const reload = async (text: string, event: string) => {
      const before = events(event).length;
      writeFileSync(file, text);
      child.kill('SIGHUP');
      await until(() => events(event).length > before, event);
      return events(event).at(-1)!;
    };
    const bad = yaml.replace('sealSamplesMax: 5', 'sealSamplesMax: 0').replace('resendSec: 1', 'resendSec: soon');
    t.match(await reload(bad, 'reload-refused'), { message: /sealSamplesMax: expected[^]*resendSec: expected/ });
    t.match(await reload(yaml.replace(/stateDir: .*/, 'stateDir: /elsewhere'), 'reload-refused'), {
      message: /restart/,
    });
    const otherKey = yaml.replace('name: TRUCK-7\n', 'name: TRUCK-8\n');
    t.match(await reload(otherKey, 'reload-refused'), { code: 'key-missing' });
    const taken = yaml.replace(`  port: ${ports.broker}`, `  port: ${ports.http}`);
    t.match(await reload(taken, 'reload-refused'), { code: 'port-unavailable' });
    await until(() => events('started').length === 2, 'the one before again');
    await send(ports.broker, 'cargo-probe-1', 3, 1);
    const better = yaml.replace(
      '{ channel: door, ',
      '{ channel: return-air, mqtt: { topic: sensors/TRUCK-7, name: TRUCK-7/return-air } }\n      - { channel: door, ',
    );
    await reload(better, 'reloaded');
    await send(ports.broker, 'return-air', 0, 2);
    await send(ports.broker, 'cargo-probe-1', 4, 1);
    await untilPage(`${base}/status`, /"sealed":1,"receipts":1/);
    child.kill('SIGHUP');
    t.equal(await stop(child, 'SIGTERM'), 0, 'a stop right behind a reload is a stop');
  },
);

t.test('systemd: READY, a sign of life in half of the watchdog time, RELOADING, STOPPING', async (t) => {
  const { run } = await setUp(t);
  const socket = join(temporaryFolder(t), 'notify');
  const listener = spawn('socat', ['-u', `UNIX-RECV:${socket}`, '-'], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => listener.kill());
  const heard: string[] = [];
  listener.stdout.setEncoding('utf8').on('data', (text: string) => heard.push(text));
  await until(() => readFileSync('/proc/net/unix', 'utf8').includes(socket), 'socat listens');
  const { child } = await run({ NOTIFY_SOCKET: socket, WATCHDOG_USEC: '400000' });
  const hears = (word: string, count = 1) =>
    until(() => heard.join('').split(word).length > count, `${word} in ${heard.join()}`);
  await hears('READY=1');
  await hears('WATCHDOG=1', 3);
  child.kill('SIGHUP');
  await hears('RELOADING=1');
  await hears('READY=1', 2);
  child.kill('SIGTERM');
  await hears('STOPPING=1');
});

t.test('the unit and the image name programs and files as they are', (t) => {
  const unit = readFileSync(new URL('../../../agent/packaging/coldproof-agent.service', import.meta.url), 'utf8');
  t.match(unit, /^ExecStart=\S+ (?:--\S+ )*\S+\/agent\/dist\/main\.js --config \S+$/m);
  t.match(unit, /^Type=notify\n(#.*\n)*NotifyAccess=all$/m);
  for (const key of ['ProtectSystem=strict', 'DynamicUser=yes', 'WatchdogSec=', 'LoadCredential=passphrase:']) {
    t.match(unit, key);
  }
  const image = readFileSync(new URL('../../../agent/packaging/Dockerfile', import.meta.url), 'utf8');
  t.match(image, /^ENTRYPOINT \["node", (?:"--\S+", )*"agent\/dist\/main\.js"\]$/m);
  t.match(image, /^USER node$/m);
  const [, flags = ''] = /^ExecStart=\S+ ((?:--\S+ )*)/m.exec(unit) ?? [];
  const [, limits = ''] = /^Environment=(.*)$/m.exec(unit) ?? [];
  t.match(
    image,
    `ENTRYPOINT ["node", ${flags.replace(/(\S+) /g, '"$1", ')}"agent/dist/main.js"]`,
    'one start for both',
  );
  t.match(image, `ENV ${limits}\n`);
  t.end();
});
