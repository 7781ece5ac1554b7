/**
 * The voyage clock: real time, or the demonstration's fast time. Everything that a reading is dated with comes from
 * here; what waits for a peer (resend, back-off) takes `monotonicClock`, which no step of the wall clock can disturb.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseDemonstrationClock, voyageMsAt, type DemonstrationClock } from '@coldproof/wire';
import { OperatingError } from './operating-error.ts';

export type Clock = {
  /** Unix milliseconds of the voyage. */
  nowMs(): number;
  /** Returns after `ms` voyage milliseconds, or as soon as `signal` is aborted. */
  wait(ms: number, signal?: AbortSignal): Promise<void>;
};

/** setTimeout holds a signed 32-bit number of milliseconds; longer would fire at once. */
const delayMsMax = 0x7fff_ffff;

export const realClock: Clock = { nowMs: () => Date.now(), wait };

/** Milliseconds since some moment; never goes back. */
export const monotonicClock: Clock = { nowMs: () => performance.now(), wait };

export function demonstrationClock(demonstration: DemonstrationClock): Clock {
  return {
    nowMs: () => voyageMsAt(demonstration, Date.now()),
    wait: (ms, signal) => wait(ms / demonstration.speed, signal),
  };
}

/** `text` is the value of COLDPROOF_DEMONSTRATION_CLOCK, undefined for real time. */
export function clockOf(text: string | undefined): Clock {
  if (text === undefined || text === '') return realClock;
  const demonstration = parseDemonstrationClock(text);
  if (demonstration === undefined) {
    const bound = 'voyage ms @ real ms x speed, as 1767225600000@1795203600000x600';
    throw new OperatingError('config-invalid', `COLDPROOF_DEMONSTRATION_CLOCK: expected ${bound}, got "${text}"`, {
      retry: 'never',
    });
  }
  return demonstrationClock(demonstration);
}

async function wait(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await delay(Math.min(Math.max(ms, 0), delayMsMax), undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
}
