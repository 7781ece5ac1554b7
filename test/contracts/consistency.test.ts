/** wire/merkle.ts against Consistency.sol: every proof over small trees, and thousands of tampered ones. */
import t from 'tap';
import type { Contract } from 'ethers';
import { verifyConsistency } from '@coldproof/wire';
import { call, deploy, startChain } from '../helpers/chain.ts';
import { seeded, type Random } from '../helpers/seed.ts';
import { flipBit, hex } from './fixture.ts';
import { SparseLog } from './sparse-log.ts';

const leavesMax = 40;
const mutantCount = 4_000;
const callSize = 500;

type Proof = { first: number; second: number; firstRoot: Uint8Array; secondRoot: Uint8Array; path: Uint8Array[] };

const log = new SparseLog();

function makeProof(first: number, second: number): Proof {
  const path = log.consistency(first, second);
  return { first, second, firstRoot: log.root(first), secondRoot: log.root(second), path };
}

const wireVerdict = ({ first, second, firstRoot, secondRoot, path }: Proof): boolean =>
  verifyConsistency(first, second, firstRoot, secondRoot, path);

async function contractVerdicts(probe: Contract, proofs: readonly Proof[]): Promise<boolean[]> {
  const verdicts: boolean[] = [];
  for (let from = 0; from < proofs.length; from += callSize) {
    const asked = proofs.slice(from, from + callSize).map(({ firstRoot, secondRoot, path, ...sizes }) => {
      return { ...sizes, firstRoot: hex(firstRoot), secondRoot: hex(secondRoot), path: path.map(hex) };
    });
    verdicts.push(...((await call(probe, 'verifyConsistency', [asked])) as boolean[]));
  }
  return verdicts;
}

const mutations: Record<string, (proof: Proof, random: Random) => Partial<Proof>> = {
  node: ({ path }, random) => {
    const at = random.integer(0, path.length - 1);
    return { path: path.map((each, i) => (i === at ? flipBit(each, random.integer(0, 255)) : each)) };
  },
  nodeOut: ({ path }, random) => {
    const at = random.integer(0, path.length - 1);
    return { path: path.filter((_, i) => i !== at) };
  },
  nodeIn: ({ path }, random) => {
    const at = random.integer(0, path.length);
    return { path: [...path.slice(0, at), random.bytes(32), ...path.slice(at)] };
  },
  nodesSwapped: ({ path }) => ({ path: [...path].reverse() }),
  pathEmpty: () => ({ path: [] }),
  pathWithFirstRoot: ({ path, firstRoot }) => ({ path: [firstRoot, ...path] }),
  first: ({ first }, random) => ({ first: Math.max(0, first + random.pick([-2, -1, 1, 2])) }),
  firstZero: () => ({ first: 0 }),
  second: ({ second }, random) => ({ second: Math.max(0, second + random.pick([-2, -1, 1, 2])) }),
  secondHuge: (_, random) => ({ second: random.pick([2 ** 31, 2 ** 32 + 1, 2 ** 52, Number.MAX_SAFE_INTEGER]) }),
  sizesSwapped: ({ first, second }) => ({ first: second, second: first }),
  firstRoot: ({ firstRoot }, random) => ({ firstRoot: flipBit(firstRoot, random.integer(0, 255)) }),
  secondRoot: ({ secondRoot }, random) => ({ secondRoot: flipBit(secondRoot, random.integer(0, 255)) }),
  rootsSwapped: ({ firstRoot, secondRoot }) => ({ firstRoot: secondRoot, secondRoot: firstRoot }),
  rootOfAnother: (_, random) => ({ firstRoot: log.root(random.integer(1, leavesMax)) }),
};

t.test('Consistency', async (t) => {
  const chain = await startChain();
  t.teardown(() => chain.stop());
  const probe = await deploy(await chain.account(0), 'ProofProbe');

  await t.test(`each proof between two trees of up to ${leavesMax} leaves`, async (t) => {
    const proofs: Proof[] = [];
    for (let second = 1; second <= leavesMax; second++) {
      for (let first = 1; first <= second; first++) proofs.push(makeProof(first, second));
    }
    t.ok(proofs.every(wireVerdict), 'wire accepts');
    const verdicts = await contractVerdicts(probe, proofs);
    t.equal(verdicts.filter(Boolean).length, (leavesMax * (leavesMax + 1)) / 2, 'and so does the contract');
  });

  await t.test('a tree and itself', async (t) => {
    const proof = makeProof(7, 7);
    const proofs = [proof, { ...proof, secondRoot: log.root(8) }, { ...proof, path: [log.root(1)] }];
    t.same(proofs.map(wireVerdict), [true, false, false]);
    t.same(await contractVerdicts(probe, proofs), [true, false, false]);
  });

  await t.test('a proof over a million leaves', async (t) => {
    const million = new SparseLog(990_000);
    const [first, second] = [990_000, 1_000_000];
    const path = million.consistency(first, second);
    const proof = { first, second, firstRoot: million.root(first), secondRoot: million.root(second), path };
    t.same(await contractVerdicts(probe, [proof, { ...proof, first: first - 1 }]), [true, false]);
  });

  await t.test(`${mutantCount} tampered proofs get one verdict from both`, async (t) => {
    const random = seeded(t, 9_162);
    const counts = new Map<string, { accepted: number; refused: number }>();
    const mutants = Array.from({ length: mutantCount }, () => {
      const second = random.integer(2, leavesMax);
      const proof = makeProof(random.integer(1, second - 1), second);
      const name = random.pick(Object.keys(mutations));
      return { name, proof: { ...proof, ...mutations[name]!(proof, random) } };
    });
    const verdicts = await contractVerdicts(
      probe,
      mutants.map(({ proof }) => proof),
    );
    mutants.forEach(({ name, proof }, i) => {
      const isAccepted = wireVerdict(proof);
      if (verdicts[i] !== isAccepted) t.fail(`mutant ${i} (${name}): wire ${isAccepted}, contract ${verdicts[i]}`);
      const count = counts.get(name) ?? { accepted: 0, refused: 0 };
      count[isAccepted ? 'accepted' : 'refused'] += 1;
      counts.set(name, count);
    });
    t.comment([...counts].map(([name, { accepted, refused }]) => `${name} ${accepted}/${refused}`).join(', '));
    t.equal(counts.size, Object.keys(mutations).length, 'each way to tamper was met');
    for (const [name, { refused }] of counts) t.ok(refused > 0, `${name} is refused`);
  });
});
