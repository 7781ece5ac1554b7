/**
 * The slots that are open: a report is due by this node's own reckoning, and the contract has not used its sequence.
 * What the stages know of a slot besides what is on disk, and all of it can be lost.
 */
import { digestReport, type QuorumDomain, type Report, hexToBytes } from '@coldproof/wire';
import type { Due, Slot } from '../store-quorum.ts';

export type OpenSlot = {
  readonly due: Due;
  /** When this node saw it open, of the pace clock. Turns count from here. */
  readonly openedMs: number;
  /** When it had a quorum of signatures for it. */
  completeMs?: number;
};

export function keyOf({ orderId, cryptlet, sequence }: Slot): string {
  return `${orderId}/${cryptlet}/${sequence}`;
}

export class Slots {
  readonly #open = new Map<string, OpenSlot>();
  /** The last sequence that the contract has used, by order and cryptlet, as far as the chain was asked. */
  readonly #used = new Map<string, number>();

  get all(): OpenSlot[] {
    return [...this.#open.values()];
  }

  get(slot: Slot): OpenSlot | undefined {
    return this.#open.get(keyOf(slot));
  }

  used({ orderId, cryptlet }: Pick<Slot, 'orderId' | 'cryptlet'>): number | undefined {
    return this.#used.get(`${orderId}/${cryptlet}`);
  }

  setUsed({ orderId, cryptlet }: Pick<Slot, 'orderId' | 'cryptlet'>, sequence: number): void {
    this.#used.set(`${orderId}/${cryptlet}`, sequence);
  }

  /** Exactly these are open now; those that were open before keep their turns. */
  replace(dues: readonly Due[], nowMs: number): void {
    const before = new Map(this.#open);
    this.#open.clear();
    for (const due of dues) {
      const known = before.get(keyOf(due));
      this.#open.set(keyOf(due), known === undefined ? { due, openedMs: nowMs } : { ...known, due });
    }
  }
}

/** Whole turns that have passed since. */
export function turnAt(sinceMs: number, nowMs: number, turnMs: number): number {
  return Math.max(0, Math.floor((nowMs - sinceMs) / turnMs));
}

/** What both sides of a proposal agree on without a word: everything but the deadline follows from the slot. */
export function reportOf(due: Due, consumer: Uint8Array, deadlineSec: number): Report {
  const { orderId, cryptlet, sequence, payload } = due;
  return { cryptlet: hexToBytes(cryptlet), consumer, subject: BigInt(orderId), sequence, deadlineSec, payload };
}

export function digestDue(domain: QuorumDomain, due: Due, consumer: Uint8Array, deadlineSec: number): Uint8Array {
  return digestReport(domain, reportOf(due, consumer, deadlineSec));
}
