/**
 * Proposal -> this node's signature, or the reason why not. It signs only what it has worked out from its own log, and
 * one report for a slot: what is signed is on disk before anybody sees it, and after a crash the same bytes are signed.
 * A report can do nothing any more when its deadline has passed, or the configuration that it was signed under; the same
 * payload may then be signed anew.
 */
import {
  accept,
  bytesEqual,
  bytesToHex,
  reject,
  type PeerContent,
  type Proposal,
  type QuorumDomain,
  type Verdict,
} from '@coldproof/wire';
import type { AttestationKey } from '../attestation-key.ts';
import type { Order } from '../store-chain.ts';
import type { Due, Slot } from '../store-quorum.ts';
import type { Store } from '../store.ts';
import { isDeadline } from './deadline.ts';
import type { Peer, Peers } from './peers.ts';
import { digestDue, keyOf, type Slots } from './slots.ts';

export type AttestReason =
  /** Another node leads in that turn. */
  | 'proposer-not-in-turn'
  /** This node has no such program, or the order's terms do not name it. */
  | 'cryptlet-not-bound'
  /** No order that a report could do something to, as far as this node has read the chain. */
  | 'order-not-open'
  /** The report is for another contract. */
  | 'consumer-differs'
  /** The contract has used this sequence. */
  | 'sequence-used'
  /** The contract has not used the one before it, as far as this node has read the chain; asked again when it has. */
  | 'sequence-not-next'
  /** This node's log does not reach so far yet; asked again when it does. */
  | 'batches-missing'
  /** From the same batches, this node has nothing to report. */
  | 'report-not-due'
  /** This node read another batch last, or another one under the same number. */
  | 'range-differs'
  /** The same batches, and another result. */
  | 'result-differs'
  /** The device signed two batches with one number: what its readings are is for people to find out. */
  | 'device-accused'
  | 'deadline-not-agreed'
  /** Another report for this slot is signed and still good. */
  | 'signed-another';

export type AttestDeps = {
  readonly store: Store;
  readonly peers: Peers;
  readonly slots: Slots;
  readonly key: AttestationKey;
  readonly consumer: Uint8Array;
  readonly validSec: number;
  /** An open order with the cryptlets that may speak to it and are installed here. */
  readonly orderOf: (orderId: string) => { readonly order: Order; readonly cryptlets: readonly string[] } | undefined;
  readonly hasReckoned: (order: Order, cryptlet: string, sequence: number) => boolean;
};

/** Proposals that wait for this node's log, from each node at most. */
const waitingMax = 64;

export class Attest {
  readonly #deps: AttestDeps;
  readonly #waiting = new Map<string, { readonly from: Peer; readonly proposal: Proposal }>();

  constructor(deps: AttestDeps) {
    this.#deps = deps;
  }

  receive(
    from: Peer,
    proposal: Proposal,
    domain: QuorumDomain,
    nowSec: number,
  ): Verdict<readonly PeerContent[], AttestReason> {
    const answer = this.#judge(from, proposal, domain, nowSec);
    const key = `${from.id}/${keyOf(slotOf(proposal))}`;
    this.#waiting.delete(key);
    if (!answer.ok && (answer.reason === 'batches-missing' || answer.reason === 'sequence-not-next'))
      this.#wait(key, from, proposal);
    return answer;
  }

  /** Looks again at what waits, when the log has grown. */
  tick(domain: QuorumDomain, nowSec: number): readonly PeerContent[] {
    return [...this.#waiting.values()].flatMap(({ from, proposal }) => {
      const answer = this.receive(from, proposal, domain, nowSec);
      return answer.ok ? answer.value : [];
    });
  }

  #wait(key: string, from: Peer, proposal: Proposal): void {
    const own = [...this.#waiting.keys()].filter((each) => each.startsWith(`${from.id}/`));
    if (own.length >= waitingMax) this.#waiting.delete(own[0]!);
    this.#waiting.set(key, { from, proposal });
  }

  #judge(
    from: Peer,
    proposal: Proposal,
    domain: QuorumDomain,
    nowSec: number,
  ): Verdict<readonly PeerContent[], AttestReason> {
    const { peers, store, validSec } = this.#deps;
    const { report, turn } = proposal;
    const slot = slotOf(proposal);
    const leader = peers.leader(slot, turn);
    if (leader !== from)
      return reject('proposer-not-in-turn', `turn ${turn} of ${keyOf(slot)}: it is ${leader.name}'s`);
    const due = this.#agreed(proposal);
    if (!due.ok) return due;
    if (!isDeadline(report.deadlineSec, due.value.baseSec, validSec, nowSec)) {
      const bound = `${due.value.baseSec} and whole periods of ${validSec} s, the next from ${nowSec} on`;
      return reject('deadline-not-agreed', `deadline: expected ${bound}, got ${report.deadlineSec}`);
    }
    const digest = digestDue(domain, due.value, this.#deps.consumer, report.deadlineSec);
    const signed = store.quorum.attested(slot);
    if (signed !== undefined && !bytesEqual(signed.digest, digest)) {
      const isDead = nowSec > signed.deadlineSec || !bytesEqual(signed.config, domain.config);
      const isRenewal = isDead && bytesEqual(signed.payload, report.payload);
      const until = `another report is signed for ${keyOf(slot)}, good until ${signed.deadlineSec}`;
      if (!isRenewal) return reject('signed-another', until);
    }
    const { cryptlet, subject, sequence, deadlineSec, payload } = report;
    const isSigned = signed !== undefined && bytesEqual(signed.digest, digest);
    const signature = isSigned ? signed.signature : this.#deps.key.sign(digest);
    if (!isSigned) {
      const staged = { ...slot, deadlineSec, config: domain.config, digest, payload, signature };
      store.transaction(() => store.quorum.saveAttested(staged));
    }
    return accept([{ kind: 'attestation', cryptlet, subject, sequence, deadlineSec, digest, signature }]);
  }

  /** What this node itself says about the slot, when the proposal says the same. */
  #agreed(proposal: Proposal): Verdict<Due, AttestReason> {
    const { store, slots, consumer, orderOf, hasReckoned } = this.#deps;
    const { report, lastSequence, lastDigest } = proposal;
    const slot = slotOf(proposal);
    const watched = orderOf(slot.orderId);
    if (watched === undefined) return reject('order-not-open', `order ${slot.orderId}`);
    const { order, cryptlets } = watched;
    if (!cryptlets.includes(slot.cryptlet)) return reject('cryptlet-not-bound', `${slot.cryptlet} to ${slot.orderId}`);
    if (!bytesEqual(report.consumer, consumer)) {
      return reject('consumer-differs', `expected ${bytesToHex(consumer)}, got ${bytesToHex(report.consumer)}`);
    }
    if (store.quorum.isAccused('device', order.device)) return reject('device-accused', `device ${order.device}`);
    const due = store.quorum.due(slot);
    if (due === undefined) {
      return hasReckoned(order, slot.cryptlet, lastSequence)
        ? reject('report-not-due', `${keyOf(slot)} at batch ${lastSequence}`)
        : reject('batches-missing', `${keyOf(slot)} rests on batch ${lastSequence}`);
    }
    if (due.lastSequence !== lastSequence || !bytesEqual(due.lastDigest, lastDigest)) {
      const [want, got] = [bytesToHex(due.lastDigest), bytesToHex(lastDigest)];
      return reject('range-differs', `expected ${due.lastSequence} ${want}, got ${lastSequence} ${got}`);
    }
    if (!bytesEqual(due.payload, report.payload)) {
      const [want, got] = [bytesToHex(due.payload), bytesToHex(report.payload)];
      return reject('result-differs', `expected ${want.slice(0, 128)}, got ${got.slice(0, 128)}`);
    }
    if (slots.get(slot) !== undefined) return accept(due);
    const used = slots.used(slot) ?? 0;
    return reject(used >= slot.sequence ? 'sequence-used' : 'sequence-not-next', `${keyOf(slot)}: used ${used}`);
  }
}

export function slotOf({ report }: Proposal): Slot {
  return { orderId: report.subject.toString(), cryptlet: bytesToHex(report.cryptlet), sequence: report.sequence };
}
