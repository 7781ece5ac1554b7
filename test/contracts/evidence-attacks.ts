/** Each way to cheat with evidence, and the reason that both verifiers must give for refusing it. */
import { p256 } from '@noble/curves/nist.js';
import {
  channels,
  concatBytes,
  deviceOf,
  encodeBatch,
  encodeCbor,
  envelopePreimage,
  faultValue,
  flags,
  leafHash,
  marks,
  type Evidence,
  type EvidenceReason,
  type ExcursionClaim,
} from '@coldproof/wire';
import { regularSeries, VoyageDevice } from '../helpers/voyage-device.ts';
import {
  channel,
  claimFor,
  dispatchedAtSec,
  excursionTerms,
  flipBit,
  makeEvidence,
  sealEvidenceBatch,
  sealLink,
  withBatch,
  withHeader,
} from './fixture.ts';

export type Case = {
  readonly name: string;
  readonly reason: EvidenceReason | 'accepted';
  readonly evidence: Evidence;
  readonly claim: ExcursionClaim;
};

export function listCases(): Case[] {
  const cases: Case[] = [];
  const add = (
    name: string,
    reason: Case['reason'],
    evidence: Evidence,
    changes: Partial<ExcursionClaim> = {},
  ): void => {
    cases.push({ name, reason, evidence, claim: claimFor(owner, changes) });
  };
  const owner = new VoyageDevice(1);
  const stranger = new VoyageDevice(2);
  const honest = (): Evidence => makeEvidence(new VoyageDevice(1));
  const inThree = (): Evidence => makeEvidence(new VoyageDevice(1), { sizes: [3, 10, 3] });
  addHonest(add, honest, inThree);
  addForgeries(add, honest, inThree, stranger);
  addRuns(add);
  addWindows(add, honest, inThree);
  return cases;
}

type Add = (name: string, reason: Case['reason'], evidence: Evidence, changes?: Partial<ExcursionClaim>) => void;

function addHonest(add: Add, honest: () => Evidence, inThree: () => Evidence): void {
  add('16 samples in one batch', 'accepted', honest());
  add('16 samples in three batches', 'accepted', inThree());
  add(
    'a single series in the batch, so an empty path',
    'accepted',
    evidenceOf(
      [...Array(16).keys()].map(() => 900),
      0,
    ),
  );
  add('all samples exactly at the upper limit', 'accepted', evidenceOf(Array<number>(16).fill(800)));
  add('all samples exactly at the lower limit', 'accepted', evidenceOf(Array<number>(16).fill(200)));
  for (const sequence of [23, 24, 255, 256, 65_535, 65_536, 0xffff_fffe, 0xffff_ffff]) {
    add(`sequence ${sequence}, in its shortest form`, 'accepted', linked({ sequence }));
  }
  for (const [batchFlags, othersCount] of [
    [23, 22],
    [24, 23],
    [255, 63],
  ] as const) {
    const name = `flags ${batchFlags} and ${othersCount + 1} series`;
    add(name, 'accepted', linked({ flags: batchFlags, othersCount }));
  }
  for (const count of [5, 6, 63, 64]) {
    const terms = { ...excursionTerms, excursionSecMin: 60 };
    add(`${count} samples, ${count * 4} bytes`, 'accepted', evidenceOf(Array<number>(count).fill(900)), { terms });
  }
  add('frost', 'accepted', evidenceOf([...Array(16).keys()].map((i) => -100 - i)));
  const tail = makeEvidence(new VoyageDevice(1), { sizes: [30, 15], value: (i) => (i < 20 ? 500 : 850 + i) });
  add('a run that begins within the first batch', 'accepted', { ...tail, skip: 20, count: 25 });
  add('a run that ends within the last batch', 'accepted', { ...tail, skip: 20, count: 16 });
  add('300 samples, whose length takes two bytes', 'accepted', evidenceOf(Array<number>(300).fill(900)));
  add('10 samples 100 s apart in one batch', 'accepted', periodic(100, 10));
  add('the longest gap that the terms allow', 'accepted', periodic(150, 7));
}

function addForgeries(add: Add, honest: () => Evidence, inThree: () => Evidence, stranger: VoyageDevice): void {
  addFalseSignatures(add, honest, stranger);
  addFalseSeries(add, honest);
  addFalseHeaders(add, honest);
  addUnfitSeries(add, honest);
  addBrokenChains(add, inThree);
}

function addFalseSignatures(add: Add, honest: () => Evidence, stranger: VoyageDevice): void {
  add('another device', 'DeviceNotAssigned', makeEvidence(new VoyageDevice(2)));
  add('another key put in', 'DeviceNotAssigned', { ...honest(), publicKey: stranger.publicKey });
  add('a key off the curve', 'SignatureInvalid', offCurve(honest()), { device: offCurveDevice });
  const strangers = makeEvidence(stranger).batches[0]!.signature;
  add(
    'a signature by another key',
    'SignatureInvalid',
    withBatch(honest(), 0, () => ({ signature: strangers })),
  );
  add(
    'one bit of r',
    'SignatureInvalid',
    withSignature(honest(), (signature) => flipBit(signature, 5)),
  );
  add(
    'one bit of s',
    'SignatureInvalid',
    withSignature(honest(), (signature) => flipBit(signature, 508)),
  );
  add(
    'r and s of zero',
    'SignatureInvalid',
    withSignature(honest(), () => new Uint8Array(64)),
  );
  add('the high-s twin', 'SignatureNotLowS', withSignature(honest(), highTwin));
  add(
    's of n / 2 + 1',
    'SignatureNotLowS',
    withSignature(honest(), (signature) => withS(signature, halfOrder + 1n)),
  );
  add(
    's of n / 2',
    'SignatureInvalid',
    withSignature(honest(), (signature) => withS(signature, halfOrder)),
  );
  add(
    's of all ones',
    'SignatureNotLowS',
    withSignature(honest(), (signature) => withS(signature, 2n ** 256n - 1n)),
  );
}

function addFalseSeries(add: Add, honest: () => Evidence): void {
  add(
    'one bit of a sample',
    'SeriesNotInBatch',
    withBatch(honest(), 0, ({ samples }) => ({ samples: flipBit(samples, 30) })),
  );
  add(
    'one bit of the path',
    'SeriesNotInBatch',
    withBatch(honest(), 0, ({ path }) => ({ path: [flipBit(path[0]!, 9), path[1]!] })),
  );
  add(
    'a path too short',
    'SeriesNotInBatch',
    withBatch(honest(), 0, ({ path }) => ({ path: path.slice(1) })),
  );
  add(
    'a path too long',
    'SeriesNotInBatch',
    withBatch(honest(), 0, ({ path }) => ({ path: [...path, path[0]!] })),
  );
  add(
    'another leaf index',
    'SeriesNotInBatch',
    withBatch(honest(), 0, () => ({ leafIndex: 4 })),
  );
  add(
    'a leaf index past the tree',
    'SeriesNotInBatch',
    withBatch(honest(), 0, () => ({ leafIndex: 6 })),
  );
  add(
    'no leaves in the tree',
    'SeriesNotInBatch',
    withHeader(honest(), 0, () => ({ seriesCount: 0 })),
  );
  add(
    'a root of zeros',
    'SeriesNotInBatch',
    withHeader(honest(), 0, () => ({ root: new Uint8Array(32), seriesCount: 0 })),
  );
}

function addFalseHeaders(add: Add, honest: () => Evidence): void {
  add(
    'sequence in the header',
    'SignatureInvalid',
    withHeader(honest(), 0, () => ({ sequence: 1 })),
  );
  add(
    'previous in the header',
    'SignatureInvalid',
    withHeader(honest(), 0, ({ previous }) => ({ previous: flipBit(previous, 0) })),
  );
  add(
    'first in the header',
    'SignatureInvalid',
    withHeader(honest(), 0, ({ firstSec }) => ({ firstSec: firstSec + 1 })),
  );
  add(
    'last in the header',
    'SignatureInvalid',
    withHeader(honest(), 0, ({ lastSec }) => ({ lastSec: lastSec + 1 })),
  );
  add(
    'flags in the header',
    'SignatureInvalid',
    withHeader(honest(), 0, () => ({ flags: flags.sensorSigned })),
  );
  add('a batch that the device signed under another name', 'SignatureInvalid', underAnotherName(honest()));
  add('an unsynchronised clock', 'BatchFlagged', evidenceOf(Array<number>(16).fill(900), 5, flags.clockUnsynchronised));
  add(
    'a critical flag of a later version',
    'BatchFlagged',
    withHeader(honest(), 0, () => ({ flags: 0x8000 })),
  );
}

function addUnfitSeries(add: Add, honest: () => Evidence): void {
  add('a channel that is not in the terms', 'ChannelNotInTerms', { ...honest(), channel: channels.supplyAir });
  add('a marked sensor', 'SeriesMarked', marked());
  add(
    'a mark put on',
    'SeriesMarked',
    withBatch(honest(), 0, () => ({ marks: 0x80 })),
  );
  add(
    'no samples',
    'SamplesMalformed',
    withBatch(honest(), 0, () => ({ samples: new Uint8Array() })),
  );
  add(
    'half a sample',
    'SamplesMalformed',
    withBatch(honest(), 0, ({ samples }) => ({ samples: samples.subarray(2) })),
  );
}

function addBrokenChains(add: Add, inThree: () => Evidence): void {
  add('a batch left out', 'BatchNotContiguous', without(inThree(), 1));
  add('batches swapped', 'BatchNotContiguous', { ...inThree(), batches: [...inThree().batches].reverse() });
  add('a batch twice', 'BatchNotContiguous', { ...inThree(), batches: [inThree().batches[0]!, ...inThree().batches] });
  const fork = makeEvidence(new VoyageDevice(1), { sizes: [3, 10, 3], value: () => 999 }).batches[1]!;
  add('a batch of another history with the right number', 'BatchNotContiguous', {
    ...inThree(),
    batches: [inThree().batches[0]!, fork, inThree().batches[2]!],
  });
}

function addRuns(add: Add): void {
  const warm = Array<number>(16).fill(900);
  add('one sample within the limits', 'SampleWithinLimits', evidenceOf(warm.with(7, 799)));
  add('a first sample within the limits', 'SampleWithinLimits', evidenceOf(warm.with(0, 500)));
  add('warm, then cold', 'SampleWithinLimits', evidenceOf(warm.with(8, 100)));
  add('cold, then warm', 'SampleWithinLimits', evidenceOf(Array<number>(16).fill(100).with(15, 900)));
  const fault = faultValue(channel);
  add('a sensor fault in the run', 'SampleFaulty', evidenceOf(warm.with(3, fault)));
  add('a run of sensor faults', 'SampleFaulty', evidenceOf(Array<number>(16).fill(fault)));
  add('15 samples, 14 minutes', 'RunTooShort', evidenceOf(Array<number>(15).fill(900)));
  add('a single sample', 'RunTooShort', evidenceOf([900]));
  add('a second longer than the longest gap', 'SampleGapTooLong', periodic(151, 7));
  add('two samples of one second', 'SampleGapTooLong', simultaneous());
  const hole = makeEvidence(new VoyageDevice(1), { sizes: [8] });
  const device = new VoyageDevice(1);
  const early = sealEvidenceBatch(device, regularSeries(channel, dispatchedAtSec, Array<number>(8).fill(900)));
  const late = sealEvidenceBatch(device, regularSeries(channel, dispatchedAtSec + 4_000, Array<number>(8).fill(900)));
  add('a gap between two batches', 'SampleGapTooLong', { ...hole, count: 16, batches: [early, late] });
  const other = new VoyageDevice(1);
  const second = sealEvidenceBatch(other, regularSeries(channel, dispatchedAtSec + 4_000, Array<number>(8).fill(900)));
  const first = sealEvidenceBatch(other, regularSeries(channel, dispatchedAtSec, Array<number>(8).fill(900)));
  add('a second batch that lies before the first', 'SampleGapTooLong', {
    ...hole,
    count: 16,
    batches: [second, first],
  });
}

function addWindows(add: Add, honest: () => Evidence, inThree: () => Evidence): void {
  add('a run before dispatch', 'SampleBeforeDispatch', honest(), { dispatchedAtSec: dispatchedAtSec + 1 });
  add('a run that ends now', 'accepted', honest(), { nowSec: dispatchedAtSec + 900 });
  add('a run that ends after now', 'SampleInFuture', honest(), { nowSec: dispatchedAtSec + 899 });
  add('no batch', 'RunMalformed', { ...honest(), batches: [] });
  add('no sample in the run', 'RunMalformed', { ...honest(), count: 0 });
  add('a skip over the whole batch', 'RunMalformed', { ...honest(), skip: 16 });
  add('more samples than there are', 'RunMalformed', { ...honest(), count: 17 });
  add('batches that the run does not reach', 'RunMalformed', { ...inThree(), count: 13 });
  add('a run cut short', 'RunTooShort', { ...honest(), count: 15 });
  add('an excursion of exactly the terms', 'accepted', honest(), {
    terms: { ...excursionTerms, excursionSecMin: 900 },
  });
  add('one second under the terms', 'RunTooShort', honest(), { terms: { ...excursionTerms, excursionSecMin: 901 } });
}

const order = p256.Point.Fn.ORDER;
const halfOrder = (order - 1n) / 2n;

function evidenceOf(values: readonly number[], othersCount = 5, batchFlags = 0): Evidence {
  const device = new VoyageDevice(1);
  const series = regularSeries(channel, dispatchedAtSec, values);
  const others = [channels.supplyAir, channels.returnAir, channels.setpoint, channels.door, channels.unitMode]
    .slice(0, othersCount)
    .map((each) => regularSeries(each, dispatchedAtSec, [300, 301]));
  const batch = sealEvidenceBatch(device, series, { others, flags: batchFlags });
  return { publicKey: device.publicKey, channel, skip: 0, count: values.length, batches: [batch] };
}

/** One batch from the middle of a long history. */
function linked({ sequence = 7, flags = 0, othersCount = 0 }): Evidence {
  const device = new VoyageDevice(1);
  const series = regularSeries(channel, dispatchedAtSec, Array<number>(16).fill(900));
  const others = Array.from({ length: othersCount }, (_, i) => regularSeries(40 + i, dispatchedAtSec, [i]));
  const previous = new Uint8Array(32).fill(0xab);
  const batch = sealLink(device, series, { others, sequence, previous, flags });
  return { publicKey: device.publicKey, channel, skip: 0, count: 16, batches: [batch] };
}

function periodic(periodSec: number, count: number): Evidence {
  const device = new VoyageDevice(1);
  const batch = sealEvidenceBatch(
    device,
    regularSeries(channel, dispatchedAtSec, Array<number>(count).fill(900), periodSec),
  );
  return { publicKey: device.publicKey, channel, skip: 0, count, batches: [batch] };
}

/** As no honest device packs them: the second sample's delta is 0. */
function simultaneous(): Evidence {
  const device = new VoyageDevice(1);
  const series = regularSeries(channel, dispatchedAtSec, Array<number>(16).fill(900));
  const { batch: honest, ...leaf } = sealEvidenceBatch(device, series);
  const samples = leaf.samples.with(5, 0);
  const batch = { ...honest, root: leafHash(encodeCbor([channel, 0, samples])) };
  const signature = device.sign(envelopePreimage(encodeBatch(batch)));
  const batches = [{ ...leaf, batch, samples, signature }];
  return { publicKey: device.publicKey, channel, skip: 0, count: 16, batches };
}

function marked(): Evidence {
  const device = new VoyageDevice(1);
  const series = { ...regularSeries(channel, dispatchedAtSec, Array<number>(16).fill(900)), marks: marks.stuck };
  const batch = sealEvidenceBatch(device, series);
  return { publicKey: device.publicKey, channel, skip: 0, count: 16, batches: [batch] };
}

function without(evidence: Evidence, index: number): Evidence {
  return { ...evidence, batches: evidence.batches.filter((_, i) => i !== index) };
}

function withSignature(evidence: Evidence, change: (signature: Uint8Array) => Uint8Array): Evidence {
  return withBatch(evidence, 0, ({ signature }) => ({ signature: change(signature) }));
}

function withS(signature: Uint8Array, s: bigint): Uint8Array {
  const bytes = Uint8Array.from({ length: 32 }, (_, i) => Number((s >> BigInt(8 * (31 - i))) & 0xffn));
  return concatBytes(signature.subarray(0, 32), bytes);
}

/** (r, n - s), which every P-256 verifier without a low-s rule takes for as good. */
export function highTwin(signature: Uint8Array): Uint8Array {
  return withS(signature, order - p256.Point.Fn.fromBytes(signature.subarray(32)));
}

/** SHA-256 of a key with y + 1, which is no point; the order could name it only if a registry had let it in. */
const offCurveKey = flipBit(new VoyageDevice(1).publicKey, 504);
const offCurveDevice = deviceOf(offCurveKey);

function offCurve(evidence: Evidence): Evidence {
  const batches = evidence.batches.map((each) => ({ ...each, batch: { ...each.batch, device: offCurveDevice } }));
  return { ...evidence, publicKey: offCurveKey, batches };
}

/** The key signs a batch that names another device: true as a signature, and no batch of the assigned device. */
function underAnotherName(evidence: Evidence): Evidence {
  const renamed = withHeader(evidence, 0, () => ({ device: new Uint8Array(32).fill(9) }));
  const preimage = envelopePreimage(encodeBatch(renamed.batches[0]!.batch));
  return withBatch(renamed, 0, () => ({ signature: new VoyageDevice(1).sign(preimage) }));
}
