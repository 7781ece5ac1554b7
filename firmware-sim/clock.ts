/** Time as a port. A demonstration runs the voyage's clock fast; everything else takes real time. */
import { setTimeout as timeout } from 'node:timers/promises';
import { voyageMsAt, type DemonstrationClock } from '@coldproof/wire';

export type Clock = {
  /** Milliseconds since 1970. */
  nowMs(): number;
  /** Resolves after `ms` of this clock, or as soon as `signal` is aborted. Never rejects. */
  wait(ms: number, signal?: AbortSignal): Promise<void>;
};

/** Node fires a timer with a longer delay at once. */
const timerMsMax = 2 ** 31 - 1;

export const realClock: Clock = {
  nowMs: () => Date.now(),
  wait: (ms, signal) => waitReal(ms, signal),
};

export function demonstrationClock(clock: DemonstrationClock): Clock {
  return {
    nowMs: () => voyageMsAt(clock, Date.now()),
    wait: (ms, signal) => waitReal(ms / clock.speed, signal),
  };
}

async function waitReal(ms: number, signal?: AbortSignal): Promise<void> {
  for (let leftMs = Math.ceil(ms); leftMs > 0; leftMs -= timerMsMax) {
    try {
      await timeout(Math.min(leftMs, timerMsMax), undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      if (signal?.aborted === true) return;
      throw error;
    }
  }
}
