/** A transmitter on its own: a store with an order and a proof against it, and rounds that a test calls itself. */
import { join } from 'node:path';
import type { Test } from 'tap';
import { bytesToHex, encodeEnvelope, type Envelope } from '@coldproof/wire';
import type { Chain, ChainSettings } from '@coldproof/oracle/chain';
import type { Transmitter } from '@coldproof/oracle/chain-account';
import { realClock, type Clock } from '@coldproof/oracle/clock';
import { Findings } from '@coldproof/oracle/findings';
import type { Fence } from '@coldproof/oracle/lease';
import { Log as TransparencyLog } from '@coldproof/oracle/log';
import type { Log } from '@coldproof/oracle/log-line';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import type { ActionState } from '@coldproof/oracle/store-outbox';
import { Store } from '@coldproof/oracle/store';
import { Transmit, type CrashPoint, type TransmitPolicy } from '@coldproof/oracle/transmit';
import { verifyBatch } from '@coldproof/oracle/verify';
import { Watch } from '@coldproof/oracle/watch';
import type { VoyageDevice } from '../helpers/voyage-device.ts';
import { countEvents, dispatchOrder, makeWorld, orderState, readOrder, type Anvil, type World } from './anvil.ts';
import { chainOf, logKeyIn, makeFolder, quickTransmit, until, warmVoyage } from './oracle-fixture.ts';

export type Line = { readonly event: string; readonly [field: string]: unknown };

/** Those between the outbox and the chain. */
export const crashPoints = [
  'transmit-planned',
  'transmit-signed',
  'transmit-stored',
  'transmit-sent',
  'transmit-recorded',
  'transmit-mined',
  'transmit-confirmed',
] as const satisfies Parameters<CrashPoint>[0][];

export class Crash extends Error {}

/** What of a world its chain side needs. */
export type ChainSide = { readonly anvil: Pick<Anvil, 'chain'>; readonly contracts: World['contracts'] };

/** One life of the oracle's chain side. Open a second one on the same folder after a crash. */
export class Life {
  readonly store: Store;
  readonly watch: Watch;
  readonly transmit: Transmit;
  readonly findings: Findings;
  readonly lines: Line[] = [];
  readonly chain: Chain;

  constructor(
    world: ChainSide,
    folder: string,
    options: {
      rpcUrl?: string | readonly string[];
      chain?: Partial<ChainSettings>;
      crashAt?: string;
      policy?: Partial<TransmitPolicy>;
      pace?: Clock;
      account?: number;
      transmitter?: Transmitter;
      /** Of another life, which closes it. */
      store?: Store;
      fence?: (store: Store) => Fence;
      onCrashPoint?: CrashPoint;
    } = {},
  ) {
    this.store = options.store ?? new Store(join(folder, 'oracle.db'));
    const log: Log = (_level, event, fields = {}) => void this.lines.push({ event, ...fields });
    this.chain = chainOf(world, options.rpcUrl, { log, ...options.chain });
    const crashPoint: CrashPoint = (name) => {
      options.onCrashPoint?.(name);
      if (name === options.crashAt) throw new Crash(name);
    };
    const deps = {
      chain: this.chain,
      store: this.store,
      transmitter: options.transmitter ?? world.anvil.chain.account(options.account ?? 9),
      pace: options.pace ?? realClock,
      log,
      crashPoint,
      ...(options.fence === undefined ? {} : { fence: options.fence(this.store) }),
    };
    this.watch = new Watch({ ...deps, fromBlock: 0 });
    this.transmit = new Transmit(deps, { ...quickTransmit, ...options.policy });
    this.findings = new Findings({ ...deps, crypto: opensslCrypto() });
  }

  async round(): Promise<void> {
    if (await this.watch.round()) this.findings.refresh();
    await this.transmit.round();
  }

  close(): void {
    this.chain.close();
    this.store.close();
  }
}

/** A folder whose store has the order watched, the envelopes logged and evaluated, and so an action to transmit. */
export async function prepare(t: Test, world: World, envelopes: readonly Envelope[]): Promise<string> {
  const folder = makeFolder(t);
  await prepareIn(folder, world, envelopes);
  return folder;
}

/** As `prepare`, in a folder that may have the same of other devices. */
export async function prepareIn(
  folder: string,
  world: World,
  envelopes: readonly Envelope[],
  { device, publicKey }: VoyageDevice = world.device,
): Promise<void> {
  const life = new Life(world, folder);
  const log = new TransparencyLog({ store: life.store, key: logKeyIn(folder), origin: 'coldproof.example/test' });
  const batches = envelopes.map((envelope) => {
    const bytes = encodeEnvelope(envelope);
    const verdict = verifyBatch({ device, bytes, record: { publicKey }, nowSec: 2 ** 31 }, opensslCrypto());
    if (!verdict.ok) throw new Error(verdict.detail);
    return { ...verdict.value, device, envelope: bytes };
  });
  for (const answer of log.append(batches, 0)) if (!answer.ok) throw new Error(answer.detail);
  await life.watch.round();
  if (!life.findings.refresh()) throw new Error(`no action for ${bytesToHex(device)}`);
  life.close();
}

export type Scene = {
  readonly world: World;
  readonly orderId: string;
  readonly dispatchedAtSec: number;
  readonly folder: string;
  /** The chain as it is now. */
  readonly snapshot: string;
};

/** A chain with an order in transit that the store has a proof against. The chain's time is after the excursion. */
export async function scene(t: Test, seed: number, anvilArgs: readonly string[] = []): Promise<Scene> {
  const world = await makeWorld(seed, anvilArgs);
  t.teardown(() => world.anvil.stop());
  const { orderId, dispatchedAtSec } = await dispatchOrder(world);
  const envelopes = warmVoyage(world.device, dispatchedAtSec);
  await world.anvil.chain.mine(dispatchedAtSec + 4 * 900);
  const folder = await prepare(t, world, envelopes);
  const snapshot = await world.anvil.chain.request<string>('evm_snapshot');
  return { world, orderId, dispatchedAtSec, folder, snapshot };
}

export function stateOf(life: Life, orderId: string): ActionState | undefined {
  return life.store.outbox.ofOrder(orderId)[0]?.state;
}

export async function roundsUntil(life: Life, orderId: string, state: ActionState): Promise<void> {
  await until(`the action is ${state}`, async () => {
    await life.round();
    return stateOf(life, orderId) === state;
  });
}

export async function cancelledOnce(
  t: Test,
  { world, orderId }: Pick<Scene, 'world' | 'orderId'>,
  why: string,
): Promise<void> {
  t.equal((await readOrder(world, orderId))['state'], orderState.cancelled, why);
  t.equal(await countEvents(world, 'OrderCancelled'), 1, `${why}: one cancellation`);
  t.equal(await countEvents(world, 'OrderReplaced'), 1, `${why}: one replacement`);
  t.equal(await countEvents(world, 'RepairRequested'), 1, `${why}: one ticket`);
}
