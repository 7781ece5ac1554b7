/**
 * Proof that a channel was outside its limits for too long in all, in runs that lie apart. verifyCumulative and
 * contracts/Cumulative.sol make the same checks in the same order and refuse with the same names.
 */
import { keccak_256 } from '@noble/hashes/sha3.js';
import { concatBytes, utf8ToBytes } from './bytes.ts';
import { referenceCrypto, type Crypto } from './crypto.ts';
import {
  digestEvidence,
  verifyEvidence,
  type Evidence,
  type EvidenceReason,
  type Excursion,
  type ExcursionClaim,
  type ExcursionTerms,
} from './evidence.ts';
import { cumulativeRunsMax } from './limits.ts';
import { accept, reject, type Verdict } from './verdict.ts';

export type CumulativeReason =
  | EvidenceReason
  /** No run, or more than one transaction may hold. */
  | 'RunCountOutOfRange'
  /** A run does not start after the one before it ended. */
  | 'RunsNotInOrder'
  /** The runs are shorter in all than the terms. */
  | 'CumulativeTooShort';

/** From the first run's start; duration is the sum over the runs; peak the sample farthest outside of them all. */
export type CumulativeExcursion = Excursion & {
  /** The last run's last sample: later than start plus duration, since the runs lie apart. */
  readonly endedAtSec: number;
};

const kind = keccak_256(utf8ToBytes('coldproof v1 cumulative'));

/** Identity of the kind and of just these samples, free of signatures: one keccak256 after the other, over the runs. */
export function digestCumulative(runs: readonly Evidence[]): Uint8Array {
  return runs.reduce((digest, run) => {
    const { skip, count } = run;
    const place = Uint8Array.of(skip >> 8, skip & 0xff, count >> 8, count & 0xff);
    return keccak_256(concatBytes(digest, digestEvidence(run), place));
  }, kind);
}

/** The claim's excursionSecMin is taken for 0: a run may be as short as one sample, which lasts 0 seconds. */
export function verifyCumulative(
  runs: readonly Evidence[],
  claim: ExcursionClaim,
  cumulativeSecMin: number,
  crypto: Crypto = referenceCrypto,
): Verdict<CumulativeExcursion, CumulativeReason> {
  if (runs.length === 0 || runs.length > cumulativeRunsMax) {
    return reject('RunCountOutOfRange', `expected 1 to ${cumulativeRunsMax} runs, got ${runs.length}`);
  }
  const runClaim = { ...claim, terms: { ...claim.terms, excursionSecMin: 0 } };
  let sum: CumulativeExcursion | undefined;
  for (const [i, run] of runs.entries()) {
    const verdict = verifyEvidence(run, runClaim, crypto);
    if (!verdict.ok) return verdict;
    const { startedAtSec, durationSec } = verdict.value;
    if (sum !== undefined && startedAtSec <= sum.endedAtSec) {
      return reject('RunsNotInOrder', `run ${i} starts at ${startedAtSec}, the one before ends at ${sum.endedAtSec}`);
    }
    sum = add(sum, { ...verdict.value, endedAtSec: startedAtSec + durationSec }, claim.terms);
  }
  if (sum!.durationSec < cumulativeSecMin) {
    return reject('CumulativeTooShort', `expected >= ${cumulativeSecMin} s in all, got ${sum!.durationSec} s`);
  }
  return accept(sum!);
}

function add(
  sum: CumulativeExcursion | undefined,
  run: CumulativeExcursion,
  terms: ExcursionTerms,
): CumulativeExcursion {
  if (sum === undefined) return run;
  const isWorse = beyond(run.peakCentiC, terms) > beyond(sum.peakCentiC, terms);
  return {
    startedAtSec: sum.startedAtSec,
    durationSec: sum.durationSec + run.durationSec,
    peakCentiC: isWorse ? run.peakCentiC : sum.peakCentiC,
    endedAtSec: run.endedAtSec,
  };
}

/** Centi-degrees from the limit that the peak of a run is beyond. */
function beyond(peakCentiC: number, { lowerLimitCentiC, upperLimitCentiC }: ExcursionTerms): number {
  return peakCentiC >= upperLimitCentiC ? peakCentiC - upperLimitCentiC : lowerLimitCentiC - peakCentiC;
}
