/**
 * Old envelopes go, when the configuration says after how many days: what stays of a batch is its digest, its leaf and
 * its place, so every receipt, checkpoint and proof holds as before. Kept whatever their age are the batches that an
 * order which is not over may still be judged by, both halves of an equivocation, and the newest batch of each device.
 */
import type { Clock } from './clock.ts';
import { hexOf } from './hex.ts';
import type { Log } from './log-line.ts';
import type { OrderState } from './store-chain.ts';
import type { BodyRow } from './store-log.ts';
import type { Store } from './store.ts';

/** Envelopes in one transaction: a few milliseconds of the loop's thread. */
const pageMax = 1_000;
const sweepMs = 60_000;
const dayMs = 86_400_000;

/** What happened on the way still counts in these. */
const judgedStates: readonly OrderState[] = ['InTransit', 'Delivered', 'Held', 'Quarantined'];

export type RetentionDeps = {
  readonly store: Store;
  /** The voyage's time, by which batches were logged. */
  readonly clock: Clock;
  /** Real time. */
  readonly pace: Clock;
  readonly log: Log;
};

/** Of several workers on one store each sweeps: the later one finds nothing. */
export class Retention {
  readonly #deps: RetentionDeps;
  readonly #days: number;

  constructor(deps: RetentionDeps, days: number) {
    this.#deps = deps;
    this.#days = days;
  }

  /** Until the signal. */
  async follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.sweep(signal);
      await this.#deps.pace.wait(sweepMs, signal);
    }
  }

  /** Removes what is old enough now; says how many. */
  async sweep(signal?: AbortSignal): Promise<number> {
    const { store, clock, log } = this.#deps;
    const beforeMs = clock.nowMs() - this.#days * dayMs;
    let removed = 0;
    for (let after = -1; signal?.aborted !== true;) {
      const page = store.log.bodies(after, pageMax);
      // Indexes and times rise together, but for the clocks of several workers.
      const young = page.findIndex(({ loggedMs }) => loggedMs >= beforeMs);
      const old = young === -1 ? page : page.slice(0, young);
      removed += this.#remove(old);
      if (young !== -1 || page.length < pageMax) break;
      after = page.at(-1)!.index;
      // Whatever else waits on the thread has its turn.
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (removed > 0) log('info', 'envelopes-removed', { count: removed, olderThanDays: this.#days });
    return removed;
  }

  #remove(old: readonly BodyRow[]): number {
    const { store } = this.#deps;
    const neededFromSec = this.#neededFromSec();
    const isNeeded = ({ device, lastSec, isKept }: BodyRow) => {
      const fromSec = neededFromSec.get(hexOf(device));
      return isKept || (fromSec !== undefined && lastSec >= fromSec);
    };
    let count = 0;
    store.transaction(() => {
      let first: number | undefined;
      old.forEach((body, i) => {
        if (isNeeded(body)) return;
        first ??= body.index;
        count += 1;
        const next = old[i + 1];
        if (next !== undefined && !isNeeded(next)) return;
        store.log.removeBodies(first, body.index);
        first = undefined;
      });
      if (count > 0) store.log.addCounts(new Map([['envelope-removed', count]]));
    });
    return count;
  }

  /** By device in hex, the start of the earliest of its orders that are not over. */
  #neededFromSec(): Map<string, number> {
    const needed = new Map<string, number>();
    for (const state of judgedStates) {
      for (const { device, judgedFromSec } of this.#deps.store.chain.ordersIn(state)) {
        needed.set(device, Math.min(needed.get(device) ?? Infinity, judgedFromSec));
      }
    }
    return needed;
  }
}
