/** Time outside the limits in all runs together. What this rule finds, verifyCumulative proves. */
import type { Finding, JudgedBatch, LimitUnderWatch } from './evaluate.ts';
import { cumulativeRunsMax } from './limits.ts';
import { durationSecOf, locationOf, walkRuns, type Run } from './rule-run.ts';

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
  batch: JudgedBatch,
): { readonly state: CumulativeState; readonly findings: readonly Finding[] } {
  const { cumulativeSecMin } = limit.terms;
  if (cumulativeSecMin === 0 || state.isFound) return { state, findings: [] };
  let { run, ended } = state;
  for (const step of walkRuns(limit, run, batch)) {
    if (step.ended !== null) ended = withRun(ended, step.ended);
    run = step.run;
    if (run === null) continue;
    const durationSec = cumulatedSecOf({ run, ended });
    if (durationSec < cumulativeSecMin) continue;
    const finding = findingOf(limit, withRun(ended, run), durationSec);
    return { state: { run, ended, isFound: true }, findings: [finding] };
  }
  return { state: { run, ended, isFound: false }, findings: [] };
}

/** Seconds outside the limits until now: of the ended runs, and of the one under way if it counts. */
export function cumulatedSecOf({ run, ended }: Pick<CumulativeState, 'run' | 'ended'>): number {
  const runs = run === null ? ended : withRun(ended, run);
  return runs.reduce((sum, each) => sum + durationSecOf(each), 0);
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
