/** Voyages in which everything goes wrong that can go wrong with samples, and their runs restated. */
import {
  evaluate,
  faultValue,
  flags,
  initialState,
  marks,
  openEnvelope,
  type EvaluationState,
  type Finding,
  type OpenEnvelope,
  type OrderUnderWatch,
  type Sample,
  type Series,
} from '@coldproof/wire';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import type { Random } from '../helpers/seed.ts';
import { regularSeries, VoyageDevice } from '../helpers/voyage-device.ts';
import { terms } from './anvil.ts';

export const dispatchedAtSec = 1_767_225_600;
export const order: OrderUnderWatch = {
  orderId: '1',
  judgedFromSec: dispatchedAtSec,
  deliveredAtSec: 0,
  limits: [terms],
};
const { channel } = terms;

/** Signing is what costs time here; rules and restatement do not look at it. */
export class UnsignedDevice extends VoyageDevice {
  override sign(): Uint8Array {
    return new Uint8Array(64);
  }
}

export function open(device: VoyageDevice, series: readonly Series[], flagBits = 0, sealedAtSec = 0): OpenEnvelope {
  const opened = openEnvelope(device.seal(series, flagBits, sealedAtSec), opensslCrypto());
  if (!opened.ok) throw new Error(opened.detail);
  return opened.value;
}

export function run(batches: readonly OpenEnvelope[], of = order): Finding[] {
  let state = initialState(of);
  const findings: Finding[] = [];
  for (const batch of batches) {
    const step = evaluate(of, state, batch);
    // As the store does between two steps.
    state = JSON.parse(JSON.stringify(step.state)) as EvaluationState;
    findings.push(...step.findings);
  }
  return findings;
}

/** A voyage in which everything goes wrong that can go wrong with samples. */
export function hostileVoyage(device: VoyageDevice, random: Random): OpenEnvelope[] {
  const batches: OpenEnvelope[] = [];
  let timeSec = dispatchedAtSec - random.integer(0, 1_200);
  let centiC = 500;
  for (let i = 0; i < random.integer(3, 12); i++) {
    const samples: Sample[] = [];
    for (let j = 0; j < random.integer(1, 20); j++) {
      timeSec += random.integer(0, 59) === 0 ? random.integer(100, 200) : 60;
      if (random.integer(0, 18) === 0) centiC = random.pick([199, 200, 201, 500, 799, 800, 801, 950, -300]);
      const isFault = random.integer(0, 150) === 0;
      samples.push({ timeSec, value: isFault ? faultValue(channel) : centiC });
    }
    // The next batch's clock may have been set back a little.
    if (random.integer(0, 15) === 0) timeSec -= random.integer(60, 200);
    const marked = random.integer(0, 15) === 0 ? marks.stuck : 0;
    const flagBits = random.integer(0, 20) === 0 ? flags.clockUnsynchronised : 0;
    const other = regularSeries(1, samples[0]!.timeSec, [450]);
    const isAbsent = random.integer(0, 20) === 0;
    const series = isAbsent ? [other] : [other, { channel, marks: marked, samples }];
    batches.push(open(device, series, flagBits));
  }
  return batches;
}

export type Spot = { sequence: number; at: number; sample: Sample };

/** The runs outside the limits, stated anew: the longest stretches in which neighbours may stand in one run. */
export function stretchesOf(batches: readonly OpenEnvelope[]): Spot[][] {
  const stretches: Spot[][] = [[]];
  for (const { batch, series } of batches) {
    const measured = series.find((each) => each.channel === channel);
    const isUsable = measured !== undefined && measured.marks === 0 && (batch.flags & flags.clockUnsynchronised) === 0;
    if (!isUsable) {
      stretches.push([]);
      continue;
    }
    measured.samples.forEach((sample, at) => {
      const side = sideOf(sample);
      const before = stretches.at(-1)!.at(-1)?.sample;
      const gapSec = before === undefined ? 0 : sample.timeSec - before.timeSec;
      const breaks = before !== undefined && (sideOf(before) !== side || gapSec <= 0 || gapSec > terms.sampleGapSecMax);
      if (side === 'none' || breaks) stretches.push([]);
      if (side !== 'none') stretches.at(-1)!.push({ sequence: batch.sequence, at, sample });
    });
  }
  return stretches.filter((stretch) => stretch.length > 0);
}

function sideOf({ timeSec, value }: Sample): 'warm' | 'cold' | 'none' {
  if (timeSec < dispatchedAtSec || value === faultValue(channel)) return 'none';
  if (value >= terms.upperLimitCentiC) return 'warm';
  return value <= terms.lowerLimitCentiC ? 'cold' : 'none';
}
