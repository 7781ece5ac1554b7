/**
 * Proof of an excursion: the signed batches that hold one unbroken run of samples outside the limits, one channel only.
 * verifyEvidence and contracts/Evidence.sol make the same checks in the same order and refuse with the same names.
 */
import { keccak_256 } from '@noble/hashes/sha3.js';
import { criticalFlagsMask, digestBatch, encodeBatch, type Batch } from './batch.ts';
import { bytesEqual, bytesToHex, concatBytes } from './bytes.ts';
import { encodeCbor } from './cbor.ts';
import { faultValue } from './channel.ts';
import { deviceOf, isLowS, referenceCrypto, type Crypto } from './crypto.ts';
import { leafHash, rootFromInclusion } from './merkle.ts';
import { envelopePreimage } from './preimage.ts';
import type { Sample } from './series.ts';
import { accept, reject, type Verdict } from './verdict.ts';

/** One batch of the run, with the leaf of the channel and the way from it to the signed root. */
export type EvidenceBatch = {
  readonly batch: Batch;
  readonly signature: Uint8Array;
  readonly marks: number;
  readonly leafIndex: number;
  readonly path: readonly Uint8Array[];
  /** packSamples' bytes. */
  readonly samples: Uint8Array;
};

export type Evidence = {
  /** x ‖ y. The device is its digest, so the key needs no look-up. */
  readonly publicKey: Uint8Array;
  readonly channel: number;
  /** Samples of the first batch before the run, and samples in the run. */
  readonly skip: number;
  readonly count: number;
  /** Contiguous, oldest first; the run begins in the first and ends in the last. */
  readonly batches: readonly EvidenceBatch[];
};

/** Only 16-bit channels have limits, so a sample in evidence is always 4 bytes. */
const evidenceSampleBytes = 4;

/** What the order's terms ask of a run. A sample at a limit is outside it, as on every logger in the trade. */
export type ExcursionTerms = {
  readonly channel: number;
  readonly lowerLimitCentiC: number;
  readonly upperLimitCentiC: number;
  /** From the first to the last sample of the run, at least this. */
  readonly excursionSecMin: number;
  /** Two neighbouring samples of the run are at most this far apart. */
  readonly sampleGapSecMax: number;
};

/** What a verifier knows of the shipment: the contract has it in the order. */
export type ExcursionClaim = {
  readonly device: Uint8Array;
  readonly terms: ExcursionTerms;
  readonly dispatchedAtSec: number;
  readonly nowSec: number;
};

export type Excursion = {
  readonly startedAtSec: number;
  readonly durationSec: number;
  /** The sample farthest outside. */
  readonly peakCentiC: number;
};

/** Custom errors of Evidence.sol, in the order in which they are looked for. */
export type EvidenceReason =
  /** The key is not the one that the order was dispatched with. */
  | 'DeviceNotAssigned'
  | 'ChannelNotInTerms'
  /** No batch, no sample, a skip over the first batch, or batches that the run does not reach. */
  | 'RunMalformed'
  /** A flag that forbids use as evidence, such as an unsynchronised clock. */
  | 'BatchFlagged'
  /** Sequence or digest does not follow the batch before. */
  | 'BatchNotContiguous'
  /** The agent marked the sensor as stuck, spiking, out of its range. */
  | 'SeriesMarked'
  | 'SamplesMalformed'
  /** Samples, channel, marks or path do not lead to the signed root. */
  | 'SeriesNotInBatch'
  | 'SignatureNotLowS'
  | 'SignatureInvalid'
  | 'SampleBeforeDispatch'
  | 'SampleInFuture'
  | 'SampleGapTooLong'
  | 'SampleFaulty'
  | 'SampleWithinLimits'
  /** The run is shorter than the terms. */
  | 'RunTooShort';

/** Identity of evidence, free of signatures, so that no twin signature makes it new: keccak256(channel ‖ digests). */
export function digestEvidence(evidence: Evidence): Uint8Array {
  const digests = evidence.batches.map(({ batch }) => digestBatch(rebuildBatch(batch, evidence.publicKey)));
  return keccak_256(concatBytes(Uint8Array.of(evidence.channel), ...digests));
}

/** The signed bytes as the contract rebuilds them: of the device that the key is, whatever a batch says of itself. */
export function rebuildBatch(batch: Batch, publicKey: Uint8Array): Uint8Array {
  return encodeBatch({ ...batch, device: deviceOf(publicKey) });
}

export function verifyEvidence(
  evidence: Evidence,
  claim: ExcursionClaim,
  crypto: Crypto = referenceCrypto,
): Verdict<Excursion, EvidenceReason> {
  const { publicKey, channel, skip, count, batches } = evidence;
  if (!bytesEqual(deviceOf(publicKey), claim.device)) {
    return reject('DeviceNotAssigned', `expected ${bytesToHex(claim.device)}, got ${bytesToHex(deviceOf(publicKey))}`);
  }
  if (channel !== claim.terms.channel) {
    return reject('ChannelNotInTerms', `expected channel ${claim.terms.channel}, got ${channel}`);
  }
  if (batches.length === 0 || count === 0) return reject('RunMalformed', `${batches.length} batches, ${count} samples`);
  const run = new Run(claim, skip, count);
  let before: EvidenceBatch | undefined;
  for (const each of batches) {
    const admitted = admitBatch(each, before, evidence, crypto);
    if (!admitted.ok) return admitted;
    const walked = run.walk(admitted.value);
    if (!walked.ok) return walked;
    before = each;
  }
  return run.end();
}

/** A batch's own checks: flags, contiguity, marks, form, root, signature. Gives its samples. */
function admitBatch(
  { batch, signature, marks, leafIndex, path, samples }: EvidenceBatch,
  before: EvidenceBatch | undefined,
  evidence: Evidence,
  crypto: Crypto,
): Verdict<Sample[], EvidenceReason> {
  const { publicKey, channel } = evidence;
  const at = `batch ${batch.sequence}`;
  const unflagged = verifyUnflagged(batch);
  if (!unflagged.ok) return unflagged;
  if (before !== undefined) {
    const digest = digestBatch(rebuildBatch(before.batch, publicKey), crypto.sha256);
    if (batch.sequence !== before.batch.sequence + 1 || !bytesEqual(batch.previous, digest)) {
      return reject('BatchNotContiguous', `${at} does not follow batch ${before.batch.sequence}`);
    }
  }
  if (marks !== 0) return reject('SeriesMarked', `${at}: marks 0x${marks.toString(16)}`);
  if (samples.length === 0 || samples.length % evidenceSampleBytes !== 0) {
    return reject('SamplesMalformed', `${at}: ${samples.length} bytes are not samples of ${evidenceSampleBytes} bytes`);
  }
  const leaf = leafHash(encodeCbor([channel, marks, samples]), crypto.sha256);
  const root = rootFromInclusion(leaf, leafIndex, batch.seriesCount, path, crypto.sha256);
  if (root === undefined || !bytesEqual(root, batch.root)) {
    return reject('SeriesNotInBatch', `${at}: samples and path do not lead to its root`);
  }
  const sealed = verifySealed(batch, signature, publicKey, crypto);
  return sealed.ok ? accept(readSamples(samples, batch.firstSec)) : sealed;
}

/** No flag forbids the batch's use as evidence. */
export function verifyUnflagged({ sequence, flags }: Batch): Verdict<true, 'BatchFlagged'> {
  if ((flags & criticalFlagsMask) === 0) return accept(true);
  return reject('BatchFlagged', `batch ${sequence}: flags 0x${flags.toString(16)}`);
}

/** The device that the key is signed the batch, with low s. */
export function verifySealed(
  batch: Batch,
  signature: Uint8Array,
  publicKey: Uint8Array,
  crypto: Crypto,
): Verdict<true, 'SignatureNotLowS' | 'SignatureInvalid'> {
  const at = `batch ${batch.sequence}`;
  if (!isLowS(signature)) return reject('SignatureNotLowS', `${at}: expected s <= n / 2`);
  if (!crypto.verifyP256(publicKey, envelopePreimage(rebuildBatch(batch, publicKey)), signature)) {
    return reject('SignatureInvalid', `${at}: not signed by the device`);
  }
  return accept(true);
}

/** Without the form checks of unpackSamples: what the run does not reach, the contract does not look at either. */
function readSamples(packed: Uint8Array, firstSec: number): Sample[] {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const samples: Sample[] = [];
  let timeSec = firstSec;
  for (let at = 0; at < packed.length; at += evidenceSampleBytes) {
    timeSec += view.getUint16(at);
    samples.push({ timeSec, value: view.getInt16(at + 2) });
  }
  return samples;
}

/** The walk over the run's samples. Evidence.sol keeps the same five variables. */
class Run {
  readonly #claim: ExcursionClaim;
  #skip: number;
  #left: number;
  #startedAtSec = 0;
  #lastSec = 0;
  #peakCentiC = 0;

  constructor(claim: ExcursionClaim, skip: number, count: number) {
    this.#claim = claim;
    this.#skip = skip;
    this.#left = count;
  }

  walk(samples: readonly Sample[]): Verdict<true, EvidenceReason> {
    if (this.#left === 0 || this.#skip >= samples.length) {
      return reject('RunMalformed', `${this.#left} samples left, skip ${this.#skip} of ${samples.length}`);
    }
    for (const sample of samples.slice(this.#skip, this.#skip + this.#left)) {
      const walked = this.#startedAtSec === 0 ? this.#start(sample) : this.#step(sample);
      if (!walked.ok) return walked;
      this.#left -= 1;
    }
    this.#skip = 0;
    return accept(true);
  }

  end(): Verdict<Excursion, EvidenceReason> {
    if (this.#left > 0) return reject('RunMalformed', `${this.#left} samples of the run are in no batch`);
    const { terms, nowSec } = this.#claim;
    if (this.#lastSec > nowSec) return reject('SampleInFuture', `sample at ${this.#lastSec}, now ${nowSec}`);
    const durationSec = this.#lastSec - this.#startedAtSec;
    if (durationSec < terms.excursionSecMin) {
      return reject('RunTooShort', `expected >= ${terms.excursionSecMin} s, got ${durationSec} s`);
    }
    return accept({ startedAtSec: this.#startedAtSec, durationSec, peakCentiC: this.#peakCentiC });
  }

  #start(sample: Sample): Verdict<true, EvidenceReason> {
    const { dispatchedAtSec } = this.#claim;
    if (sample.timeSec < dispatchedAtSec) {
      return reject('SampleBeforeDispatch', `sample at ${sample.timeSec}, dispatched at ${dispatchedAtSec}`);
    }
    this.#startedAtSec = sample.timeSec;
    this.#peakCentiC = sample.value;
    return this.#judge(sample);
  }

  #step(sample: Sample): Verdict<true, EvidenceReason> {
    const gapSec = sample.timeSec - this.#lastSec;
    const { sampleGapSecMax } = this.#claim.terms;
    // Samples that run backwards, across two batches, are no run either.
    if (gapSec < 1 || gapSec > sampleGapSecMax) {
      return reject(
        'SampleGapTooLong',
        `expected 1 <= gap <= ${sampleGapSecMax} s, got ${gapSec} s at ${sample.timeSec}`,
      );
    }
    return this.#judge(sample);
  }

  #judge({ timeSec, value }: Sample): Verdict<true, EvidenceReason> {
    const { channel, lowerLimitCentiC, upperLimitCentiC } = this.#claim.terms;
    if (value === faultValue(channel)) return reject('SampleFaulty', `sample at ${timeSec} is a sensor fault`);
    // A run is all too warm or all too cold; its first sample, the peak so far, says which.
    const isWarm = this.#peakCentiC >= upperLimitCentiC;
    const isOutside = isWarm ? value >= upperLimitCentiC : value <= lowerLimitCentiC;
    if (!isOutside) return reject('SampleWithinLimits', `sample at ${timeSec} is ${value} centi-degrees`);
    this.#peakCentiC = isWarm ? Math.max(this.#peakCentiC, value) : Math.min(this.#peakCentiC, value);
    this.#lastSec = timeSec;
    return accept(true);
  }
}
