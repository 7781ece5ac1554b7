/**
 * A log of any size: its older leaves are known by the hashes of their tiles of 1,024 only, as a compacted log keeps
 * them, and the newer ones one by one. Its proofs are those of the whole tree.
 */
import {
  largestPowerOfTwoBelow,
  leafHash,
  makeConsistencyProof,
  makeInclusionProof,
  nodeHash,
  referenceCrypto,
  utf8ToBytes,
} from '@coldproof/wire';

const tileLeaves = 1_024;

export class SparseLog {
  readonly #openFrom: number;
  readonly #known = new Map<string, Uint8Array>();

  /** Leaves before `openFrom` are in tiles, but for those of the tile that it is in. */
  constructor(openFrom = 0) {
    this.#openFrom = openFrom - (openFrom % tileLeaves);
  }

  /** The batch digest that is leaf `index`. */
  digest(index: number): Uint8Array {
    return referenceCrypto.sha256(utf8ToBytes(`batch ${index}`));
  }

  root(size: number): Uint8Array {
    return this.#subtree(0, size);
  }

  consistency(first: number, second: number): Uint8Array[] {
    return makeConsistencyProof(first, second, (start, end) => this.#subtree(start, end));
  }

  inclusion(index: number, size: number): Uint8Array[] {
    return makeInclusionProof(index, size, (start, end) => this.#subtree(start, end));
  }

  #subtree(start: number, end: number): Uint8Array {
    const key = `${start} ${end}`;
    const known = this.#known.get(key) ?? this.#compute(start, end);
    this.#known.set(key, known);
    return known;
  }

  #compute(start: number, end: number): Uint8Array {
    if (end - start === tileLeaves && end <= this.#openFrom)
      return referenceCrypto.sha256(utf8ToBytes(`tile ${start}`));
    if (end - start === 1) return leafHash(this.digest(start));
    const split = start + largestPowerOfTwoBelow(end - start);
    return nodeHash(this.#subtree(start, split), this.#subtree(split, end));
  }
}
