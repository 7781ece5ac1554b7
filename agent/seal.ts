/**
 * Stage 2, seal: readings -> Batch. Pure: the same unsealed readings seal to the same batch, before and after a
 * restart, because count and age go by the readings' own times and never by the wall clock.
 */
import { assert, digestBatch, flags, sealBatch, type Batch, type Sample, type Series } from '@coldproof/wire';
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

/**
 * The readings of the next batch, ordered by channel and time; undefined when none is due. All channels are cut at one
 * time, so a channel that reports in step with the others has the same times in the same batch. By the cut, a channel
 * has at most sealSamplesMax readings in a batch, and a batch spans at most sealAgeSecMax: it fits the format's limits.
 */
export function cutReadings(unsealed: Unsealed, { sealSamplesMax, sealAgeSecMax }: SealTerms): Reading[] | undefined {
  let dueSec = Number.POSITIVE_INFINITY;
  let oldestSec = Number.POSITIVE_INFINITY;
  for (const readings of unsealed.values()) {
    if (readings.length === 0) continue;
    const firstSec = readings[0]!.timeSec;
    oldestSec = Math.min(oldestSec, firstSec);
    if (readings.length >= sealSamplesMax) dueSec = Math.min(dueSec, readings[sealSamplesMax - 1]!.timeSec);
    if (readings.at(-1)!.timeSec - firstSec >= sealAgeSecMax) dueSec = Math.min(dueSec, firstSec + sealAgeSecMax);
  }
  if (dueSec === Number.POSITIVE_INFINITY) return undefined;
  // A channel that has been silent for long may hold much older readings than the one that is due.
  const cutSec = Math.min(dueSec, oldestSec + sealAgeSecMax);
  return [...unsealed.keys()]
    .sort((a, b) => a - b)
    .flatMap((channel) => unsealed.get(channel)!.filter(({ timeSec }) => timeSec <= cutSec));
}

/** `readings` as cutReadings gives them. */
export function sealReadings(
  readings: readonly Reading[],
  chain: { readonly device: Uint8Array; readonly sequence: number; readonly previous: Uint8Array },
): Sealed {
  assert(readings.length > 0, 'a batch that is due has readings');
  const { batch, encoded, series } = sealBatch(gatherSeries(readings), {
    ...chain,
    flags: flagsOf(readings),
    sealedAtSec: readings[0]!.timeSec,
  });
  return { batch, encoded, digest: digestBatch(encoded), series };
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

/** Bit 0 stays clear: the gateway signs for sensors that have no key. */
export function flagsOf(readings: readonly Reading[]): number {
  return readings.every(({ isClockTrusted }) => isClockTrusted) ? 0 : flags.clockUnsynchronised;
}
