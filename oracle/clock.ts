/** The clock port: real time, or the demonstration's voyage time when the environment hands one over. */
import { parseDemonstrationClock, voyageMsAt } from '@coldproof/wire';
import { OperatingError } from './operating-error.ts';

export type Clock = {
  nowMs(): number;
  /** Resolves after `ms` of this clock's time, or at once when `signal` aborts. */
  wait(ms: number, signal?: AbortSignal): Promise<void>;
};

export const realClock: Clock = { nowMs: () => Date.now(), wait: waitReal };

/** The clock of the voyage: everything that is compared with a sample's time reads this one. */
export function voyageClock(environment: NodeJS.ProcessEnv): Clock {
  const text = environment['COLDPROOF_DEMONSTRATION_CLOCK'];
  if (text === undefined || text === '') return realClock;
  const clock = parseDemonstrationClock(text);
  if (clock === undefined) {
    const message = `COLDPROOF_DEMONSTRATION_CLOCK: expected start@realStart x speed, got "${text}"`;
    throw new OperatingError('config-invalid', message, { retry: 'never' });
  }
  return {
    nowMs: () => voyageMsAt(clock, Date.now()),
    wait: (ms, signal) => waitReal(ms / clock.speed, signal),
  };
}

function waitReal(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve();
      return;
    }
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener('abort', end, { once: true });
  });
}
