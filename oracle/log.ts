/**
 * The append-only log (RFC 9162 §2.1) over batch digests. One transaction takes a group of verified batches: each
 * device's head is checked and moved, leaves and envelopes are stored, complete subtrees written. A receipt is signed
 * only after that transaction is on disk; one that is lost on the way is made again when the device repeats its batch.
 */
import {
  accept,
  assert,
  bundlePreimage,
  bytesEqual,
  bytesToHex,
  checkpointPreimage,
  encodeReceipt,
  encodeReceiptBody,
  formatCheckpoint,
  formatSignedCheckpoint,
  largestPowerOfTwoBelow,
  leafHash,
  makeConsistencyProof,
  makeInclusionProof,
  nodeHash,
  noPrevious,
  receiptPreimage,
  reject,
  type Verdict,
} from '@coldproof/wire';
import type { LogKey } from './log-key.ts';
import { opensslSha256 as sha256 } from './openssl-crypto.ts';
import type { Store } from './store.ts';

/** A verified batch, as the log takes it. */
export type Loggable = {
  readonly device: Uint8Array;
  readonly sequence: number;
  readonly previous: Uint8Array;
  readonly digest: Uint8Array;
  readonly firstSec: number;
  readonly lastSec: number;
  readonly envelope: Uint8Array;
};

export type LogReason =
  /** A batch before it has not come yet; the device sends again from its oldest without a receipt. */
  | 'sequence-not-next'
  /** `previous` is not the digest of the batch that the log has before it. */
  | 'previous-mismatch'
  /** The device signed another batch with this sequence before. Both are kept: together they prove it. */
  | 'equivocation';

/** Where a batch stands in the log. A repeat is a batch that stood there already. */
export type Position = { readonly index: number; readonly isRepeat: boolean };

export class Log {
  readonly origin: string;
  readonly #store: Store;
  readonly #key: LogKey;
  #size: number;
  /** Hash of the complete subtree of 2^level leaves that waits for its right sibling, by level. */
  #edge: (Uint8Array | undefined)[];

  constructor({ store, key, origin }: { store: Store; key: LogKey; origin: string }) {
    this.origin = origin;
    this.#store = store;
    this.#key = key;
    this.#size = store.log.size();
    this.#edge = this.#loadEdge();
  }

  get size(): number {
    return this.#size;
  }

  get publicKey(): Uint8Array {
    return this.#key.publicKey;
  }

  /**
   * Answers in the order of `group`. `counts` are added to the counters in the same transaction; what this method
   * itself refuses, repeats and accepts is counted here.
   */
  append(
    group: readonly Loggable[],
    nowMs: number,
    counts: ReadonlyMap<string, number> = new Map(),
  ): Verdict<Position, LogReason>[] {
    const before = { size: this.#size, edge: [...this.#edge] };
    try {
      return this.#store.transaction(() => {
        const answers = group.map((batch) => this.#appendOne(batch, nowMs));
        for (const [name, count] of tally(answers, counts)) this.#store.log.addCount(name, count);
        return answers;
      });
    } catch (error) {
      this.#size = before.size;
      this.#edge = before.edge;
      throw error;
    }
  }

  /** The signed promise that this batch is stored. Call it after `append` has returned, never before. */
  receipt(batch: Pick<Loggable, 'device' | 'sequence' | 'digest'>, index: number): Uint8Array {
    assert(index < this.#size, `a receipt for leaf ${index} needs a log of more than ${this.#size}`);
    const { device, sequence, digest } = batch;
    const body = encodeReceiptBody({ log: this.#key.log, index, device, sequence, digest });
    return encodeReceipt(body, this.#key.sign(receiptPreimage(body)));
  }

  /** RFC 9162 tree hash of the first `size` leaves. */
  root(size = this.#size): Uint8Array {
    return size === 0 ? sha256(new Uint8Array()) : this.#subtree(0, size);
  }

  /** Signed note, c2sp.org/tlog-checkpoint. */
  checkpoint(): string {
    const head = { origin: this.origin, size: this.#size, root: this.root() };
    const signature = this.#key.sign(checkpointPreimage(formatCheckpoint(head)));
    return formatSignedCheckpoint(head, this.#key.publicKey, signature);
  }

  /** The log key's signature over a bundle; see wire/BUNDLE.md for what it is worth. */
  sealBundle(digest: Uint8Array): Uint8Array {
    return this.#key.sign(bundlePreimage(digest));
  }

  /** index < size <= this.size, checked by the caller. */
  inclusionProof(index: number, size: number): Uint8Array[] {
    assert(size <= this.#size, `tree of ${size} is within the log of ${this.#size}`);
    return makeInclusionProof(index, size, (start, end) => this.#subtree(start, end));
  }

  /** 0 < first <= second <= this.size, checked by the caller. */
  consistencyProof(first: number, second: number): Uint8Array[] {
    assert(second <= this.#size, `tree of ${second} is within the log of ${this.#size}`);
    return makeConsistencyProof(first, second, (start, end) => this.#subtree(start, end));
  }

  #appendOne(batch: Loggable, nowMs: number): Verdict<Position, LogReason> {
    const { device, sequence, previous, digest } = batch;
    const head = this.#store.log.head(device) ?? { nextSequence: 0, digest: noPrevious };
    if (sequence < head.nextSequence) return this.#compare(batch, nowMs);
    if (sequence > head.nextSequence) {
      return reject('sequence-not-next', `sequence: expected ${head.nextSequence}, got ${sequence}`);
    }
    if (!bytesEqual(previous, head.digest)) {
      const expected = bytesToHex(head.digest);
      return reject('previous-mismatch', `previous: expected ${expected}, got ${bytesToHex(previous)}`);
    }
    const index = this.#size;
    this.#store.log.insertLeaf({ ...batch, index, loggedMs: nowMs });
    this.#store.log.setHead(device, { nextSequence: sequence + 1, digest });
    this.#grow(leafHash(digest, sha256));
    return accept({ index, isRepeat: false });
  }

  #compare(batch: Loggable, nowMs: number): Verdict<Position, LogReason> {
    const { device, sequence, digest } = batch;
    const stored = this.#store.log.stored(device, sequence);
    assert(stored !== undefined, `sequence ${sequence} is below the head, so it is stored`);
    if (bytesEqual(stored.digest, digest)) return accept({ index: stored.index, isRepeat: true });
    this.#store.log.insertEquivocation({ ...batch, loggedMs: nowMs });
    const digests = `${bytesToHex(stored.digest)} and ${bytesToHex(digest)}`;
    return reject('equivocation', `sequence ${sequence} of ${bytesToHex(device)} was signed twice: ${digests}`);
  }

  #grow(leaf: Uint8Array): void {
    let hash = leaf;
    let position = this.#size;
    let level = 0;
    for (; position % 2 === 1; level++) {
      const left = this.#edge[level];
      assert(left !== undefined, `a left sibling waits at level ${level}`);
      this.#edge[level] = undefined;
      hash = nodeHash(left, hash, sha256);
      position = Math.floor(position / 2);
      this.#store.log.insertSubtree(level + 1, position, hash);
    }
    this.#edge[level] = hash;
    this.#size += 1;
  }

  #loadEdge(): (Uint8Array | undefined)[] {
    const edge: (Uint8Array | undefined)[] = [];
    for (let level = 0, count = this.#size; count > 0; level++, count = Math.floor(count / 2)) {
      edge[level] = count % 2 === 1 ? this.#complete(level, count - 1) : undefined;
    }
    return edge;
  }

  /** The hash over leaves [start, end): stored when complete, else put together from the complete ones below it. */
  #subtree(start: number, end: number): Uint8Array {
    const count = end - start;
    const level = Math.log2(count);
    if (Number.isInteger(level) && start % count === 0) return this.#complete(level, start / count);
    const split = start + largestPowerOfTwoBelow(count);
    return nodeHash(this.#subtree(start, split), this.#subtree(split, end), sha256);
  }

  #complete(level: number, position: number): Uint8Array {
    const { log } = this.#store;
    const digest = level === 0 ? log.digest(position) : undefined;
    const hash = digest === undefined ? log.subtree(level, position) : leafHash(digest, sha256);
    assert(hash !== undefined, `subtree ${position} of level ${level} is stored`);
    return hash;
  }
}

function tally(answers: readonly Verdict<Position, LogReason>[], counts: ReadonlyMap<string, number>) {
  const sums = new Map(counts);
  for (const answer of answers) {
    const name = answer.ok ? (answer.value.isRepeat ? 'repeated' : 'verified') : `rejected:${answer.reason}`;
    sums.set(name, (sums.get(name) ?? 0) + 1);
  }
  return sums;
}
