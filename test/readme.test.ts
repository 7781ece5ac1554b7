/** The README is executed: commands exist, configuration files are accepted, tables say what the programs say. */
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parseConfig as parseAgentConfig } from '@coldproof/agent/config';
import { agentWide, formatLocalTopic, localKinds } from '@coldproof/agent/local-topic';
import { readConfig as readOracleConfig } from '@coldproof/oracle/config';
import { scenarios } from '@coldproof/firmware-sim/scenario';

const repository = resolve(fileURLToPath(new URL('../..', import.meta.url)));
const readme = readFileSync(resolve(repository, 'README.md'), 'utf8');

function blocks(language: string): string[] {
  return [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(([, body]) => body!);
}

t.test('every npm command is a script, every program exists', (t) => {
  const { scripts } = JSON.parse(readFileSync(resolve(repository, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const commands = blocks('sh').join('\n');
  for (const [, run, name] of commands.matchAll(/npm (run )?([a-z:]+)/g)) {
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
  const [oracle] = blocks('yaml oracle.yaml');
  const environment = { UPLINK_PASSWORD: 'x'.repeat(16), COLDPROOF_PASSPHRASE: 'x'.repeat(16) };
  const folder = t.testdir({ 'oracle.yaml': oracle! });
  t.doesNotThrow(() => readOracleConfig(resolve(folder, 'oracle.yaml'), environment));
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
