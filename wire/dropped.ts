/**
 * The device's own statement that readings are missing from its batches: its journal was full, or they had grown too
 * old before they could be sealed. Signed like any series, so that a hole with a cause is told from one without.
 *
 *   a series of channel 131: the first sample is dated like the oldest of them, the last like the newest;
 *   the values add up to how many there were, of all channels of the device together
 */
import { channels } from './channel.ts';
import { sampleDeltaSecMax } from './limits.ts';
import type { Series } from './series.ts';
import { assert } from './verdict.ts';

export type Dropped = { readonly firstSec: number; readonly lastSec: number; readonly count: number };

/** Throws for a stretch longer than one delta: that takes two statements. */
export function droppedSeries({ firstSec, lastSec, count }: Dropped): Series {
  assert(count >= 1 && lastSec >= firstSec, `${count} readings from ${firstSec} to ${lastSec} are some`);
  assert(lastSec - firstSec <= sampleDeltaSecMax, `${lastSec - firstSec} s are within one delta`);
  const last = { timeSec: lastSec, value: count };
  const samples = lastSec === firstSec ? [last] : [{ timeSec: firstSec, value: 0 }, last];
  return { channel: channels.readingsDropped, marks: 0, samples };
}

/** What a batch says about readings that are not in it. Undefined when it says nothing; a value below 0 counts as 0. */
export function droppedIn(series: readonly Series[]): Dropped | undefined {
  const statement = series.find(({ channel }) => channel === channels.readingsDropped);
  if (statement === undefined) return undefined;
  const { samples } = statement;
  const count = samples.reduce((sum, { value }) => sum + Math.max(value, 0), 0);
  // A series has at least one sample.
  return { firstSec: samples[0]!.timeSec, lastSec: samples.at(-1)!.timeSec, count };
}
