/** Time outside the limits in all runs together. What this rule finds, wire's verifyCumulative proves. */
import { cumulativeRunsMax, type OpenEnvelope } from '@coldproof/wire';
import type { Finding, LimitUnderWatch } from '../evaluate.ts';
import { durationSecOf, locationOf, walkRuns, type Run } from './run.ts';

export type CumulativeState = {
  readonly run: Run | null;
  /** The runs before, oldest first: the longest ones, as many as one proof may hold. */
  readonly ended: readonly Run[];
  readonly isFound: boolean;
};

export const nothingCumulated: CumulativeState = { run: null, ended: [], isFound: false };

export function walkCumulative(
  limit: LimitUnderWatch,
  state: CumulativeState,
  batch: OpenEnvelope,
): { readonly state: CumulativeState; readonly findings: readonly Finding[] } {
  const { cumulativeSecMin } = limit.terms;
  if (cumulativeSecMin === 0 || state.isFound) return { state, findings: [] };
  let { run, ended } = state;
  for (const step of walkRuns(limit, run, batch)) {
    if (step.ended !== null) ended = withRun(ended, step.ended);
    run = step.run;
    if (run === null) continue;
    const runs = withRun(ended, run);
    const durationSec = runs.reduce((sum, each) => sum + durationSecOf(each), 0);
    if (durationSec < cumulativeSecMin) continue;
    return { state: { run, ended, isFound: true }, findings: [findingOf(limit, runs, durationSec)] };
  }
  return { state: { run, ended, isFound: false }, findings: [] };
}

/** A run of one sample lasts no time, and one that begins before another has ended (a clock set back) is no further. */
function withRun(runs: readonly Run[], run: Run): readonly Run[] {
  const endedAtSec = runs.at(-1)?.lastSec ?? 0;
  if (durationSecOf(run) === 0 || run.startedAtSec <= endedAtSec) return runs;
  const all = [...runs, run];
  if (all.length <= cumulativeRunsMax) return all;
  const shortest = all.reduce((a, b) => (durationSecOf(b) < durationSecOf(a) ? b : a));
  return all.filter((each) => each !== shortest);
}

function findingOf({ terms }: LimitUnderWatch, runs: readonly Run[], durationSec: number): Finding {
  return {
    rule: 'cumulative',
    channel: terms.channel,
    openedAtSec: runs[0]!.startedAtSec,
    detail: { durationSec, runs: runs.length },
    runs: runs.map(locationOf),
  };
}
