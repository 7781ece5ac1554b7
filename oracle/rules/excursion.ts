/**
 * Time outside the limits in one unbroken run. What this rule finds, wire's verifyEvidence proves: a run is broken by
 * whatever evidence may not contain (a fault, a marked series, a flag that forbids use, a batch without the channel).
 */
import { criticalFlagsMask, faultValue, type ExcursionTerms, type OpenEnvelope, type Sample } from '@coldproof/wire';
import type { Finding, LimitUnderWatch } from '../evaluate.ts';

export type ExcursionRun = {
  readonly isWarm: boolean;
  readonly startedAtSec: number;
  readonly lastSec: number;
  readonly peakCentiC: number;
  readonly firstSequence: number;
  readonly skip: number;
  readonly count: number;
  /** The terms' duration was reached and said. */
  readonly isFound: boolean;
};

export type ExcursionState = ExcursionRun | null;

/** Evidence counts its samples in 16 bits. A run that has not lasted long enough by then starts anew. */
const runCountMax = 0xffff;

export function walkExcursion(
  limit: LimitUnderWatch,
  state: ExcursionState,
  { batch, series }: OpenEnvelope,
): { readonly state: ExcursionState; readonly findings: readonly Finding[] } {
  const { terms } = limit;
  const measured = series.find(({ channel }) => channel === terms.channel);
  const isUsable = (batch.flags & criticalFlagsMask) === 0 && measured?.marks === 0;
  if (!isUsable) return { state: null, findings: endOf(terms, state) };
  const findings: Finding[] = [];
  let run = state;
  for (const [skip, sample] of measured.samples.entries()) {
    const next =
      run !== null && continues(terms, run, sample)
        ? extendRun(run, sample)
        : startRun(limit, sample, { firstSequence: batch.sequence, skip });
    if (run !== null && next?.startedAtSec !== run.startedAtSec) findings.push(...endOf(terms, run));
    run = next;
    if (run === null || run.isFound || run.lastSec - run.startedAtSec < terms.excursionSecMin) continue;
    run = { ...run, isFound: true };
    const { firstSequence, count } = run;
    const location = { firstSequence, lastSequence: batch.sequence, skip: run.skip, count };
    findings.push({ ...findingOf(terms, run), run: location });
  }
  // How it stands now, for whoever looks; the same finding, grown.
  if (run?.isFound === true) findings.push(findingOf(terms, run));
  return { state: run, findings };
}

/** A run that was never long enough leaves no trace. */
function endOf(terms: ExcursionTerms, run: ExcursionState): Finding[] {
  return run?.isFound === true ? [{ ...findingOf(terms, run), closedAtSec: run.lastSec }] : [];
}

function continues(terms: ExcursionTerms, run: ExcursionRun, { timeSec, value }: Sample): boolean {
  if (value === faultValue(terms.channel) || run.count === runCountMax) return false;
  const gapSec = timeSec - run.lastSec;
  if (gapSec < 1 || gapSec > terms.sampleGapSecMax) return false;
  return run.isWarm ? value >= terms.upperLimitCentiC : value <= terms.lowerLimitCentiC;
}

function startRun(
  { terms, judgedFromSec }: LimitUnderWatch,
  { timeSec, value }: Sample,
  at: { readonly firstSequence: number; readonly skip: number },
): ExcursionRun | null {
  if (timeSec < judgedFromSec) return null;
  const isWarm = value >= terms.upperLimitCentiC;
  const isOutside = isWarm || value <= terms.lowerLimitCentiC;
  if (!isOutside || value === faultValue(terms.channel)) return null;
  return { ...at, isWarm, startedAtSec: timeSec, lastSec: timeSec, peakCentiC: value, count: 1, isFound: false };
}

function extendRun(run: ExcursionRun, { timeSec, value }: Sample): ExcursionRun {
  const peakCentiC = run.isWarm ? Math.max(run.peakCentiC, value) : Math.min(run.peakCentiC, value);
  return { ...run, lastSec: timeSec, peakCentiC, count: run.count + 1 };
}

function findingOf({ channel }: ExcursionTerms, run: ExcursionRun): Finding {
  const { startedAtSec, lastSec, peakCentiC, isWarm } = run;
  const detail = { durationSec: lastSec - startedAtSec, peakCentiC, side: isWarm ? 'warm' : 'cold' };
  return { rule: 'excursion', channel, openedAtSec: startedAtSec, detail };
}
