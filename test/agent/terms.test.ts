/** Terms at the gateway: the file's check, the whole agent with its topic, page and command, kill -9 in between. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectAsync, type MqttClient } from 'mqtt';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { parseConfig } from '@coldproof/agent/config';
import { amendWith } from '@coldproof/agent/config-remote';
import { formatCabPage } from '@coldproof/agent/cab-page';
import type { AgentStatus } from '@coldproof/agent/status';
import { runBounded } from '@coldproof/agent/warner';
import { makeKey, makeLogKey, sensorPassword, StubOracle, temporaryFolder, truckYaml, until } from './fixture.ts';
import { start, stop, type Started } from './process.ts';

const terms = `    terms:
      orderId: '7'
      sampleGapSecMax: 150
      limits:
        - { channel: cargo-probe-1, lowerLimitCentiC: 200, upperLimitCentiC: 800, excursionSecMin: 900 }
`;

t.test('the file: what terms cannot be is said with key, value and bound', (t) => {
  const bare = truckYaml('/s', { oraclePort: 1, logPublicKey: makeLogKey().publicKey });
  const yaml = bare.replace('    sensors:\n', `${terms}    sensors:\n`);
  t.ok(parseConfig(yaml).ok);
  const rows = [
    ["orderId: '7'", 'orderId: 7', 'terms.orderId: expected the number of the order, in quotes, got 7'],
    ['channel: cargo-probe-1, lower', 'channel: door, lower', 'limits[0].channel: expected a channel of temperature'],
    [
      'channel: cargo-probe-1, lower',
      'channel: return-air, lower',
      'channel: expected a channel of one of sensors, got',
    ],
    ['lowerLimitCentiC: 200', 'lowerLimitCentiC: 800', 'lowerLimitCentiC: expected less than upperLimitCentiC'],
    ['excursionSecMin: 900', 'excursionSecMin: 0', 'excursionSecMin: expected an integer, 1 <= n'],
    ['sampleGapSecMax: 150', 'sampleGapSecMax: 0', 'sampleGapSecMax: expected an integer, 1 <= n'],
    ['http: {', 'warn: { command: [beep] }\nhttp: {', 'warn.command[0]: expected an absolute path, got "beep"'],
    ['http: {', 'warn: { command: [] }\nhttp: {', 'warn.command: expected a list of 1 to 16'],
    [
      'http: {',
      'warn: { command: [/b], on: [ok] }\nhttp: {',
      'warn.on[0]: expected one of excursion, warning, no-data',
    ],
  ] as const;
  for (const [from, to, problem] of rows) {
    const checked = parseConfig(yaml.replace(from, to));
    t.ok(!checked.ok && checked.detail.includes(problem), checked.ok ? to : checked.detail);
  }
  t.end();
});

t.test('agent/TERMS.md: its examples are accepted as they stand', (t) => {
  const page = readFileSync(new URL('../../../agent/TERMS.md', import.meta.url), 'utf8');
  const blocks = (name: string) =>
    [...page.matchAll(new RegExp(`^\`\`\`yaml ${name}\\n([^]*?)^\`\`\``, 'gm'))].map(([, body]) => body!);
  const device = blocks('device')
    .join('')
    .replaceAll(/^(?=.)/gm, '    ');
  const line = 'lines: [{ name: unit, path: /dev/ttyUSB0, unitId: 1, pollSec: 60 }]\n';
  const unit = '      - { channel: supply-air, modbus: { line: unit, function: 4, register: 1, type: int16 } }\n';
  const yaml = truckYaml('/s', { oraclePort: 1, logPublicKey: makeLogKey().publicKey })
    .replace('    sensors:\n', `${device}    sensors:\n${unit}`)
    .replace('sensorBroker:', `${line}${blocks('agent').join('')}sensorBroker:`);
  const settings = JSON.stringify(parse(blocks('settings').join('')));
  const checked = parseConfig(yaml, amendWith(new Map([['TRUCK-7', { number: 5, settings }]])));
  t.ok(checked.ok, checked.ok ? 'in order' : checked.detail);
  t.end();
});

async function setUp(t: Test) {
  const folder = temporaryFolder(t);
  const stateDir = join(folder, 'state');
  const keyStore = makeKey(stateDir);
  const oracle = new StubOracle();
  oracle.trust(keyStore);
  await oracle.start();
  t.teardown(() => oracle.stop());
  const file = join(folder, 'agent.yaml');
  const signals = join(folder, 'signals');
  const shell = (word: string) => `[/bin/sh, -c, 'echo "${word} $COLDPROOF_STATE $COLDPROOF_DEVICES" >> ${signals}']`;
  const warn = `warn: { command: ${shell('on')}, clearCommand: ${shell('off')} }\n`;
  const reader = '    - { username: display, passwordEnv: SENSOR_PASSWORD, reads: [TRUCK-7] }\n';
  const yaml = truckYaml(stateDir, { oraclePort: oracle.port, logPublicKey: oracle.logKey.publicKey })
    .replace('    sensors:\n', `${terms}    sensors:\n`)
    .replace('uplink:', `${reader}uplink:`)
    .replace('http:', `${warn}http:`);
  writeFileSync(file, yaml);
  const run = async (): Promise<Started> => {
    const started = await start(file);
    t.teardown(() => started.child.kill('SIGKILL'));
    return started;
  };
  const signalled = () => (existsSync(signals) ? readFileSync(signals, 'utf8').split('\n').slice(0, -1) : []);
  return { run, oracle, signalled };
}

const login = (username: string) => ({ username, password: sensorPassword, reconnectPeriod: 0 });
// Two minutes ago at the end: nothing is in the future, and nothing is a gap before the test has looked.
const minuteSec = (minute: number) => Math.floor(Date.now() / 1_000) - 60 * (22 - minute);

t.test('a warning reaches topic, page, metrics and lamp without a link; kill -9 forgets none of it', async (t) => {
  const { run, oracle, signalled } = await setUp(t);
  const base = minuteSec(0);
  const send = async (sensor: MqttClient, minute: number, celsius: number) => {
    const pack = [{ n: 'TRUCK-7/cargo-probe-1', t: base + 60 * minute, v: celsius }];
    await sensor.publishAsync('sensors/TRUCK-7', JSON.stringify(pack), { qos: 1 });
  };
  let { child, brokerPort, httpPort } = await run();
  let sensor = await connectAsync(`mqtt://127.0.0.1:${brokerPort}`, login('TRUCK-7'));
  const get = async (path: string) => (await fetch(`http://127.0.0.1:${httpPort}${path}`)).text();
  const untilGet = async (path: string, pattern: RegExp) => {
    let text = '';
    for (const startedMs = performance.now(); !pattern.test(text); text = await get(path)) {
      if (performance.now() - startedMs > 15_000) throw new Error(`${path}: ${text}`);
    }
    return text;
  };
  for (let minute = 0; minute < 3; minute++) await send(sensor, minute, 5);
  // The sequence goes on with receipts, so that the journal has nothing left of these batches.
  for (let minute = 3; minute < 13; minute++) await send(sensor, minute, 9 + minute / 100);
  await until(() => oracle.stored.size > 0, 'stored');
  await untilGet('/status', /"queued":0/);
  await oracle.stop();
  const heard: string[] = [];
  const display = await connectAsync(`mqtt://127.0.0.1:${brokerPort}`, login('display'));
  display.on('message', (_topic, payload) => heard.push(payload.toString()));
  await display.subscribeAsync('agent/TRUCK-7/warnings', { qos: 1 });
  await until(() => heard.length > 0, 'retained');
  child.kill('SIGKILL');
  ({ child, brokerPort, httpPort } = await run());
  const status = JSON.parse(await get('/status')) as AgentStatus;
  const since = new Date((base + 180) * 1_000).toISOString();
  // Ten minutes without a reading: the run goes on with the next one only because all is dated by the readings.
  t.match(status.devices[0]!.terms, { orderId: '7', channels: { 'cargo-probe-1': { state: 'no-data', why: 'gap' } } });
  sensor = await connectAsync(`mqtt://127.0.0.1:${brokerPort}`, login('TRUCK-7'));
  for (let minute = 13; minute < 18; minute++) await send(sensor, minute, 9 + minute / 100);
  await send(sensor, 18, 9.5);
  const excursion = { rule: 'excursion', openedAt: since, durationSec: 900 };
  t.match(JSON.parse(await untilGet('/status', /"state":"excursion"/)), {
    devices: [{ terms: { state: 'excursion', channels: { 'cargo-probe-1': { found: [excursion] } } } }],
  });
  const page = await get('/');
  t.match(page, /<header class="excursion">EXCURSION<\/header>/);
  t.match(page, /cargo-probe-1[^]*9\.50 °C[^]*Link down, [^]*Queue: \d+ batches/);
  t.notMatch(page, /<script|https?:|src=|@import|url\(/, 'nothing from outside');
  t.match(
    await get('/metrics'),
    'coldproof_agent_terms_state{device="TRUCK-7",channel="cargo-probe-1",state="excursion"} 1',
  );
  await until(() => signalled().length > 0, 'the lamp');
  t.equal(signalled().at(-1), 'on excursion TRUCK-7');
  t.equal(await stop(child, 'SIGTERM'), 0);
  ({ child, httpPort } = await run());
  await untilGet('/status', /"state":"excursion"/);
  t.equal(await stop(child, 'SIGTERM'), 0);
});

t.test('commands: no shell, a bounded time, an honest answer, none of our secrets', async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'out');
  await runBounded(['/usr/bin/printf', '%s', '; touch /nowhere $(id)'], {});
  await runBounded(['/bin/sh', '-c', `env > ${file}`], { COLDPROOF_STATE: 'warning' });
  const environment = readFileSync(file, 'utf8');
  t.match(environment, 'COLDPROOF_STATE=warning');
  t.notMatch(environment, /PASSPHRASE|PASSWORD/);
  await t.rejects(runBounded(['/bin/sh', '-c', 'echo no lamp >&2; exit 3'], {}), /no lamp/);
  await t.rejects(runBounded(['/nowhere/beep'], {}), /ENOENT/);
  await t.rejects(runBounded(['/bin/sleep', '60'], {}, 50), /not ended within 50 ms, killed/);
});

t.test('the page: hostile names and reasons are text', (t) => {
  const evil = '<script>alert("1")</script>&\'';
  const page = formatCabPage(
    {
      devices: [
        {
          ...{
            name: evil,
            device: '',
            unsealed: 0,
            queued: 0,
            sealed: 0,
            receipts: 0,
            lastReadingAt: undefined,
            links: [],
            dropped: 0,
          },
          link: { connected: false, why: evil },
          faults: { [evil]: evil },
          terms: {
            orderId: evil,
            state: 'no-data',
            channels: { [evil]: { state: 'no-data', why: evil, value: null, at: undefined } },
          },
        },
      ],
      refused: {},
      link: { connected: false },
      warn: { ran: 1, failed: 1, failure: evil },
      journal: { usedBytes: 1, usedBytesMax: 2, onFull: 'refuse-new', state: 'open' },
      clock: { source: 'none', synchronised: undefined, why: 'not asked', steps: 0 },
    },
    0,
  );
  t.notMatch(page, /<script/);
  t.match(page, /<header class="no-data">NO DATA<\/header>/);
  t.end();
});
