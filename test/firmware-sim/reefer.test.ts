/** The model obeys physics that one can state without it. */
import t from 'tap';
import {
  reefer40ft,
  startReefer,
  stepReefer,
  stepSec,
  unitModes,
  type ReeferInput,
  type ReeferParameters,
  type ReeferState,
} from '@coldproof/firmware-sim/reefer';

const calm: ReeferInput = {
  ambientC: 30,
  setpointC: 5,
  isDoorOpen: false,
  isDefrosting: false,
  isUnitRunning: true,
};
const hour = 3_600;

function run(input: ReeferInput, sec: number, from = startReefer(5), parameters: ReeferParameters = reefer40ft) {
  const states: ReeferState[] = [from];
  for (let at = 0; at < sec; at += stepSec) states.push(stepReefer(states.at(-1)!, input, parameters));
  return states;
}

const heatJ = (state: ReeferState, p: ReeferParameters): number =>
  state.airC * p.airJPerK + state.cargoC * p.cargoJPerK + state.coilC * p.coilJPerK;

t.test('without a unit all of it tends to the outside, from below and from above, and never past it', (t) => {
  for (const ambientC of [30, -10]) {
    const states = run({ ...calm, ambientC, isUnitRunning: false }, 60 * 24 * hour, startReefer(5));
    const last = states.at(-1)!;
    const parts = [last.airC, last.cargoC, last.coilC, last.supplyAirC, last.cargoProbeC];
    for (const c of parts) t.ok(Math.abs(c - ambientC) < 0.5, `${c} near ${ambientC}`);
    const side = Math.sign(ambientC - 5);
    t.ok(
      states.every((state) => (ambientC - state.airC) * side >= 0),
      'no overshoot',
    );
    t.ok(
      states.every((state, i) => i === 0 || (state.airC - states[i - 1]!.airC) * side >= -1e-9),
      'monotone',
    );
    t.equal(last.mode, unitModes.off);
  }
  t.end();
});

t.test('energy is conserved: sealed off, heat only moves; else its change is what came through wall and door', (t) => {
  const sealed = { ...reefer40ft, insulationWPerK: 0, doorWPerK: 0 };
  const warm = { ...startReefer(5), airC: 20, coilC: -8 };
  const off = { ...calm, isUnitRunning: false };
  const closed = run(off, 10 * hour, warm, sealed);
  const drift = heatJ(closed.at(-1)!, sealed) / heatJ(warm, sealed) - 1;
  t.ok(Math.abs(drift) < 1e-9, `drift ${drift}`);

  const states = run({ ...off, isDoorOpen: true }, 10 * hour);
  let inJ = 0;
  for (const { airC } of states.slice(0, -1)) {
    inJ += stepSec * (reefer40ft.insulationWPerK + reefer40ft.doorWPerK) * (calm.ambientC - airC);
  }
  const gainedJ = heatJ(states.at(-1)!, reefer40ft) - heatJ(states[0]!, reefer40ft);
  t.ok(Math.abs(gainedJ / inJ - 1) < 1e-9, `gained ${gainedJ} J of ${inJ} J`);
  t.end();
});

t.test('supply air is held within 0.5 K of the setpoint, in heat and in frost, after a start far from it', (t) => {
  for (const ambientC of [38, 20, 5, -15]) {
    for (const setpointC of [2, 5, 8]) {
      const settled = run({ ...calm, ambientC, setpointC }, 24 * hour).slice((6 * hour) / stepSec);
      const off = Math.max(...settled.map((state) => Math.abs(state.supplyAirC - setpointC)));
      t.ok(off < 0.5, `ambient ${ambientC}, setpoint ${setpointC}: off by ${off.toFixed(3)} K`);
    }
  }
  t.equal(run({ ...calm, ambientC: -15 }, 6 * hour).at(-1)!.mode, unitModes.heating);
  t.equal(run(calm, 6 * hour).at(-1)!.mode, unitModes.cooling);
  t.end();
});

t.test('more of a cause is more of its effect', (t) => {
  const off = { ...calm, isUnitRunning: false };
  const after = (input: ReeferInput, parameters = reefer40ft): number =>
    run(input, 2 * hour, startReefer(5), parameters).at(-1)!.cargoProbeC;
  const warmer = [20, 25, 30, 35].map((ambientC) => after({ ...off, ambientC }));
  const leakier = [30, 44, 60].map((insulationWPerK) => after(off, { ...reefer40ft, insulationWPerK }));
  const wider = [0, 200, 520, 1_000].map((doorWPerK) =>
    after({ ...off, isDoorOpen: true }, { ...reefer40ft, doorWPerK }),
  );
  const heavier = [1e6, 1e7, 3e7].map((cargoJPerK) => -after(off, { ...reefer40ft, cargoJPerK }));
  for (const row of [warmer, leakier, wider, heavier]) {
    t.ok(
      row.every((value, i) => i === 0 || value > row[i - 1]!),
      row.map((value) => value.toFixed(3)).join(' < '),
    );
  }
  t.ok(after(calm) < after({ ...calm, isDoorOpen: true }), 'an open door warms a running reefer');
  t.ok(after({ ...calm, isDoorOpen: true }) < after({ ...off, isDoorOpen: true }), 'and more so one that is off');
  t.end();
});

t.test('a defrost warms the coil to its end temperature and the supply sensor, hardly the cargo', (t) => {
  const before = run(calm, 4 * hour).at(-1)!;
  const states = run({ ...calm, isDefrosting: true }, 1_500, before);
  const peakC = Math.max(...states.map((state) => state.coilC));
  t.ok(peakC > reefer40ft.defrostCoilC && peakC < reefer40ft.defrostCoilC + 1, `coil ${peakC.toFixed(2)}`);
  t.ok(states.at(-1)!.supplyAirC > 8);
  t.ok(states.at(-1)!.cargoC - before.cargoC < 0.1);
  t.equal(states.at(-1)!.mode, unitModes.defrost);
  t.end();
});

t.test('half the step gives the same voyage: the integration is not what one sees', (t) => {
  // Twice the capacities over twice the time are the same equations with half the step.
  const p = reefer40ft;
  const fine: ReeferParameters = {
    ...p,
    airJPerK: 2 * p.airJPerK,
    cargoJPerK: 2 * p.cargoJPerK,
    coilJPerK: 2 * p.coilJPerK,
    supplySensorSec: 2 * p.supplySensorSec,
    cargoProbeSec: 2 * p.cargoProbeSec,
    gainWPerKSec: p.gainWPerKSec / 2,
  };
  for (const input of [calm, { ...calm, isUnitRunning: false }, { ...calm, isDoorOpen: true }]) {
    const coarse = run(input, 3 * hour).at(-1)!;
    const halved = run(input, 6 * hour, startReefer(5), fine).at(-1)!;
    t.ok(Math.abs(coarse.cargoProbeC - halved.cargoProbeC) < 0.02, `${coarse.cargoProbeC} ~ ${halved.cargoProbeC}`);
  }
  t.end();
});
