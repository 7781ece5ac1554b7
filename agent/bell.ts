import { setMaxListeners } from 'node:events';

/** Wakes the one loop that waits for it. A ring that nobody waits for is kept, so that no wake-up is ever lost. */
export class Bell {
  #isRung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#isRung = true;
    this.#wake?.();
  }

  /** Returns at a ring, when `signal` is aborted, or after `ms`, whichever comes first. */
  async heard(signal: AbortSignal, ms?: number): Promise<void> {
    if (!this.#isRung && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          signal.removeEventListener('abort', wake);
          this.#wake = undefined;
          resolve();
        };
        const timer = ms === undefined ? undefined : setTimeout(wake, ms);
        this.#wake = wake;
        signal.addEventListener('abort', wake);
      });
    }
    this.#isRung = false;
  }
}

/** Each device has loops that listen to it, which to Node looks like a leak of listeners. */
export function stopForMany(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}
