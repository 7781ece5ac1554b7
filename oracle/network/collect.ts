/**
 * Attestations -> f + 1 signatures over one digest, ascending by signer, and a transaction when it is this node's turn.
 * The contract takes f + 1, one honest signer among them; nodes transmit only what 2f + 1 have signed, so that most
 * honest ones have, and a network with more than f nodes away stops instead of speaking for the others.
 * Any node can transmit; they take turns from the moment on at which each of them has the quorum, and the next one takes
 * over when the contract has not used the sequence. A second transaction costs its sender gas and changes nothing.
 */
import {
  accept,
  bytesEqual,
  bytesToHex,
  recoverSigner,
  reject,
  type Attestation,
  type QuorumDomain,
  type Report,
  type Verdict,
} from '@coldproof/wire';
import type { Slot } from '../store-quorum.ts';
import { isDeadline } from './deadline.ts';
import type { Peer, Peers } from './peers.ts';
import { digestDue, keyOf, reportOf, turnAt, type OpenSlot, type Slots } from './slots.ts';

export type CollectReason =
  /** Not by the signer of the node that sent it, or over something else. */
  | 'attestation-invalid'
  /** Nothing is open here that it could belong to. */
  | 'slot-not-open'
  /** It is of another report than the one that this node has worked out. */
  | 'digest-differs'
  | 'deadline-not-agreed';

/** A report with its quorum. */
export type Attested = { readonly slot: Slot; readonly report: Report; readonly signatures: readonly Uint8Array[] };

export type CollectDeps = {
  readonly peers: Peers;
  readonly slots: Slots;
  readonly consumer: Uint8Array;
  readonly f: number;
  readonly turnMs: number;
  readonly validSec: number;
};

/** Signatures by deadline, then by signer: another deadline is another report. */
type Ballot = Map<number, Map<string, Uint8Array>>;

export class Collect {
  readonly #deps: CollectDeps;
  #ballots = new Map<string, Ballot>();

  constructor(deps: CollectDeps) {
    this.#deps = deps;
  }

  receive(
    from: Peer,
    attestation: Attestation,
    domain: QuorumDomain,
    { nowMs, nowSec }: { readonly nowMs: number; readonly nowSec: number },
  ): Verdict<true, CollectReason> {
    const { slots, consumer, f, validSec } = this.#deps;
    const { digest, signature, deadlineSec } = attestation;
    const slot = slots.get(slotOf(attestation));
    if (slot === undefined) return reject('slot-not-open', keyOf(slotOf(attestation)));
    if (!bytesEqual(digest, digestDue(domain, slot.due, consumer, deadlineSec))) {
      return reject('digest-differs', `${keyOf(slot.due)} until ${deadlineSec}: got ${bytesToHex(digest)}`);
    }
    if (!isDeadline(deadlineSec, slot.due.baseSec, validSec, nowSec)) {
      return reject('deadline-not-agreed', `deadline of ${keyOf(slot.due)}: got ${deadlineSec} at ${nowSec}`);
    }
    const key = keyOf(slot.due);
    const name = bytesToHex(from.address);
    const known = this.#ballots.get(key)?.get(deadlineSec)?.get(name);
    if (known !== undefined && bytesEqual(known, signature)) return accept(true);
    const signer = recoverSigner(digest, signature);
    if (signer === undefined || !bytesEqual(signer, from.address)) {
      const got = signer === undefined ? 'nobody' : bytesToHex(signer);
      return reject('attestation-invalid', `signer: expected ${bytesToHex(from.address)}, got ${got}`);
    }
    const ballot = this.#ballots.get(key) ?? new Map<number, Map<string, Uint8Array>>();
    const signatures = ballot.get(deadlineSec) ?? new Map<string, Uint8Array>();
    signatures.set(name, signature);
    ballot.set(deadlineSec, signatures);
    this.#ballots.set(key, ballot);
    if (signatures.size > 2 * f) slot.completeMs ??= nowMs;
    return accept(true);
  }

  /** Under another configuration of the OracleSet nothing that was signed counts. */
  clear(): void {
    this.#ballots.clear();
    for (const slot of this.#deps.slots.all) delete slot.completeMs;
  }

  /** Signatures that a slot has, under the deadline that has the most. */
  count(slot: Slot): number {
    return Math.max(0, ...[...(this.#ballots.get(keyOf(slot))?.values() ?? [])].map(({ size }) => size));
  }

  /** What this node is to transmit now. Asked again, it gives the same again: the outbox knows what it has. */
  tick(nowMs: number, nowSec: number): readonly Attested[] {
    const { slots, peers, turnMs } = this.#deps;
    const open = new Set(slots.all.map(({ due }) => keyOf(due)));
    this.#ballots = new Map([...this.#ballots].filter(([key]) => open.has(key)));
    return slots.all.flatMap((slot) => {
      if (slot.completeMs === undefined) return [];
      const turn = turnAt(slot.completeMs, nowMs, turnMs);
      // From its turn on: the one before may be dead, and this one's transaction may take longer than a turn.
      const isDue = Array.from({ length: Math.min(turn + 1, peers.all.length) }).some(
        (_, each) => peers.leader(slot.due, each) === peers.self,
      );
      return isDue ? (this.#attested(slot, nowSec) ?? []) : [];
    });
  }

  #attested({ due }: OpenSlot, nowSec: number): Attested | undefined {
    const { consumer, f } = this.#deps;
    const ballot = this.#ballots.get(keyOf(due)) ?? new Map<number, Map<string, Uint8Array>>();
    for (const [deadlineSec, bySigner] of ballot) {
      if (bySigner.size <= 2 * f || deadlineSec <= nowSec) continue;
      const ascending = [...bySigner].sort(([a], [b]) => (a < b ? -1 : 1));
      const signatures = ascending.slice(0, f + 1).map(([, signature]) => signature);
      return { slot: due, report: reportOf(due, consumer, deadlineSec), signatures };
    }
    return undefined;
  }
}

function slotOf({ cryptlet, subject, sequence }: Attestation): Slot {
  return { orderId: subject.toString(), cryptlet: bytesToHex(cryptlet), sequence };
}
