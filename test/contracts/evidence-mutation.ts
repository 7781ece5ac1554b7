/**
 * Random evidence near the borders of acceptance: runs that may be good or not, then mostly one or two things tampered
 * with.
 */
import { deviceOf, faultValue, type Evidence, type ExcursionClaim, type Series } from '@coldproof/wire';
import type { Random } from '../helpers/seed.ts';
import { regularSeries, VoyageDevice } from '../helpers/voyage-device.ts';
import {
  channel,
  claimFor,
  dispatchedAtSec,
  excursionTerms,
  flipBit,
  sealEvidenceBatch,
  withBatch,
  withHeader,
} from './fixture.ts';
import { highTwin } from './evidence-attacks.ts';

export type Mutant = { evidence: Evidence; claim: ExcursionClaim; readonly changes: string[] };

export function makeMutant(random: Random): Mutant {
  const device = new VoyageDevice(random.integer(1, 5));
  const mutant: Mutant = { ...makeVoyage(device, random), changes: [] };
  const count = random.pick([0, 0, 1, 1, 1, 2]);
  for (let i = 0; i < count; i++) {
    const name = random.pick(Object.keys(mutations));
    mutations[name]!(mutant, random);
    mutant.changes.push(name);
  }
  return mutant;
}

/** One to four batches; most samples outside the limits, now and then one that breaks the run. */
function makeVoyage(device: VoyageDevice, random: Random): { evidence: Evidence; claim: ExcursionClaim } {
  const isWarm = random.next() < 0.6;
  const breakRate = random.pick([0, 0, 0, 0.02]);
  const skip = random.pick([0, 0, 1, 3]);
  let timeSec = dispatchedAtSec - skip * 60 + random.pick([0, 0, 30, 600, -60]);
  const sizes = Array.from({ length: random.integer(1, 4) }, () => random.integer(skip + 1, 14));
  const batches = sizes.map((size) => {
    const samples = Array.from({ length: size }, () => {
      timeSec += random.next() < 0.97 ? 60 : random.pick([1, 149, 150, 151]);
      return { timeSec, value: randomValue(random, isWarm, breakRate) };
    });
    const series: Series = { channel, marks: random.next() < 0.02 ? 1 << random.integer(0, 7) : 0, samples };
    const others = Array.from({ length: random.integer(0, 8) }, (_, i) =>
      regularSeries(40 + i, samples[0]!.timeSec, [i]),
    );
    return sealEvidenceBatch(device, series, { others, flags: random.pick([0, 0, 1]) });
  });
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const count = total - skip - random.pick([0, 0, 0, 1]);
  const evidence = { publicKey: device.publicKey, channel, skip, count, batches };
  const excursionSecMin = random.pick([60, 300, 900]);
  return { evidence, claim: claimFor(device, { terms: { ...excursionTerms, excursionSecMin } }) };
}

function randomValue(random: Random, isWarm: boolean, breakRate: number): number {
  if (random.next() < breakRate)
    return random.pick([faultValue(channel), 199, 200, 201, 500, 799, 800, 801, 32_767, -32_767]);
  return isWarm ? 800 + random.integer(0, 300) : 200 - random.integer(0, 300);
}

const mutations: Record<string, (mutant: Mutant, random: Random) => void> = {
  sample: changeBatch(({ samples }, random) => ({
    samples: flipBit(samples, random.integer(0, samples.length * 8 - 1)),
  })),
  samplesCut: changeBatch(({ samples }, random) => ({
    samples: samples.subarray(random.pick([1, 2, 4, samples.length])),
  })),
  signature: changeBatch(({ signature }, random) => ({ signature: flipBit(signature, random.integer(0, 511)) })),
  twin: changeBatch(({ signature }) => ({ signature: highTwin(signature) })),
  marks: changeBatch((_, random) => ({ marks: random.integer(0, 255) })),
  leafIndex: changeBatch((_, random) => ({ leafIndex: random.integer(0, 9) })),
  path: changeBatch(({ path }, random) => ({ path: path.map((each) => flipBit(each, random.integer(0, 255))) })),
  pathLength: changeBatch(({ path }, random) => ({
    path: random.next() < 0.5 ? path.slice(1) : [...path, random.bytes(32)],
  })),
  sequence: changeHeader((_, random) => ({
    sequence: random.pick([0, 23, 24, 255, 256, 65_535, 65_536, 0xffff_ffff]),
  })),
  previous: changeHeader(({ previous }, random) => ({ previous: flipBit(previous, random.integer(0, 255)) })),
  firstSec: changeHeader(({ firstSec }, random) => ({
    firstSec: random.pick([0, 23, 24, 256, firstSec - 1, 0xffff_ffff]),
  })),
  lastSec: changeHeader((_, random) => ({ lastSec: random.pick([0, 24, 65_536, 0xffff_ffff]) })),
  root: changeHeader((_, random) => ({ root: random.bytes(32) })),
  seriesCount: changeHeader((_, random) => ({ seriesCount: random.integer(0, 255) })),
  flags: changeHeader((_, random) => ({ flags: random.pick([0, 1, 24, 0x00ff, 0x0100, 0xffff]) })),
  batchOut: (mutant, random) => {
    const out = random.integer(0, mutant.evidence.batches.length - 1);
    mutant.evidence = { ...mutant.evidence, batches: mutant.evidence.batches.filter((_, i) => i !== out) };
  },
  batchesReversed: (mutant) => {
    mutant.evidence = { ...mutant.evidence, batches: [...mutant.evidence.batches].reverse() };
  },
  skip: (mutant, random) => {
    mutant.evidence = { ...mutant.evidence, skip: random.pick([0, 1, 2, 14, 0xffff]) };
  },
  count: (mutant, random) => {
    mutant.evidence = { ...mutant.evidence, count: random.pick([0, 1, 2, mutant.evidence.count + 1, 0xffff]) };
  },
  channel: (mutant, random) => {
    mutant.evidence = { ...mutant.evidence, channel: random.pick([0, 1, 17, 24, 127, 128, 255]) };
  },
  key: (mutant, random) => {
    mutant.evidence = { ...mutant.evidence, publicKey: flipBit(mutant.evidence.publicKey, random.integer(0, 511)) };
  },
  /** The order names the tampered key's device: nothing but its signature then speaks against it. */
  keyAndDevice: (mutant, random) => {
    const publicKey = flipBit(mutant.evidence.publicKey, random.integer(0, 511));
    const device = deviceOf(publicKey);
    const batches = mutant.evidence.batches.map((each) => ({ ...each, batch: { ...each.batch, device } }));
    mutant.evidence = { ...mutant.evidence, publicKey, batches };
    mutant.claim = { ...mutant.claim, device };
  },
  dispatchedAt: (mutant, random) => {
    mutant.claim = { ...mutant.claim, dispatchedAtSec: mutant.claim.dispatchedAtSec + random.pick([-1, 1, 60, 120]) };
  },
  now: (mutant, random) => {
    mutant.claim = { ...mutant.claim, nowSec: dispatchedAtSec + random.integer(0, 1_800) };
  },
  limits: (mutant, random) => {
    const upperLimitCentiC = 800 + random.integer(-100, 100);
    mutant.claim = { ...mutant.claim, terms: { ...mutant.claim.terms, upperLimitCentiC } };
  },
};

type EvidenceBatch = Evidence['batches'][number];

function changeBatch(change: (each: EvidenceBatch, random: Random) => Partial<EvidenceBatch>) {
  return (mutant: Mutant, random: Random): void => {
    const { length } = mutant.evidence.batches;
    if (length > 0)
      mutant.evidence = withBatch(mutant.evidence, random.integer(0, length - 1), (each) => change(each, random));
  };
}

function changeHeader(change: (batch: EvidenceBatch['batch'], random: Random) => Partial<EvidenceBatch['batch']>) {
  return (mutant: Mutant, random: Random): void => {
    const { length } = mutant.evidence.batches;
    if (length > 0)
      mutant.evidence = withHeader(mutant.evidence, random.integer(0, length - 1), (each) => change(each, random));
  };
}
