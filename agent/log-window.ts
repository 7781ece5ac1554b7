/**
 * What one log is to be sent, and what it owes a receipt for. Logs may share a broker, so that an envelope that is
 * published for one of them is offered to all: a window counts that, so that nothing is published once for each log.
 * A log that gives no receipts is asked less and less often, by one envelope: a dead oracle costs nearly nothing.
 */
import { bytesToHex } from '@coldproof/wire';
import type { PendingEnvelope } from './journal-receipts.ts';

export type WindowTerms = { readonly windowBatches: number; readonly resendMs: number };

/** An oracle that is back after days is found within this, unless resendMs itself is longer. */
const resendMsMax = 60_000;

export class LogWindow {
  readonly log: Uint8Array;
  readonly name: string;
  readonly #terms: WindowTerms;
  /** Offered in this session and without a receipt. */
  readonly #inFlight = new Set<number>();
  /** From where on the journal is to be asked. */
  #next = 0;
  /** All that the log lacks below this has been published, in order, since it was last set back. */
  #offered = 0;
  /** Of the last receipt, or of the first sending into an empty window. */
  #progressMs = 0;
  /** Since the last receipt. */
  #resends = 0;

  constructor(log: Uint8Array, terms: WindowTerms) {
    this.log = log;
    this.name = bytesToHex(log).slice(0, 16);
    this.#terms = terms;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  get resends(): number {
    return this.#resends;
  }

  /** When the log was last heard of, while it owes something. */
  get waitingSinceMs(): number | undefined {
    return this.#inFlight.size === 0 ? undefined : this.#progressMs;
  }

  get oldestInFlight(): number {
    return Math.min(...this.#inFlight);
  }

  get next(): number {
    return this.#next;
  }

  /** After one resend in vain, a single envelope asks whether the log is there at all. */
  room(): number {
    return Math.max(0, (this.#resends <= 1 ? this.#terms.windowBatches : 1) - this.#inFlight.size);
  }

  hasOffered(sequence: number): boolean {
    return sequence < this.#offered;
  }

  /** The log takes `envelope` into its window; `isNew` when it has to be published for it. */
  take({ sequence }: PendingEnvelope, nowMs: number): { readonly isNew: boolean } {
    const isNew = sequence >= this.#offered;
    if (this.#inFlight.size === 0) this.#progressMs = nowMs;
    this.#inFlight.add(sequence);
    this.#next = sequence + 1;
    if (isNew) this.#offered = sequence + 1;
    return { isNew };
  }

  /** Another log's envelope has been published, and this one would take it next. */
  overhear(sequence: number): void {
    if (sequence === this.#offered) this.#offered = sequence + 1;
  }

  settle(sequence: number, nowMs: number): void {
    this.#inFlight.delete(sequence);
    this.#progressMs = nowMs;
    this.#resends = 0;
  }

  /** The oracle takes only the next sequence, so what came behind a lost envelope was refused too: all anew. */
  rewind(): void {
    this.#inFlight.clear();
    this.#next = 0;
    this.#offered = 0;
    this.#resends += 1;
  }

  /** Undefined when nothing is owed. */
  resendInMs(nowMs: number): number | undefined {
    if (this.#inFlight.size === 0) return undefined;
    const { resendMs } = this.#terms;
    const patienceMs = Math.min(resendMs * 2 ** Math.min(this.#resends, 16), Math.max(resendMs, resendMsMax));
    return Math.max(0, this.#progressMs + patienceMs - nowMs);
  }
}
