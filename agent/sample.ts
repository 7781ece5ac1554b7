/**
 * Stage 1, sample: a raw value -> Reading, an integer with its time and marks. Pure. A mark never drops a reading; what
 * is refused here has no place in the series at all, because of its time or its unit.
 */
import {
  accept,
  clockSkewSecMax,
  faultValue,
  isTemperature,
  marks,
  reject,
  unixSecMax,
  type Verdict,
} from '@coldproof/wire';
import { toChannelInteger } from './unit.ts';

/** What a sensor adapter hands over. */
export type RawSample = {
  /** Unix seconds; a fraction is cut off. */
  readonly timeSec: number;
  /** Undefined when the sensor itself says that it has no value. */
  readonly value: number | boolean | undefined;
  /** Undefined: the sensor's configured unit. */
  readonly unit: string | undefined;
};

export type Reading = {
  readonly channel: number;
  readonly timeSec: number;
  /** In the channel's integer unit, or faultValue(channel). */
  readonly value: number;
  /** Bits of wire's `marks`. */
  readonly marks: number;
  /** Whether the agent could trust its clock when it took this. */
  readonly isClockTrusted: boolean;
};

/** What to make of a channel's raw values. Integers are in the channel's unit. */
export type SamplerTerms = {
  readonly channel: number;
  readonly unit: string;
  readonly range: { readonly least: number; readonly most: number } | undefined;
  /** Values that the sensor gives when it has not measured: 85 °C after power-on, -127 °C unplugged. */
  readonly invalid: readonly number[];
  /** So many equal values in a row are no live sensor; undefined where the resolution is too coarse to tell. */
  readonly stuckSamples: number | undefined;
  /** A faster step than this is no air in a truck. Temperatures only. */
  readonly spikeCentiCPerMin: number | undefined;
  /** Longer than this without a reading is a gap; undefined where nobody knows how often the sensor speaks. */
  readonly gapSecMax: number | undefined;
};

/** What a channel remembers from its reading before. The journal keeps it, so that a streak outlives a restart. */
export type SamplerState = {
  readonly newestSec: number;
  /** Marks of the newest reading. */
  readonly marks: number;
  /** The newest reading that was no fault, and how many in a row were equal to it. A fault does not end the row. */
  readonly lastValid: { readonly timeSec: number; readonly value: number; readonly equalCount: number } | undefined;
};

export type SampleReason =
  /** Not a number of seconds, or before any truck had this agent while the clock is right. */
  | 'reading-time-invalid'
  /** Ahead of the agent's clock by more than clockSkewSecMax. */
  | 'reading-in-future'
  /** The time of the channel's newest reading: sent again. */
  | 'reading-repeated'
  /** Before the channel's newest reading; a repeat of an older one looks the same. */
  | 'reading-late'
  /** A unit that the channel's quantity does not have. */
  | 'unit-unknown';

/** 2024-01-01: a clock before this was never set. */
export const clockSetSec = 1_704_067_200;

/** The agent's clock cannot be right if it is unset, or behind what it has dated itself. */
export function isClockTrusted(nowSec: number, newestSec: number | undefined): boolean {
  return nowSec >= clockSetSec && (newestSec === undefined || nowSec >= newestSec - clockSkewSecMax);
}

export type Sampled = {
  readonly reading: Reading;
  readonly state: SamplerState;
  /** Undefined without one. */
  readonly gapSec: number | undefined;
};

export function sample(
  raw: RawSample,
  terms: SamplerTerms,
  state: SamplerState | undefined,
  now: { readonly sec: number; readonly isTrusted: boolean },
): Verdict<Sampled, SampleReason> {
  const timeSec = Math.floor(raw.timeSec);
  const placed = placeInTime(timeSec, state, now);
  if (!placed.ok) return placed;
  const measured = measure(raw, terms);
  if (measured === undefined) {
    return reject('unit-unknown', `unit: expected one of channel ${terms.channel}'s, got "${raw.unit ?? terms.unit}"`);
  }
  const { value } = measured;
  let marked = measured.marked;
  let lastValid = state?.lastValid;
  if (value !== faultValue(terms.channel)) {
    const equalCount = lastValid?.value === value ? lastValid.equalCount + 1 : 1;
    if (terms.stuckSamples !== undefined && equalCount >= terms.stuckSamples) marked |= marks.stuck;
    if (isSpike({ timeSec, value }, lastValid, terms)) marked |= marks.spike;
    lastValid = { timeSec, value, equalCount };
  }
  const reading = { channel: terms.channel, timeSec, value, marks: marked, isClockTrusted: now.isTrusted };
  const gapSec = gapBefore(timeSec, terms, state);
  return accept({ reading, state: { newestSec: timeSec, marks: marked, lastValid }, gapSec });
}

/**
 * Seconds since the channel's newest reading, when that is a gap. It has no mark of its own in a batch: a series shows
 * it by its times, and evidence is judged by them. Here it is for those who can plug the sensor in again.
 */
export function gapBefore(
  timeSec: number,
  { gapSecMax }: SamplerTerms,
  state: SamplerState | undefined,
): number | undefined {
  const gapSec = state === undefined ? 0 : timeSec - state.newestSec;
  return gapSecMax !== undefined && gapSec > gapSecMax ? gapSec : undefined;
}

function placeInTime(
  timeSec: number,
  state: SamplerState | undefined,
  now: { readonly sec: number; readonly isTrusted: boolean },
): Verdict<true, SampleReason> {
  const leastSec = now.isTrusted ? clockSetSec : 0;
  if (!Number.isInteger(timeSec) || timeSec < leastSec || timeSec > unixSecMax) {
    return reject('reading-time-invalid', `time: expected ${leastSec} <= time <= ${unixSecMax}, got ${timeSec}`);
  }
  const mostSec = now.sec + clockSkewSecMax;
  if (now.isTrusted && timeSec > mostSec) {
    return reject('reading-in-future', `time: expected <= ${mostSec}, got ${timeSec}`);
  }
  if (state === undefined || timeSec > state.newestSec) return accept(true);
  const detail = `time: expected > ${state.newestSec}, got ${timeSec}`;
  return reject(timeSec === state.newestSec ? 'reading-repeated' : 'reading-late', detail);
}

/** The channel's integer and the marks that need no look back; undefined for a foreign unit. */
function measure(raw: RawSample, terms: SamplerTerms): { value: number; marked: number } | undefined {
  const { channel } = terms;
  const fault = faultValue(channel);
  // A boolean is a state; it has no unit, whatever the sensor's other values have.
  const unit = typeof raw.value === 'boolean' ? '/' : (raw.unit ?? terms.unit);
  const value = toChannelInteger(channel, unit, raw.value === undefined ? Number.NaN : Number(raw.value));
  if (value === undefined) return undefined;
  if (Number.isNaN(value) || terms.invalid.includes(value)) return { value: fault, marked: marks.invalidValue };
  // The most negative number of the width is the fault value itself: no measurement may be taken for it, or it for one.
  if (value <= fault || value >= -fault) return { value: fault, marked: marks.invalidValue | marks.outOfRange };
  const isInRange = terms.range === undefined || (value >= terms.range.least && value <= terms.range.most);
  return { value, marked: isInRange ? 0 : marks.outOfRange };
}

function isSpike(
  { timeSec, value }: { timeSec: number; value: number },
  before: SamplerState['lastValid'],
  { channel, spikeCentiCPerMin }: SamplerTerms,
): boolean {
  if (spikeCentiCPerMin === undefined || before === undefined || !isTemperature(channel)) return false;
  return Math.abs(value - before.value) * 60 > spikeCentiCPerMin * (timeSec - before.timeSec);
}
