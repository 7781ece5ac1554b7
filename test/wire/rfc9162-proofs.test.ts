import t from 'tap';
import {
  leafHash,
  makeConsistencyProof,
  makeInclusionProof,
  merkleRoot,
  nodeHash,
  subtreesOf,
  verifyConsistency,
  verifyInclusion,
} from '@coldproof/wire';
import { seeded } from '../helpers/seed.ts';

/** Past a power of two, where a tree's right edge is one leaf. */
const leaves = Array.from({ length: 66 }, (_, i) => leafHash(Uint8Array.of(i)));
const roots = Array.from({ length: leaves.length + 1 }, (_, size) => merkleRoot(leaves.slice(0, size)));
const subtree = subtreesOf(leaves);
type Leaf = Uint8Array;

t.test('RFC 9162 §2.1.5: the example tree of seven leaves', (t) => {
  const [a, b, c, d, e, f, j] = leaves as [Leaf, Leaf, Leaf, Leaf, Leaf, Leaf, Leaf];
  const [g, h, i] = [nodeHash(a, b), nodeHash(c, d), nodeHash(e, f)];
  const [k, l] = [nodeHash(g, h), nodeHash(i, j)];
  t.same(merkleRoot(leaves.slice(0, 7)), nodeHash(k, l));
  t.same(makeInclusionProof(0, 7, subtree), [b, h, l]);
  t.same(makeInclusionProof(3, 7, subtree), [c, g, l]);
  t.same(makeInclusionProof(4, 7, subtree), [f, j, k]);
  t.same(makeInclusionProof(6, 7, subtree), [i, k]);
  t.same(makeConsistencyProof(3, 7, subtree), [c, d, g, l]);
  t.same(makeConsistencyProof(4, 7, subtree), [l]);
  t.same(makeConsistencyProof(6, 7, subtree), [i, j, k]);
  t.end();
});

t.test('every leaf of every tree to 66 is included, at its own index only', (t) => {
  let proofs = 0;
  for (let size = 1; size <= leaves.length; size++) {
    for (let index = 0; index < size; index++) {
      const proof = makeInclusionProof(index, size, subtree);
      const holds = (at: number, of: number) => verifyInclusion(leaves[index]!, at, of, proof, roots[size]!);
      if (!holds(index, size)) t.fail(`leaf ${index} of ${size}`);
      // Not every other size: RFC 9162's walk gives the same root for some (index, size) of equal shape.
      if (size > 1 && holds((index + 1) % size, size)) t.fail(`leaf ${index} of ${size} proved at the next index`);
      if (holds(index, index)) t.fail(`leaf ${index} proved in a tree that ends before it`);
      proofs += 1;
    }
  }
  t.equal(proofs, (66 * 67) / 2);
  t.end();
});

t.test('every tree to 66 is consistent with every smaller one, and with no other root', (t) => {
  let proofs = 0;
  for (let second = 1; second <= leaves.length; second++) {
    for (let first = 1; first <= second; first++) {
      const proof = makeConsistencyProof(first, second, subtree);
      const holds = (a: Uint8Array, b: Uint8Array) => verifyConsistency(first, second, a, b, proof);
      if (!holds(roots[first]!, roots[second]!)) t.fail(`${first} in ${second}`);
      if (holds(roots[first - 1]!, roots[second]!)) t.fail(`${first} in ${second} with another first root`);
      if (holds(roots[first]!, roots[second - 1]!)) t.fail(`${first} in ${second} with another second root`);
      proofs += 1;
    }
  }
  t.equal(proofs, (66 * 67) / 2);
  t.end();
});

t.test('a flipped bit, a missing digest, one too many: refused', (t) => {
  const random = seeded(t, 9162);
  for (let i = 0; i < 1_000; i++) {
    const size = random.integer(2, leaves.length);
    const index = random.integer(0, size - 1);
    const proof: Uint8Array[] = makeInclusionProof(index, size, subtree).map((digest) => Uint8Array.from(digest));
    const attack = random.pick(['flip', 'drop', 'add', 'shorten'] as const);
    const at = random.integer(0, proof.length - 1);
    if (attack === 'flip') proof[at]![random.integer(0, 31)]! ^= 1 << random.integer(0, 7);
    if (attack === 'drop') proof.splice(at, 1);
    if (attack === 'add') proof.splice(at, 0, random.bytes(32));
    if (attack === 'shorten') proof[at] = proof[at]!.subarray(0, 31);
    if (verifyInclusion(leaves[index]!, index, size, proof, roots[size]!))
      t.fail(`${attack} at ${at} of ${index} in ${size}`);
  }
  t.end();
});
