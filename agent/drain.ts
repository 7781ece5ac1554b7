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
