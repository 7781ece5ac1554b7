/**
 * This node's own log -> a head that a quorum has cosigned, and the transaction that anchors it. At each interval the
 * present head is put before the witnesses, to each with the proof from where it saw the log last, until 2f + 1 have
 * signed; the chain takes f + 1 of the signatures, and verifies the consistency with the head anchored before by itself.
 * From time to time the same head is shown again: it is how nodes know of one another that they are there.
 */
import {
  accept,
  assert,
  bytesEqual,
  bytesToHex,
  digestAnchor,
  recoverSigner,
  reject,
  verifyCheckpoint,
  verifyCosignature,
  type Cosignature,
  type CosignatureReason,
  type PeerCheckpoint,
  type PeerContent,
  type QuorumDomain,
  type Verdict,
} from '@coldproof/wire';
import type { AttestationKey } from '../attestation-key.ts';
import type { Log as TransparencyLog } from '../log.ts';
import { opensslEd25519 } from '../openssl-ed25519.ts';
import type { Peer, Peers } from './peers.ts';

export type AnchorReason =
  | CosignatureReason
  /** Of another log, or of a head that is not put before the witnesses now. */
  | 'cosignature-not-asked'
  /** The signature for the chain is not by the node's signer over this head. */
  | 'cosignature-signer-differs';

/** A head with its quorum. */
export type Anchorable = {
  readonly size: number;
  readonly root: Uint8Array;
  readonly signatures: readonly Uint8Array[];
};

export type AnchorDeps = {
  readonly peers: Peers;
  readonly log: TransparencyLog;
  readonly key: AttestationKey;
  readonly f: number;
  readonly anchorMs: number;
  /** A head that not enough have signed is put before them again after this. */
  readonly turnMs: number;
};

/** How many turns pass between two signs of life. */
export const pulseTurns = 4;

type Candidate = {
  readonly note: string;
  readonly size: number;
  readonly root: Uint8Array;
  readonly sinceMs: number;
  askedMs: number;
  readonly signatures: Map<string, Uint8Array>;
  readonly lines: Map<string, string>;
};

export class Anchor {
  readonly #deps: AnchorDeps;
  /** Sizes up to which the others have signed this log, by node, as they said. */
  readonly #seen = new Map<string, number>();
  #candidate: Candidate | undefined;
  #cosignedNote: string | undefined;

  constructor(deps: AnchorDeps) {
    this.#deps = deps;
  }

  /** The last head that a quorum has cosigned: a note with the log's signature and the witnesses'. */
  get cosignedNote(): string | undefined {
    return this.#cosignedNote;
  }

  /** The head under way, or the last one. */
  get candidate(): { readonly size: number; readonly signatures: number } | undefined {
    const found = this.#candidate;
    return found === undefined ? undefined : { size: found.size, signatures: found.signatures.size };
  }

  /** Under another configuration of the OracleSet the head is signed anew. */
  clear(): void {
    this.#candidate = undefined;
  }

  tick(domain: QuorumDomain, nowMs: number): readonly PeerContent[] {
    const { log, peers, anchorMs, turnMs } = this.#deps;
    const last = this.#candidate;
    const isDue = last === undefined || (log.size > last.size && nowMs - last.sinceMs >= anchorMs);
    const candidate = isDue ? this.#begin(domain, nowMs) : last;
    this.#candidate = candidate;
    const isComplete = this.#isComplete(candidate);
    if (nowMs - candidate.askedMs < (isComplete ? pulseTurns * turnMs : turnMs)) return [];
    candidate.askedMs = nowMs;
    if (!isComplete) return this.#ask(candidate, peers.others);
    return [{ kind: 'checkpoint', note: candidate.note, oldSize: candidate.size, proof: [] }];
  }

  /** A witness's answer about this node's own log. */
  receive(
    from: Peer,
    { log, size, signed }: Cosignature,
    domain: QuorumDomain,
  ): Verdict<readonly PeerContent[], AnchorReason> {
    const { peers } = this.#deps;
    const candidate = this.#candidate;
    if (!bytesEqual(log, peers.self.node) || candidate === undefined) {
      return reject('cosignature-not-asked', `log: got ${bytesToHex(log)}`);
    }
    if (signed !== undefined) {
      const head = verifyCheckpoint(signed.note, peers.self.origin, peers.self.logPublicKey, opensslEd25519);
      if (!head.ok || head.value.size !== size)
        return reject('cosignature-malformed', 'note: not of this log and size');
      const witness = { name: from.name, publicKey: from.logPublicKey };
      const cosigned = verifyCosignature(signed.note, signed.line, witness, opensslEd25519);
      if (!cosigned.ok) return cosigned;
    }
    this.#seen.set(from.id, size);
    if (signed === undefined || size !== candidate.size) {
      // It saw another head last: the proof is to start there. A larger one than the candidate is asked for later.
      return accept(size < candidate.size ? this.#ask(candidate, [from]) : []);
    }
    const known = candidate.signatures.get(bytesToHex(from.address));
    if (known !== undefined && bytesEqual(known, signed.signature)) return accept([]);
    const signer = recoverSigner(digestAnchor(domain, { log, size, root: candidate.root }), signed.signature);
    if (signer === undefined || !bytesEqual(signer, from.address)) {
      return reject('cosignature-signer-differs', `expected ${bytesToHex(from.address)}`);
    }
    candidate.signatures.set(bytesToHex(signer), signed.signature);
    candidate.lines.set(from.id, signed.line);
    if (this.#isComplete(candidate)) this.#cosignedNote = candidate.note + [...candidate.lines.values()].join('');
    return accept([]);
  }

  /** What this node is to anchor now, when the chain has `anchoredSize` leaves of its log. Asked again, it gives the same again: the outbox knows what it has. */
  complete(anchoredSize: number): Anchorable | undefined {
    const candidate = this.#candidate;
    if (candidate === undefined || candidate.size <= anchoredSize || !this.#isComplete(candidate)) return undefined;
    const ascending = [...candidate.signatures].sort(([a], [b]) => (a < b ? -1 : 1));
    const signatures = ascending.slice(0, this.#deps.f + 1).map(([, signature]) => signature);
    return { size: candidate.size, root: candidate.root, signatures };
  }

  #begin(domain: QuorumDomain, nowMs: number): Candidate {
    const { log, peers, key } = this.#deps;
    const [size, root] = [log.size, log.root()];
    // The owner is one of the signers, too.
    const own = key.sign(digestAnchor(domain, { log: peers.self.node, size, root }));
    const signatures = new Map([[bytesToHex(peers.self.address), own]]);
    const asked = { sinceMs: nowMs, askedMs: Number.NEGATIVE_INFINITY };
    return { note: log.checkpoint(), size, root, ...asked, signatures, lines: new Map() };
  }

  #isComplete({ signatures }: Candidate): boolean {
    return signatures.size > 2 * this.#deps.f;
  }

  /** One message for each head that witnesses saw last: mostly, that is one. */
  #ask({ note, size, signatures }: Candidate, peers: readonly Peer[]): PeerCheckpoint[] {
    const { log } = this.#deps;
    const missing = peers.filter(({ address }) => !signatures.has(bytesToHex(address)));
    const oldSizes = new Set(missing.map(({ id }) => this.#seen.get(id) ?? 0).filter((oldSize) => oldSize <= size));
    return [...oldSizes].map((oldSize) => {
      assert(oldSize <= log.size, 'a head under way is within the log');
      const proof = oldSize === 0 ? [] : log.consistencyProof(oldSize, size);
      return { kind: 'checkpoint', note, oldSize, proof };
    });
  }
}
