/**
 * Sets the stage, as the parties of a shipment would, one after the other:
 *
 *   chain ──> contracts ──> device key, enrolment ──> order placed, accepted, dispatched ──> oracle, agent, simulator
 *
 * Everything is a real part: a chain process, and the programs as shipped, with configuration files of their own and
 * commands of theirs where a person would run one.
 */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatDemonstrationClock, type DemonstrationClock } from '@coldproof/wire';
import { Child, runToEnd } from './children.ts';
import { agentConfig, oracleConfig, ttyGateway, ttyReefer, type Ports } from './configuration.ts';
import { DevelopmentChain } from '../development-chain.ts';
import { freePorts } from './free-ports.ts';
import type { Options } from './options.ts';
import { Parties, type Enrolment } from './parties.ts';

export const truck = 'TRUCK-7';
export const asset = 'CSQU3054383';

/** How long the voyage clock waits for departure, so that every process is up when the first sample is due. */
const departureLeadMs = 3_500;
/** The parties meet on the chain in the hour before departure. */
const chainLeadSec = 3_600;
/** Dispatch is dated this long before departure, and so before the first sample. */
const dispatchLeadSec = 60;

export type Stage = {
  /** State, configuration and logs of every process. */
  readonly dir: string;
  readonly clock: DemonstrationClock;
  readonly chain: DevelopmentChain;
  readonly parties: Parties;
  readonly ports: Ports;
  /** Hex. */
  readonly device: string;
  readonly orderId: bigint;
  readonly children: readonly Child[];
};

type Secrets = Readonly<Record<string, string>>;

export type StageHooks = {
  /** Told of each process as it starts, so that a stage that fails half-way can be cleared. */
  readonly onChild: (child: Child) => void;
  /** Puts a link between agent and oracle that a test can cut; gives the port that the agent dials instead. */
  readonly uplinkPort?: (brokerPort: number) => Promise<number>;
};

/** `dir` is empty and takes everything that the processes write. */
export async function setStage(options: Options, dir: string, hooks: StageHooks): Promise<Stage> {
  const ports = await choosePorts();
  const children: Child[] = [];
  const start = (name: string, command: string, args: readonly string[], env: Secrets = {}): Child => {
    // The development chain keeps its state in memory; everything else is on disk.
    const child = new Child({ name, command, args, env, isIrreplaceable: name === 'chain' }, dir);
    children.push(child);
    hooks.onChild(child);
    return child;
  };

  const voyageStartSec = Math.ceil(Date.now() / 60_000) * 60;
  // States of old blocks beyond these would be kept in the home directory, and stay there after a kill.
  const memory = ['--prune-history', '500'];
  const anvilArgs = ['--port', String(ports.rpc), '--hardfork', 'osaka', '--silent', ...memory];
  const chainStart = ['--timestamp', String(voyageStartSec - chainLeadSec)];
  const chainProcess = start('chain', anvilBinary(), [...anvilArgs, ...chainStart]);
  const chain = new DevelopmentChain(`http://127.0.0.1:${ports.rpc}`);
  await Promise.race([chain.ready(), chainProcess.failed]);
  const parties = await Parties.assemble(chain);

  const uplinkPort = (await hooks.uplinkPort?.(ports.broker)) ?? ports.broker;
  const files = { dir, ports, uplinkPort, isSerial: options.serial };
  const { device, secrets } = await prepareKeys(files, chain, parties);
  await parties.registerTruck(truck);
  const orderId = await parties.place();
  await chain.setNextTime(voyageStartSec - dispatchLeadSec);
  await parties.dispatch(orderId, device, truck);

  const realStartMs = Date.now() + departureLeadMs;
  const clock = { voyageStartMs: voyageStartSec * 1_000, realStartMs, speed: options.speed };
  const environment = { ...secrets, COLDPROOF_DEMONSTRATION_CLOCK: formatDemonstrationClock(clock) };
  if (options.serial) start('serial', 'socat', [ptyLink(join(dir, ttyGateway)), ptyLink(join(dir, ttyReefer))]);
  start('oracle', process.execPath, [programOf('oracle'), '--config', join(dir, 'oracle.yaml')], environment);
  start('agent', process.execPath, [programOf('agent'), '--config', join(dir, 'agent.yaml')], environment);
  start('simulator', process.execPath, [programOf('firmware-sim'), ...simulatorArgs(options, ports, dir)], environment);
  return { dir, clock, chain, parties, ports, device, orderId, children };
}

async function choosePorts(): Promise<Ports> {
  const names = ['rpc', 'broker', 'oracleHttp', 'sensorBroker', 'agentHttp'] as const;
  const free = await freePorts(names.length);
  return Object.fromEntries(names.map((name, i) => [name, free[i]])) as Ports;
}

/** Makes every key with the program that will hold it, and writes the configuration files. */
async function prepareKeys(
  files: { readonly dir: string; readonly ports: Ports; readonly uplinkPort: number; readonly isSerial: boolean },
  chain: DevelopmentChain,
  parties: Parties,
): Promise<{ device: string; secrets: Secrets }> {
  const { dir, ports } = files;
  const names = ['COLDPROOF_PASSPHRASE', 'UPLINK_PASSWORD', 'SENSOR_PASSWORD'];
  const secrets = Object.fromEntries(names.map((name) => [name, randomBytes(18).toString('hex')]));
  const agentFile = join(dir, 'agent.yaml');
  const oracleFile = join(dir, 'oracle.yaml');
  const ofAgent = { ...files, truck };
  // keygen asks for a whole configuration; the log's key is known only once the oracle has made it, below.
  writeFileSync(agentFile, agentConfig({ ...ofAgent, logPublicKey: '00'.repeat(32) }));
  const { device } = await runJson('agent', ['keygen', '--config', agentFile, '--device', truck], secrets);
  const consent = ['--registry', parties.contracts.DeviceRegistry.address, '--owner', parties.address('carrier')];
  const target = ['--device', truck, '--asset', asset, '--chain-id', String(chain.chainId), ...consent];
  const enrolment = await runJson('agent', ['enrol', '--config', agentFile, ...target], secrets);
  await parties.enrol(enrolment as Enrolment, asset);

  const ofOracle = { dir, ports, rpcUrl: chain.rpcUrl, chainId: chain.chainId, contracts: parties.contracts };
  writeFileSync(oracleFile, oracleConfig({ ...ofOracle, device: device! }));
  const made = await runJson('oracle', ['init', '--config', oracleFile], secrets);
  writeFileSync(agentFile, agentConfig({ ...ofAgent, logPublicKey: made['logPublicKey']! }));
  await chain.setWeiBalance(made['transmitter']!, 10n ** 18n);
  return { device: device!, secrets };
}

function simulatorArgs({ scenario, seed, serial }: Options, ports: Ports, dir: string): string[] {
  const broker = ['--broker', `mqtt://127.0.0.1:${ports.sensorBroker}`, '--username', truck];
  const args = ['--scenario', scenario, '--seed', String(seed), '--truck', truck, ...broker];
  return [
    ...args,
    '--password-env',
    'SENSOR_PASSWORD',
    '--catch-up-sec',
    '3600',
    ...(serial ? ['--serial', join(dir, ttyReefer)] : []),
  ];
}

/** Runs a command of one of the programs and reads the one JSON object that it prints. */
async function runJson(program: string, args: readonly string[], env: Secrets): Promise<Record<string, string>> {
  const spec = { name: `${program} ${args[0]}`, command: process.execPath, args: [programOf(program), ...args], env };
  return JSON.parse(await runToEnd(spec)) as Record<string, string>;
}

/** The other programs are started, never imported. */
export function programOf(name: string): string {
  return fileURLToPath(new URL(`../../../${name}/dist/main.js`, import.meta.url));
}

function ptyLink(path: string): string {
  return `pty,raw,echo=0,link=${path}`;
}

/** The platform's own binary: the wrapper script that npm puts on the path would outlive a signal to it. */
function anvilBinary(): string {
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const name = `@foundry-rs/anvil-${process.platform}-${architecture}/package.json`;
  const suffix = process.platform === 'win32' ? '.exe' : '';
  return join(dirname(createRequire(import.meta.url).resolve(name)), 'bin', `anvil${suffix}`);
}
