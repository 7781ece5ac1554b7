/**
 * A development chain of its own for a test: anvil on a free port, on the hard fork asked for, with a clock that tests
 * set.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import type { Readable } from 'node:stream';
import { dirname, join } from 'node:path';
import {
  Contract,
  ContractFactory,
  FetchRequest,
  JsonRpcProvider,
  type JsonRpcApiProvider,
  Network,
  toQuantity,
  type EventFragment,
  type Interface,
  type InterfaceAbi,
  type JsonRpcSigner,
} from 'ethers';
import { loadArtifact, type ArtifactName, type EventOf, type MethodOf } from '@coldproof/contracts';
import { connectIpc } from './chain-ipc.ts';
import { coverageFolder, TracedProvider } from './traced-provider.ts';

/** Osaka has the P-256 precompile of EIP-7951; on Prague the contracts fall back to Solidity. */
export type HardFork = 'osaka' | 'prague';

const chainId = 31_337;
const startedMsMax = 20_000;
const accountCount = 16;
const receiptPollMs = 5;
/** More than any transaction here takes. An estimate would run each of them a dozen times. */
const gasLimitPlain = 16_000_000n;

export type Chain = {
  readonly url: string;
  readonly chainId: number;
  readonly provider: JsonRpcProvider;
  /** Account `index` of anvil's, unlocked and rich. */
  account(index: number): Promise<JsonRpcSigner>;
  /** Unix seconds of the latest block. */
  nowSec(): Promise<number>;
  /** The next block, by a transaction or by mine, has this time. It must be after the latest block's. */
  setNextTime(timeSec: number): Promise<void>;
  /** Mines one empty block at this time; eth_call then sees it as now. */
  mineAt(timeSec: number): Promise<void>;
  snapshot(): Promise<string>;
  /** Back to a snapshot, which is used up by it. */
  revert(snapshot: string): Promise<void>;
  stop(): Promise<void>;
};

export async function startChain({
  hardFork = 'osaka',
  startSec,
}: { hardFork?: HardFork; startSec?: number } = {}): Promise<Chain> {
  const args = ['--host', '127.0.0.1', '--port', '0', '--hardfork', hardFork, '--chain-id', String(chainId)];
  // States of old blocks beyond these would be kept in the home directory, and stay there after a kill.
  args.push('--prune-history', '500');
  args.push('--accounts', String(accountCount));
  if (startSec !== undefined) args.push('--timestamp', String(startSec));
  // Contracts with marks in them are larger than a chain takes.
  if (coverageFolder !== undefined) args.push('--disable-code-size-limit', '--gas-limit', '1000000000');
  const folder = mkdtempSync(join(tmpdir(), 'coldproof-chain-'));
  args.push('--ipc', join(folder, 'ipc'));
  const child = spawn(anvilBinary(), args, { stdio: ['ignore', 'pipe', 'inherit'] });
  // A test that crashes before its teardown leaves no chain behind.
  const kill = (): void => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  process.once('exit', kill);
  const url = `http://127.0.0.1:${await listeningPort(child)}`;
  const network = Network.from(chainId);
  const options = { cacheTimeout: -1, batchMaxCount: 1, staticNetwork: network };
  const ipc = await connectIpc(join(folder, 'ipc'));
  const request = new FetchRequest(url);
  request.getUrlFunc = ipc.getUrl;
  const provider =
    coverageFolder === undefined
      ? new JsonRpcProvider(request, network, options)
      : new TracedProvider(coverageFolder, request, network, options);
  provider.pollingInterval = 50;
  const nowSec = async (): Promise<number> => (await provider.getBlock('latest'))!.timestamp;
  return {
    url,
    chainId,
    provider,
    account: (index) => provider.getSigner(index),
    nowSec,
    setNextTime: async (timeSec) => {
      await provider.send('evm_setNextBlockTimestamp', [timeSec]);
    },
    mineAt: async (timeSec) => {
      await provider.send('evm_setNextBlockTimestamp', [timeSec]);
      await provider.send('evm_mine', []);
    },
    snapshot: () => provider.send('evm_snapshot', []) as Promise<string>,
    revert: async (snapshot) => {
      await provider.send('evm_revert', [snapshot]);
    },
    stop: async () => {
      provider.destroy();
      ipc.close();
      process.off('exit', kill);
      const exited = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
      kill();
      await exited;
    },
  };
}

/** The native binary itself: npm's wrapper script would stay between a test and the process that it must stop. */
function anvilBinary(): string {
  const name = `anvil-${process.platform}-${process.arch === 'x64' ? 'amd64' : process.arch}`;
  const require = createRequire(import.meta.url);
  const file = process.platform === 'win32' ? 'anvil.exe' : 'anvil';
  return join(dirname(require.resolve(`@foundry-rs/${name}/package.json`)), 'bin', file);
}

/** anvil says where it listens once it does; the stream is drained to the end, or a full pipe would stop it. */
function listeningPort(child: ChildProcessByStdio<null, Readable, null>): Promise<number> {
  return new Promise((resolve, reject) => {
    const deadline = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`anvil: not listening after ${startedMsMax} ms`));
    }, startedMsMax);
    child.once('error', reject);
    child.once('exit', (code) => {
      clearTimeout(deadline);
      reject(new Error(`anvil: exited with ${String(code)} before it listened`));
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      const port = /^Listening on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
      if (port === undefined) return;
      clearTimeout(deadline);
      resolve(Number(port));
    });
  });
}

declare const artifact: unique symbol;
/** A contract of a known artifact: the names of its methods and events are checked by the compiler. */
export type Deployed<Name extends ArtifactName = ArtifactName> = Contract & { readonly [artifact]?: Name };

/** ABI entries are JSON to us, and typed by ethers when it reads them. */
export function abiOf(name: ArtifactName): InterfaceAbi {
  return loadArtifact(name).abi;
}

/** Deploys an artifact and waits until it stands. */
export async function deploy<Name extends ArtifactName>(
  by: JsonRpcSigner,
  name: Name,
  args: readonly unknown[] = [],
): Promise<Deployed<Name>> {
  const { bytecode } = loadArtifact(name);
  const deployed = await new ContractFactory(abiOf(name), bytecode, by).deploy(...args);
  await receiptOf(by.provider, deployed.deploymentTransaction()!.hash);
  return new Contract(await deployed.getAddress(), abiOf(name), by);
}

/** `target` may be a name or a promise to ethers; here it is always an address. */
export function addressOf(contract: Contract): string {
  if (typeof contract.target !== 'string') throw new TypeError('the contract has no plain address');
  return contract.target;
}

export type FleetName = 'Fleet' | 'MoodyFleet' | 'RelapsingFleet';
export type TokenName = 'TestToken' | 'FalseToken' | 'FeeToken' | 'FrozenToken' | 'ReentrantToken';

/** The artifacts that each contract of a deployment may be of. */
export type DeploymentNames = {
  manager: 'AccessManager';
  registry: 'DeviceRegistry';
  fleet: FleetName;
  cryptlets: 'CryptletRegistry';
  agreements: 'Agreements';
  shipments: 'Shipments';
  token: TokenName;
};
export type Deployment = { readonly [Key in keyof DeploymentNames]: Deployed<DeploymentNames[Key]> };

/** Roles of the AccessManager, which has 0 for its admin. Shipments alone reports to the Fleet. */
export const roles = { reporter: 1n, guardian: 2n, approver: 3n, risk: 6n } as const;

/** All contracts, wired as in a real deployment, by account 0. `fleetName` and `tokenName` put a hostile one in. */
export async function deployAll(
  chain: Chain,
  { fleetName = 'Fleet', tokenName = 'TestToken' }: { fleetName?: FleetName; tokenName?: TokenName } = {},
): Promise<Deployment> {
  const deployer = await chain.account(0);
  const manager = await deploy(deployer, 'AccessManager', [deployer.address]);
  const registry = await deploy(deployer, 'DeviceRegistry');
  const fleet = await deploy(deployer, fleetName, [manager.target]);
  const cryptlets = await deploy(deployer, 'CryptletRegistry');
  const agreements = await deploy(deployer, 'Agreements', [cryptlets.target]);
  const parts = [manager.target, agreements.target, registry.target, fleet.target];
  const shipments = await deploy(deployer, 'Shipments', parts);
  const token = await deploy(deployer, tokenName);
  const restrict = (target: Contract, methods: readonly string[], role: bigint): Promise<Sent> => {
    const selectors = methods.map((each) => target.interface.getFunction(each)!.selector);
    return send(manager, 'setTargetFunctionRole', [target.target, selectors, role]);
  };
  await restrict(fleet, ['openTicket'], roles.reporter);
  await restrict(shipments, ['pause', 'unpause'], roles.guardian);
  await restrict(shipments, ['approveHeld'], roles.approver);
  await restrict(shipments, ['setBreaker'], roles.risk);
  await send(manager, 'grantRole', [roles.reporter, shipments.target, 0]);
  return { manager, registry, fleet, cryptlets, agreements, shipments, token };
}

export type Sent<Name extends ArtifactName = ArtifactName> = {
  readonly hash: string;
  readonly gasUsed: bigint;
  /** Events of the called contract, by name, in order. */
  readonly events: readonly { readonly name: EventOf<Name>; readonly args: Record<string, unknown> }[];
};

/** Sends a transaction and waits until it is mined. Throws the revert as `RevertError`. */
export async function send<Name extends ArtifactName>(
  contract: Deployed<Name>,
  method: MethodOf<Name>,
  args: readonly unknown[] = [],
  { by, gasLimit }: { by?: JsonRpcSigner; gasLimit?: bigint } = {},
): Promise<Sent<Name>> {
  const runner = by ?? (contract.runner as JsonRpcSigner);
  try {
    const data = contract.interface.encodeFunctionData(method, args);
    const gas = toQuantity(gasLimit ?? gasLimitPlain);
    const transaction = { from: runner.address, to: addressOf(contract), data, gas };
    // Called first, for the reason of a refusal, which a receipt does not have.
    if (gasLimit === undefined) await runner.provider.send('eth_call', [transaction, 'pending']);
    const hash = (await runner.provider.send('eth_sendTransaction', [transaction])) as string;
    const { status, gasUsed, logs } = await receiptOf(runner.provider, hash);
    // Nothing was called first.
    if (BigInt(status) === 0n) throw new RevertError('(mined as reverted)', []);
    const address = addressOf(contract).toLowerCase();
    const ours = logs.filter((log) => log.address === address);
    return { hash, gasUsed: BigInt(gasUsed), events: ours.flatMap((log) => eventOf<Name>(contract.interface, log)) };
  } catch (error) {
    throw readRevert(contract.interface, error) ?? error;
  }
}

type Log = { readonly address: string; readonly topics: readonly string[]; readonly data: string };
type Receipt = { readonly status: string; readonly gasUsed: string; readonly logs: readonly Log[] };

/** Asks until it is there: ethers' own wait() is for a new block, and a chain gone back to a snapshot may have none. */
async function receiptOf(provider: JsonRpcApiProvider, hash: string): Promise<Receipt> {
  for (;;) {
    const receipt = (await provider.send('eth_getTransactionReceipt', [hash])) as Receipt | null;
    if (receipt !== null) return receipt;
    await wait(receiptPollMs);
  }
}

/** By topic, of each ABI: ethers hashes the names of all of its events for each log. */
const eventsOf = new WeakMap<Interface, ReadonlyMap<string, EventFragment>>();

function eventOf<Name extends ArtifactName>(abi: Interface, { topics, data }: Log): Sent<Name>['events'] {
  let events = eventsOf.get(abi);
  if (events === undefined) {
    const all: [string, EventFragment][] = [];
    abi.forEachEvent((event) => all.push([event.topicHash, event]));
    events = new Map(all);
    eventsOf.set(abi, events);
  }
  const event = events.get(topics[0] ?? '');
  if (event === undefined) return [];
  const args = abi.decodeEventLog(event, data, topics).toObject() as Record<string, unknown>;
  return [{ name: event.name as EventOf<Name>, args }];
}

/** Calls without a transaction, from `by`. Throws the revert as `RevertError`. */
export async function call<Name extends ArtifactName>(
  contract: Deployed<Name>,
  method: MethodOf<Name>,
  args: readonly unknown[] = [],
  { by, gasLimit }: { by?: JsonRpcSigner; gasLimit?: bigint } = {},
): Promise<unknown> {
  const runner = by ?? (contract.runner as JsonRpcSigner);
  try {
    const fragment = contract.interface.getFunction(method)!;
    const data = contract.interface.encodeFunctionData(fragment, args);
    const gas = gasLimit === undefined ? {} : { gas: toQuantity(gasLimit) };
    const transaction = { from: runner.address, to: addressOf(contract), data, ...gas };
    const answer = (await runner.provider.send('eth_call', [transaction, 'latest'])) as string;
    const results = contract.interface.decodeFunctionResult(fragment, answer);
    return results.length === 1 ? results[0] : results;
  } catch (error) {
    throw readRevert(contract.interface, error) ?? error;
  }
}

/**
 * A revert by its custom error's name. The contract's ABI lists all that can come out of it, but for OpenZeppelin's.
 */
export class RevertError extends Error {
  readonly reason: string;
  readonly args: readonly unknown[];

  constructor(reason: string, args: readonly unknown[]) {
    super(`${reason}(${args.map(String).join(', ')})`);
    this.reason = reason;
    this.args = args;
  }
}

/** The revert that a call or a transaction ends in, or undefined when it goes through. */
export async function refusal(promise: Promise<unknown>): Promise<RevertError | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    if (error instanceof RevertError) return error;
    throw error;
  }
}

function readRevert(abi: Interface, error: unknown): RevertError | undefined {
  const bytes = revertBytes(error);
  if (bytes === undefined) return undefined;
  if (bytes === '0x') return new RevertError('(no reason)', []);
  const parsed = abi.parseError(bytes);
  return parsed === null
    ? new RevertError(`(unknown ${bytes.slice(0, 10)})`, [])
    : new RevertError(parsed.name, parsed.args.toArray() as unknown[]);
}

/** ethers hides the revert's bytes at another depth for a call, an estimate and a send. */
function revertBytes(error: unknown): string | undefined {
  for (let depth = 0, at = error; depth < 6 && typeof at === 'object' && at !== null; depth++) {
    const { data, info, error: inner } = at as { data?: unknown; info?: unknown; error?: unknown };
    if (typeof data === 'string' && data.startsWith('0x')) return data;
    at = info ?? inner ?? data;
  }
  return undefined;
}
