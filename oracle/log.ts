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
  receiptPreimage,
  reject,
  type Verdict,
} from '@coldproof/wire';
import { hexOf } from './hex.ts';
import { Draft, type Edge } from './log-draft.ts';
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

export type Answer = Verdict<Position, LogReason>;

export class Log {
  readonly origin: string;
  readonly #store: Store;
  readonly #key: LogKey;
  #size = 0;
  #edge: Edge = [];

  constructor({ store, key, origin }: { store: Store; key: LogKey; origin: string }) {
    this.origin = origin;
    this.#store = store;
    this.#key = key;
    this.#load();
  }

  get size(): number {
    return this.#size;
  }

  get publicKey(): Uint8Array {
    return this.#key.publicKey;
  }

  /**
   * Answers in the order of `group`. `counts` are added to the counters in the same transaction; what this method
   * itself refuses, repeats and accepts is counted here, but for what `isEarly` claims of the batches whose predecessor
   * has not come: those are neither refused nor stored, and the caller offers them again.
   */
  append(group: readonly Loggable[], nowMs: number, counts?: ReadonlyMap<string, number>): Answer[];
  append(
    group: readonly Loggable[],
    nowMs: number,
    counts: ReadonlyMap<string, number>,
    isEarly: (batch: Loggable) => boolean,
  ): (Answer | 'early')[];
  append(
    group: readonly Loggable[],
    nowMs: number,
    counts: ReadonlyMap<string, number> = new Map(),
    isEarly: (batch: Loggable) => boolean = () => false,
  ): (Answer | 'early')[] {
    const { log } = this.#store;
    const { answers, draft } = this.#store.transaction(() => {
      log.lock();
      // Another worker may have gone on since.
      if (log.size() !== this.#size) this.#load();
      const names = group.map(({ device }) => hexOf(device));
      const draft = this.#draft(group, names);
      const answers = group.map((batch, i) => {
        const answer = this.#appendOne(batch, names[i]!, draft, nowMs);
        return !answer.ok && answer.reason === 'sequence-not-next' && isEarly(batch) ? 'early' : answer;
      });
      log.insertLeaves(draft.leaves);
      log.insertSubtrees(draft.subtrees);
      log.setHeads(draft.moved);
      log.addCounts(tally(answers, counts));
      return { answers, draft };
    });
    this.#size = draft.size;
    this.#edge = draft.edge;
    return answers;
  }

  /** The signed promises that these batches are stored. Call it after `append` has returned, never before. */
  async receipts(
    batches: readonly { readonly batch: Pick<Loggable, 'device' | 'sequence' | 'digest'>; readonly index: number }[],
  ): Promise<Uint8Array[]> {
    const bodies = batches.map(({ batch: { device, sequence, digest }, index }) => {
      assert(index < this.#size, `a receipt for leaf ${index} needs a log of more than ${this.#size}`);
      return encodeReceiptBody({ log: this.#key.log, index, device, sequence, digest });
    });
    const signatures = await this.#key.signAside(bodies.map(receiptPreimage));
    return bodies.map((body, i) => encodeReceipt(body, signatures[i]!));
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

  /** All that the group's answers depend on, read in one go. */
  #draft(group: readonly Loggable[], names: readonly string[]): Draft {
    const { log } = this.#store;
    const devices = new Map(group.map(({ device }, i) => [names[i]!, device]));
    const heads = log.heads([...devices.values()]);
    const repeats = group.filter(({ sequence }, i) => sequence < (heads.get(names[i]!)?.nextSequence ?? 0));
    return new Draft(this.#size, this.#edge, heads, log.storedAll(repeats));
  }

  /** `name` is the batch's device in hex. */
  #appendOne(batch: Loggable, name: string, draft: Draft, nowMs: number): Answer {
    const { sequence, previous } = batch;
    const head = draft.head(name);
    if (sequence < head.nextSequence) return this.#compare(batch, draft, nowMs);
    if (sequence > head.nextSequence) {
      return reject('sequence-not-next', `sequence: expected ${head.nextSequence}, got ${sequence}`);
    }
    if (!bytesEqual(previous, head.digest)) {
      const expected = bytesToHex(head.digest);
      return reject('previous-mismatch', `previous: expected ${expected}, got ${bytesToHex(previous)}`);
    }
    return accept({ index: draft.append({ ...batch, loggedMs: nowMs }, name), isRepeat: false });
  }

  #compare(batch: Loggable, draft: Draft, nowMs: number): Answer {
    const { device, sequence, digest } = batch;
    const stored = draft.stored(batch);
    if (bytesEqual(stored.digest, digest)) return accept({ index: stored.index, isRepeat: true });
    this.#store.log.insertEquivocation({ ...batch, loggedMs: nowMs });
    const digests = `${bytesToHex(stored.digest)} and ${bytesToHex(digest)}`;
    return reject('equivocation', `sequence ${sequence} of ${bytesToHex(device)} was signed twice: ${digests}`);
  }

  /** What the log's end is in the store. */
  #load(): void {
    this.#size = this.#store.log.size();
    this.#edge = this.#loadEdge();
  }

  #loadEdge(): Edge {
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

function tally(answers: readonly (Answer | 'early')[], counts: ReadonlyMap<string, number>) {
  const sums = new Map(counts);
  for (const answer of answers) {
    if (answer === 'early') continue;
    const name = answer.ok ? (answer.value.isRepeat ? 'repeated' : 'verified') : `rejected:${answer.reason}`;
    sums.set(name, (sums.get(name) ?? 0) + 1);
  }
  return sums;
}
