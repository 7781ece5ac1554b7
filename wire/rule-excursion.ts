/** Time outside the limits in one unbroken run. What this rule finds, verifyEvidence proves. */
import type { Finding, JudgedBatch, LimitUnderWatch } from './evaluate.ts';
import { durationSecOf, locationOf, walkRuns, type Run } from './rule-run.ts';

export type ExcursionState = {
  readonly run: Run | null;
  /** The run has reached the terms' duration, and it was said. */
  readonly isFound: boolean;
};

export const noExcursion: ExcursionState = { run: null, isFound: false };

export function walkExcursion(
  limit: LimitUnderWatch,
  state: ExcursionState,
  batch: JudgedBatch,
): { readonly state: ExcursionState; readonly findings: readonly Finding[] } {
  const { channel, excursionSecMin } = limit.terms;
  const findings: Finding[] = [];
  let { run, isFound } = state;
  for (const step of walkRuns(limit, run, batch)) {
    // A run that was never long enough leaves no trace.
    if (step.ended !== null && isFound) {
      findings.push({ ...findingOf(channel, step.ended), closedAtSec: step.ended.lastSec });
    }
    if (step.ended !== null || step.run === null) isFound = false;
    run = step.run;
    if (run === null || isFound || durationSecOf(run) < excursionSecMin) continue;
    isFound = true;
    findings.push({ ...findingOf(channel, run), runs: [locationOf(run)] });
  }
  // How it stands now, for whoever looks; the same finding, grown.
  if (run !== null && isFound) findings.push(findingOf(channel, run));
  return { state: { run, isFound }, findings };
}

function findingOf(channel: number, run: Run): Finding {
  const { startedAtSec, peakCentiC, isWarm } = run;
  const detail = { durationSec: durationSecOf(run), peakCentiC, side: isWarm ? 'warm' : 'cold' };
  return { rule: 'excursion', channel, openedAtSec: startedAtSec, detail };
}
