/** Evidence made by a device of the test's own, in wire's form and in the contract's. */
import {
  bytesToHex,
  channels,
  decodeBatch,
  envelopePreimage,
  leafHash,
  makeInclusionProof,
  packSamples,
  sealBatch,
  subtreesOf,
  type Batch,
  type Evidence,
  type EvidenceBatch,
  type ExcursionClaim,
  type ExcursionTerms,
  type Series,
} from '@coldproof/wire';
import { regularSeries, VoyageDevice } from '../helpers/voyage-device.ts';

/** 2026-01-01T00:00:00Z */
export const startSec = 1_767_225_600;
export const dispatchedAtSec = startSec + 3_600;
export const channel = channels.cargoProbe1;

/** 2 to 8 °C, a quarter of an hour, one sample a minute and a missing one forgiven. */
export const excursionTerms: ExcursionTerms = {
  channel,
  lowerLimitCentiC: 200,
  upperLimitCentiC: 800,
  excursionSecMin: 900,
  sampleGapSecMax: 150,
};

export function claimFor(device: VoyageDevice, changes: Partial<ExcursionClaim> = {}): ExcursionClaim {
  const nowSec = dispatchedAtSec + 86_400;
  return { device: device.device, terms: excursionTerms, dispatchedAtSec, nowSec, ...changes };
}

export function hex(bytes: Uint8Array): string {
  return `0x${bytesToHex(bytes)}`;
}

/** One batch of the channel `series`, beside `others`, which take the leaves before it. */
export function sealEvidenceBatch(
  device: VoyageDevice,
  series: Series,
  { others = [], flags = 0 }: { others?: readonly Series[]; flags?: number } = {},
): EvidenceBatch {
  const { batch: encoded, signature, series: leaves } = device.seal([...others, series], flags);
  const decoded = decodeBatch(encoded);
  if (!decoded.ok) throw new Error(decoded.detail);
  return openLeaf(decoded.value, signature, leaves, series);
}

/**
 * As sealEvidenceBatch, at any place of the device's chain, with any flags.
 */
export function sealLink(
  device: VoyageDevice,
  series: Series,
  place: { others?: readonly Series[]; sequence: number; previous: Uint8Array; flags: number },
): EvidenceBatch {
  const { others = [], ...link } = place;
  const sealed = sealBatch([...others, series], { device: device.device, sealedAtSec: 0, ...link });
  return openLeaf(sealed.batch, device.sign(envelopePreimage(sealed.encoded)), sealed.series, series);
}

/** The channel's leaf is the last. */
function openLeaf(batch: Batch, signature: Uint8Array, encoded: readonly Uint8Array[], series: Series): EvidenceBatch {
  const leaves = encoded.map((each) => leafHash(each));
  const leafIndex = leaves.length - 1;
  return {
    batch,
    signature,
    marks: series.marks,
    leafIndex,
    path: makeInclusionProof(leafIndex, leaves.length, subtreesOf(leaves)),
    samples: packSamples(series, batch.firstSec),
  };
}

/** The other channels of a reefer: five of them, so that the sixth leaf has a path of two or three digests. */
export function otherSeries(fromSec: number, count: number): Series[] {
  const others = [channels.supplyAir, channels.returnAir, channels.setpoint, channels.door, channels.unitMode];
  return others.map((each) =>
    regularSeries(
      each,
      fromSec,
      Array.from({ length: count }, (_, i) => 300 + i),
    ),
  );
}

/** A run of samples outside the limits, one a minute, `sizes[i]` of them in batch i. */
export function makeEvidence(
  device: VoyageDevice,
  { sizes = [16], fromSec = dispatchedAtSec, value = (i: number): number => 810 + i, othersCount = 5 } = {},
): Evidence {
  let made = 0;
  const batches = sizes.map((size) => {
    const values = Array.from({ length: size }, (_, i) => value(made + i));
    const batchFromSec = fromSec + made * 60;
    made += size;
    const series = regularSeries(channel, batchFromSec, values);
    return sealEvidenceBatch(device, series, { others: otherSeries(batchFromSec, size).slice(0, othersCount) });
  });
  return { publicKey: device.publicKey, channel, skip: 0, count: made, batches };
}

/** As Shipments.reportExcursion takes it. */
export function abiEvidence(evidence: Evidence): unknown {
  const { publicKey, channel, skip, count, batches } = evidence;
  return {
    x: hex(publicKey.subarray(0, 32)),
    y: hex(publicKey.subarray(32)),
    channel,
    skip,
    count,
    batches: batches.map(({ batch, signature, marks, leafIndex, path, samples }) => ({
      sequence: batch.sequence,
      previous: hex(batch.previous),
      first: batch.firstSec,
      last: batch.lastSec,
      root: hex(batch.root),
      seriesCount: batch.seriesCount,
      flags: batch.flags,
      r: hex(signature.subarray(0, 32)),
      s: hex(signature.subarray(32)),
      marks,
      leafIndex,
      path: path.map(hex),
      samples: hex(samples),
    })),
  };
}

/** A copy with one byte's bit `bit` turned over. */
export function flipBit(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[bit >> 3]! ^= 1 << (bit & 7);
  return copy;
}

/** The evidence with batch `index` changed. */
export function withBatch(
  evidence: Evidence,
  index: number,
  change: (each: EvidenceBatch) => Partial<EvidenceBatch>,
): Evidence {
  const batches = evidence.batches.map((each, i) => (i === index ? { ...each, ...change(each) } : each));
  return { ...evidence, batches };
}

/** The evidence with a field of batch `index`'s header changed, its signature left as it was. */
export function withHeader(evidence: Evidence, index: number, change: (batch: Batch) => Partial<Batch>): Evidence {
  return withBatch(evidence, index, ({ batch }) => ({ batch: { ...batch, ...change(batch) } }));
}
