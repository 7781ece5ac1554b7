/** The rules against a restatement that shares no code with them, and against wire's verifier of evidence. */
import t from 'tap';
import {
  evaluate,
  faultValue,
  initialState,
  limitOf,
  marks,
  referenceCrypto,
  unixSecMax,
  verifyEvidence,
  type OpenEnvelope,
} from '@coldproof/wire';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import { evidenceJson, parseEvidence, prove } from '@coldproof/oracle/prove';
import { Random, seeded } from '../helpers/seed.ts';
import { regularSeries, VoyageDevice } from '../helpers/voyage-device.ts';
import { terms } from './anvil.ts';
import {
  dispatchedAtSec,
  hostileVoyage,
  open,
  order,
  run,
  stretchesOf,
  UnsignedDevice,
  type Spot,
} from './hostile-voyage.ts';

const { channel } = terms;

/** The excursions of a voyage, stated anew: in each stretch the first sample that is far enough from its first. */
function restated(batches: readonly OpenEnvelope[]): { first: Spot; found: Spot; count: number }[] {
  return stretchesOf(batches).flatMap((stretch) => {
    const found = stretch.findIndex(
      ({ sample }) => sample.timeSec - stretch[0]!.sample.timeSec >= terms.excursionSecMin,
    );
    return found < 0 ? [] : [{ first: stretch[0]!, found: stretch[found]!, count: found + 1 }];
  });
}

t.test('2,000 hostile voyages: the same excursions, at the same samples, as the restatement', (t) => {
  const random = seeded(t, 9);
  let excursions = 0;
  for (let voyage = 0; voyage < 2_000; voyage++) {
    const batches = hostileVoyage(new UnsignedDevice(1), random);
    const got = run(batches).flatMap(({ runs }) => runs ?? []);
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
    if (run(hostileVoyage(unsigned, new Random(state))).every(({ runs }) => runs === undefined)) continue;
    const batches = hostileVoyage(device, new Random(state));
    for (const { runs } of run(batches)) {
      if (runs === undefined) continue;
      const [location] = runs;
      const { firstSequence, lastSequence } = location!;
      const proved = prove(
        'excursion',
        limitOf(order, channel),
        [{ location: location!, batches: batches.slice(firstSequence, lastSequence + 1) }],
        device.publicKey,
        opensslCrypto(),
      );
      if (!proved.ok) return void t.fail(`voyage ${voyage}: ${proved.reason}: ${proved.detail}`);
      const claim = { device: device.device, terms, dispatchedAtSec, nowSec: unixSecMax };
      const [evidence] = proved.value.runs;
      const verified = verifyEvidence(evidence!, claim, referenceCrypto);
      t.same(verified, { ok: true, value: proved.value.excursion });
      const lessIsTooShort = verifyEvidence({ ...evidence!, count: evidence!.count - 1 }, claim, opensslCrypto());
      t.match(lessIsTooShort, { ok: false, reason: /^(RunTooShort|RunMalformed)$/ });
      t.same(parseEvidence(JSON.parse(JSON.stringify(evidenceJson(evidence!))) as never), evidence, 'survives JSON');
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
      return step.findings.filter(({ runs }) => runs !== undefined);
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
    run([open(device, [regularSeries(channel, from, values, periodSec)])]).filter(({ runs }) => runs);
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
  t.equal(run(whole).filter(({ runs }) => runs).length, 1);
  const heart = [warm(dispatchedAtSec), open(device, [], 0, dispatchedAtSec + 590), warm(dispatchedAtSec + 600)];
  t.equal(run(heart).filter(({ runs }) => runs).length, 0);
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
