/**
 * Follows another node's log: its head grows by proof, its leaves make its head, and each of them is in this node's own
 * log, or is fetched and put before the intake like a batch that came by MQTT. So a node that was down catches up, and
 * two batches that a device signed for one sequence meet. An envelope that the other node has removed by its age is no
 * lie: its leaf is proved like every other, and what is missing here for it is counted.
 *
 *   head -> consistency with the head before -> leaves -> envelopes that are missing here -> intake
 */
import {
  bytesEqual,
  bytesToHex,
  decodeBatch,
  decodeEnvelope,
  digestBatch,
  verifyCheckpoint,
  verifyConsistency,
  type Accusation,
  type Checkpoint,
} from '@coldproof/wire';
import type { Log } from '../log-line.ts';
import { opensslEd25519 } from '../openssl-ed25519.ts';
import type { Followed } from '../store-quorum.ts';
import type { Store } from '../store.ts';
import type { Incoming } from '../verify-pool.ts';
import { CompactRange } from './compact-range.ts';
import { leavesMax, type PeerApi, type PeerLeaf } from './peer-api.ts';
import type { Peer } from './peers.ts';

export type MonitorState =
  | 'not-asked'
  | 'followed'
  /** Its API does not answer. */
  | 'unreachable'
  /** Its head is not signed by its key, or has another origin. */
  | 'head-invalid'
  /** Its head does not grow from the one before. */
  | 'inconsistent'
  /** Two heads of one size; the accusation has both. */
  | 'forked'
  /** What it gives for its leaves does not make its head. */
  | 'leaves-differ';

export type MonitorDeps = {
  readonly store: Store;
  readonly api: PeerApi;
  readonly log: Log;
  /** Puts a batch before the intake; false when its queue is full. */
  readonly offer: (message: Incoming) => boolean;
  readonly accuse: (accusation: Accusation) => void;
};

/** An envelope that this node's intake has refused so often is none that its log will take. */
const offersMax = 4;

export class Monitor {
  readonly peer: Peer;
  state: MonitorState = 'not-asked';
  /** Leaves that this node's own intake did not take. */
  skipped = 0;
  /** Leaves that this node does not have, and whose envelopes the other node has no more. */
  removed = 0;
  readonly #deps: MonitorDeps;
  #offers = new Map<number, number>();
  /** Of `removed`, those of the leaves that are being read. */
  readonly #gone = new Set<number>();

  constructor(peer: Peer, deps: MonitorDeps) {
    this.peer = peer;
    this.#deps = deps;
  }

  /** One look. Throws OperatingError 'peer-unreachable'. Says whether there is more to fetch at once. */
  async round(): Promise<boolean> {
    const followed = await this.#followHead();
    if (followed === undefined) return false;
    this.#become('followed');
    return this.#followLeaves(followed);
  }

  become(state: MonitorState): void {
    this.#become(state);
  }

  async #followHead(): Promise<Followed | undefined> {
    const { store, api } = this.#deps;
    const note = await api.checkpoint(this.peer);
    const head = verifyCheckpoint(note, this.peer.origin, this.peer.logPublicKey, opensslEd25519);
    if (!head.ok) {
      this.#become('head-invalid', head.detail);
      return undefined;
    }
    const known = store.quorum.followed(this.peer.id);
    const { size, root } = head.value;
    // An answer that was overtaken on its way; a log that was really cut shows it at its next larger head.
    if (known !== undefined && size < known.size) return known;
    if (known !== undefined && size === known.size) {
      if (bytesEqual(root, known.root)) return known;
      this.#accuseLog(known.note, note);
      this.#become('forked', `two heads of ${size} leaves`);
      return undefined;
    }
    if (known !== undefined && known.size > 0 && !(await this.#isGrown(known, head.value))) {
      this.#become('inconsistent', `no proof from ${known.size} leaves to ${size}`);
      return undefined;
    }
    const next = { size, root, note, leafCount: known?.leafCount ?? 0, edge: known?.edge ?? new Uint8Array() };
    store.transaction(() => store.quorum.saveFollowed(this.peer.id, next));
    return next;
  }

  async #isGrown(from: Pick<Checkpoint, 'size' | 'root'>, to: Checkpoint): Promise<boolean> {
    if (from.size === to.size) return bytesEqual(from.root, to.root);
    const proof = await this.#deps.api.consistency(this.peer, from.size, to.size);
    return verifyConsistency(from.size, to.size, from.root, to.root, proof);
  }

  async #followLeaves(followed: Followed): Promise<boolean> {
    const { store, api } = this.#deps;
    const { size, root, note, leafCount } = followed;
    if (leafCount >= size) return false;
    const leaves = await api.leaves(this.peer, leafCount, Math.min(leavesMax, size - leafCount));
    if (leaves.length === 0 || leaves.length > size - leafCount) return this.#differ('an answer of another length');
    const range = new CompactRange(leafCount, followed.edge);
    for (const { digest } of leaves) range.add(digest);
    const reached = { size: range.size, root: range.root() };
    if (!(await this.#isGrown(reached, { origin: this.peer.origin, size, root }))) {
      return this.#differ(`leaves ${leafCount} to ${range.size} are not under the head of ${size}`);
    }
    const skipped = await this.#bringIn(leaves, leafCount);
    if (skipped === undefined) return false;
    this.skipped += skipped;
    this.removed += this.#gone.size;
    const next = { size, root, note, leafCount: range.size, edge: range.edge() };
    store.transaction(() => store.quorum.saveFollowed(this.peer.id, next));
    this.#offers.clear();
    this.#gone.clear();
    return range.size < size;
  }

  /** How many will never be here, having been offered often enough; undefined while others are on their way. */
  async #bringIn(leaves: readonly PeerLeaf[], first: number): Promise<number | undefined> {
    const { store, api, offer } = this.#deps;
    let isComplete = true;
    let skipped = 0;
    for (const [i, leaf] of leaves.entries()) {
      const stored = store.log.stored(leaf.device, leaf.sequence);
      const index = first + i;
      if (stored !== undefined && bytesEqual(stored.digest, leaf.digest)) {
        // Perhaps from a third node, since.
        this.#gone.delete(index);
        continue;
      }
      if (this.#gone.has(index)) continue;
      const offers = this.#offers.get(index) ?? 0;
      // The other batch for this sequence was offered: the log has noted the equivocation, and takes no second one.
      const isEnough = offers >= (stored === undefined ? offersMax : 1);
      if (isEnough) {
        skipped += 1;
        continue;
      }
      const bytes = await api.envelope(this.peer, index);
      if (bytes === undefined) {
        this.#gone.add(index);
        continue;
      }
      if (!isEnvelopeOf(bytes, leaf)) {
        this.#become('leaves-differ', `envelope ${index} is not that of its leaf`);
        return undefined;
      }
      if (!offer({ device: leaf.device, bytes })) return undefined;
      this.#offers.set(index, offers + 1);
      isComplete = false;
    }
    return isComplete ? skipped : undefined;
  }

  #accuseLog(first: string, second: string): void {
    const [a, b] = [first, second].map((note) => Uint8Array.from(Buffer.from(note, 'utf8')));
    this.#deps.accuse({ kind: 'accusation', accused: 'log', first: a!, second: b! });
  }

  #differ(detail: string): false {
    this.#become('leaves-differ', detail);
    return false;
  }

  #become(state: MonitorState, detail?: string): void {
    if (state !== this.state) {
      const { name } = this.peer;
      const isGood = state === 'followed' || state === 'not-asked';
      this.#deps.log(isGood ? 'info' : 'warn', 'peer-log', {
        peer: name,
        state,
        ...(detail === undefined ? {} : { detail }),
      });
    }
    this.state = state;
  }
}

function isEnvelopeOf(bytes: Uint8Array, { device, sequence, digest }: PeerLeaf): boolean {
  const envelope = decodeEnvelope(bytes);
  if (!envelope.ok || !bytesEqual(digestBatch(envelope.value.batch), digest)) return false;
  const batch = decodeBatch(envelope.value.batch);
  return batch.ok && bytesToHex(batch.value.device) === bytesToHex(device) && batch.value.sequence === sequence;
}
