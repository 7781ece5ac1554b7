/**
 * What a device's former keys have signed goes to the oracle before what its key signs now, so that a voyage arrives in
 * its order. But a batch that never gets a receipt (an oracle that does not know the former device any more) holds up
 * nothing for ever: after so long on a link that is up, the new key's batches go too, beside it.
 */
import { monotonicClock } from './clock.ts';

export type DrainHooks = {
  readonly onConnected: (isConnected: boolean) => void;
  readonly onReceipt: () => void;
};

/** Many resends, and no receipt. */
export function patienceMs(resendSec: number): number {
  return 30_000 + 30_000 * resendSec;
}

/**
 * `forward` runs until its signal is aborted. Returns when all `queued` envelopes have their receipt, when patience has
 * ended, or at `signal`; `rest` is the run that goes on then, if any.
 */
export async function drain(
  queued: number,
  forward: (hooks: DrainHooks, signal: AbortSignal) => Promise<void>,
  patience: number,
  signal: AbortSignal,
): Promise<{ readonly rest: Promise<void> }> {
  const done = new AbortController();
  let left = queued;
  let isConnected = false;
  let waiting = new AbortController();
  /** Any news: patience begins anew. */
  const told = () => {
    waiting.abort();
    waiting = new AbortController();
  };
  const hooks: DrainHooks = {
    onConnected(connected) {
      isConnected = connected;
      told();
    },
    onReceipt() {
      left -= 1;
      if (left <= 0) done.abort();
      told();
    },
  };
  const running = forward(hooks, AbortSignal.any([signal, done.signal]));
  const isOver = running.then(
    () => true,
    () => true,
  );
  while (left > 0 && !signal.aborted) {
    const { signal: news } = waiting;
    const wait = monotonicClock.wait(isConnected ? patience : Infinity, AbortSignal.any([signal, news]));
    if (await Promise.race([isOver, wait.then(() => false)])) break;
    // Not woken by news or the end: nothing has come for so long.
    if (!news.aborted && !signal.aborted) break;
  }
  if (left <= 0 || signal.aborted) await running;
  waiting.abort();
  return { rest: running };
}

type Former = { readonly id: Uint8Array; readonly queued: number };

/** One after the other. Gives the runs that go on beside what follows. */
export async function drainAll(
  former: readonly Former[],
  forward: (id: Uint8Array, hooks: DrainHooks, signal: AbortSignal) => Promise<void>,
  { patience, onQueued }: { readonly patience: number; readonly onQueued: (queued: number) => void },
  signal: AbortSignal,
): Promise<Promise<void>[]> {
  let left = former.reduce((sum, { queued }) => sum + queued, 0);
  onQueued(left);
  const rests: Promise<void>[] = [];
  for (const { id, queued } of former.filter((each) => each.queued > 0)) {
    const counted = ({ onConnected, onReceipt }: DrainHooks, until: AbortSignal) => {
      const hooks = {
        onConnected,
        onReceipt: () => {
          onQueued((left -= 1));
          onReceipt();
        },
      };
      return forward(id, hooks, until);
    };
    rests.push((await drain(queued, counted, patience, signal)).rest);
  }
  return rests;
}
