/**
 * Chain -> projections. Events are read by block range and say which orders and devices have changed; what they are now
 * is read from the contracts' views. Every block that was read to is remembered by hash: when a hash no longer stands,
 * the chain was reorganised, and everything after the last block that does stand is read again.
 */
import type { Block, Chain } from './chain.ts';
import type { ChainEvent } from './chain-abi.ts';
import { noFence, type Fence } from './lease.ts';
import type { Log } from './log-line.ts';
import { OperatingError } from './operating-error.ts';
import { agreementOf, bareHex, readDevice, readOrder } from './projection.ts';
import type { ChainHead, StoredEvent } from './store-chain.ts';
import type { Store } from './store.ts';

/** What a fact does to an order. */
export const endings: ReadonlySet<string> = new Set(['OrderCancelled', 'OrderQuarantined', 'OrderHeld']);

/** Blocks in one query: what public RPC endpoints commonly allow. */
const blocksPerQueryMax = 1_000;

/**
 * Blocks whose events are read again with each step. Behind one URL may stand several nodes: one shows a new block, and
 * one that does not have it yet answers for its events, with none. That is over within seconds, and so some blocks.
 */
const blocksReread = 64;

export type WatchDeps = {
  readonly chain: Chain;
  readonly store: Store;
  readonly log: Log;
  readonly fromBlock: number;
  readonly fence?: Fence;
};

type Finality = {
  readonly safeNumber: number;
  readonly finalNumber: number;
  /** Undefined when the node shows none, or an older one than is known. */
  readonly finalBlock: Block | undefined;
};

export class Watch {
  readonly #chain: Chain;
  readonly #store: Store;
  readonly #log: Log;
  readonly #fromBlock: number;
  readonly #fence: Fence;

  constructor({ chain, store, log, fromBlock, fence = noFence }: WatchDeps) {
    this.#chain = chain;
    this.#store = store;
    this.#log = log;
    this.#fromBlock = fromBlock;
    this.#fence = fence;
  }

  /**
   * Reads on to the latest block. Says whether an order or a device has changed. Throws OperatingError (retry later)
   * when the node does not answer or contradicts itself; what was read until then is kept.
   */
  async round(): Promise<boolean> {
    let hasChanged = false;
    for (;;) {
      const step = await this.#step();
      hasChanged ||= step.hasChanged;
      if (step.isAtHead) return hasChanged;
    }
  }

  async #step(): Promise<{ hasChanged: boolean; isAtHead: boolean }> {
    const latest = await this.#block('latest');
    const changes = this.#chain.endpointChanges();
    const known = this.#store.chain.head();
    if (known?.hash === latest.hash || (await this.#isBehind(latest.number, known))) {
      await this.#noteFinality();
      return { hasChanged: false, isAtHead: true };
    }
    const standing = await this.#lastStanding(latest.number);
    const from = Math.min(Math.max(this.#fromBlock, standing + 1 - blocksReread), latest.number);
    const to = Math.min(from + blocksPerQueryMax - 1, latest.number);
    const rolledBack = this.#store.chain.touchedAfter(standing);
    const head = to === latest.number ? latest : await this.#block(to);
    const events = await this.#chain.events(from, to, (number, logIndex) => {
      return number > standing || !this.#store.chain.hasEvent(number, logIndex);
    });
    const subjects = new Set([...rolledBack, ...events.flatMap(subjectsOf)]);
    // Views at an old block may be gone from the node; a newer view is right as well, and is read again if it changes.
    const views = await this.#readViews([...subjects], latest.number);
    const times = await this.#timesOf(events);
    const stored = await Promise.all(events.map((event) => this.#storable(event, times)));
    const finality = await this.#finality();
    await this.#checkUnmoved(head.number, head.hash);
    await this.#checkUnmoved(latest.number, latest.hash);
    // Another endpoint may have given the events: one that has not come so far has none to give.
    if (this.#chain.endpointChanges() !== changes) throw unreadable('the chain', 'another endpoint answered meanwhile');
    this.#store.transaction(() => {
      this.#fence.confirm();
      if (standing < (known?.number ?? 0)) this.#store.outbox.reviveFatal(standing);
      this.#store.chain.rollBack(standing);
      for (const event of stored) this.#store.chain.insertEvent(event);
      for (const save of views) save();
      this.#setHead({ number: head.number, hash: head.hash, timeSec: head.timestampSec }, finality);
    });
    for (const { name, subject, blockNumber, transactionHash } of stored) {
      const [level, event] =
        blockNumber > standing ? (['info', 'chain-event'] as const) : (['warn', 'event-late'] as const);
      this.#log(level, event, { name, subject, blockNumber, transactionHash });
    }
    return { hasChanged: subjects.size > 0, isAtHead: head.number === latest.number };
  }

  /** Blocks become safe and final while no new one comes. */
  async #noteFinality(): Promise<void> {
    const head = this.#store.chain.head();
    const finality = await this.#finality();
    if (head === undefined) return;
    if (head.safeNumber === finality.safeNumber && head.finalNumber === finality.finalNumber) return;
    // An old answer may have named it as the latest. Off the chain it must not become final.
    await this.#checkUnmoved(head.number, head.hash);
    this.#store.transaction(() => {
      this.#fence.confirm();
      this.#setHead(head, finality);
    });
  }

  /** Never back: what a node that lags calls final was final long ago. */
  async #finality(): Promise<Finality> {
    const [safe, final] = [await this.#chain.block('safe'), await this.#chain.block('finalized')];
    const known = this.#store.chain.head()?.finalNumber ?? 0;
    const finalNumber = Math.max(known, final?.number ?? 0);
    const finalBlock = final?.number === finalNumber ? final : undefined;
    return { safeNumber: Math.max(finalNumber, safe?.number ?? 0), finalNumber, finalBlock };
  }

  /** The final block is remembered, too: however deep a reorganisation goes, what stands then is known. */
  #setHead(
    head: Pick<ChainHead, 'number' | 'hash' | 'timeSec'>,
    { finalBlock, safeNumber, finalNumber }: Finality,
  ): void {
    const { chain } = this.#store;
    if (finalBlock !== undefined && finalNumber <= head.number) chain.insertBlock(finalNumber, finalBlock.hash);
    chain.setHead({ ...head, safeNumber, finalNumber });
  }

  /** A latest block under the one that was read last, while that one stands: an old answer, and no news. */
  async #isBehind(latest: number, known: ChainHead | undefined): Promise<boolean> {
    if (known === undefined || latest >= known.number) return false;
    return (await this.#chain.block(known.number))?.hash === known.hash;
  }

  /**
   * The newest block that is remembered and still in the chain. Throws OperatingError (retry later) when that would
   * take back what was final: then the node lags, or is on a branch or a chain that nobody should follow.
   */
  async #lastStanding(latest: number): Promise<number> {
    const known = this.#store.chain.blocks();
    for (const [i, { number, hash }] of known.entries()) {
      // A node that is without a block under its own head contradicts itself.
      const block = number <= latest ? await this.#block(number) : await this.#chain.block(number);
      if (block?.hash !== hash) continue;
      if (i > 0) this.#log('warn', 'chain-reorganised', { from: number, was: known[0]!.number });
      return number;
    }
    const finalNumber = this.#store.chain.head()?.finalNumber ?? 0;
    const oldest = known.at(-1);
    if (oldest === undefined) return this.#fromBlock - 1;
    if (finalNumber === 0 || oldest.number > finalNumber) {
      this.#log('error', 'chain-replaced', { from: this.#fromBlock });
      return this.#fromBlock - 1;
    }
    const message = `the node's chain of ${latest} blocks is without block ${oldest.number}, which was final`;
    this.#log('error', 'final-block-missing', { finalNumber, latest, block: oldest });
    throw new OperatingError('chain-unreachable', message, { retry: 'later' });
  }

  async #readViews(subjects: readonly string[], atBlock: number): Promise<(() => void)[]> {
    const saves: (() => void)[] = [];
    for (const subject of subjects) {
      const [kind, id] = subject.split(':');
      if (kind === 'order' && id !== undefined) saves.push(await this.#readOrder(id, atBlock));
      if (kind === 'device' && id !== undefined) saves.push(await this.#readDevice(id, atBlock));
    }
    return saves;
  }

  async #readOrder(orderId: string, atBlock: number): Promise<() => void> {
    const view = await this.#chain.view('Shipments', 'order', [orderId], atBlock);
    // The contract has an answer for each order, known or not; an order must not be lost by a node that has none.
    if (!view.ok) throw unreadable(`order ${orderId}`, view.revert.message);
    const agreementId = agreementOf(view.value);
    if (agreementId === undefined) return () => this.#store.chain.deleteOrder(orderId);
    const terms = await this.#chain.view('Agreements', 'termsOf', [agreementId], atBlock);
    if (!terms.ok) throw unreadable(`the terms of order ${orderId}`, terms.revert.message);
    const order = readOrder(orderId, view.value, terms.value);
    return () => this.#store.chain.setOrder(order, atBlock);
  }

  async #readDevice(id: string, atBlock: number): Promise<() => void> {
    const view = await this.#chain.view('DeviceRegistry', 'deviceOf', [`0x${id}`], atBlock);
    if (!view.ok) throw unreadable(`device ${id}`, view.revert.message);
    const device = readDevice(id, view.value);
    if (device === undefined) return () => this.#store.chain.deleteDevice(id);
    return () => this.#store.chain.setDevice(device, atBlock);
  }

  /** A log entry does not say when: its block does. */
  async #timesOf(events: readonly ChainEvent[]): Promise<Map<number, number>> {
    const times = new Map<number, number>();
    for (const number of new Set(events.map(({ blockNumber }) => blockNumber))) {
      times.set(number, (await this.#block(number)).timestampSec);
    }
    return times;
  }

  async #storable(event: ChainEvent, times: ReadonlyMap<number, number>): Promise<StoredEvent> {
    const { blockNumber, logIndex, transactionHash, contract, name } = event;
    // The one figure about the end of an order that no view and no event has.
    const receipt = endings.has(name) ? await this.#chain.receipt(transactionHash) : undefined;
    const blockTimeSec = times.get(blockNumber);
    const args = { ...event.args, blockTimeSec, ...(receipt === undefined ? {} : { gasUsed: receipt.gasUsed }) };
    const text = JSON.stringify(args, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));
    const subject = subjectsOf(event)[0] ?? '';
    return { blockNumber, logIndex, transactionHash, contract, name, subject, args: text };
  }

  async #block(at: number | 'latest') {
    const block = await this.#chain.block(at);
    if (block !== undefined) return block;
    throw new OperatingError('chain-unreachable', `the node has no block ${at}`, { retry: 'later' });
  }

  /** Everything between two looks at one block was read from one chain. */
  async #checkUnmoved(number: number, hash: string): Promise<void> {
    if ((await this.#chain.block(number))?.hash === hash) return;
    throw new OperatingError('chain-unreachable', `block ${number} changed while it was read`, { retry: 'later' });
  }
}

/** A node that lags, or contradicts itself. */
function unreadable(what: string, reason: string): OperatingError {
  return new OperatingError('chain-unreachable', `${what} cannot be read: ${reason}`, { retry: 'later' });
}

/** 'order:7', 'device:ab…': what an event is about, its main subject first. */
export function subjectsOf({ args }: Pick<ChainEvent, 'args'>): string[] {
  const subjects: string[] = [];
  for (const name of ['orderId', 'replacementId']) {
    const id = args[name];
    if (typeof id === 'bigint' || typeof id === 'number') subjects.push(`order:${id}`);
  }
  const device = args['device'];
  if (typeof device === 'string') subjects.push(`device:${bareHex(device)}`);
  return subjects;
}
