/**
 * Batches -> the reports that they ask for. For each order that names cryptlets, a cursor over its device's batches: at
 * each batch the cryptlet is run over everything since the dispatch, and the first batch at which it has something new
 * to report makes the next report due. So what is due, and at which batch, follows from the device's batches alone: two
 * nodes with the same log can only agree, whenever each of them looks.
 */
import { bytesEqual, hexToBytes, type Crypto, type OpenEnvelope, type Verdict } from '@coldproof/wire';
import type { Log } from '../log-line.ts';
import type { Order } from '../store-chain.ts';
import type { Due } from '../store-quorum.ts';
import type { Store } from '../store.ts';
import { storedBatches } from '../stored-batch.ts';

/** Runs a cryptlet: the same program, order and batches always give the same payload, or none. */
export type Reckoner = {
  /** Bare hex digests of the programs that this node has. */
  readonly cryptlets: ReadonlySet<string>;
  /** The payload of a report, undefined for nothing to report; a refusal when the program failed. */
  run(
    cryptlet: string,
    order: Order,
    batches: readonly OpenEnvelope[],
  ): Promise<Verdict<Uint8Array | undefined, string>>;
};

export type ReckonDeps = {
  readonly store: Store;
  readonly reckoner: Reckoner;
  readonly crypto: Crypto;
  readonly log: Log;
  /** Address of the Disputes contract, as the chain spells it. */
  readonly disputes: string;
};

export class Reckon {
  readonly #deps: ReckonDeps;

  constructor(deps: ReckonDeps) {
    this.#deps = deps;
  }

  /** Orders that a report may still do something to, with those of their cryptlets that this node has. */
  watched(): { readonly order: Order; readonly cryptlets: readonly string[] }[] {
    const { store, reckoner, disputes } = this.#deps;
    return [...store.chain.ordersIn('InTransit'), ...store.chain.ordersIn('Delivered')]
      .filter((order) => order.disputes.toLowerCase() === disputes.toLowerCase())
      .map((order) => ({ order, cryptlets: order.cryptlets.filter((each) => reckoner.cryptlets.has(each)) }))
      .filter(({ cryptlets }) => cryptlets.length > 0);
  }

  /** Works off what the log has new. */
  async run(): Promise<void> {
    for (const { order, cryptlets } of this.watched()) {
      for (const cryptlet of cryptlets) await this.#runOne(order, cryptlet);
    }
  }

  /** Whether the device's batches up to and with this one were worked off. */
  hasReckoned(order: Order, cryptlet: string, sequence: number): boolean {
    const cursor = this.#deps.store.quorum.reckoning(order.orderId, cryptlet);
    return cursor?.dispatch === dispatchOf(order) && cursor.nextSequence > sequence;
  }

  async #runOne(order: Order, cryptlet: string): Promise<void> {
    const { store, reckoner, log } = this.#deps;
    const { orderId, device } = order;
    const firstSequence = store.log.firstSequenceSince(hexToBytes(device), order.judgedFromSec);
    if (firstSequence === undefined) return;
    const next = this.#cursor(order, cryptlet, firstSequence);
    const head = store.log.head(hexToBytes(device))?.nextSequence ?? 0;
    if (next >= head) return;
    const batches = storedBatches(this.#deps, device, firstSequence, head);
    for (let sequence = next; sequence < head; sequence++) {
      const read = batches.slice(0, sequence - firstSequence + 1);
      const last = read.at(-1)!;
      const answer = await reckoner.run(cryptlet, order, read);
      if (!answer.ok) {
        log('error', 'cryptlet-refused', { orderId, cryptlet, reason: answer.reason, detail: answer.detail });
      }
      const payload = answer.ok ? answer.value : undefined;
      store.transaction(() => {
        if (payload !== undefined) this.#note(order, cryptlet, last, payload);
        store.quorum.saveReckoning(orderId, cryptlet, dispatchOf(order), sequence + 1);
      });
    }
  }

  #cursor(order: Order, cryptlet: string, firstSequence: number): number {
    const { store } = this.#deps;
    const cursor = store.quorum.reckoning(order.orderId, cryptlet);
    if (cursor?.dispatch === dispatchOf(order)) return cursor.nextSequence;
    if (cursor !== undefined) store.transaction(() => store.quorum.resetReckoning(order.orderId, cryptlet));
    return firstSequence;
  }

  /** A report that says what the last one said is no new one. */
  #note({ orderId }: Order, cryptlet: string, { batch, digest }: OpenEnvelope, payload: Uint8Array): void {
    const { store, log } = this.#deps;
    const before = store.quorum.duesOf(orderId, cryptlet).at(-1);
    if (before !== undefined && bytesEqual(before.payload, payload)) return;
    const sequence = (before?.sequence ?? 0) + 1;
    const place = { lastSequence: batch.sequence, lastDigest: digest, baseSec: batch.lastSec };
    const due: Due = { orderId, cryptlet, sequence, ...place, payload };
    store.quorum.insertDue(due);
    log('info', 'report-due', { orderId, cryptlet, sequence, lastSequence: batch.sequence });
  }
}

/** What the reckoning rests on besides the batches; all of it is on the chain. */
function dispatchOf({ device, judgedFromSec, deliveredAtSec }: Order): string {
  return `${device}@${judgedFromSec}-${deliveredAtSec}`;
}
