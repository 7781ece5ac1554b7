/**
 * An open slot -> a proposal, when it is this node's turn. Leaders take turns, in an order that every node knows; the
 * next one takes over when a turn has passed and the contract has still not used the sequence. Two that propose at once
 * do no harm: what they propose follows from the slot.
 */
import type { PeerContent, Proposal } from '@coldproof/wire';
import type { Store } from '../store.ts';
import { deadlineFor } from './deadline.ts';
import type { Peers } from './peers.ts';
import { keyOf, reportOf, turnAt, type OpenSlot, type Slots } from './slots.ts';

export type ProposeDeps = {
  readonly store: Store;
  readonly peers: Peers;
  readonly slots: Slots;
  readonly consumer: Uint8Array;
  readonly turnMs: number;
  readonly validSec: number;
};

export class Propose {
  readonly #deps: ProposeDeps;
  /** The turn that was last proposed in, by slot. */
  #proposed = new Map<string, number>();

  constructor(deps: ProposeDeps) {
    this.#deps = deps;
  }

  /** `nowMs` of the pace clock, `nowSec` of the voyage's. */
  tick(nowMs: number, nowSec: number): readonly PeerContent[] {
    const { slots, peers, turnMs } = this.#deps;
    const proposals: Proposal[] = [];
    const proposed = new Map<string, number>();
    for (const slot of slots.all) {
      const key = keyOf(slot.due);
      const turn = turnAt(slot.openedMs, nowMs, turnMs);
      const isMine = peers.leader(slot.due, turn) === peers.self;
      if (isMine && this.#proposed.get(key) !== turn) proposals.push(this.#propose(slot, turn, nowSec));
      proposed.set(key, isMine ? turn : (this.#proposed.get(key) ?? -1));
    }
    this.#proposed = proposed;
    return proposals;
  }

  #propose({ due }: OpenSlot, turn: number, nowSec: number): Proposal {
    const { store, consumer, validSec } = this.#deps;
    const deadlineSec = deadlineFor(due.baseSec, validSec, nowSec, store.quorum.attested(due)?.deadlineSec);
    const { lastSequence, lastDigest } = due;
    return { kind: 'proposal', report: reportOf(due, consumer, deadlineSec), turn, lastSequence, lastDigest };
  }
}
