/**
 * What a group of batches will add to the log: leaves, the subtrees that they complete, and the devices' new heads. It
 * is put together in memory from what the store gave before, and then written as a whole.
 */
import { assert, leafHash, nodeHash, noPrevious } from '@coldproof/wire';
import { hexOf } from './hex.ts';
import { opensslSha256 as sha256 } from './openssl-crypto.ts';
import type { HeadRow, LeafRow, StoredLeaf, SubtreeRow } from './store-log.ts';

/** Hash of the complete subtree of 2^level leaves that waits for its right sibling, by level. */
export type Edge = readonly (Uint8Array | undefined)[];

export class Draft {
  readonly leaves: LeafRow[] = [];
  readonly subtrees: SubtreeRow[] = [];
  /** Devices (hex) whose head this group moves. */
  readonly moved = new Map<string, HeadRow>();
  readonly #heads: ReadonlyMap<string, HeadRow>;
  readonly #before: readonly StoredLeaf[];
  /** By device and sequence; made when a batch is a repeat, which is rare. */
  #stored: Map<string, Pick<StoredLeaf, 'index' | 'digest'>> | undefined;
  readonly #edge: (Uint8Array | undefined)[];
  #size: number;

  constructor(size: number, edge: Edge, heads: ReadonlyMap<string, HeadRow>, stored: readonly StoredLeaf[]) {
    this.#size = size;
    this.#edge = [...edge];
    this.#heads = heads;
    this.#before = stored;
  }

  get size(): number {
    return this.#size;
  }

  get edge(): Edge {
    return this.#edge;
  }

  /** `device` in hex. */
  head(device: string): HeadRow {
    return this.moved.get(device) ?? this.#heads.get(device) ?? { nextSequence: 0, digest: noPrevious };
  }

  /** The leaf of a sequence below the device's head. */
  stored(leaf: Pick<LeafRow, 'device' | 'sequence'>): Pick<StoredLeaf, 'index' | 'digest'> {
    this.#stored ??= new Map([...this.#before, ...this.leaves].map((each) => [nameOf(each), each]));
    const stored = this.#stored.get(nameOf(leaf));
    assert(stored !== undefined, `sequence ${leaf.sequence} is below the head, so it is stored`);
    return stored;
  }

  /** The next leaf, of a device that is `name` in hex; gives its index. */
  append(leaf: Omit<LeafRow, 'index'>, name: string): number {
    const index = this.#size;
    const { sequence, digest } = leaf;
    const row = { ...leaf, index };
    this.leaves.push(row);
    this.moved.set(name, { nextSequence: sequence + 1, digest });
    this.#stored?.set(nameOf(row), row);
    this.#grow(leafHash(digest, sha256));
    return index;
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
      this.subtrees.push({ level: level + 1, position, hash });
    }
    this.#edge[level] = hash;
    this.#size += 1;
  }
}

function nameOf({ device, sequence }: Pick<LeafRow, 'device' | 'sequence'>): string {
  return `${hexOf(device)}:${sequence}`;
}
