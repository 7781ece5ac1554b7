/**
 * Another node's checkpoint -> this node's cosignature (c2sp.org/tlog-witness), and with it the signature by which the
 * head can be anchored. A witness signs a head only when the proof shows that it grew from the last one that it signed,
 * and has that on disk before it answers.
 */
import {
  accept,
  bytesEqual,
  cosignaturePreimage,
  digestAnchor,
  formatCosignature,
  noteTextOf,
  reject,
  verifyCheckpoint,
  verifyConsistency,
  type Checkpoint,
  type CheckpointReason,
  type Cosignature,
  type PeerCheckpoint,
  type PeerContent,
  type QuorumDomain,
  type Verdict,
} from '@coldproof/wire';
import type { AttestationKey } from '../attestation-key.ts';
import type { LogKey } from '../log-key.ts';
import { opensslEd25519 } from '../openssl-ed25519.ts';
import type { Store } from '../store.ts';
import type { Peer, Peers } from './peers.ts';

export type WitnessReason =
  | CheckpointReason
  /** oldSize is over the checkpoint's own size (tlog-witness: 400). */
  | 'checkpoint-shrinks'
  /** Two heads of one size: the log lies, and both notes prove it (409). */
  | 'checkpoint-forked'
  /** The proof does not lead from the head signed last to this one (422). */
  | 'checkpoint-inconsistent';

export type WitnessDeps = {
  readonly store: Store;
  readonly peers: Peers;
  readonly logKey: LogKey;
  readonly key: AttestationKey;
};

export class Witness {
  readonly #deps: WitnessDeps;
  /** The last signature for the chain, by log: heads are shown again and again. */
  readonly #signed = new Map<string, { readonly digest: Uint8Array; readonly signature: Uint8Array }>();

  constructor(deps: WitnessDeps) {
    this.#deps = deps;
  }

  /** `from` is whose log it is. When it does not start at what was signed last, the answer says where to start. */
  receive(
    from: Peer,
    { note, oldSize, proof }: PeerCheckpoint,
    domain: QuorumDomain,
    nowSec: number,
  ): Verdict<readonly PeerContent[], WitnessReason> {
    const head = verifyCheckpoint(note, from.origin, from.logPublicKey, opensslEd25519);
    if (!head.ok) return head;
    const { size, root } = head.value;
    if (oldSize > size) return reject('checkpoint-shrinks', `oldSize: expected <= ${size}, got ${oldSize}`);
    const last = this.#deps.store.quorum.cosigned(from.id);
    if (last !== undefined && last.size === size) {
      return bytesEqual(last.root, root)
        ? accept([this.#sign(from, note, head.value, domain, nowSec)])
        : reject('checkpoint-forked', `${from.origin} has two heads of ${size} leaves`);
    }
    const lastSize = last?.size ?? 0;
    if (oldSize !== lastSize) return accept([this.#conflict(from, domain, nowSec)]);
    const isGrown = lastSize === 0 ? proof.length === 0 : verifyConsistency(lastSize, size, last!.root, root, proof);
    if (!isGrown) return reject('checkpoint-inconsistent', `no proof from ${lastSize} leaves to ${size}`);
    return accept([this.#sign(from, note, head.value, domain, nowSec)]);
  }

  /** What was signed last, once more: the log's owner learns where its proof is to start. */
  #conflict(from: Peer, domain: QuorumDomain, nowSec: number): Cosignature {
    const last = this.#deps.store.quorum.cosigned(from.id);
    if (last === undefined) return { kind: 'cosignature', log: from.node, size: 0 };
    return this.#answer(from, last.note, last, domain, nowSec);
  }

  #sign(from: Peer, note: string, { size, root }: Checkpoint, domain: QuorumDomain, nowSec: number): Cosignature {
    const { store } = this.#deps;
    store.transaction(() => store.quorum.saveCosigned(from.id, { size, root, note }));
    return this.#answer(from, note, { size, root }, domain, nowSec);
  }

  #answer(
    { node, id }: Peer,
    note: string,
    { size, root }: { readonly size: number; readonly root: Uint8Array },
    domain: QuorumDomain,
    nowSec: number,
  ): Cosignature {
    const { peers, logKey, key } = this.#deps;
    const cosignature = logKey.sign(cosignaturePreimage(noteTextOf(note)!, nowSec));
    const line = formatCosignature({ name: peers.self.name, publicKey: logKey.publicKey }, nowSec, cosignature);
    const digest = digestAnchor(domain, { log: node, size, root });
    const last = this.#signed.get(id);
    const signature = last !== undefined && bytesEqual(last.digest, digest) ? last.signature : key.sign(digest);
    this.#signed.set(id, { digest, signature });
    return { kind: 'cosignature', log: node, size, signed: { note, line, signature } };
  }
}
