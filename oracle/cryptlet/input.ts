/**
 * What a cryptlet gets: the order's terms, and what the log has committed of its device. Nothing else, so that anybody
 * who has the log and the chain makes the same input, byte for byte.
 */
import type { Limit } from '@coldproof/wire';

/** Seconds, and the value in the channel's unit; null where the sensor was at fault. */
export type InputSample = readonly [timeSec: number, value: number | null];

/** What one batch has of one channel. */
export type InputSeries = {
  readonly sequence: number;
  /** Of the batch, and of the series: wire's flags and marks. */
  readonly flags: number;
  readonly marks: number;
  readonly samples: readonly InputSample[];
};

export type InputTerms = {
  readonly limits: readonly Limit[];
};

export type CryptletInput = {
  /** Decimal. */
  readonly orderId: string;
  readonly parameters: Readonly<Record<string, number>>;
  readonly terms: InputTerms;
  /** Hex. */
  readonly device: string;
  /** Of the device's batches, both ends included; the digest is that of the last. */
  readonly range: { readonly firstSequence: number; readonly lastSequence: number; readonly lastDigest: string };
  /** Those that the manifest names, ascending, also where there are no samples. Oldest series first. */
  readonly channels: readonly { readonly channel: number; readonly series: readonly InputSeries[] }[];
  /** Samples count from here: the dispatch, or the last release out of quarantine. */
  readonly dispatchedSec: number;
  /** Samples are given from here on: the dispatch, or windowSec before the last one. */
  readonly fromSec: number;
  /** Time of the last sample in the range. There is no other clock. */
  readonly nowSec: number;
};

/** The one text of an input: fields in this order, parameters and limits as they are listed. */
export function formatInput(input: CryptletInput): string {
  const { orderId, parameters, terms, device, range, channels, dispatchedSec, fromSec, nowSec } = input;
  const { firstSequence, lastSequence, lastDigest } = range;
  return JSON.stringify({
    orderId,
    parameters: Object.fromEntries(Object.entries(parameters).sort(([a], [b]) => (a < b ? -1 : 1))),
    terms: { limits: terms.limits.map(formatLimit) },
    device,
    range: { firstSequence, lastSequence, lastDigest },
    channels: channels.map(({ channel, series }) => ({
      channel,
      series: series.map(({ sequence, flags, marks, samples }) => ({ sequence, flags, marks, samples })),
    })),
    dispatchedSec,
    fromSec,
    nowSec,
  });
}

function formatLimit(limit: Limit): Limit {
  const { channel, lowerLimitCentiC, upperLimitCentiC, excursionSecMin, sampleGapSecMax, cumulativeSecMin } = limit;
  return { channel, lowerLimitCentiC, upperLimitCentiC, excursionSecMin, sampleGapSecMax, cumulativeSecMin };
}
