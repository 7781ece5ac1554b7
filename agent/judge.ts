/**
 * The shipment's terms judged where the cargo is, by the very rules that the oracle runs (wire's evaluate.ts), so that
 * the driver is warned without a link. Batches are judged as they are sealed, which is what the oracle will see;
 * readings that no batch has yet are judged as if they were sealed now, and that much of the answer can still change: a
 * mark on a later reading takes its whole series out of evidence.
 */
import {
  channelName,
  cumulatedSecOf,
  evaluate,
  initialState,
  type EvaluationState,
  type Finding,
  type JudgedBatch,
  type OrderUnderWatch,
} from '@coldproof/wire';
import type { WarningState } from './config-terms.ts';
import type { Reading, SamplerState } from './sample.ts';
import { cutReadings, flagsOf, gatherSeries, type SealTerms, type Unsealed } from './seal.ts';
import { markNames } from './status.ts';
import { fromChannelInteger } from './unit.ts';

/** Plain JSON: it is kept beside the journal. */
export type JudgeState = {
  /** The order that it belongs to, as text: other terms begin anew. */
  readonly order: string;
  readonly nextSequence: number;
  readonly evaluation: EvaluationState;
  /** What broke the terms, once for each rule and channel. It stands: evidence does not go away. */
  readonly found: readonly Finding[];
};

export type ChannelWarning = {
  readonly state: WarningState;
  /** Of no-data: a mark's name, 'never', 'gap', 'clock', or 'marked' for a batch that an earlier mark has spoilt. */
  readonly why?: string;
  /** The newest reading, in the channel's unit; null for a fault. */
  readonly value: number | null;
  readonly at: string | undefined;
  /** Of the run outside the limits that goes on now. */
  readonly since?: string;
  /** When the terms are broken if it goes on, and how long that was from the newest reading on. */
  readonly dueAt?: string;
  readonly leftSec?: number;
  /** Outside the limits until now, in all; absent when the terms do not ask. */
  readonly cumulatedSec?: number;
  /** What broke the terms, and since when. */
  readonly found?: readonly { readonly rule: string; readonly openedAt: string; readonly durationSec: number }[];
};

export type OrderWarnings = {
  readonly orderId: string;
  /** The gravest of the channels'. */
  readonly state: WarningState;
  readonly channels: { readonly [channel: string]: ChannelWarning };
};

export function startJudging(order: OrderUnderWatch, nextSequence: number): JudgeState {
  return { order: JSON.stringify(order), nextSequence, evaluation: initialState(order), found: [] };
}

/** One batch further, as the oracle's stage 9. */
export function judgeBatch(order: OrderUnderWatch, state: JudgeState, batch: JudgedBatch): JudgeState {
  const { state: evaluation, findings } = evaluate(order, state.evaluation, batch);
  return { ...state, nextSequence: batch.batch.sequence + 1, evaluation, found: foundAfter(state.found, findings) };
}

/** What is judged of a device now, and the newest readings in it that may still change. */
export type Judged = { readonly state: JudgeState; readonly waiting: readonly Reading[] };

/** The sealed part with the readings that wait behind it, cut as the sealing would cut them if nothing more came. */
export function judgeUnsealed(
  order: OrderUnderWatch,
  sealed: JudgeState,
  unsealed: Unsealed,
  terms: SealTerms,
): Judged {
  let state = sealed;
  let waiting: readonly Reading[] = [];
  for (let rest = unsealed; ;) {
    const due = cutReadings(rest, terms);
    const readings = due ?? cutReadings(rest, terms, { isLast: true });
    if (readings === undefined) return { state, waiting };
    state = due === undefined ? judgeHeard(order, state, readings) : judgeBatch(order, state, batchOf(readings, state));
    waiting = readings;
    const sealedSec = Math.max(...readings.map(({ timeSec }) => timeSec));
    rest = new Map([...rest].map(([channel, all]) => [channel, all.filter(({ timeSec }) => timeSec > sealedSec)]));
  }
}

/** A batch without a channel breaks its run, but nobody knows yet what a batch that is not full will be without. */
function judgeHeard(order: OrderUnderWatch, state: JudgeState, readings: readonly Reading[]): JudgeState {
  const isHeard = ({ channel }: { readonly channel: number }) => readings.some((each) => each.channel === channel);
  const before = state.evaluation;
  const walked = evaluate(order, before, batchOf(readings, state));
  const { excursions, cumulatives, gaps, sensorFault } = walked.state;
  return {
    ...state,
    nextSequence: state.nextSequence + 1,
    evaluation: {
      excursions: order.limits.map((limit, i) => (isHeard(limit) ? excursions : before.excursions)[i]!),
      cumulatives: order.limits.map((limit, i) => (isHeard(limit) ? cumulatives : before.cumulatives)[i]!),
      gaps,
      sensorFault,
    },
    found: foundAfter(state.found, walked.findings.filter(isHeard)),
  };
}

/** What people are told. `sampled` has the channels' newest readings. */
export function warningsOf(
  order: OrderUnderWatch,
  { state: { evaluation, found }, waiting }: Judged,
  sampled: ReadonlyMap<number, SamplerState>,
  nowSec: number,
): OrderWarnings {
  const channels = order.limits.map((limit, i): readonly [string, ChannelWarning] => {
    const { channel, excursionSecMin, cumulativeSecMin } = limit;
    const newest = sampled.get(channel);
    const why = whyNoData(newest, waiting, limit, nowSec);
    const [excursion, cumulative] = [evaluation.excursions[i]!, evaluation.cumulatives[i]!];
    const broken = found.filter((each) => each.channel === channel);
    const { run } = excursion;
    const isCounted = cumulativeSecMin > 0 && !cumulative.isFound;
    const cumulatedSec = cumulatedSecOf(cumulative);
    const warned = why === undefined && run !== null;
    const dueSecs = warned ? [run.startedAtSec + excursionSecMin] : [];
    if (warned && isCounted) dueSecs.push(run.lastSec + Math.max(0, cumulativeSecMin - cumulatedSec));
    const dueSec = Math.min(...dueSecs);
    return [
      channelName(channel),
      {
        state: broken.length > 0 ? 'excursion' : why !== undefined ? 'no-data' : warned ? 'warning' : 'ok',
        ...(why === undefined ? {} : { why }),
        value: valueOf(channel, newest),
        at: newest && timeOf(newest.newestSec),
        ...(warned ? { since: timeOf(run.startedAtSec) } : {}),
        ...(warned && broken.length === 0 ? { dueAt: timeOf(dueSec), leftSec: Math.max(0, dueSec - run.lastSec) } : {}),
        ...(isCounted ? { cumulatedSec } : {}),
        ...(broken.length === 0 ? {} : { found: broken.map(describeFinding) }),
      },
    ];
  });
  return {
    orderId: order.orderId,
    state: gravest(channels.map(([, { state }]) => state)),
    channels: Object.fromEntries(channels),
  };
}

export function gravest(states: readonly WarningState[]): WarningState {
  const byGravity = ['excursion', 'warning', 'no-data', 'ok'] as const;
  return byGravity.find((state) => states.includes(state)) ?? 'ok';
}

/** Why the channel's newest reading is not one that counts; undefined when it counts. */
function whyNoData(
  newest: SamplerState | undefined,
  waiting: readonly Reading[],
  { channel, sampleGapSecMax }: OrderUnderWatch['limits'][number],
  nowSec: number,
): string | undefined {
  if (newest === undefined) return 'never';
  if (newest.marks !== 0) return markNames(newest.marks)[0];
  if (nowSec - newest.newestSec > sampleGapSecMax) return 'gap';
  if (waiting.some((each) => each.channel === channel && each.marks !== 0)) return 'marked';
  return waiting.some(({ isClockTrusted }) => !isClockTrusted) ? 'clock' : undefined;
}

function valueOf(channel: number, newest: SamplerState | undefined): number | null {
  // A fault is no value, and does not become the newest valid one.
  if (newest?.lastValid === undefined || newest.lastValid.timeSec !== newest.newestSec) return null;
  return fromChannelInteger(channel, newest.lastValid.value).value;
}

function batchOf(readings: readonly Reading[], { nextSequence: sequence }: JudgeState): JudgedBatch {
  const isClockTrusted = readings.every((reading) => reading.isClockTrusted);
  const times = readings.map(({ timeSec }) => timeSec);
  const [firstSec, lastSec] = [Math.min(...times), Math.max(...times)];
  return { batch: { sequence, flags: flagsOf(isClockTrusted), firstSec, lastSec }, series: gatherSeries(readings) };
}

/** The first of each rule and channel; it grows while it goes on. */
function foundAfter(before: readonly Finding[], findings: readonly Finding[]): readonly Finding[] {
  const found = [...before];
  for (const finding of findings) {
    if (finding.rule !== 'excursion' && finding.rule !== 'cumulative') continue;
    const at = found.findIndex(({ rule, channel }) => rule === finding.rule && channel === finding.channel);
    if (at < 0) found.push(finding);
    else if (found[at]!.openedAtSec === finding.openedAtSec) found[at] = finding;
  }
  return found;
}

function describeFinding({ rule, openedAtSec, detail }: Finding) {
  return { rule, openedAt: timeOf(openedAtSec), durationSec: Number(detail['durationSec']) };
}

function timeOf(sec: number): string {
  return new Date(sec * 1_000).toISOString();
}
