/**
 * What a device's former keys have signed goes to the oracles before what its key signs now: a voyage arrives in its
 * order. But a batch that never gets a receipt (an oracle that does not know the former device any more) holds up
 * nothing for ever: after so long without news on a link that is up, the new key's batches go too, beside it.
 */
import { carry, type Carried, type CarryDeps } from './carry.ts';
import { monotonicClock } from './clock.ts';
import type { FormerKey } from './key-ring.ts';
import type { UplinkState } from './uplink-state.ts';

export type DrainTerms = {
  /** Without any receipt, on a link that is up. */
  readonly patienceMs: number;
  readonly uplinks: () => readonly UplinkState[];
  /** How many batches of former keys wait. */
  readonly onQueued: (queued: number) => void;
};

/** How often the wait looks: only after a rotation. */
const lookMs = 100;

/**
 * One key after the other. Gives the runs that go on beside what follows: for a log that lags behind, or one that never
 * answers.
 */
export async function drainFormer(
  former: readonly FormerKey[],
  deps: CarryDeps,
  { patienceMs, uplinks, onQueued }: DrainTerms,
  signal: AbortSignal,
): Promise<Promise<void>[]> {
  const { journal } = deps;
  const queues = former.map(({ name, id }) => ({ name, id, queued: journal.pendingCount(id) }));
  let left = queues.reduce((sum, { queued }) => sum + queued, 0);
  onQueued(left);
  const rests: Promise<void>[] = [];
  for (const { name, id, queued } of queues) {
    const nextSequence = journal.head(id).sequence;
    if (journal.receipts.cursors(id).every(({ next }) => next === nextSequence)) continue;
    const done = new AbortController();
    let mine = queued;
    let newsMs = monotonicClock.nowMs();
    const carried: Carried = {
      ...{ name, id, uplinks: uplinks() },
      standing: () => ({ nextSequence, queued: mine }),
      onReceipts: (_receipts, released) => {
        mine -= released;
        left -= released;
        newsMs = monotonicClock.nowMs();
        onQueued(left);
        if (journal.receipts.cursors(id).every(({ next }) => next === nextSequence)) done.abort();
      },
    };
    const running = carry(carried, deps, AbortSignal.any([signal, done.signal]));
    rests.push(running);
    // A failure of the run is told by whoever has it; here it only ends the wait.
    const over = new AbortController();
    const end = () => over.abort();
    running.then(end, end);
    while (mine > 0 && !over.signal.aborted && !signal.aborted) {
      if (!carried.uplinks.some(({ link }) => link.connected)) newsMs = monotonicClock.nowMs();
      if (monotonicClock.nowMs() - newsMs > patienceMs) break;
      await monotonicClock.wait(lookMs, AbortSignal.any([signal, done.signal]));
    }
  }
  return rests;
}
