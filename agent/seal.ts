/**
 * Stage 2, seal: readings -> Batch. Pure: the same unsealed readings seal to the same batch, before and after a
 * restart, because count and age go by the readings' own times and never by the wall clock.
 *
 * A mark is on a whole series, and a marked series is no evidence, so a batch also ends where a channel's marks change:
 * one invalid value then costs its own stretch and not what was good around it. Two things go before that. All
 * channels are cut at one time, and evidence takes a batch after the other, so no cut may leave a channel out of a
 * batch. And a channel that flickers would cut all the others' batches to pieces, so it cuts none.
 */
import { assert, digestBatch, droppedSeries, flags, sealBatch } from '@coldproof/wire';
import type { Batch, Dropped, Privacy, Sample, Series } from '@coldproof/wire';
import type { Reading } from './sample.ts';

export type SealTerms = {
  /** A batch is due when a channel has so many readings... */
  readonly sealSamplesMax: number;
  /** ...or when a channel's oldest is so much older than its newest. */
  readonly sealAgeSecMax: number;
};

/** Unsealed readings of a device: by channel, each channel's oldest first, strictly increasing in time. */
export type Unsealed = ReadonlyMap<number, readonly Reading[]>;

/** What gets signed, what is sent with it, and what it was made of. */
export type Sealed = {
  readonly batch: Batch;
  readonly encoded: Uint8Array;
  readonly digest: Uint8Array;
  readonly series: readonly Uint8Array[];
};

/** More often than this in the time of a batch is flickering. Two values that are no measurements make 4 changes. */
const marksChangesMax = 4;

/**
 * The readings of the next batch, ordered by channel and time; undefined when none is due. All channels are cut at one
 * time, so a channel that reports in step with the others has the same times in the same batch. By the cut, a channel
 * has at most sealSamplesMax readings in a batch, and a batch spans at most sealAgeSecMax: it fits the format's limits.
 * `isLast`: everything is due, since nothing more is to be expected.
 */
export function cutReadings(
  unsealed: Unsealed,
  { sealSamplesMax, sealAgeSecMax }: SealTerms,
  { isLast = false }: { readonly isLast?: boolean } = {},
): Reading[] | undefined {
  let dueSec = Number.POSITIVE_INFINITY;
  let oldestSec = Number.POSITIVE_INFINITY;
  for (const readings of unsealed.values()) {
    if (readings.length === 0) continue;
    const firstSec = readings[0]!.timeSec;
    oldestSec = Math.min(oldestSec, firstSec);
    if (readings.length >= sealSamplesMax) dueSec = Math.min(dueSec, readings[sealSamplesMax - 1]!.timeSec);
    const newestSec = readings.at(-1)!.timeSec;
    if (newestSec - firstSec >= sealAgeSecMax || isLast) dueSec = Math.min(dueSec, firstSec + sealAgeSecMax);
  }
  if (dueSec === Number.POSITIVE_INFINITY) return undefined;
  // A channel that has been silent for long may hold much older readings than the one that is due.
  const cutSec = Math.min(dueSec, oldestSec + sealAgeSecMax);
  const due = [...unsealed]
    .sort(([a], [b]) => a - b)
    .map(([, readings]) => readings.slice(0, countUntil(readings, cutSec)))
    .filter((readings) => readings.length > 0);
  const changedSec = firstChange(due);
  return due.flatMap((readings) => readings.slice(0, countUntil(readings, changedSec - 1)));
}

/** The earliest time at which a channel's marks change that leaves no channel without a reading before it. */
function firstChange(due: readonly (readonly Reading[])[]): number {
  const allSec = Math.max(...due.map((readings) => readings[0]!.timeSec));
  const changes = due
    .map((readings) => readings.filter(({ marks }, i) => i > 0 && marks !== readings[i - 1]!.marks))
    .filter(({ length }) => length <= marksChangesMax)
    .flatMap((changed) => changed.map(({ timeSec }) => timeSec));
  return Math.min(...changes.filter((timeSec) => timeSec > allSec));
}

/** Of readings in order of time. A linear walk: it ends at the cut, however many wait behind it. */
function countUntil(readings: readonly Reading[], untilSec: number): number {
  let count = 0;
  while (count < readings.length && readings[count]!.timeSec <= untilSec) count += 1;
  return count;
}

export type Chain = { readonly device: Uint8Array; readonly sequence: number; readonly previous: Uint8Array };

/**
 * `readings` as cutReadings gives them. Who seals says what is private in so many words, so that nothing is sent in the
 * clear by being forgotten.
 */
export function sealReadings(readings: readonly Reading[], chain: Chain, privacy: Privacy | undefined): Sealed {
  assert(readings.length > 0, 'a batch that is due has readings');
  const isClockTrusted = readings.every((reading) => reading.isClockTrusted);
  return seal(gatherSeries(readings), chain, { isClockTrusted, sealedAtSec: readings[0]!.timeSec, privacy });
}

/** By channel, in the order in which the channels come. A mark of one reading is a mark of its whole series. */
export function gatherSeries(readings: readonly Reading[]): Series[] {
  const byChannel = new Map<number, { marks: number; samples: Sample[] }>();
  for (const { channel, timeSec, value, marks } of readings) {
    const one = byChannel.get(channel) ?? { marks: 0, samples: [] };
    byChannel.set(channel, one);
    one.marks |= marks;
    one.samples.push({ timeSec, value });
  }
  return [...byChannel].map(([channel, one]) => ({ channel, ...one }));
}

/** The statement about readings that could not be kept, in a batch of its own: its times are far from all others. */
export function sealDropped(dropped: Dropped & { readonly isClockTrusted: boolean }, chain: Chain): Sealed {
  const { isClockTrusted, firstSec: sealedAtSec } = dropped;
  return seal([droppedSeries(dropped)], chain, { isClockTrusted, sealedAtSec });
}

/** A batch without series: the device lives, and has measured nothing. */
export function sealHeartbeat(now: { readonly sec: number; readonly isTrusted: boolean }, chain: Chain): Sealed {
  return seal([], chain, { isClockTrusted: now.isTrusted, sealedAtSec: now.sec });
}

function seal(
  series: readonly Series[],
  chain: Chain,
  {
    isClockTrusted,
    sealedAtSec,
    privacy,
  }: { readonly isClockTrusted: boolean; readonly sealedAtSec: number; readonly privacy?: Privacy | undefined },
): Sealed {
  const link = { ...chain, flags: flagsOf(isClockTrusted), sealedAtSec };
  const { series: encodedSeries, ...sealed } = sealBatch(series, link, privacy);
  return { ...sealed, digest: digestBatch(sealed.encoded), series: encodedSeries };
}

/** Bit 0 stays clear: the gateway signs for sensors that have no key. */
export function flagsOf(isClockTrusted: boolean): number {
  return isClockTrusted ? 0 : flags.clockUnsynchronised;
}
