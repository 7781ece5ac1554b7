/**
 * wire/evidence.ts against Evidence.sol: the same reason for every attack, on both hard forks, and on random mutations.
 */
import t from 'tap';
import type { Contract } from 'ethers';
import { digestEvidence, verifyEvidence, type Evidence, type ExcursionClaim } from '@coldproof/wire';
import { call, deploy, RevertError, startChain, type Chain } from '../helpers/chain.ts';
import { seeded } from '../helpers/seed.ts';
import { listCases } from './evidence-attacks.ts';
import { makeMutant } from './evidence-mutation.ts';
import { abiEvidence, hex } from './fixture.ts';

const mutantCount = 600;

/** 'accepted startedAt durationSec peakCentiC digest', or the reason. */
function wireVerdict(evidence: Evidence, claim: ExcursionClaim): string {
  const verdict = verifyEvidence(evidence, claim);
  if (!verdict.ok) return verdict.reason;
  const { startedAtSec, durationSec, peakCentiC } = verdict.value;
  return `accepted ${startedAtSec} ${durationSec} ${peakCentiC} ${hex(digestEvidence(evidence))}`;
}

async function contractVerdict(probe: Contract, evidence: Evidence, claim: ExcursionClaim): Promise<string> {
  const { terms, device, dispatchedAtSec, nowSec } = claim;
  try {
    const args = [abiEvidence(evidence), terms, hex(device), dispatchedAtSec, nowSec];
    const [excursion, digest] = (await call(probe, 'verify', args)) as [[bigint, bigint, bigint], string];
    return `accepted ${excursion.join(' ')} ${digest}`;
  } catch (error) {
    if (error instanceof RevertError) return error.reason;
    throw error;
  }
}

async function openProbe(hardFork: 'osaka' | 'prague'): Promise<{ chain: Chain; probe: Contract }> {
  const chain = await startChain({ hardFork });
  return { chain, probe: await deploy(await chain.account(0), 'EvidenceProbe') };
}

for (const hardFork of ['osaka', 'prague'] as const) {
  t.test(`each attack is refused with its own reason, on ${hardFork}`, async (t) => {
    const { chain, probe } = await openProbe(hardFork);
    t.teardown(() => chain.stop());
    const seen = new Set<string>();
    for (const { name, reason, evidence, claim } of listCases()) {
      const wire = wireVerdict(evidence, claim);
      t.equal(wire.split(' ')[0], reason, `wire: ${name}`);
      t.equal(await contractVerdict(probe, evidence, claim), wire, `contract: ${name}`);
      seen.add(reason);
    }
    t.equal(seen.size, 17, 'all 16 reasons, and acceptance');
  });
}

t.test(`${mutantCount} random mutations get one verdict from both`, async (t) => {
  const { chain, probe } = await openProbe('osaka');
  t.teardown(() => chain.stop());
  const random = seeded(t, 20_261_120);
  const counts = new Map<string, number>();
  for (let i = 0; i < mutantCount; i++) {
    const { evidence, claim, changes } = makeMutant(random);
    const wire = wireVerdict(evidence, claim);
    const contract = await contractVerdict(probe, evidence, claim);
    if (contract !== wire) t.fail(`mutant ${i} (${changes.join(', ')}): wire ${wire}, contract ${contract}`);
    const reason = wire.split(' ')[0]!;
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  t.comment(
    [...counts]
      .map(([reason, count]) => `${reason} ${count}`)
      .sort()
      .join(', '),
  );
  t.equal(counts.size, 17, 'every reason, and acceptance, was met');
});
