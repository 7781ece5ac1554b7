/**
 * What the sensors of one container say at any second of a voyage: a function of (scenario, seed, second) and nothing
 * else. A simulator that was killed computes the voyage again from its first second and goes on with the same values.
 */
import { reefer40ft, startReefer, stepReefer, stepSec, type ReeferState, type UnitMode } from './reefer.ts';
import { Random } from './random.ts';
import { ambientCByHour, setpointCentiC, type Scenario, type TimedEvent } from './scenario.ts';

/** One look at all sensors. Temperatures are centi-degrees Celsius. */
export type SensorSample = {
  /** Seconds since the voyage's start. */
  readonly atSec: number;
  readonly supplyAirCentiC: number;
  readonly returnAirCentiC: number;
  readonly ambientCentiC: number;
  readonly setpointCentiC: number;
  /** disconnectedCentiC when the probe is off its line. */
  readonly cargoProbe1CentiC: number;
  readonly isDoorOpen: boolean;
  readonly unitMode: UnitMode;
  /** The unit's own code; 0 for none. */
  readonly alarmCode: number;
};

/** What a DS18B20's host library gives for a sensor that does not answer: -127 °C, no temperature at all. */
export const disconnectedCentiC = -12_700;

/** The made-up code of a tripped unit. */
export const compressorAlarmCode = 32;

/**
 * Largest noise of a temperature sensor. It is what keeps a live sensor from looking stuck: two samples in a row are
 * equal with a chance of about 0.08, ten in a row once in some ten million voyages.
 */
export const noiseCentiCMax = 8;

/** The unit ran this long on the empty road before the voyage, so that the voyage starts from steady state. */
const precoolingSec = 4 * 3_600;
const precooled: ReeferState = precool();

/** What the events up to one second have left behind. */
type Condition = {
  isDoorOpen: boolean;
  isDefrosting: boolean;
  isUnitRunning: boolean;
  /** The value that the cargo probe gives in place of a measurement. */
  probeCentiC: number | undefined;
};

export class Voyage {
  readonly #scenario: Scenario;
  readonly #noise: Random;
  #state = precooled;
  #stateSec = 0;

  constructor(scenario: Scenario, seed: number) {
    this.#scenario = scenario;
    this.#noise = Random.fromSeed(seed).fork('sensor-noise');
  }

  /**
   * Any order of calls gives the same samples; going on is cheap, going back replays the voyage in some milliseconds.
   */
  sampleAt(atSec: number): SensorSample {
    if (!Number.isInteger(atSec) || atSec < 0) {
      throw new RangeError(`atSec: expected an integer >= 0, got ${atSec}`);
    }
    const state = this.stateAt(atSec);
    const condition = conditionAt(this.#scenario.events, atSec);
    return {
      atSec,
      supplyAirCentiC: this.#measure('supply-air', state.supplyAirC, atSec),
      returnAirCentiC: this.#measure('return-air', state.airC, atSec),
      ambientCentiC: this.#measure('ambient', ambientCAt(atSec), atSec),
      setpointCentiC,
      cargoProbe1CentiC: condition.probeCentiC ?? this.#measure('cargo-probe-1', state.cargoProbeC, atSec),
      isDoorOpen: condition.isDoorOpen,
      unitMode: state.mode,
      alarmCode: condition.isUnitRunning ? 0 : compressorAlarmCode,
    };
  }

  /** The true temperatures behind the sensors, at the last full step. */
  stateAt(atSec: number): ReeferState {
    if (atSec < this.#stateSec) {
      this.#state = precooled;
      this.#stateSec = 0;
    }
    for (; this.#stateSec + stepSec <= atSec; this.#stateSec += stepSec) {
      // The step that ends at an event's second is the first under it: a sample of that second shows it in all
      // channels.
      const condition = conditionAt(this.#scenario.events, this.#stateSec + stepSec);
      const input = { ...condition, ambientC: ambientCAt(this.#stateSec), setpointC: setpointCentiC / 100 };
      this.#state = stepReefer(this.#state, input, reefer40ft);
    }
    return this.#state;
  }

  /** Triangular noise (two uniform draws), forked by sensor and second: it depends on nothing that was asked before. */
  #measure(sensor: string, trueC: number, atSec: number): number {
    const noise = this.#noise.fork(sensor).fork(String(atSec));
    const centiC = trueC * 100 + (noise.nextUnit() + noise.nextUnit() - 1) * noiseCentiCMax;
    return Math.round(centiC);
  }
}

function precool(): ReeferState {
  const setpointC = setpointCentiC / 100;
  const input = {
    ambientC: ambientCAt(0),
    setpointC,
    isDoorOpen: false,
    isDefrosting: false,
    isUnitRunning: true,
  };
  let state = startReefer(setpointC);
  for (let sec = 0; sec < precoolingSec; sec += stepSec) state = stepReefer(state, input, reefer40ft);
  return state;
}

function conditionAt(events: readonly TimedEvent[], atSec: number): Condition {
  const condition: Condition = {
    isDoorOpen: false,
    isDefrosting: false,
    isUnitRunning: true,
    probeCentiC: undefined,
  };
  for (const event of events) if (event.atSec <= atSec) apply(condition, event);
  return condition;
}

function apply(condition: Condition, event: TimedEvent): void {
  switch (event.event) {
    case 'compressor-fails':
      condition.isUnitRunning = false;
      return;
    case 'door-opens':
    case 'door-closes':
      condition.isDoorOpen = event.event === 'door-opens';
      return;
    case 'defrost-starts':
    case 'defrost-ends':
      condition.isDefrosting = event.event === 'defrost-starts';
      return;
    case 'probe-sticks':
      condition.probeCentiC = event.centiC;
      return;
    case 'probe-disconnects':
      condition.probeCentiC = disconnectedCentiC;
  }
}

/** Straight lines between the hours of the table. */
function ambientCAt(atSec: number): number {
  const hours = atSec / 3_600;
  const hour = Math.floor(hours);
  const from = ambientCByHour[hour % 24]!;
  const to = ambientCByHour[(hour + 1) % 24]!;
  return from + (to - from) * (hours - hour);
}
