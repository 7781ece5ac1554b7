/**
 * Runs: unbroken samples of one channel outside its limits, all too warm or all too cold. A run is broken by whatever
 * evidence may not contain (a fault, a marked series, a flag that forbids use, a batch without the channel).
 */
import { criticalFlagsMask } from './batch.ts';
import { faultValue } from './channel.ts';
import type { JudgedBatch, LimitUnderWatch, RunLocation } from './evaluate.ts';
import type { ExcursionTerms } from './evidence.ts';
import type { Sample } from './series.ts';

export type Run = RunLocation & {
  readonly isWarm: boolean;
  readonly startedAtSec: number;
  readonly lastSec: number;
  readonly peakCentiC: number;
};

/** After each sample: the run that it is in, and the run that it has ended. */
export type RunStep = { readonly run: Run | null; readonly ended: Run | null };

/** Evidence counts its samples in 16 bits. A run that has not lasted long enough by then starts anew. */
const runCountMax = 0xffff;

/** `before` is the run that the batch before has left open. A batch that breaks it without a sample is one step. */
export function* walkRuns(limit: LimitUnderWatch, before: Run | null, batch: JudgedBatch): Generator<RunStep> {
  const { terms } = limit;
  const measured = batch.series.find(({ channel }) => channel === terms.channel);
  const isUsable = (batch.batch.flags & criticalFlagsMask) === 0 && measured?.marks === 0;
  if (!isUsable) {
    yield { run: null, ended: before };
    return;
  }
  const { sequence } = batch.batch;
  let run = before;
  for (const [skip, sample] of measured.samples.entries()) {
    const isMore = run !== null && continues(terms, run, sample);
    const next = isMore ? extendRun(run!, sample, sequence) : startRun(limit, sample, sequence, skip);
    yield { run: next, ended: isMore ? null : run };
    run = next;
  }
}

export function durationSecOf({ startedAtSec, lastSec }: Run): number {
  return lastSec - startedAtSec;
}

export function locationOf({ firstSequence, lastSequence, skip, count }: Run): RunLocation {
  return { firstSequence, lastSequence, skip, count };
}

function continues(terms: ExcursionTerms, run: Run, { timeSec, value }: Sample): boolean {
  if (value === faultValue(terms.channel) || run.count === runCountMax) return false;
  const gapSec = timeSec - run.lastSec;
  if (gapSec < 1 || gapSec > terms.sampleGapSecMax) return false;
  return run.isWarm ? value >= terms.upperLimitCentiC : value <= terms.lowerLimitCentiC;
}

function startRun(
  { terms, judgedFromSec }: LimitUnderWatch,
  { timeSec, value }: Sample,
  sequence: number,
  skip: number,
): Run | null {
  if (timeSec < judgedFromSec) return null;
  const isWarm = value >= terms.upperLimitCentiC;
  const isOutside = isWarm || value <= terms.lowerLimitCentiC;
  if (!isOutside || value === faultValue(terms.channel)) return null;
  const at = { firstSequence: sequence, lastSequence: sequence, skip, count: 1 };
  return { ...at, isWarm, startedAtSec: timeSec, lastSec: timeSec, peakCentiC: value };
}

function extendRun(run: Run, { timeSec, value }: Sample, sequence: number): Run {
  const peakCentiC = run.isWarm ? Math.max(run.peakCentiC, value) : Math.min(run.peakCentiC, value);
  return { ...run, lastSequence: sequence, lastSec: timeSec, peakCentiC, count: run.count + 1 };
}
