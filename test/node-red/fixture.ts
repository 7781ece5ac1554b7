/** Node-RED's own test runtime with our nodes in it, as its loader would find them, and a real agent beside. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { realClock, type Clock } from '@coldproof/agent/clock';
import type { AgentConfig } from '@coldproof/agent/config';
import type { RunningAgent } from '@coldproof/agent/agent';
import { freePort } from '@coldproof/oracle/demonstration/free-ports';
import { makeKey, mustParse, sensorPassword, startTruck, StubOracle, temporaryFolder } from '../agent/fixture.ts';
import { truckYaml, until } from '../agent/fixture.ts';

const require = createRequire(import.meta.url);

export const packageFolder = fileURLToPath(new URL('../../../agent/node-red/', import.meta.url));

export type NodePackage = {
  readonly name: string;
  readonly license: string;
  readonly keywords: readonly string[];
  readonly repository: object;
  readonly bugs: object;
  readonly engines: { readonly node: string };
  readonly files: readonly string[];
  readonly dependencies: { readonly [name: string]: string };
  readonly 'node-red': { readonly version: string; readonly nodes: { readonly [type: string]: string } };
};

export const nodePackage = JSON.parse(readFileSync(resolve(packageFolder, 'package.json'), 'utf8')) as NodePackage;

export type FlowMessage = { [property: string]: unknown };
export type FlowStatus = { fill: string; shape: string; text: string };

export type FlowNode = {
  receive(message: FlowMessage): void;
  on(event: 'input', listener: (message: FlowMessage) => void): void;
  on(event: 'call:status' | 'call:error' | 'call:warn', listener: (call: { args: unknown[] }) => void): void;
};

type Register = (red: unknown) => void;
type Flow = readonly { readonly [field: string]: unknown }[];

type NodeTestHelper = {
  init(runtime: string): void;
  load(nodes: Register[], flow: Flow, credentials: object): Promise<void>;
  unload(): Promise<void>;
  getNode(id: string): FlowNode;
  request(): { get(path: string): Promise<{ status: number; body: unknown }> };
};

export const testHelper = require('node-red-node-test-helper') as NodeTestHelper;
testHelper.init(require.resolve('node-red'));

/** As Node-RED's loader takes them: by the package's list, the default export of each. */
const registers = Object.values(nodePackage['node-red'].nodes).map(
  (file) => (require(resolve(packageFolder, file)) as { default: Register }).default,
);

export const credentials = { agent: { username: 'node-red', password: sensorPassword } };

/** `flow` beside a coldproof-agent called "agent". Everything is unloaded when the test ends. */
export async function load(t: Test, port: number, flow: Flow, login: object = credentials): Promise<void> {
  let isLoaded = true;
  const agent = { id: 'agent', type: 'coldproof-agent', name: '', host: '127.0.0.1', port: String(port) };
  // What has no place on a tab is taken for a configuration node.
  const placed = flow.map((node) => ({ ...node, z: 'tab', x: 0, y: 0 }));
  await testHelper.load(registers, [{ id: 'tab', type: 'tab', label: '' }, agent, ...placed], login);
  t.teardown(() => (isLoaded ? testHelper.unload() : undefined));
  unloadNow = async () => {
    isLoaded = false;
    await testHelper.unload();
  };
}

/** Of the flow that was loaded last. */
export let unloadNow: () => Promise<void> = () => Promise.resolve();

/** What a node says of itself, and what reaches it. */
export function watch(id: string): { messages: FlowMessage[]; statuses: FlowStatus[]; text: () => string } {
  const messages: FlowMessage[] = [];
  const statuses: FlowStatus[] = [];
  const node = testHelper.getNode(id);
  node.on('input', (message) => messages.push(message));
  node.on('call:status', ({ args }) => statuses.push(args[0] as FlowStatus));
  return { messages, statuses, text: () => statuses.at(-1)?.text ?? '' };
}

export type Truck = {
  readonly oracle: StubOracle;
  readonly config: AgentConfig;
  /** Starts the agent, on the port of the first start. */
  start(): Promise<RunningAgent>;
  readonly port: number;
};

/** One truck with a probe and a door, and a user `node-red` that may send for it and read it. */
/** `ofDevice` is put into its mapping. */
export async function openTruck(t: Test, clock: Clock = realClock, ofDevice = ''): Promise<Truck> {
  const stateDir = temporaryFolder(t);
  const keyStore = makeKey(stateDir);
  const oracle = new StubOracle();
  oracle.trust(keyStore);
  await oracle.start();
  t.teardown(() => oracle.stop());
  const user = '    - { username: node-red, passwordEnv: NODE_RED, topics: [sensors/TRUCK-7], reads: [TRUCK-7] }\n';
  const port = await freePort();
  const yaml = truckYaml(stateDir, { oraclePort: oracle.port, logPublicKey: oracle.logKey.publicKey })
    .replace('uplink:', `${user}uplink:`)
    .replace('    sensors:\n', `${ofDevice}    sensors:\n`)
    .replace('  port: 0', `  port: ${port}`);
  const config = mustParse(yaml);
  const started: RunningAgent[] = [];
  t.teardown(() => Promise.all(started.map((agent) => agent.stop())));
  const start = async () => {
    const { agent } = await startTruck(config, clock);
    started.push(agent);
    return agent;
  };
  return { oracle, config, start, port };
}

export { until };
