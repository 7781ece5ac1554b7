/** The shipped cryptlets against the numbers that are published for what they reckon. */
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Cryptlet } from '@coldproof/oracle/cryptlet/cryptlet';
import { exampleInput, readExamples, readFolder } from '@coldproof/oracle/cryptlet/folder';
import { openCryptletHost } from '@coldproof/oracle/cryptlet/host';
import type { InputSample } from '@coldproof/oracle/cryptlet/input';
import type { CryptletResult } from '@coldproof/oracle/cryptlet/output';
import { cryptlet as makeCryptlet, shippedFolder } from './cryptlet-fixture.ts';
import { statements } from './cryptlet-statements.ts';

const host = await openCryptletHost({ workers: 2 });
t.teardown(() => host.close());

const [supplyAir, returnAir, setpoint, unitMode, probe1] = [1, 2, 3, 8, 16];
const minute = 60;
const hour = 3_600;

type Channels = Readonly<Record<number, readonly InputSample[]>>;

function shipped(name: string, values: Readonly<Record<string, number>> = {}): Cryptlet {
  return readFolder(fileURLToPath(shippedFolder(name)), { publisher: `0x${'11'.repeat(20)}`, values });
}

async function run(cryptlet: Cryptlet, channels: Channels): Promise<CryptletResult> {
  const values = Object.fromEntries(cryptlet.manifest.parameters.map(({ name, value }) => [name, value]));
  const input = exampleInput(cryptlet.manifest, (channel) => channels[channel] ?? [], values);
  const verdict = await host.run(cryptlet, input);
  if (!verdict.ok) throw new Error(`${verdict.reason}: ${verdict.detail}`);
  const stated = statements[cryptlet.manifest.name]!(input);
  t.same(verdict.value, stated, `${cryptlet.manifest.name}: as stated`);
  return verdict.value;
}

/** Values one after the other, each [how many, centi-degrees]. */
function each(periodSec: number, ...runs: readonly (readonly [count: number, centiC: number])[]): InputSample[] {
  const values = runs.flatMap(([count, centiC]) => new Array<number>(count).fill(centiC));
  return values.map((value, i) => [i * periodSec, value]);
}

/** From one second to another, both included. */
function during(fromSec: number, toSec: number, periodSec: number, centiC: number): InputSample[] {
  const count = Math.floor((toSec - fromSec) / periodSec) + 1;
  return Array.from({ length: count }, (_, i) => [fromSec + i * periodSec, centiC]);
}

t.test('the authors of the shipped cryptlets have their examples right', async (t) => {
  for (const name of Object.keys(statements)) {
    const cryptlet = shipped(name);
    for (const { name: example, input, result } of readExamples(
      fileURLToPath(shippedFolder(name)),
      cryptlet.manifest,
    )) {
      t.same(await host.run(cryptlet, input), { ok: true, value: result }, `${name}: ${example}`);
    }
  }
});

t.test('USP <1079.2>, a day of 144 samples', async (t) => {
  const mkt = shipped('mean-kinetic-temperature', { holdSecMax: 600 });
  const days = [
    {
      runs: [
        [120, 500],
        [24, 1200],
      ],
      milliC: 6650,
      isRejected: false,
    },
    {
      runs: [
        [72, 500],
        [72, 1000],
      ],
      milliC: 7869,
      isRejected: false,
    },
    {
      runs: [
        [96, 500],
        [48, 1200],
      ],
      milliC: 8026,
      isRejected: true,
    },
    {
      runs: [
        [60, 500],
        [84, 1000],
      ],
      milliC: 8263,
      isRejected: true,
    },
    {
      runs: [
        [72, 500],
        [72, 1100],
      ],
      milliC: 8525,
      isRejected: true,
    },
    // 25 is over 15: the mean of 7.756 does not excuse it.
    {
      runs: [
        [138, 500],
        [6, 2500],
      ],
      milliC: 7756,
      isRejected: true,
    },
    {
      runs: [
        [141, 500],
        [3, 1500],
      ],
      milliC: 5391,
      isRejected: false,
    },
  ] as const;
  for (const { runs, milliC, isRejected } of days) {
    const result = await run(mkt, { [probe1]: each(600, ...runs) });
    t.equal(result?.report[0], milliC, `${milliC / 1_000} °C`);
    t.equal(result?.breach, isRejected, isRejected ? 'reject' : 'release');
    t.equal(result?.report[2], 0, 'nothing is missing');
  }
});

t.test('mean kinetic temperature: reference values', async (t) => {
  const wide = { holdSecMax: 600, upperPeakCentiC: 6_000, lowerPeakCentiC: -8_000 };
  const mkt = shipped('mean-kinetic-temperature', wide);
  const of = async (...runs: readonly (readonly [number, number])[]) =>
    (await run(mkt, { [probe1]: each(600, ...runs) }))?.report[0];
  t.equal(await of([9, 500]), 5_000);
  t.equal(await of([1, 200], [1, 800]), 5_536);
  t.equal(await of([23, 500], [1, 1500]), 5_764);
  t.equal(await of([1, 2000], [1, 2500], [1, 3000]), 25_858);
  // To the last digit that is published: 5.536425, 5.763546, 25.858208.
  const micro = makeCryptlet(
    `function evaluate({ channels }) {
      const values = channels[0].series[0].samples.map(([, value]) => value);
      const rate = values.reduce((sum, value) => sum + exp(-10000 / (273.15 + value / 100)), 0) / values.length;
      return { report: [Math.floor((10000 / -ln(rate) - 273.15) * 1e6 + 0.5)], breach: false };
    }`,
  );
  for (const [runs, microC] of [
    [
      [
        [1, 200],
        [1, 800],
      ],
      5_536_425,
    ],
    [
      [
        [23, 500],
        [1, 1500],
      ],
      5_763_546,
    ],
    [
      [
        [1, 2000],
        [1, 2500],
        [1, 3000],
      ],
      25_858_208,
    ],
  ] as const) {
    const input = exampleInput(micro.manifest, () => each(600, ...runs), {});
    t.same(await host.run(micro, input), { ok: true, value: { report: [microC], breach: false } });
  }
});

t.test('mean kinetic temperature is weighted by time, and guesses nothing', async (t) => {
  const mkt = shipped('mean-kinetic-temperature', { holdSecMax: 1_200 });
  const uneven: InputSample[] = [
    [0, 500],
    [1_200, 1_000],
    [1_800, 1_000],
    [2_400, 500],
  ];
  const even = each(600, [2, 500], [2, 1_000], [2, 500]);
  const [a, b] = [
    await run(mkt, { [probe1]: uneven }),
    await run(shipped('mean-kinetic-temperature', { holdSecMax: 600 }), { [probe1]: even }),
  ];
  t.equal(a?.report[0], b?.report[0]);
  const missing = await run(mkt, {
    [probe1]: [
      [0, 500],
      [10_000, 500],
      [10_600, null],
      [12_000, 500],
    ],
  });
  t.same(missing?.report, [5_000, 500, 10_000 - 1_200 + 1_400, 0, 12_000]);
  t.same(await run(mkt, { [probe1]: [[0, null]] }), undefined);
});

t.test('mSupply: vaccine of 2 to 8 degrees, two-tier', async (t) => {
  const vaccine = shipped('vaccine-two-tier');
  const of = (samples: readonly InputSample[]) => run(vaccine, { [probe1]: samples });
  const hot = (lastSec: number) => [...during(0, lastSec - (lastSec % minute), minute, 800), [lastSec, 800] as const];
  t.equal((await of(hot(29 * minute + 59)))?.breach, false, '8.00 for 29 min 59 s');
  t.same((await of(hot(30 * minute)))?.report.slice(4), [30 * minute, 0, 0, 0], '8.00 for 30 min: hot');
  const pieces = [0, 30, 60, 90].flatMap((at) => [
    ...during(at * minute, (at + 15) * minute, minute, 810),
    ...during((at + 16) * minute, (at + 29) * minute, minute, 500),
  ]);
  const cumulated = await of(pieces);
  t.same(cumulated?.report.slice(4), [0, 105 * minute, 0, 0], 'hot, cumulative, at the 60th hot minute');
  t.equal(cumulated?.report[1], hour);
  t.same(
    (await of(during(0, 20 * minute, minute, 199)))?.report.slice(4),
    [0, 0, 20 * minute, 0],
    '1.99 for 20 min: cold',
  );
  t.equal((await of(during(0, 10 * hour, minute, 799)))?.breach, false, '7.99 for 10 h');
  // One never hides the other: a freezing spell after a hot one, and both totals.
  const both = [...during(0, 60 * minute, minute, 900), ...during(61 * minute, 101 * minute, minute, 100)];
  t.same(
    (await of(both))?.report.slice(4),
    [30, 60, 81, 101].map((at) => at * minute),
    'all four, side by side',
  );
});

t.test('WHO PQS E006/TR07: shipping indicator', async (t) => {
  const period = 10 * minute;
  const of = async (indicatorType: number, samples: readonly InputSample[]) =>
    (await run(shipped('who-shipping-indicator', { indicatorType }), { [probe1]: samples }))?.report[0];
  t.equal(await of(1, during(0, hour, period, 4_500)), 1, '45 for an hour');
  t.equal(await of(1, during(0, 50 * minute, period, 4_500)), 0);
  t.equal(await of(1, during(0, 10 * hour, period, 3_000)), 2, '30.0 counts');
  t.equal(await of(1, during(0, 10 * hour, period, 2_990)), 0, '29.9 does not');
  t.equal(await of(1, during(0, hour, period, -50)), 8, '-0.5 for 60 min');
  t.equal(await of(1, during(0, hour, period, -49)), 0);
  // Twenty hours in five pieces of four, far apart.
  const pieces = [0, 6, 12, 18, 24].flatMap((at) => [
    ...during(at * hour, (at + 4) * hour, period, 1_000),
    ...during((at + 4) * hour + period, (at + 6) * hour - period, period, 500),
  ]);
  t.equal(await of(1, pieces), 0, 'type 1 does not look at 10 degrees');
  t.equal(await of(2, pieces), 4, 'type 2 does, at 20 h in pieces');
  t.equal(await of(2, pieces.slice(0, -13)), 0);
  const tag = shipped('fridge-tag');
  const warmer = pieces.map(([at, value]): InputSample => [at, value === 1_000 ? 810 : value]);
  t.equal((await run(tag, { [probe1]: warmer }))?.breach, false, 'a fridge-tag does not add up pieces under 10 h');
  t.equal((await run(tag, { [probe1]: during(0, 10 * hour, period, 801) }))?.report[0], 1);
  t.equal((await run(tag, { [probe1]: during(0, 10 * hour, period, 800) }))?.report[0], 0);
  t.equal((await run(tag, { [probe1]: during(0, hour, period, -50) }))?.report[0], 2);
});

t.test('set point before loading: the order asks -18', async (t) => {
  const gate = shipped('setpoint-gate');
  const of = (set: readonly number[], air: readonly number[]) =>
    run(gate, {
      [setpoint]: set.map((value, i) => [i * minute, value]),
      [returnAir]: air.map((value, i) => [i * minute, value]),
    });
  t.same((await of([1_800, 1_800, 1_800], [1_500, 1_400, 1_300]))?.report.slice(0, 2), [false, true], '+18');
  t.same((await of([-1_800, -1_850, -1_750], [-1_600, -1_600, -2_000]))?.report.slice(0, 2), [true, false]);
  t.same(
    (await of([-1_800, -1_851, -1_750], [-1_600, -1_600, -2_000]))?.report.slice(0, 2),
    [false, false],
    '0.51 off',
  );
  t.same(
    (await of([-1_800, -1_800, -1_800], [-1_600, -1_599, -1_600]))?.report.slice(0, 2),
    [false, false],
    'air 2.01 off',
  );
  t.same((await of([-1_800, -1_800], [-1_800, -1_800]))?.report.slice(0, 2), [false, false], 'two are not three');
  t.equal(await of([], [-1_800]), undefined);
});

t.test('frozen load (ATP, -18): probes vote, defrost is a note', async (t) => {
  const frozen = shipped('frozen-load');
  const cold = (lastSec: number) => during(0, lastSec, minute, -1_900);
  const probes = (...samples: readonly (readonly InputSample[])[]): Channels =>
    Object.fromEntries(samples.map((each, i) => [probe1 + i, each]));
  const of = async (channels: Channels) => (await run(frozen, channels))?.report;
  const defrost = {
    [supplyAir]: during(0, 25 * minute, minute, -500),
    [unitMode]: during(0, 25 * minute, minute, 3),
    ...probes(...[1, 2, 3].map(() => during(0, 25 * minute, minute, -1_800))),
  };
  t.same(await of(defrost), [1, -1_800, 0, 0, 25 * minute, true], 'air warm for 25 min while it defrosts: a note');
  const warm = (centiC: number, sec: number) =>
    probes(during(0, sec, minute, centiC), during(0, sec, minute, centiC), cold(sec));
  t.equal((await of(warm(-1_799, 15 * minute)))?.[0], 2, 'over -18.00 for 15 min: a warning');
  t.equal((await of(warm(-1_799, 14 * minute)))?.[0], 0);
  t.equal((await of(warm(-1_799, 10 * hour)))?.[0], 2);
  t.equal((await of(warm(-1_499, 60 * minute)))?.[0], 3, 'over -15.00 for 60 min: an excursion');
  t.equal((await of(warm(-1_499, 59 * minute)))?.[0], 2);
  t.equal(
    (await of(probes(during(0, 5 * hour, minute, 2_500), cold(5 * hour), cold(5 * hour))))?.[0],
    0,
    'one faulty probe',
  );
  const dead = during(0, 5 * hour, minute, 2_500).map(([at]): InputSample => [at, null]);
  t.equal(
    await of(probes(during(0, 5 * hour, minute, 2_500), dead, dead)),
    undefined,
    'one probe left: nothing is known',
  );
});

t.test('silence: no data, neither a breach nor all right', async (t) => {
  const silence = shipped('silence');
  const of = (...at: readonly number[]) => run(silence, { [probe1]: at.map((sec) => [sec, 500]) });
  t.equal(await of(0, 15 * minute), undefined);
  t.same(await of(0, 15 * minute + 1), { report: [901, 0, 901, 1], breach: false });
  t.same(await of(1_000, 1_060, 1_060 + 6 * hour), { report: [6 * hour, 1_060, 1_000 + 6 * hour, 2], breach: true });
});
