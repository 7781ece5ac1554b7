/** An owner with the commands of the README, a gateway as a process, and the oracle's own broker between them. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { connectAsync } from 'mqtt';
import t, { type Test } from 'tap';
import { bytesToHex, formatTopic } from '@coldproof/wire';
import { openBroker } from '@coldproof/oracle/broker';
import { silent } from '@coldproof/oracle/log-line';
import { ownerCommands, ownerOptions } from '@coldproof/agent/owner-command';
import type { AgentStatus } from '@coldproof/agent/status';
import type { ConfigReport, Reply } from '@coldproof/agent/remote-state';
import { makeKey, makeLogKey, temporaryFolder, truckYaml, until } from './fixture.ts';
import { environment, main, start, stop, type Started } from './process.ts';

const passwords = { UPLINK_PASSWORD: 'of the gateway', COLDPROOF_OWNER_PASSPHRASE: 'of the owner' };

function command(...args: string[]): { status: number | null; out: string; err: string } {
  const env = { ...environment, ...passwords };
  const run = spawnSync(process.execPath, [main, ...args], { env, encoding: 'utf8' });
  return { status: run.status, out: run.stdout, err: run.stderr };
}

/** As the program does it, in this process: the commands of a test that is about something else. */
function inProcess(name: string, args: readonly string[]): Promise<object> {
  const text = { type: 'string' } as const;
  const options = { ...ownerOptions, config: text, device: text };
  const { values } = parseArgs({ args: [...args], options });
  return ownerCommands[name]!(values, { ...environment, ...passwords }, Math.floor(Date.now() / 1_000));
}

async function setUp(t: Test) {
  const folder = temporaryFolder(t);
  const stateDir = join(folder, 'state');
  const keyStore = makeKey(stateDir);
  const device = keyStore.device();
  const key = join(folder, 'owner.json');
  const { publicKey } = JSON.parse(command('owner-keygen', '--key', key).out) as { publicKey: string };
  const broker = await openBroker({
    host: '127.0.0.1',
    port: 0,
    credentials: [
      { username: 'gateway', password: passwords.UPLINK_PASSWORD, devices: [bytesToHex(device)] },
      { username: 'owner', password: 'secret', devices: [], owns: [bytesToHex(device)] },
    ],
    log: silent,
  });
  t.teardown(() => broker.close());
  const file = join(folder, 'agent.yaml');
  const yaml = truckYaml(stateDir, { oraclePort: broker.port, logPublicKey: makeLogKey().publicKey })
    .replace('uplink:\n', 'uplink:\n  username: gateway\n  passwordEnv: UPLINK_PASSWORD\n')
    .replace('http:', `owner: { publicKey: '${publicKey}' }\nhttp:`);
  writeFileSync(file, yaml);
  const owner = await connectAsync(`mqtt://127.0.0.1:${broker.port}`, { username: 'owner', password: 'secret' });
  t.teardown(() => owner.endAsync(true));
  const reports: ConfigReport[] = [];
  const replies: Reply[] = [];
  owner.on('message', (topic, payload) => {
    if (topic.endsWith('/reply')) replies.push(JSON.parse(payload.toString()) as Reply);
    else reports.push(JSON.parse(payload.toString()) as ConfigReport);
  });
  await owner.subscribeAsync([formatTopic(device, 'config-report'), formatTopic(device, 'reply')], { qos: 1 });
  const said = join(folder, 'message');
  const hasRun = new Set<string>();
  const publish = async (kind: 'config' | 'command', ...args: string[]) => {
    const whole = ['--key', key, '--device', bytesToHex(device), '--out', said, ...args];
    // The first of each kind by the program itself.
    if (hasRun.has(kind)) await inProcess(`sign-${kind}`, whole);
    else {
      hasRun.add(kind);
      const signed = command(`sign-${kind}`, ...whole);
      if (signed.status !== 0) throw new Error(signed.err);
    }
    await owner.publishAsync(formatTopic(device, kind), readFileSync(said), { qos: 1, retain: true });
  };
  const settings = join(folder, 'settings.yaml');
  const configure = async (number: number, text: string) => {
    writeFileSync(settings, text);
    await publish('config', '--number', String(number), '--settings', settings, '--config', file, '--name', 'TRUCK-7');
  };
  const run = async (): Promise<Started> => {
    const started = await start(file, passwords);
    t.teardown(() => started.child.kill('SIGKILL'));
    return started;
  };
  return { run, configure, publish, reports, replies, key, settings, file, said };
}

const terms = (orderId: number) => `
sealSamplesMax: ${orderId}
terms:
  orderId: '${orderId}'
  sampleGapSecMax: 150
  limits: [{ channel: cargo-probe-1, lowerLimitCentiC: 200, upperLimitCentiC: 800, excursionSecMin: 900 }]
`;

async function orderOf({ httpPort }: Started): Promise<string | undefined> {
  const status = (await (await fetch(`http://127.0.0.1:${httpPort}/status`)).json()) as AgentStatus;
  return status.devices[0]!.terms?.orderId;
}

t.test('configured from afar, killed while it tries, commanded: the owner always knows what counts', async (t) => {
  const { run, configure, publish, reports, replies } = await setUp(t);
  const last = (number: number, state: string) => () => {
    const report = reports.at(-1);
    return report?.number === number && report.state === state;
  };
  let started = await run();
  t.equal(await orderOf(started), undefined);
  await configure(1, terms(11));
  await until(last(1, 'applied'), 'the first is applied');
  t.equal(await orderOf((started = { ...started, ...latest(started) })), '11');

  await configure(2, terms(12));
  await until(() => started.lines.filter(({ event }) => event === 'started').length === 3, 'started with the second');
  await stop(started.child, 'SIGKILL');
  started = await run();
  await until(last(2, 'rolled-back'), 'rolled back by the next start');
  t.match(reports.at(-1), { inForce: 1, detail: /ended before it had been up for long enough/ });
  t.equal(await orderOf(started), '11');

  await publish('command', '--command', 'request-replay', '--argument', '0', '--id', 'ab'.repeat(16));
  await until(() => replies.length === 1, 'answered');
  t.match(replies[0], { id: 'ab'.repeat(16), outcome: 'refused', reason: 'command-impossible' }, 'nothing to replay');
  await publish('command', '--command', 'request-replay', '--argument', '9', '--id', 'ab'.repeat(16));
  await until(() => replies.length === 2, 'answered again');
  t.same(replies[1], replies[0], 'the first outcome');

  await configure(3, terms(13));
  await until(last(3, 'applied'), 'the third is applied');
  t.equal(await stop(started.child, 'SIGTERM'), 0);
  started = await run();
  await until(last(3, 'applied'), 'told again');
  t.equal(await orderOf(started), '13', 'it outlives the process');
  t.equal(await stop(started.child, 'SIGTERM'), 0);
});

/** Ports of the newest start: they are any free ones here. */
function latest({ lines }: Started): { httpPort: number } {
  return lines.filter(({ event }) => event === 'started').at(-1) as unknown as { httpPort: number };
}

t.test('the commands say what is wrong, and sign nothing that the gateway would refuse', async (t) => {
  const { configure, publish, key, settings, said } = await setUp(t);
  const device = 'ab'.repeat(32);
  await t.rejects(configure(1, 'uplink: { url: x }'), /uplink: expected one of terms/);
  await t.rejects(configure(1, 'sealSamplesMax: 0'), /sealSamplesMax: expected an integer/);
  await t.rejects(configure(0, 'sealSamplesMax: 9'), /--number: expected an integer, 1 <= n/);
  await t.rejects(configure(1, `terms: { orderId: '${'1'.repeat(20_000)}' }`), /orderId: expected/);
  await t.rejects(
    publish('command', '--command', 'open-door', '--argument', '1'),
    /expected one of set-sampling-period/,
  );
  await t.rejects(publish('command', '--command', 'request-replay', '--argument', '-1'), /ambiguous|--argument/);
  const most = ['--command', 'request-replay', '--argument', '1', '--expires-sec', '604801'];
  await t.rejects(publish('command', ...most), /--expires-sec: expected an integer, 1 <= n <= 604800/);
  t.match(command('owner-keygen', '--key', key).err, /key-exists/);
  writeFileSync(settings, `a: ${'x'.repeat(20_000)}`);
  const large = ['--key', key, '--device', device, '--out', said, '--number', '1', '--settings', settings];
  t.match(command('sign-config', ...large).err, /expected <= 16384 bytes/);
  const run = spawnSync(process.execPath, [main, 'sign-config', ...large], { env: environment, encoding: 'utf8' });
  t.match(run.stderr, /COLDPROOF_OWNER_PASSPHRASE, got nothing/);
});
