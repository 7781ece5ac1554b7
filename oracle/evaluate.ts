/**
 * Rules over the batches of an order's device. Pure: the same order and the same batches give the same findings, so
 * evaluating again from the log is harmless, and anybody with the log can do it.
 */
import type { ExcursionTerms, OpenEnvelope } from '@coldproof/wire';
import { walkExcursion, type ExcursionState } from './rules/excursion.ts';
import { walkGap, type GapState } from './rules/gap.ts';
import { walkSensorFault, type SensorFaultState } from './rules/sensor-fault.ts';

export type OrderUnderWatch = {
  readonly orderId: string;
  readonly dispatchedAtSec: number;
  readonly terms: ExcursionTerms;
};

/** Where in the device's batches a run of samples stands; the words of wire's Evidence. */
export type RunLocation = {
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly skip: number;
  readonly count: number;
};

export type Finding = {
  readonly rule: 'excursion' | 'sensor-fault' | 'gap';
  readonly channel: number;
  readonly openedAtSec: number;
  /** Absent while it goes on. */
  readonly closedAtSec?: number;
  readonly detail: Readonly<Record<string, number | string>>;
  /** Once for each excursion, when the terms' duration is reached: what proves it. */
  readonly run?: RunLocation;
};

/** Plain JSON: it is stored with the cursor. */
export type EvaluationState = {
  readonly excursion: ExcursionState;
  readonly sensorFault: SensorFaultState;
  readonly gap: GapState;
};

export function initialState({ dispatchedAtSec }: OrderUnderWatch): EvaluationState {
  return { excursion: null, sensorFault: {}, gap: { lastSec: dispatchedAtSec, openedAtSec: null } };
}

/** One batch further. Batches come by sequence, without a hole, from the first that reaches past dispatch. */
export function evaluate(
  order: OrderUnderWatch,
  state: EvaluationState,
  batch: OpenEnvelope,
): { readonly state: EvaluationState; readonly findings: readonly Finding[] } {
  const excursion = walkExcursion(order, state.excursion, batch);
  const sensorFault = walkSensorFault(order, state.sensorFault, batch);
  const gap = walkGap(order, state.gap, batch);
  return {
    state: { excursion: excursion.state, sensorFault: sensorFault.state, gap: gap.state },
    findings: [...excursion.findings, ...sensorFault.findings, ...gap.findings],
  };
}
