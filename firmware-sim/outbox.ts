/**
 * The device's flash, as far as a simulator has one: payloads in the order of their times, kept until the broker has
 * acknowledged them. It is bounded; the oldest goes first, as in the ring of a data logger.
 */
import { assert } from '@coldproof/wire';

/** A week of samples at one a minute, with the gateway out of reach. */
export const outboxMax = 10_000;

export type Message = {
  readonly payload: Uint8Array;
  /** When its samples were taken, Unix seconds; for the log of what was acknowledged. */
  readonly sampleSec?: number;
};

export class Outbox {
  readonly #limit: number;
  readonly #messages: Message[] = [];
  readonly #waiting = new Set<() => void>();
  #overwritten = 0;

  constructor(limit = outboxMax) {
    assert(limit >= 1, 'an outbox holds at least one message');
    this.#limit = limit;
  }

  get size(): number {
    return this.#messages.length;
  }

  /** Messages lost for want of room. */
  get overwritten(): number {
    return this.#overwritten;
  }

  get oldest(): Message | undefined {
    return this.#messages[0];
  }

  add(payload: Uint8Array, sampleSec?: number): void {
    if (this.#messages.length === this.#limit) {
      this.#messages.shift();
      this.#overwritten += 1;
    }
    this.#messages.push(sampleSec === undefined ? { payload } : { payload, sampleSec });
    this.#changed();
  }

  /** Does nothing when the message was overwritten while its acknowledgement was under way. */
  remove(message: Message): void {
    if (this.#messages[0] === message) this.#messages.shift();
    this.#changed();
  }

  /** Resolves as soon as `isMet` holds, asked at each change; or when `signal` is aborted. */
  until(isMet: (size: number) => boolean, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const ask = () => {
        if (!signal.aborted && !isMet(this.#messages.length)) return;
        this.#waiting.delete(ask);
        signal.removeEventListener('abort', ask);
        resolve();
      };
      this.#waiting.add(ask);
      signal.addEventListener('abort', ask);
      ask();
    });
  }

  #changed(): void {
    for (const ask of [...this.#waiting]) ask();
  }
}
