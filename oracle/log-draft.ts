/**
 * What a group of batches will add to the log: leaves, the subtrees that they complete, and the devices' new heads. It
 * is put together in memory from what the store gave before, and then written as a whole.
 */
import { assert, bytesToHex, leafHash, nodeHash, noPrevious } from '@coldproof/wire';
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
  readonly #stored = new Map<string, Pick<StoredLeaf, 'index' | 'digest'>>();
  readonly #edge: (Uint8Array | undefined)[];
  #size: number;

  constructor(size: number, edge: Edge, heads: ReadonlyMap<string, HeadRow>, stored: readonly StoredLeaf[]) {
    this.#size = size;
    this.#edge = [...edge];
    this.#heads = heads;
    for (const leaf of stored) this.#stored.set(nameOf(leaf), leaf);
  }

  get size(): number {
    return this.#size;
  }

  get edge(): Edge {
    return this.#edge;
  }

  head(device: Uint8Array): HeadRow {
    const name = bytesToHex(device);
    return this.moved.get(name) ?? this.#heads.get(name) ?? { nextSequence: 0, digest: noPrevious };
  }

  /** The leaf of a sequence below the device's head. */
  stored(leaf: Pick<LeafRow, 'device' | 'sequence'>): Pick<StoredLeaf, 'index' | 'digest'> {
    const stored = this.#stored.get(nameOf(leaf));
    assert(stored !== undefined, `sequence ${leaf.sequence} is below the head, so it is stored`);
    return stored;
  }

  /** The next leaf; gives its index. */
  append(leaf: Omit<LeafRow, 'index'>): number {
    const index = this.#size;
    const { device, sequence, digest } = leaf;
    this.leaves.push({ ...leaf, index });
    this.moved.set(bytesToHex(device), { nextSequence: sequence + 1, digest });
    this.#stored.set(nameOf(leaf), { index, digest });
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
  return `${bytesToHex(device)}:${sequence}`;
}
