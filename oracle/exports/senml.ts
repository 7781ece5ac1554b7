/** Readings as SenML JSON (RFC 8428), for whatever reads sensors. */
import { channelName, faultValue } from '@coldproof/wire';
import type { Reading } from '../readings.ts';
import { exportUnit, formatDecimal } from './unit.ts';

export type SenmlRecord = {
  readonly bn?: string;
  readonly bt?: number;
  readonly n: string;
  readonly u?: string;
  readonly v?: number;
  readonly vb?: boolean;
  readonly t: number;
};

/** A channel that is for its parties alone in a batch: a record NAME/private, with the batch's own first second. */
export function senmlPrivate(device: string, channel: number, timeSec: number): SenmlRecord {
  return { bn: `coldproof:${device}/`, bt: timeSec, n: `${channelName(channel)}/private`, vb: true, t: 0 };
}

/** §4.1: `bn` and `bt` stand in the first record and hold for all. One without a value is a record NAME/fault. */
export function senmlOf(device: string, readings: readonly Reading[]): SenmlRecord[] {
  const [first] = readings;
  if (first === undefined) return [];
  const base = { bn: `coldproof:${device}/`, bt: first.timeSec };
  return readings.map(({ channel, timeSec, value }, i) => {
    const { senml, digits } = exportUnit(channel);
    const n = channelName(channel);
    const named = { ...(i === 0 ? base : {}), n };
    const t = timeSec - first.timeSec;
    if (value === faultValue(channel)) return { ...named, n: `${n}/fault`, vb: true, t };
    return { ...named, ...(senml === undefined ? {} : { u: senml }), v: Number(formatDecimal(value, digits)), t };
  });
}
