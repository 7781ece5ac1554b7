/** A development chain for a test, with the contracts, one device and one order in transit. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Interface } from 'ethers';
import { loadArtifact } from '@coldproof/contracts';
import { bytesToHex, cargoProbe, encodeEnrolment, enrolmentPreimage, hexToBytes, type Limit } from '@coldproof/wire';
import type { ChainStruct, ChainValue } from '@coldproof/oracle/chain-abi';
import { agree } from '@coldproof/oracle/demonstration/agreement';
import { freePort } from '@coldproof/oracle/demonstration/free-ports';
import { DevelopmentChain, type DeployedContract } from '@coldproof/oracle/development-chain';
import { VoyageDevice } from '../helpers/voyage-device.ts';

export const chainStartSec = 1_767_225_600;

export const terms = {
  channel: cargoProbe(1),
  lowerLimitCentiC: 200,
  upperLimitCentiC: 800,
  excursionSecMin: 900,
  sampleGapSecMax: 150,
  cumulativeSecMin: 0,
} as const satisfies Limit;

export class Anvil {
  readonly chain: DevelopmentChain;
  readonly port: number;
  readonly #process: ChildProcess;

  private constructor(port: number, child: ChildProcess) {
    this.port = port;
    this.#process = child;
    this.chain = new DevelopmentChain(`http://127.0.0.1:${port}`);
  }

  /** A block's finality lags by one and two blocks, so that a test can reach it. */
  static async start(args: readonly string[] = []): Promise<Anvil> {
    const port = await freePort();
    const platform = `@foundry-rs/anvil-${process.platform}-${process.arch === 'x64' ? 'amd64' : process.arch}`;
    const folder = dirname(createRequire(import.meta.url).resolve(`${platform}/package.json`));
    const fixed = ['--silent', '--port', String(port), '--hardfork', 'osaka', '--timestamp', String(chainStartSec)];
    // No states of old blocks in the home directory.
    fixed.push('--prune-history', '500');
    const child = spawn(join(folder, 'bin', 'anvil'), [...fixed, ...args], { stdio: 'ignore' });
    const anvil = new Anvil(port, child);
    await anvil.chain.ready();
    return anvil;
  }

  async stop(): Promise<void> {
    this.chain.close();
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill('SIGKILL');
    await once(this.#process, 'exit');
  }
}

type ContractName = 'TestToken' | 'DeviceRegistry' | 'Agreements' | 'Fleet' | 'Shipments';

export type World = {
  readonly anvil: Anvil;
  readonly contracts: Readonly<Record<ContractName, DeployedContract>>;
  readonly device: VoyageDevice;
};

const price = 1_000_000n;
export const pallets = 24;
const truck = `0x${Buffer.from('TRUCK-7').toString('hex').padEnd(64, '0')}`;
const reporterRole = 1;

/** Deploys all and enrols the device. Accounts: 0 deployer, 1 buyer, 2 and 3 suppliers, 4 carrier. */
export async function makeWorld(seed = 1, anvilArgs: readonly string[] = []): Promise<World> {
  const anvil = await Anvil.start(anvilArgs);
  const { chain } = anvil;
  const deployer = chain.account(0);
  const TestToken = await chain.deploy(deployer, 'TestToken');
  const DeviceRegistry = await chain.deploy(deployer, 'DeviceRegistry');
  const manager = await chain.deploy(deployer, 'AccessManager', [deployer.address]);
  const Fleet = await chain.deploy(deployer, 'Fleet', [manager.address]);
  const CryptletRegistry = await chain.deploy(deployer, 'CryptletRegistry');
  const Agreements = await chain.deploy(deployer, 'Agreements', [CryptletRegistry.address]);
  const parts = [manager, Agreements, DeviceRegistry, Fleet].map(({ address }) => address);
  const Shipments = await chain.deploy(deployer, 'Shipments', parts);
  const role = [Fleet.address, [chain.selector(Fleet, 'openTicket')], reporterRole];
  await chain.sendAs(deployer, manager, 'setTargetFunctionRole', role);
  await chain.sendAs(deployer, manager, 'grantRole', [reporterRole, Shipments.address, 0]);
  const contracts = { TestToken, DeviceRegistry, Agreements, Fleet, Shipments };
  const device = new VoyageDevice(seed);
  await enrol({ anvil, contracts, device }, device);
  const carrier = chain.account(4);
  await chain.sendAs(carrier, Fleet, 'registerTruck', [truck, 1_000]);
  return { anvil, contracts, device };
}

/** Another truck; gives its name on the chain. */
export async function registerTruck({ anvil: { chain }, contracts }: World, name: string): Promise<string> {
  const registered = `0x${Buffer.from(name).toString('hex').padEnd(64, '0')}`;
  await chain.sendAs(chain.account(4), contracts.Fleet, 'registerTruck', [registered, 1_000]);
  return registered;
}

export async function enrol(
  { anvil: { chain }, contracts }: World,
  device: Pick<VoyageDevice, 'publicKey' | 'sign'>,
): Promise<void> {
  const carrier = chain.account(4);
  const asset = 'CSQU3054383';
  const consent = encodeEnrolment({
    chainId: chain.chainId,
    registry: hexToBytes(contracts.DeviceRegistry.address.slice(2).toLowerCase()),
    owner: hexToBytes(carrier.address.slice(2).toLowerCase()),
    asset,
  });
  const signature = device.sign(enrolmentPreimage(consent));
  await chain.sendAs(carrier, contracts.DeviceRegistry, 'enrol', [
    device.publicKey.subarray(0, 32),
    device.publicKey.subarray(32),
    `0x${Buffer.from(asset).toString('hex')}`,
    `0x${'c0'.repeat(32)}`,
    chainStartSec + 365 * 86_400,
    signature.subarray(0, 32),
    signature.subarray(32),
  ]);
}

export type PlacedOrder = { readonly orderId: string; readonly dispatchedAtSec: number };

/** Placed, accepted and dispatched with the world's device (or another). The truck must not be in repair. */
export async function dispatchOrder(world: World, device = world.device, inTruck = truck): Promise<PlacedOrder> {
  const { chain } = world.anvil;
  const orderId = await placeAndAccept(world);
  const call = [orderId, `0x${bytesToHex(device.device)}`, inTruck];
  await chain.sendAs(chain.account(4), world.contracts.Shipments, 'dispatchOrder', call);
  const order = await readOrder(world, orderId);
  return { orderId, dispatchedAtSec: Number(order['dispatchedAt']) };
}

export async function placeAndAccept({ anvil: { chain }, contracts }: World): Promise<string> {
  const [buyer, supplier, next, carrier] = [1, 2, 3, 4].map((index) => chain.account(index));
  await chain.sendAs(chain.account(0), contracts.TestToken, 'mint', [buyer!.address, price]);
  await chain.sendAs(buyer!, contracts.TestToken, 'approve', [contracts.Shipments.address, price]);
  const parties = { buyer: buyer!, carrier: carrier!, suppliers: [supplier!, next!] };
  const goods = { token: contracts.TestToken.address, price, quantity: pallets, limit: terms };
  const agreementId = await agree(chain, contracts.Agreements, { ...goods, ...parties });
  const placed = await chain.sendAs(buyer!, contracts.Shipments, 'place', [agreementId]);
  const orderId = idOf(placed.events.find(({ name }) => name === 'OrderPlaced')?.args['orderId']);
  await chain.sendAs(supplier!, contracts.Shipments, 'accept', [orderId]);
  return orderId;
}

function idOf(value: ChainValue | undefined): string {
  if (typeof value !== 'bigint') throw new TypeError('expected an id of 256 bits');
  return value.toString();
}

export async function readOrder({ anvil: { chain }, contracts }: World, orderId: string): Promise<ChainStruct> {
  return (await chain.view(contracts.Shipments, 'order', [orderId])) as ChainStruct;
}

/** Of IShipments.sol. */
export const orderState = { inTransit: 3, delivered: 4, cancelled: 6 } as const;

/** How often Shipments said it, over the whole chain: not what any oracle believes. */
export async function countEvents({ anvil, contracts }: World, name: string): Promise<number> {
  const topic = new Interface(JSON.stringify(loadArtifact('Shipments').abi)).getEvent(name)!.topicHash;
  const filter = { fromBlock: '0x0', toBlock: 'latest', address: contracts.Shipments.address, topics: [topic] };
  return (await anvil.chain.request<unknown[]>('eth_getLogs', [filter])).length;
}
