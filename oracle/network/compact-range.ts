/** A tree that is only grown and asked for its root: the hashes of its complete subtrees, largest first (RFC 9162 §2.1). */
import { leafHash, nodeHash } from '@coldproof/wire';
import { opensslSha256 as sha256 } from '../openssl-crypto.ts';

export class CompactRange {
  #size: number;
  readonly #roots: Uint8Array[];

  /** `edge` as `edge()` gave it for a tree of this size. */
  constructor(size = 0, edge: Uint8Array = new Uint8Array()) {
    this.#size = size;
    this.#roots = Array.from({ length: edge.length / 32 }, (_, i) => edge.slice(i * 32, (i + 1) * 32));
  }

  get size(): number {
    return this.#size;
  }

  add(leaf: Uint8Array): void {
    let hash = leafHash(leaf, sha256);
    for (let count = this.#size; count % 2 === 1; count = Math.floor(count / 2)) {
      hash = nodeHash(this.#roots.pop()!, hash, sha256);
    }
    this.#roots.push(hash);
    this.#size += 1;
  }

  root(): Uint8Array {
    const [last, ...others] = [...this.#roots].reverse();
    if (last === undefined) return sha256(new Uint8Array());
    return others.reduce((right, left) => nodeHash(left, right, sha256), last);
  }

  edge(): Uint8Array {
    return Uint8Array.from(Buffer.concat(this.#roots));
  }
}
