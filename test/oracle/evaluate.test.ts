/** The rules against a restatement that shares no code with them, and against wire's verifier of evidence. */
import t from 'tap';
import {
  faultValue,
  flags,
  marks,
  openEnvelope,
  referenceCrypto,
  unixSecMax,
  verifyEvidence,
  type OpenEnvelope,
  type Sample,
  type Series,
} from '@coldproof/wire';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import {
  evaluate,
  initialState,
  limitOf,
  type EvaluationState,
  type Finding,
  type OrderUnderWatch,
} from '@coldproof/oracle/evaluate';
import { evidenceJson, parseEvidence, prove } from '@coldproof/oracle/prove';
import { Random, seeded } from '../helpers/seed.ts';
import { regularSeries, VoyageDevice } from '../helpers/voyage-device.ts';
import { terms } from './anvil.ts';

const dispatchedAtSec = 1_767_225_600;
const order: OrderUnderWatch = { orderId: '1', judgedFromSec: dispatchedAtSec, deliveredAtSec: 0, limits: [terms] };
const { channel } = terms;

/** Signing is what costs time here; rules and restatement do not look at it. */
class UnsignedDevice extends VoyageDevice {
  override sign(): Uint8Array {
    return new Uint8Array(64);
  }
}

function open(device: VoyageDevice, series: readonly Series[], flagBits = 0, sealedAtSec = 0): OpenEnvelope {
  const opened = openEnvelope(device.seal(series, flagBits, sealedAtSec), opensslCrypto());
  if (!opened.ok) throw new Error(opened.detail);
  return opened.value;
}

function run(batches: readonly OpenEnvelope[], of = order): Finding[] {
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
function hostileVoyage(device: VoyageDevice, random: Random): OpenEnvelope[] {
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

type Spot = { sequence: number; at: number; sample: Sample };

/**
 * The excursions of a voyage, stated anew: cut the samples into the longest stretches in which neighbours may stand in
 * one run, then find in each the first sample that is far enough from the stretch's first.
 */
function restated(batches: readonly OpenEnvelope[]): { first: Spot; found: Spot; count: number }[] {
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
  return stretches.flatMap((stretch) => {
    const found = stretch.findIndex(
      ({ sample }) => sample.timeSec - stretch[0]!.sample.timeSec >= terms.excursionSecMin,
    );
    return found < 0 ? [] : [{ first: stretch[0]!, found: stretch[found]!, count: found + 1 }];
  });
}

function sideOf({ timeSec, value }: Sample): 'warm' | 'cold' | 'none' {
  if (timeSec < dispatchedAtSec || value === faultValue(channel)) return 'none';
  if (value >= terms.upperLimitCentiC) return 'warm';
  return value <= terms.lowerLimitCentiC ? 'cold' : 'none';
}

t.test('2,000 hostile voyages: the same excursions, at the same samples, as the restatement', (t) => {
  const random = seeded(t, 9);
  let excursions = 0;
  for (let voyage = 0; voyage < 2_000; voyage++) {
    const batches = hostileVoyage(new UnsignedDevice(1), random);
    const got = run(batches).flatMap(({ run: location }) => location ?? []);
    const want = restated(batches).map(({ first, found, count }) => {
      return { firstSequence: first.sequence, lastSequence: found.sequence, skip: first.at, count };
    });
    if (JSON.stringify(got) !== JSON.stringify(want)) {
      t.same(got, want, `voyage ${voyage}`);
      break;
    }
    excursions += want.length;
  }
  t.ok(excursions > 200, `${excursions} excursions`);
  t.end();
});

t.test('what the rule finds, the verifier accepts; one sample less, it does not', (t) => {
  const random = seeded(t, 10);
  let proofs = 0;
  for (let voyage = 0; voyage < 150; voyage++) {
    const device = new VoyageDevice(voyage + 1);
    const unsigned = new UnsignedDevice(voyage + 1);
    const state = random.integer(0, 0xffff_ffff);
    // Signed only when there is something to prove.
    if (run(hostileVoyage(unsigned, new Random(state))).every(({ run: location }) => location === undefined)) continue;
    const batches = hostileVoyage(device, new Random(state));
    for (const { run: location } of run(batches)) {
      if (location === undefined) continue;
      const { firstSequence, lastSequence } = location;
      const proved = prove(
        limitOf(order, channel),
        location,
        batches.slice(firstSequence, lastSequence + 1),
        device.publicKey,
        opensslCrypto(),
      );
      if (!proved.ok) return void t.fail(`voyage ${voyage}: ${proved.reason}: ${proved.detail}`);
      const claim = { device: device.device, terms, dispatchedAtSec, nowSec: unixSecMax };
      const { evidence } = proved.value;
      const verified = verifyEvidence(evidence, claim, referenceCrypto);
      t.same(verified, { ok: true, value: proved.value.excursion });
      const lessIsTooShort = verifyEvidence({ ...evidence, count: evidence.count - 1 }, claim, opensslCrypto());
      t.match(lessIsTooShort, { ok: false, reason: /^(RunTooShort|RunMalformed)$/ });
      t.same(parseEvidence(JSON.parse(JSON.stringify(evidenceJson(evidence))) as never), evidence, 'survives JSON');
      proofs += 1;
    }
  }
  t.ok(proofs > 20, `${proofs} proofs`);
  t.end();
});

t.test('what begins after delivery is no part of the transit', (t) => {
  const device = new VoyageDevice(3);
  const warm = [0, 900].map((fromSec) =>
    open(device, [regularSeries(channel, dispatchedAtSec + fromSec, new Array<number>(15).fill(900))]),
  );
  const findings = (deliveredAtSec: number) => {
    let state = initialState(order);
    return warm.flatMap((batch) => {
      const step = evaluate({ ...order, deliveredAtSec }, state, batch);
      state = step.state;
      return step.findings.filter(({ run }) => run !== undefined);
    });
  };
  t.equal(findings(0).length, 1);
  t.equal(findings(dispatchedAtSec + 900).length, 1, 'a batch that begins in the very second is');
  t.equal(findings(dispatchedAtSec + 899).length, 0);
  t.end();
});

t.test('the terms to the second and to the centi-degree', (t) => {
  const device = new UnsignedDevice(1);
  const start = dispatchedAtSec;
  const of = (values: readonly number[], periodSec = 60, from = start) =>
    run([open(device, [regularSeries(channel, from, values, periodSec)])]).filter(({ run: location }) => location);
  const filled = (count: number, value: number) => new Array<number>(count).fill(value);
  t.equal(of(filled(16, 800)).length, 1, '15 minutes at the limit');
  t.equal(of(filled(15, 900)).length, 0, '14 minutes over it');
  t.equal(of(filled(16, 799)).length, 0, 'a hundredth under it');
  t.equal(of(filled(16, 200)).length, 1, 'at the lower limit');
  t.equal(of(filled(16, 201)).length, 0);
  t.equal(of([...filled(8, 900), ...filled(8, 100)]).length, 0, 'warm and cold are two runs');
  t.equal(of(filled(7, 900), 150).length, 1, 'the longest gap');
  t.equal(of(filled(7, 900), 151).length, 0);
  t.equal(of(filled(16, 900), 60, start - 1).length, 0, 'begun a second before dispatch');
  t.equal(of(filled(17, 900), 60, start - 1).length, 1, 'the first sample after dispatch begins it');
  const end = (values: readonly number[]) => run([open(device, [regularSeries(channel, start, values)])]).at(-1);
  t.match(end([...filled(20, 900), 500]), {
    rule: 'excursion',
    closedAtSec: start + 19 * 60,
    detail: { durationSec: 1_140 },
  });
  t.match(end([...filled(18, 900), 950]), { openedAtSec: start, detail: { durationSec: 1_080, peakCentiC: 950 } });
  t.end();
});

t.test('a batch without the channel, and a heartbeat, break a run: evidence is contiguous', (t) => {
  const device = new UnsignedDevice(2);
  const warm = (from: number) => open(device, [regularSeries(channel, from, new Array<number>(10).fill(900))]);
  const whole = [warm(dispatchedAtSec), warm(dispatchedAtSec + 600)];
  t.equal(run(whole).filter(({ run: location }) => location).length, 1);
  const heart = [warm(dispatchedAtSec), open(device, [], 0, dispatchedAtSec + 590), warm(dispatchedAtSec + 600)];
  t.equal(run(heart).filter(({ run: location }) => location).length, 0);
  t.end();
});

t.test('sensor faults open and close, are dated by their samples, and cancel nothing', (t) => {
  const device = new UnsignedDevice(3);
  const fault = faultValue(channel);
  const at = (i: number) => dispatchedAtSec + i * 60;
  const batches = [
    open(device, [regularSeries(channel, at(0), [500, fault, fault])]),
    open(device, [regularSeries(channel, at(3), [fault, 500, 500])]),
    open(device, [{ ...regularSeries(channel, at(6), [900, 900]), marks: marks.stuck | marks.outOfRange }]),
    open(device, [{ ...regularSeries(channel, at(8), [900, fault]), marks: marks.invalidValue }]),
    open(device, [regularSeries(channel, at(10), [500])]),
    open(device, [{ ...regularSeries(6, at(11), [1]), marks: marks.stuck }]),
  ];
  const faults = run(batches).filter(({ rule }) => rule === 'sensor-fault');
  t.same(faults, [
    { rule: 'sensor-fault', channel, openedAtSec: at(1), detail: { cause: 'no value' } },
    { rule: 'sensor-fault', channel, openedAtSec: at(1), detail: { cause: 'no value' }, closedAtSec: at(4) },
    { rule: 'sensor-fault', channel, openedAtSec: at(6), detail: { cause: 'stuck, out of range' } },
    {
      rule: 'sensor-fault',
      channel,
      openedAtSec: at(6),
      detail: { cause: 'stuck, out of range' },
      closedAtSec: at(10),
    },
    { rule: 'sensor-fault', channel: 6, openedAtSec: at(11), detail: { cause: 'stuck' } },
  ]);
  t.end();
});

t.test('gaps are seen when they begin to be too long, and end with the next sample', (t) => {
  const device = new UnsignedDevice(4);
  const batches = [
    open(device, [regularSeries(channel, dispatchedAtSec + 60, [500, 500])]),
    open(device, [regularSeries(1, dispatchedAtSec + 180, [450, 450, 450])]),
    open(device, [regularSeries(channel, dispatchedAtSec + 600, [500])]),
    open(device, [regularSeries(channel, dispatchedAtSec + 750, [500])]),
    open(device, [regularSeries(channel, dispatchedAtSec + 901, [500])]),
  ];
  const gaps = run(batches).filter(({ rule }) => rule === 'gap');
  t.same(gaps, [
    { rule: 'gap', channel, openedAtSec: dispatchedAtSec + 120, detail: {} },
    { rule: 'gap', channel, openedAtSec: dispatchedAtSec + 120, closedAtSec: dispatchedAtSec + 600, detail: {} },
    { rule: 'gap', channel, openedAtSec: dispatchedAtSec + 750, closedAtSec: dispatchedAtSec + 901, detail: {} },
  ]);
  t.end();
});
