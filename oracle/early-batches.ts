/**
 * Batches that came before the one that goes before them. Where a broker shares a device's messages out to several
 * workers, that is the rule: one worker is a few milliseconds ahead of the other. Each waits here for a moment and is
 * offered to the log again; refused at once, it would make the device send all of its window again.
 */
import { bytesToHex } from '@coldproof/wire';
import type { Loggable } from './log.ts';

/** Held at most: more would be a device that sends nonsense, or a fleet's worth of envelopes in memory. */
const countMax = 4_096;
const countMaxOfDevice = 64;

export class EarlyBatches {
  readonly #holdMs: number;
  /** By device and sequence, the longest held first. */
  readonly #held = new Map<string, { readonly batch: Loggable; readonly sinceMs: number }>();
  readonly #countOf = new Map<string, number>();

  /** 0 holds nothing: where one process takes all messages, what comes early has lost its predecessor. */
  constructor(holdMs: number) {
    this.#holdMs = holdMs;
  }

  get size(): number {
    return this.#held.size;
  }

  /** Takes all that is held, to be offered again, with the time since when. By device in the order of sequences. */
  take(): Map<Loggable, number> {
    const held = [...this.#held.values()].sort((a, b) => a.batch.sequence - b.batch.sequence);
    this.#held.clear();
    this.#countOf.clear();
    return new Map(held.map(({ batch, sinceMs }) => [batch, sinceMs]));
  }

  /** Says whether it is held; false when it has been for long enough, or when there is no room. */
  hold(batch: Loggable, sinceMs: number, nowMs: number): boolean {
    const device = bytesToHex(batch.device);
    const count = this.#countOf.get(device) ?? 0;
    const isFull = this.#held.size >= countMax || count >= countMaxOfDevice;
    if (nowMs - sinceMs >= this.#holdMs || isFull) return false;
    const name = `${device}:${batch.sequence}`;
    // The same batch twice waits once.
    if (!this.#held.has(name)) this.#countOf.set(device, count + 1);
    this.#held.set(name, { batch, sinceMs });
    return true;
  }
}
