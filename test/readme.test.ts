/** The README is executed: commands exist, configuration files are accepted, tables say what the programs say. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { parseConfig as parseAgentConfig } from '@coldproof/agent/config';
import { agentWide, formatLocalTopic, localKinds } from '@coldproof/agent/local-topic';
import { readConfig as readOracleConfig } from '@coldproof/oracle/config';
import { scenarios } from '@coldproof/firmware-sim/scenario';
import { CertificateAuthority, skipWithoutOpenssl as skip } from './helpers/mosquitto.ts';

const repository = resolve(fileURLToPath(new URL('../..', import.meta.url)));
const readme = readFileSync(resolve(repository, 'README.md'), 'utf8');

function blocks(language: string, page = readme): string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(([, body]) => body!);
}

t.test('every npm command is a script, every program exists', (t) => {
  const { scripts } = JSON.parse(readFileSync(resolve(repository, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const commands = blocks('sh').join('\n');
  for (const [, run, name] of commands.matchAll(/npm (run )?([a-z][a-z:-]*)/g)) {
    // Commands of npm itself.
    if (!['ci', 'pack', 'install'].includes(name!)) t.ok(scripts[name!] !== undefined, `npm ${run ?? ''}${name}`);
  }
  for (const [, program] of commands.matchAll(/node (\S+\.js)/g))
    t.ok(existsSync(resolve(repository, program!)), program!);
  t.end();
});

t.test('the configuration files are accepted as they stand', (t) => {
  const [agent] = blocks('yaml agent.yaml');
  const agentConfig = parseAgentConfig(agent!);
  t.ok(agentConfig.ok, agentConfig.ok ? 'agent.yaml' : agentConfig.detail);
  t.end();
});

t.test('so is that of the oracle', { skip }, (t) => {
  const [oracle] = blocks('yaml oracle.yaml');
  t.doesNotThrow(() => readOracle(t, oracle!));
  t.end();
});

/** The certificates that it names are made for it. */
function readOracle(t: Test, yaml: string): unknown {
  const names = ['UPLINK_PASSWORD', 'COLDPROOF_PASSPHRASE', 'BROKER_PASSWORD'];
  const folder = t.testdir({});
  new CertificateAuthority(folder, 'ca').issue('oracle');
  writeFileSync(resolve(folder, 'oracle.yaml'), yaml.replaceAll('/etc/coldproof', resolve(folder, 'ca')));
  const environment = Object.fromEntries(names.map((name) => [name, 'x'.repeat(16)]));
  return readOracleConfig(resolve(folder, 'oracle.yaml'), environment);
}

t.test('agent/UPLINKS.md: its examples take the place of those of the README', { skip }, (t) => {
  const uplinks = readFileSync(resolve(repository, 'agent/UPLINKS.md'), 'utf8');
  const [agent] = blocks('yaml agent.yaml');
  const [several] = blocks('yaml uplinks', uplinks);
  const config = parseAgentConfig(agent!.replace(/^uplink:\n( .*\n)*/m, several!));
  t.ok(config.ok, config.ok ? 'uplinks' : config.detail);
  t.match(config.ok && config.value, {
    receiptsMin: 2,
    uplinks: [{ mqtt: 5, order: 'live-first' }, { mqtt: '3.1.1' }],
  });
  const [oracle] = blocks('yaml oracle.yaml');
  const brokers = blocks('yaml broker', uplinks);
  t.equal(brokers.length, 2);
  for (const broker of brokers) {
    const yaml = oracle!.replace(/^broker:.*\n( .*\n)*/m, broker);
    t.ok(yaml.includes(broker));
    t.doesNotThrow(() => readOracle(t, yaml));
  }
  t.end();
});

t.test('oracle/SCALE.md: its throughput is what was measured', (t) => {
  const scale = readFileSync(resolve(repository, 'oracle/SCALE.md'), 'utf8');
  // Written by the benchmark only.
  const { throughput } = JSON.parse(readFileSync(resolve(repository, 'test/bench/results.json'), 'utf8')) as {
    throughput: {
      opensslVerifyPerSec: number;
      rows: Record<'setting' | 'batchesPerSec' | 'ofOneCore' | 'rssMb', unknown>[];
    };
  };
  const shown = (value: unknown) => (typeof value === 'number' ? value.toLocaleString('en-US') : String(value));
  t.ok(scale.includes(shown(throughput.opensslVerifyPerSec)));
  for (const { setting, batchesPerSec, ofOneCore, rssMb } of throughput.rows) {
    const row = `| ${[setting, shown(batchesPerSec), ofOneCore, rssMb].map(String).join(' | ')} |`;
    t.ok(scale.includes(row), row);
  }
  t.end();
});

t.test('oracle/NETWORK.md: with its sections, the oracle of the README is a node of a consortium', { skip }, (t) => {
  const network = readFileSync(resolve(repository, 'oracle/NETWORK.md'), 'utf8');
  const [sections] = blocks('yaml consortium', network);
  const [oracle] = blocks('yaml oracle.yaml');
  const alone = oracle!.replace(/^broker:.*\n( .*\n)*/m, '').replace(/^log:.*\n/m, '');
  t.match(readOracle(t, alone + sections!), { quorum: { f: 1, nodes: { length: 4 } }, worker: undefined });
  t.end();
});

t.test('one sensor of each kind: together they are a configuration', (t) => {
  const indent = (text: string, by: number) => text.replaceAll(/^(?=.)/gm, ' '.repeat(by));
  const answer = parseAgentConfig(`
stateDir: /s
passphraseEnv: P
devices:
  - name: TRUCK-7
    sensors:
${indent(blocks('yaml sensors').join(''), 6)}
lines:
${indent(blocks('yaml lines').join(''), 2)}
sensorBroker: { port: 0, credentials: [{ username: T, passwordEnv: P, topics: ['#'] }] }
uplink: { url: 'mqtt://o:1', logPublicKey: '${'ab'.repeat(32)}' }
`);
  t.ok(answer.ok, answer.ok ? 'one of each kind' : answer.detail);
  t.end();
});

t.test('the scenarios are those of the simulator, with their endings', (t) => {
  const rows = [...readme.matchAll(/^\| `([a-z0-9-]+)` \| [^|]+ \| (Cancelled|Settled)(, fault shown)? \|$/gm)];
  t.same(
    rows.map(([, name, order, fault]) => ({ name, order, isFaultShown: fault !== undefined })),
    Object.entries(scenarios).map(([name, { ending }]) => ({
      name,
      order: ending.order,
      isFaultShown: 'sensorFault' in ending,
    })),
  );
  t.end();
});

t.test('the topics of the local broker are those of the agent', (t) => {
  const rows = [...readme.matchAll(/^\| `(agent\/[^`]+)` \| (state|event) \|/gm)].map(([, topic]) => topic);
  t.same(rows, [...agentWide, ...localKinds.map((kind) => formatLocalTopic('{device}', kind))]);
  t.end();
});

t.test('every file that it names exists', (t) => {
  for (const [, path] of readme.matchAll(/[(`]((?:wire|agent|oracle|contracts|test|firmware-sim)\/[\w./-]*)[)`]/g)) {
    if (!path!.includes('NAME') && !agentWide.includes(path!)) t.ok(existsSync(resolve(repository, path!)), path!);
  }
  t.end();
});

t.test('its numbers are those of the committed measurements', (t) => {
  const results = JSON.parse(readFileSync(resolve(repository, 'test/bench/results.json'), 'utf8')) as object;
  const rows = [...readme.matchAll(/^\| [^|]+ \| ([\d.,]+) [^|]*\| `([^`]+)` \|$/gm)];
  t.ok(rows.length >= 6, `${rows.length} figures`);
  for (const [, figure, path] of rows) {
    let value: unknown = results;
    for (const key of path!.split('.')) value = (value as Record<string, unknown>)[key];
    t.equal(Number(figure!.replaceAll(',', '')), value, path!);
  }
  t.end();
});
