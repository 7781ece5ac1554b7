/** Every scenario, over many seeds, against a plain statement of the 15-minute rule. */
import t, { type Test } from 'tap';
import { Random } from '@coldproof/firmware-sim/random';
import { unitModes } from '@coldproof/firmware-sim/reefer';
import {
  isScenarioName,
  samplePeriodSec,
  scenarioNames,
  scenarios,
  stuckCentiC,
  voyageSec,
  type ScenarioName,
} from '@coldproof/firmware-sim/scenario';
import { disconnectedCentiC, noiseCentiCMax, Voyage, type SensorSample } from '@coldproof/firmware-sim/voyage';
import { seeded } from '../helpers/seed.ts';

const seedCount = 20;
const limitCentiC = { least: 200, most: 800 };
const runSecMin = 900;
const hour = 3_600;

const times = Array.from({ length: voyageSec / samplePeriodSec }, (_, i) => (i + 1) * samplePeriodSec);

function samplesOf(name: ScenarioName, seed: number): SensorSample[] {
  const voyage = new Voyage(scenarios[name], seed);
  return times.map((atSec) => voyage.sampleAt(atSec));
}

type Run = { firstSec: number; lastSec: number; count: number };

/** Unbroken runs of samples at or beyond a limit. A value that is no measurement is not beyond anything. */
function runsOutside(samples: readonly SensorSample[]): Run[] {
  const runs: Run[] = [];
  let open: Run | undefined;
  for (const { atSec, cargoProbe1CentiC: centiC } of samples) {
    const isOutside = centiC !== disconnectedCentiC && (centiC >= limitCentiC.most || centiC <= limitCentiC.least);
    if (!isOutside) open = undefined;
    else if (open === undefined) runs.push((open = { firstSec: atSec, lastSec: atSec, count: 1 }));
    else Object.assign(open, { lastSec: atSec, count: open.count + 1 });
  }
  return runs;
}

const isExcursion = ({ firstSec, lastSec }: Run): boolean => lastSec - firstSec >= runSecMin;

function longestStreak(values: readonly number[]): number {
  let longest = 0;
  let streak = 0;
  values.forEach((value, i) => {
    streak = value === values[i - 1] ? streak + 1 : 1;
    longest = Math.max(longest, streak);
  });
  return longest;
}

/** What each story promises of cargo-probe-1 and the rest, for every seed. */
const promises: Record<ScenarioName, (t: Test, samples: readonly SensorSample[], runs: readonly Run[]) => void> = {
  'compressor-failure': (t, samples, runs) => {
    const excursion = runs.filter(isExcursion);
    t.equal(excursion.length, 1, 'one excursion');
    t.ok(
      excursion[0]!.firstSec >= 1.5 * hour && excursion[0]!.firstSec <= 1.5 * hour + 70 * 60,
      'soon after the failure',
    );
    t.equal(excursion[0]!.lastSec, voyageSec, 'which lasts to the end');
    t.ok(samples.every(({ atSec, alarmCode, unitMode }) => alarmCode === 0 || (atSec >= 5_400 && unitMode === 0)));
    t.ok(Math.max(...samples.map((sample) => sample.cargoProbe1CentiC)) < 1_500, 'as warm as a shut box gets');
  },
  healthy: (t, samples, runs) => {
    t.same(runs, []);
    t.ok(
      samples.every(({ cargoProbe1CentiC: c }) => c > 450 && c < 650),
      'far from both limits',
    );
  },
  'door-left-open': (t, samples, runs) => {
    t.equal(runs.filter(isExcursion).length, 1);
    t.ok(
      samples.every(({ unitMode }) => unitMode === unitModes.cooling),
      'though the unit runs',
    );
    t.same(
      samples
        .filter((sample) => sample.isDoorOpen)
        .map(({ atSec }) => atSec)
        .at(0),
      2 * hour,
    );
    t.ok(samples.at(-1)!.cargoProbe1CentiC < 650, 'and it recovers');
  },
  'spike-14min': (t, _samples, runs) => {
    t.same(
      runs.map(({ firstSec, lastSec, count }) => [lastSec - firstSec, count]),
      [[840, 15]],
    );
  },
  defrost: (t, samples, runs) => {
    t.same(runs, [], 'the cargo probe stays inside');
    const warm = samples.filter(({ supplyAirCentiC }) => supplyAirCentiC >= limitCentiC.most);
    for (const from of [2 * hour, 6 * hour]) {
      const minutes = warm.filter(({ atSec }) => atSec >= from && atSec < from + hour).length;
      t.ok(minutes >= 20 && minutes <= 30, `supply air over the limit for ${minutes} min`);
    }
    t.ok(
      warm.every(({ atSec }) => atSec % (4 * hour) >= 2 * hour && atSec % (4 * hour) < 2.5 * hour),
      'in defrost only',
    );
  },
  'sensor-stuck': (t, samples) => {
    const [before, after] = split(samples, 2 * hour);
    t.same(new Set(after.map((sample) => sample.cargoProbe1CentiC)), new Set([stuckCentiC]));
    t.ok(stuckCentiC > limitCentiC.most);
    t.same(runsOutside(before), []);
    t.ok(
      samples.every(({ returnAirCentiC }) => returnAirCentiC < 700),
      'the container is in order',
    );
  },
  'sensor-disconnected': (t, samples) => {
    const [before, after] = split(samples, 2 * hour);
    t.same(new Set(after.map((sample) => sample.cargoProbe1CentiC)), new Set([-12_700]));
    t.same(runsOutside(before), []);
  },
};

for (const name of scenarioNames) {
  t.test(`${name}: ${scenarios[name].title}`, (t) => {
    const random = seeded(t, 0xc01d);
    for (let i = 0; i < seedCount; i++) {
      const seed = random.integer(0, 2 ** 31);
      t.test(`--seed ${seed}`, (t) => {
        const samples = samplesOf(name, seed);
        const runs = runsOutside(samples);
        promises[name](t, samples, runs);
        const ending = scenarios[name].ending;
        // A stuck probe makes an excursion of its own; that it must not cancel is for the agent's marks.
        const isSound = !('sensorFault' in ending);
        if (isSound)
          t.equal(runs.some(isExcursion) ? 'Cancelled' : 'Settled', ending.order, 'the ending that it states');
        for (const channel of isSound ? (['cargoProbe1CentiC', 'supplyAirCentiC', 'returnAirCentiC'] as const) : []) {
          t.ok(longestStreak(samples.map((sample) => sample[channel])) < 10, `${channel} is alive`);
        }
        t.end();
      });
    }
    t.end();
  });
}

t.test(
  'spike, defrost, healthy: true for every seed, since truth keeps further from the limit than noise goes',
  (t) => {
    for (const name of ['spike-14min', 'defrost', 'healthy'] as const) {
      const voyage = new Voyage(scenarios[name], 0);
      const nearest = Math.min(
        ...times.map((sec) => Math.abs(voyage.stateAt(sec).cargoProbeC * 100 - limitCentiC.most)),
      );
      t.ok(nearest > noiseCentiCMax + 0.5, `${name}: nearest ${nearest.toFixed(2)} centi-degrees`);
    }
    t.end();
  },
);

t.test('noise stays within its bound and is seen', (t) => {
  const voyage = new Voyage(scenarios.healthy, seeded(t, 5).integer(0, 2 ** 31));
  const noise = times.map((sec) => voyage.sampleAt(sec).cargoProbe1CentiC - voyage.stateAt(sec).cargoProbeC * 100);
  t.ok(noise.every((centiC) => Math.abs(centiC) <= noiseCentiCMax + 0.5));
  t.ok(Math.max(...noise) > noiseCentiCMax / 2 && Math.min(...noise) < -noiseCentiCMax / 2);
  t.end();
});

t.test('a voyage is a function of scenario, seed and second: any order of asking, any restart, the same bytes', (t) => {
  const random = seeded(t, 77);
  for (const name of scenarioNames) {
    const seed = random.integer(0, 2 ** 31);
    const whole = samplesOf(name, seed);
    // As text: a deep comparison of thousands of samples takes seconds.
    const bytes = JSON.stringify(whole);
    t.ok(JSON.stringify(samplesOf(name, seed)) === bytes, `${name} again`);
    const jumping = new Voyage(scenarios[name], seed);
    let isSame = true;
    for (let i = 0; i < 20; i++) {
      const index = random.integer(0, whole.length - 1);
      isSame &&= JSON.stringify(jumping.sampleAt(times[index]!)) === JSON.stringify(whole[index]);
    }
    t.ok(isSame, `${name} asked back and forth`);
    t.ok(JSON.stringify(samplesOf(name, seed + 1)) !== bytes, 'another seed, other noise');
  }
  t.end();
});

t.test('the voyage keeps the same bits from release to release', (t) => {
  const voyage = new Voyage(scenarios['compressor-failure'], 1);
  const at = (sec: number): number[] => {
    const { supplyAirCentiC, returnAirCentiC, ambientCentiC, cargoProbe1CentiC } = voyage.sampleAt(sec);
    return [supplyAirCentiC, returnAirCentiC, ambientCentiC, cargoProbe1CentiC];
  };
  t.same(
    [at(60), at(14_400), at(28_800)],
    [
      [501, 551, 2_397, 543],
      [927, 1_092, 3_154, 1_070],
      [1_253, 1_297, 3_249, 1_296],
    ],
  );
  t.equal(Random.fromSeed(1).fork('sensor-noise').fork('ambient').fork('60').nextUint32(), 26_731_284);
  t.end();
});

t.test('names', (t) => {
  t.same(scenarioNames.toSorted(), Object.keys(promises).toSorted());
  for (const name of ['', 'toString', '__proto__', 'Healthy']) t.notOk(isScenarioName(name), name);
  t.throws(() => new Voyage(scenarios.healthy, 1).sampleAt(-1), { message: 'atSec: expected an integer >= 0, got -1' });
  t.throws(() => new Voyage(scenarios.healthy, 1).sampleAt(0.5), RangeError);
  t.end();
});

function split(samples: readonly SensorSample[], atSec: number): [SensorSample[], SensorSample[]] {
  return [samples.filter((each) => each.atSec < atSec), samples.filter((each) => each.atSec >= atSec)];
}
