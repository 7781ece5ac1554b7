/**
 * One channel's samples in a batch, a leaf of the batch's Merkle tree. Being a leaf of its own, it can be shown
 * without the other channels: evidence about temperature reveals no position.
 *
 *   series  = [channel: uint, marks: uint, samples: bstr]
 *   samples = *( delta: uint16 ‖ value: int16 )        big-endian; int32 for channels from 128 on
 *
 * The first delta counts from the batch's `first`, each later one from the sample before it, and is at least 1.
 */
import { faultValue, isWide } from './channel.ts';
import { decodeCbor, encodeCbor, isCborArray } from './cbor.ts';
import { describeValue, isUint } from './field.ts';
import { sampleDeltaSecMax, samplesPerSeriesMax } from './limits.ts';
import { accept, reject, type Verdict } from './verdict.ts';

export type Sample = {
  readonly timeSec: number;
  /** In the channel's unit, or faultValue(channel). */
  readonly value: number;
};

export type Series = {
  readonly channel: number;
  /** What the agent noticed about the sensor while it sampled; see `marks`. */
  readonly marks: number;
  readonly samples: readonly Sample[];
};

/** A set mark never drops a sample, but a marked series is no evidence: a faulty sensor must not cancel a shipment. */
export const marks = {
  /** The same value for longer than a live sensor can give. */
  stuck: 0x01,
  /** A step that the air in a truck cannot make. */
  spike: 0x02,
  /** Outside the sensor's own range. */
  outOfRange: 0x04,
  /** A value that the sensor gives when it has not measured: 85 °C after power-on and the like. */
  invalidValue: 0x08,
} as const;

export type SeriesReason = 'series-malformed';

export function sampleBytes(channel: number): number {
  return isWide(channel) ? 6 : 4;
}

export function encodeSeries(series: Series, firstSec: number): Uint8Array {
  return encodeCbor([series.channel, series.marks, packSamples(series, firstSec)]);
}

export function packSamples(series: Series, firstSec: number): Uint8Array {
  const { channel, samples } = series;
  if (samples.length === 0 || samples.length > samplesPerSeriesMax) {
    throw new RangeError(`samples: expected 1 <= count <= ${samplesPerSeriesMax}, got ${samples.length}`);
  }
  const size = sampleBytes(channel);
  const packed = new Uint8Array(samples.length * size);
  const view = new DataView(packed.buffer);
  let beforeSec = firstSec;
  samples.forEach(({ timeSec, value }, i) => {
    const deltaSec = timeSec - beforeSec;
    if (deltaSec < (i === 0 ? 0 : 1) || deltaSec > sampleDeltaSecMax) {
      throw new RangeError(`deltaSec of sample ${i}: expected 1 <= delta <= ${sampleDeltaSecMax}, got ${deltaSec}`);
    }
    const least = faultValue(channel);
    if (!Number.isInteger(value) || value < least || value > -1 - least) {
      throw new RangeError(`value of sample ${i}: expected ${least} <= value <= ${-1 - least}, got ${value}`);
    }
    view.setUint16(i * size, deltaSec);
    if (size === 4) view.setInt16(i * size + 2, value);
    else view.setInt32(i * size + 2, value);
    beforeSec = timeSec;
  });
  return packed;
}

export function decodeSeries(bytes: Uint8Array, firstSec: number): Verdict<Series, SeriesReason> {
  const decoded = decodeCbor(bytes);
  if (!decoded.ok) return reject('series-malformed', decoded.detail);
  const item = decoded.value;
  if (!isCborArray(item) || item.length !== 3) return reject('series-malformed', 'expected an array of 3');
  const [channel, marked, packed] = item;
  if (!isUint(channel, 0xff)) return malformed('channel', channel, '<= 255');
  if (!isUint(marked, 0xff)) return malformed('marks', marked, '<= 255');
  if (!(packed instanceof Uint8Array)) return malformed('samples', packed, 'a byte string');
  const samples = unpackSamples(channel, packed, firstSec);
  return samples.ok ? accept({ channel, marks: marked, samples: samples.value }) : samples;
}

export function unpackSamples(channel: number, packed: Uint8Array, firstSec: number): Verdict<Sample[], SeriesReason> {
  const size = sampleBytes(channel);
  const count = packed.length / size;
  if (!Number.isInteger(count) || count < 1 || count > samplesPerSeriesMax) {
    const bound = `1 to ${samplesPerSeriesMax} samples of ${size} bytes`;
    return reject('series-malformed', `samples: expected ${bound}, got ${packed.length} bytes`);
  }
  const samples = new Array<Sample>(count);
  let timeSec = firstSec;
  for (let i = 0, at = 0; i < count; i++, at += size) {
    const deltaSec = (packed[at]! << 8) | packed[at + 1]!;
    if (i > 0 && deltaSec === 0) return reject('series-malformed', `delta of sample ${i}: expected >= 1, got 0`);
    timeSec += deltaSec;
    // Shifted up to the sign bit and, for 16 bits, down again with it. A DataView for each series costs more than this.
    const upper = (packed[at + 2]! << 24) | (packed[at + 3]! << 16);
    const value = size === 4 ? upper >> 16 : upper | (packed[at + 4]! << 8) | packed[at + 5]!;
    samples[i] = { timeSec, value };
  }
  return accept(samples);
}

function malformed(field: string, value: unknown, bound: string) {
  return reject('series-malformed', `${field}: expected ${bound}, got ${describeValue(value)}`);
}
