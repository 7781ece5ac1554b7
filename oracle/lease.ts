/**
 * One transmitter and one follower of the chain, however many workers there are: whoever holds the lease. It is held by
 * prolonging it in time, and lost by being slow, frozen or dead.
 *
 * A clock alone can't keep two from acting: one may be stopped between its look at the clock and its act. What counts
 * is the fence, a number that rises with each new holder. Everything that a holder writes for the chain is written in a
 * transaction that confirms its fence, and only what is written so is ever sent. What a holder of yesterday may still
 * send is a transaction that its successor knows, byte for byte, and which the chain takes once.
 */
import type { Clock } from './clock.ts';
import { OperatingError } from './operating-error.ts';
import type { Store } from './store.ts';

/** What the stages that act on the chain ask. Both throw OperatingError 'lease-lost' (retry later). */
export type Fence = {
  /** Before something is sent. */
  mustHold(): void;
  /** Within a transaction: it becomes true with the fence, or not at all. */
  confirm(): void;
};

/** Where one process has the database to itself. */
export const noFence: Fence = { mustHold: () => undefined, confirm: () => undefined };

const name = 'chain';

export class Lease implements Fence {
  readonly leaseMs: number;
  readonly #store: Store;
  readonly #holder: string;
  readonly #pace: Pick<Clock, 'nowMs'>;
  #fence = 0;
  #heldUntilMs = 0;

  constructor(deps: { store: Store; pace: Pick<Clock, 'nowMs'> }, { holder, leaseMs }: LeaseSettings) {
    this.#store = deps.store;
    this.#pace = deps.pace;
    this.#holder = holder;
    this.leaseMs = leaseMs;
  }

  get isHeld(): boolean {
    return this.#pace.nowMs() < this.#heldUntilMs;
  }

  /** Takes or prolongs it. To be called several times within leaseMs. */
  renew(): boolean {
    // Counted from before the question: the answer may be late, and the database's clock is another.
    const askedMs = this.#pace.nowMs();
    const { lease } = this.#store;
    const fence = this.#store.transaction(() => lease.take(name, this.#holder, this.#fence, this.leaseMs));
    this.#fence = fence ?? this.#fence;
    this.#heldUntilMs = fence === undefined ? 0 : askedMs + this.leaseMs;
    return this.isHeld;
  }

  mustHold(): void {
    if (!this.isHeld) throw lost('its time has run out');
  }

  confirm(): void {
    if (this.#store.lease.confirm(name, this.#fence)) return;
    this.#heldUntilMs = 0;
    throw lost('another worker has taken it');
  }

  /** So that the next one need not wait for the end of it. */
  release(): void {
    this.#heldUntilMs = 0;
    if (this.#fence > 0) this.#store.lease.release(name, this.#fence);
  }
}

export type LeaseSettings = {
  /** Of its own for each process. */
  readonly holder: string;
  readonly leaseMs: number;
};

function lost(why: string): OperatingError {
  return new OperatingError('lease-lost', `the lease of the chain is lost: ${why}`, { retry: 'later' });
}
