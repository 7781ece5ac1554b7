/**
 * Node-RED 4.1 as a gateway has it: a process with our package in its palette folder, the agent as another one, a flow
 * whose injected samples end at the oracle, sealed, with a receipt that the flow sees.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { freePort } from '@coldproof/oracle/demonstration/free-ports';
import { bytesToHex } from '@coldproof/wire';
import {
  makeKey,
  passphrase,
  sensorPassword,
  StubOracle,
  temporaryFolder,
  truckYaml,
  until,
} from '../agent/fixture.ts';
import { nodePackage, packageFolder } from '../node-red/fixture.ts';

const require = createRequire(import.meta.url);
const red = require.resolve('node-red/red.js');
const agentMain = fileURLToPath(import.meta.resolve('@coldproof/agent/main'));
const token = 'token-for-tests';

/** What README's section on Node-RED says, for a machine that has no way out. */
const settings = (port: number) => `module.exports = {
  uiHost: '127.0.0.1', uiPort: ${port}, flowFile: 'flows.json', credentialSecret: 'a secret for tests',
  adminAuth: { type: 'credentials', users: [],
    tokens: async (given) => given === '${token}' ? { username: 'test', permissions: '*' } : null },
  telemetry: { enabled: false, updateNotification: false }, editorTheme: { tours: false },
  externalModules: { autoInstall: false, palette: { allowInstall: false, allowUpload: false } },
};`;

/** An example's inject and sample nodes, with a function between that makes a voyage of one message. */
const flow = (brokerPort: number) => [
  { id: 'tab', type: 'tab', label: 'test' },
  { id: 'agent', type: 'coldproof-agent', host: '127.0.0.1', port: String(brokerPort) },
  node('inject', 'inject', [['make']], { props: [{ p: 'payload' }], payload: '4', payloadType: 'num' }),
  node('make', 'function', [['sample']], {
    func: `const round = flow.get('round') || 0; flow.set('round', round + 1);
      const startMs = Math.floor(Date.now() / 1000) * 1000 - 50000;
      for (let i = 0; i < 20; i++) node.send({ payload: round * 20 + i, time: startMs + i * 1000 });`,
    outputs: 1,
  }),
  node('sample', 'coldproof-sample', [['count']], { agent: 'agent', channel: 'cargo-probe-1', unit: 'Cel' }),
  node('count', 'function', [[]], { func: `flow.set('journaled', (flow.get('journaled') || 0) + 1);`, outputs: 1 }),
  node('queue', 'coldproof-queue', [[], ['keep']], { agent: 'agent' }),
  node('alarms', 'coldproof-alarms', [['keep']], { agent: 'agent' }),
  node('readings', 'coldproof-readings', [['keep']], { agent: 'agent' }),
  node('keep', 'function', [[]], {
    func: `flow.set('kept', [...(flow.get('kept') || []), { topic: msg.topic, payload: msg.payload }]);`,
    outputs: 1,
  }),
  node('in', 'http in', [['answer']], { url: '/seen', method: 'get' }),
  node('answer', 'function', [['out']], {
    func: `msg.payload = { journaled: flow.get('journaled') || 0, kept: flow.get('kept') || [] }; return msg;`,
    outputs: 1,
  }),
  node('out', 'http response', [], {}),
];

function node(id: string, type: string, wires: string[][], settings: object) {
  return { id, type, z: 'tab', x: 0, y: 0, wires, ...settings };
}

type Seen = { journaled: number; kept: { topic: string; payload: unknown }[] };

class NodeRed {
  readonly #base: string;

  constructor(port: number) {
    this.#base = `http://127.0.0.1:${port}`;
  }

  /** In a new folder, with the package linked in as `npm install FOLDER` does. */
  static async start(t: Test): Promise<NodeRed> {
    const userDir = temporaryFolder(t);
    const scope = join(userDir, 'node_modules', '@coldproof');
    mkdirSync(scope, { recursive: true });
    symlinkSync(packageFolder, join(userDir, 'node_modules', nodePackage.name));
    const dependencies = { [nodePackage.name]: `file:${packageFolder}` };
    writeFileSync(join(userDir, 'package.json'), JSON.stringify({ name: 'gateway', version: '0.0.1', dependencies }));
    const port = await freePort();
    writeFileSync(join(userDir, 'settings.js'), settings(port));
    const child = spawn(process.execPath, [red, '--userDir', userDir], { stdio: ['ignore', 'pipe', 'pipe'] });
    t.teardown(() => end(child));
    const lines: string[] = [];
    for (const input of [child.stdout, child.stderr]) createInterface({ input }).on('line', (line) => lines.push(line));
    const isUp = () => lines.some((line) => line.includes('Started flows'));
    await until(() => isUp() || child.exitCode !== null, 'Node-RED is up', 60_000);
    if (!isUp()) throw new Error(lines.join('\n'));
    return new NodeRed(port);
  }

  request(path: string, body?: object, headers: { [name: string]: string } = {}): Promise<Response> {
    const authorization = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const sent = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
    return fetch(`${this.#base}${path}`, { ...sent, headers: { ...authorization, ...headers } });
  }

  async seen(): Promise<Seen> {
    return (await (await this.request('/seen')).json()) as Seen;
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
}

async function startAgent(t: Test, file: string): Promise<ChildProcess> {
  const secrets = { COLDPROOF_PASSPHRASE: passphrase, SENSOR_PASSWORD: sensorPassword, NODE_RED: sensorPassword };
  const child = spawn(process.execPath, [agentMain, '--config', file], {
    env: { ...process.env, ...secrets },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.teardown(() => end(child));
  let isUp = false;
  createInterface({ input: child.stderr }).on('line', (line) => {
    isUp ||= (JSON.parse(line) as { event: string }).event === 'started';
  });
  await until(() => isUp || child.exitCode !== null, 'the agent is up');
  return child;
}

/** Polls, since the answers are another process's. */
async function untilSeen(nodeRed: NodeRed, condition: (seen: Seen) => boolean, what: string): Promise<Seen> {
  for (const startedMs = performance.now(); ;) {
    const seen = await nodeRed.seen();
    if (condition(seen)) return seen;
    if (performance.now() - startedMs > 20_000) throw new Error(`${what}: ${JSON.stringify(seen).slice(0, 500)}`);
  }
}

t.test('samples injected in a flow are sealed and get their receipts, over a restart of the agent', async (t) => {
  const stateDir = temporaryFolder(t);
  const keyStore = makeKey(stateDir);
  const oracle = new StubOracle();
  oracle.trust(keyStore);
  await oracle.start();
  t.teardown(() => oracle.stop());
  const brokerPort = await freePort();
  const file = join(temporaryFolder(t), 'agent.yaml');
  const user = '    - { username: node-red, passwordEnv: NODE_RED, topics: [sensors/TRUCK-7], reads: [TRUCK-7] }\n';
  const yaml = truckYaml(stateDir, { oraclePort: oracle.port, logPublicKey: oracle.logKey.publicKey });
  writeFileSync(file, yaml.replace('uplink:', `${user}uplink:`).replace('  port: 0', `  port: ${brokerPort}`));
  const agent = await startAgent(t, file);
  const nodeRed = await NodeRed.start(t);

  const palette = await (await nodeRed.request('/nodes', undefined, { accept: 'application/json' })).json();
  const ours = (palette as { module: string; err?: string; types: string[] }[]).filter(
    ({ module }) => module === nodePackage.name,
  );
  t.same(ours.flatMap(({ types }) => types).sort(), Object.keys(nodePackage['node-red'].nodes).sort());
  t.ok(ours.every(({ err }) => err === undefined));
  t.equal((await nodeRed.request('/flows', undefined, { authorization: '' })).status, 401, 'a stranger reads no flow');

  const credentials = { agent: { username: 'node-red', password: sensorPassword } };
  const deployed = await nodeRed.request(
    '/flows',
    { flows: flow(brokerPort), credentials },
    { 'Node-RED-API-Version': 'v2', 'Node-RED-Deployment-Type': 'full' },
  );
  t.equal(deployed.status, 200);
  // Node-RED answers a deployment before it has started the flow: until then it knows no such node.
  const inject = async () => {
    for (const startedMs = performance.now(); ;) {
      const { status } = await nodeRed.request('/inject/inject', {});
      if (status !== 404 || performance.now() - startedMs > 20_000) return t.equal(status, 200);
    }
  };
  await inject();
  await untilSeen(nodeRed, ({ journaled }) => journaled === 20, 'twenty journaled');
  const isReceipt = ({ payload }: Seen['kept'][number]) => Object.hasOwn(Object(payload) as object, 'digest');
  await untilSeen(nodeRed, ({ kept }) => kept.filter(isReceipt).length === 4, 'four receipts');
  const exited = once(agent, 'exit');
  agent.kill('SIGTERM');
  await exited;
  await untilSeen(nodeRed, ({ kept }) => JSON.stringify(kept).includes('"agent-away","raised":true'), 'the alarm');
  await startAgent(t, file);
  await untilSeen(nodeRed, ({ kept }) => JSON.stringify(kept).includes('"agent-away","raised":false'), 'its end');

  const chain = oracle.stored.get(bytesToHex(keyStore.device()))!;
  const values = chain.flatMap(({ series }) => series.flatMap(({ samples }) => samples.map(({ value }) => value)));
  // The first has no mark, the others rise a degree each second and are spikes: one batch of 1, three of 5, 4 wait.
  t.same(
    values,
    Array.from({ length: 16 }, (_, i) => 100 * i),
    'every sample, once, in order',
  );
  const { kept } = await nodeRed.seen();
  const readings = kept.filter(({ topic, payload }) => topic.endsWith('cargo-probe-1') && typeof payload === 'number');
  t.same(
    readings.map(({ payload }) => payload),
    Array.from({ length: 20 }, (_, i) => i),
    'and each was shown to the flow',
  );
});
