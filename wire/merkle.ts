/**
 * Merkle trees as RFC 9162 §2.1 has them: SHA-256, 0x00 before a leaf, 0x01 before a node, no padding and no sorting.
 * Used twice: for the series in a batch, and for the log of batches.
 */
import { bytesEqual } from './bytes.ts';
import { referenceCrypto, type Crypto } from './crypto.ts';
import { assert } from './verdict.ts';

export type Sha256 = Crypto['sha256'];

const leafPrefix = Uint8Array.of(0x00);
const nodePrefix = Uint8Array.of(0x01);

export function leafHash(leaf: Uint8Array, sha256: Sha256 = referenceCrypto.sha256): Uint8Array {
  return sha256(leafPrefix, leaf);
}

export function nodeHash(left: Uint8Array, right: Uint8Array, sha256: Sha256 = referenceCrypto.sha256): Uint8Array {
  return sha256(nodePrefix, left, right);
}

/** MTH of RFC 9162 §2.1.1, over leaf hashes. */
export function merkleRoot(leaves: readonly Uint8Array[], sha256: Sha256 = referenceCrypto.sha256): Uint8Array {
  if (leaves.length === 0) return sha256(new Uint8Array());
  if (leaves.length === 1) return leaves[0]!;
  const split = largestPowerOfTwoBelow(leaves.length);
  return nodeHash(merkleRoot(leaves.slice(0, split), sha256), merkleRoot(leaves.slice(split), sha256), sha256);
}

/**
 * Where a proof finds the hash of the subtree over leaves [start, end). A log answers from what it has stored, a batch
 * from its few leaves, so that the proofs below are written once for both.
 */
export type SubtreeHash = (start: number, end: number) => Uint8Array;

export function subtreesOf(leaves: readonly Uint8Array[], sha256: Sha256 = referenceCrypto.sha256): SubtreeHash {
  return (start, end) => merkleRoot(leaves.slice(start, end), sha256);
}

/** PATH(index, D_size) of RFC 9162 §2.1.3.1, from the leaf up. */
export function makeInclusionProof(index: number, size: number, subtree: SubtreeHash): Uint8Array[] {
  assert(index >= 0 && index < size, `index ${index} is in the tree of ${size}`);
  const walk = (start: number, end: number): Uint8Array[] => {
    if (end - start === 1) return [];
    const split = start + largestPowerOfTwoBelow(end - start);
    return index < split ? [...walk(start, split), subtree(split, end)] : [...walk(split, end), subtree(start, split)];
  };
  return walk(0, size);
}

/** PROOF(first, D_size) of RFC 9162 §2.1.4.1. */
export function makeConsistencyProof(first: number, size: number, subtree: SubtreeHash): Uint8Array[] {
  assert(first > 0 && first <= size, `tree of ${first} is a prefix of the tree of ${size}`);
  const walk = (start: number, end: number, known: boolean): Uint8Array[] => {
    if (first === end) return known ? [] : [subtree(start, end)];
    const split = start + largestPowerOfTwoBelow(end - start);
    return first <= split
      ? [...walk(start, split, known), subtree(split, end)]
      : [...walk(split, end, false), subtree(start, split)];
  };
  return first === size ? [] : walk(0, size, true);
}

/** RFC 9162 §2.1.3.2. Refuses any digest that is not 32 bytes: without that, an empty root proves an empty leaf. */
export function verifyInclusion(
  leaf: Uint8Array,
  index: number,
  size: number,
  proof: readonly Uint8Array[],
  root: Uint8Array,
  sha256: Sha256 = referenceCrypto.sha256,
): boolean {
  const computed = rootFromInclusion(leaf, index, size, proof, sha256);
  return computed !== undefined && root.length === 32 && bytesEqual(computed, root);
}

/** The root that an inclusion proof leads to, or undefined when its form is wrong for this index and size. */
export function rootFromInclusion(
  leaf: Uint8Array,
  index: number,
  size: number,
  proof: readonly Uint8Array[],
  sha256: Sha256 = referenceCrypto.sha256,
): Uint8Array | undefined {
  if (!isIndex(index) || !isIndex(size) || index >= size || !areDigests([leaf, ...proof])) return undefined;
  let fn = index;
  let sn = size - 1;
  let r = leaf;
  for (const p of proof) {
    if (sn === 0) return undefined;
    if (fn % 2 === 1 || fn === sn) {
      r = nodeHash(p, r, sha256);
      while (fn % 2 === 0 && fn !== 0) {
        fn /= 2;
        sn = Math.floor(sn / 2);
      }
    } else {
      r = nodeHash(r, p, sha256);
    }
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  return sn === 0 ? r : undefined;
}

/** RFC 9162 §2.1.4.2: the tree of `first` leaves is a prefix of the tree of `second` leaves. */
export function verifyConsistency(
  first: number,
  second: number,
  firstRoot: Uint8Array,
  secondRoot: Uint8Array,
  proof: readonly Uint8Array[],
  sha256: Sha256 = referenceCrypto.sha256,
): boolean {
  if (!isIndex(first) || !isIndex(second) || first < 1 || first > second) return false;
  if (!areDigests([firstRoot, secondRoot, ...proof])) return false;
  if (first === second) return proof.length === 0 && bytesEqual(firstRoot, secondRoot);
  if (proof.length === 0) return false;
  const path = isPowerOfTwo(first) ? [firstRoot, ...proof] : proof;
  let fn = first - 1;
  let sn = second - 1;
  while (fn % 2 === 1) {
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  let fr = path[0]!;
  let sr = path[0]!;
  for (const c of path.slice(1)) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      fr = nodeHash(c, fr, sha256);
      sr = nodeHash(c, sr, sha256);
      while (fn % 2 === 0 && fn !== 0) {
        fn /= 2;
        sn = Math.floor(sn / 2);
      }
    } else {
      sr = nodeHash(sr, c, sha256);
    }
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  return sn === 0 && bytesEqual(fr, firstRoot) && bytesEqual(sr, secondRoot);
}

function isIndex(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function areDigests(digests: readonly Uint8Array[]): boolean {
  return digests.every((digest) => digest.length === 32);
}

/** The largest power of two smaller than `count`, which is at least 2 (RFC 9162 §2.1.1). Above 2^31 too. */
export function largestPowerOfTwoBelow(count: number): number {
  let power = 1;
  while (power * 2 < count) power *= 2;
  return power;
}

function isPowerOfTwo(value: number): boolean {
  return value === 1 || (value > 1 && largestPowerOfTwoBelow(value) * 2 === value);
}
