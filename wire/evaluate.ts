/**
 * Rules over the batches of an order's device. Pure: the same order and the same batches give the same findings, so
 * evaluating again from the log is harmless, and anybody with the log can do it. The oracle runs them on what it has
 * stored, the agent on what it measures: one code, so the driver is warned of just what the oracle would report.
 */
import type { Batch } from './batch.ts';
import { channelName } from './channel.ts';
import type { ExcursionTerms } from './evidence.ts';
import { nothingCumulated, walkCumulative, type CumulativeState } from './rule-cumulative.ts';
import { findDropped } from './rule-dropped.ts';
import { noExcursion, walkExcursion, type ExcursionState } from './rule-excursion.ts';
import { walkGap, type GapState } from './rule-gap.ts';
import { walkPrivate } from './rule-private.ts';
import { walkSensorFault, type SensorFaultState } from './rule-sensor-fault.ts';
import type { Series } from './series.ts';
import { assert } from './verdict.ts';

/** What the parties allow one channel. */
export type Limit = ExcursionTerms & {
  /** All runs outside the limits together last less than this; 0 for no such allowance. */
  readonly cumulativeSecMin: number;
};

export type OrderUnderWatch = {
  readonly orderId: string;
  /** Samples count from here on: the dispatch, or the last release out of quarantine. */
  readonly judgedFromSec: number;
  /** Batches that begin later are no part of the transit; 0 while it goes on. */
  readonly deliveredAtSec: number;
  /** One for each channel that the terms limit. */
  readonly limits: readonly Limit[];
};

/** What a rule about one channel looks at. */
export type LimitUnderWatch = Pick<OrderUnderWatch, 'judgedFromSec'> & { readonly terms: Limit };

/** Where in the device's batches a run of samples stands; the words of wire's Evidence. */
export type RunLocation = {
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly skip: number;
  readonly count: number;
};

export type Finding = {
  readonly rule: 'excursion' | 'cumulative' | 'sensor-fault' | 'gap' | 'readings-dropped' | 'private';
  readonly channel: number;
  readonly openedAtSec: number;
  /** Absent while it goes on. */
  readonly closedAtSec?: number;
  readonly detail: Readonly<Record<string, number | string>>;
  /** Once, when the terms' duration is reached: what proves it, oldest first; an excursion is one run. */
  readonly runs?: readonly RunLocation[];
};

/** What the rules look at: an opened envelope has it, and readings that are not sealed yet have it too. */
export type JudgedBatch = {
  readonly batch: Pick<Batch, 'sequence' | 'flags' | 'firstSec' | 'lastSec'>;
  readonly series: readonly Series[];
  /** Measured, and nothing for a rule to look at: neither silent nor in order. */
  readonly privateChannels?: readonly number[];
};

/** Plain JSON: it is stored with the cursor. */
export type EvaluationState = {
  /** In the order of the limits. */
  readonly excursions: readonly ExcursionState[];
  readonly cumulatives: readonly CumulativeState[];
  readonly gaps: readonly GapState[];
  readonly sensorFault: SensorFaultState;
  /** Since when each limit's channel is private, null where it is not. Absent while none ever was. */
  readonly privates?: readonly (number | null)[];
};

export function initialState({ judgedFromSec, limits }: OrderUnderWatch): EvaluationState {
  const gaps = limits.map(() => ({ lastSec: judgedFromSec, openedAtSec: null }));
  const [excursions, cumulatives] = [limits.map(() => noExcursion), limits.map(() => nothingCumulated)];
  return { excursions, cumulatives, gaps, sensorFault: {} };
}

export function limitOf({ judgedFromSec, limits }: OrderUnderWatch, channel: number): LimitUnderWatch {
  const terms = limits.find((limit) => limit.channel === channel);
  assert(terms !== undefined, `${channelName(channel)} has a limit`);
  return { judgedFromSec, terms };
}

/** One batch further. Batches come by sequence, without a hole, from the first that reaches past dispatch. */
export function evaluate(
  order: OrderUnderWatch,
  state: EvaluationState,
  batch: JudgedBatch,
): { readonly state: EvaluationState; readonly findings: readonly Finding[] } {
  const { judgedFromSec, deliveredAtSec, limits } = order;
  if (deliveredAtSec !== 0 && batch.batch.firstSec > deliveredAtSec) return { state, findings: [] };
  const excursions = limits.map((terms, i) => walkExcursion({ judgedFromSec, terms }, state.excursions[i]!, batch));
  const cumulatives = limits.map((terms, i) => walkCumulative({ judgedFromSec, terms }, state.cumulatives[i]!, batch));
  const gaps = limits.map((terms, i) => walkGap({ judgedFromSec, terms }, state.gaps[i]!, batch));
  const sensorFault = walkSensorFault(order, state.sensorFault, batch);
  const privates = limits.map((terms, i) => walkPrivate({ judgedFromSec, terms }, state.privates?.[i] ?? null, batch));
  const isAnyPrivate = privates.some((each) => each.state !== null);
  return {
    state: {
      excursions: excursions.map((each) => each.state),
      cumulatives: cumulatives.map((each) => each.state),
      gaps: gaps.map((each) => each.state),
      sensorFault: sensorFault.state,
      ...(isAnyPrivate ? { privates: privates.map((each) => each.state) } : {}),
    },
    findings: [
      ...[...excursions, ...cumulatives, sensorFault, ...gaps, ...privates].flatMap((each) => each.findings),
      ...findDropped(order, batch),
    ],
  };
}
