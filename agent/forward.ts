/**
 * Stage 5, forward: Envelope -> the oracles, in order. One run for each device and uplink, so that each has its own
 * connection, birth and last will, and none waits for another.
 *
 *   journal --pending--> [a window for each log] --publish once--> broker ~~> oracles
 *   journal <--settle--- [all receipts of a turn] <-- LogKeys.verify: log, device, sequence, digest <--receipts-- '
 *
 * Only a verified receipt ends the duty for an envelope. A PUBACK is no durability (aedes acknowledges before it
 * stores): it tells that the connection lives, and no more. When a log's oldest envelope has had no receipt for
 * `resendMs`, everything that it lacks is sent again: it takes only the next sequence, so what came behind a lost
 * one was refused too. With `live-first` and a backlog, the newest envelope is also told at once on a topic of its own:
 * that is news for people and touches no window.
 */
import { Session, type ForwardDeps, type ForwardTerms } from './forward-session.ts';
import { OperatingError } from './operating-error.ts';

export type { ForwardDeps, ForwardTerms };

const reconnectMsFirst = 200;
/** A full jitter of nothing would be a storm by one. */
const reconnectMsLeast = 50;
/** A connection that has lasted for this long starts the back-off anew; one that flaps does not. */
const stableMs = 10_000;
/** Until `signal` is aborted. Throws only what the journal throws. */
export async function runForward(deps: ForwardDeps, terms: ForwardTerms, signal: AbortSignal): Promise<void> {
  const { timer, log } = deps;
  const { name, uplink } = terms;
  let failures = 0;
  while (!signal.aborted) {
    const session = new Session(deps, terms);
    let why = 'stopped';
    let upMs: number | undefined;
    try {
      await session.run(signal, () => {
        upMs = timer.nowMs();
        deps.onConnected(true);
        log('info', 'link-up', { device: name, uplink });
      });
    } catch (error) {
      if (!(error instanceof OperatingError) || error.retry === 'never') throw error;
      why = error.message;
      log('warn', 'link-down', { device: name, uplink, why });
    } finally {
      deps.onConnected(false, why);
    }
    if (upMs !== undefined && timer.nowMs() - upMs >= stableMs) failures = 0;
    // Full jitter: after a cell comes back, a fleet must not knock in step (Exponential Backoff And Jitter, AWS 2015).
    const backOffMs = Math.min(terms.reconnectMsMax, reconnectMsFirst * 2 ** Math.min(failures, 16));
    failures += 1;
    await timer.wait(Math.max(reconnectMsLeast, backOffMs * deps.random()), signal);
  }
}
