/**
 * A refrigerated container as three temperatures that exchange heat, and the weather, in steps of five seconds:
 *
 *   ambient --- insulation, open door --- air --- cargo            (J/K: airJPerK, cargoJPerK)
 *                                          |
 *                                         coil --- compressor, defrost heater    (coilJPerK)
 *
 * and two sensors that follow with a lag: supply air behind the coil, the cargo probe between the cartons.
 * Only + - * / are used, so that every engine computes the same bits. Nothing here is random: the seed changes what
 * the sensors say, not what the truck does.
 */

/** How the container stands at one moment. Degrees Celsius; outputs become integers at the sensor. */
export type ReeferState = {
  /** Air in the cargo space with all that warms as fast: liner and floor. The return air sensor measures it. */
  readonly airC: number;
  readonly cargoC: number;
  /** Evaporator with its drip pan and frost. */
  readonly coilC: number;
  readonly supplyAirC: number;
  readonly cargoProbeC: number;
  /** The controller's integral, watts. */
  readonly integralW: number;
  readonly mode: UnitMode;
};

/** Values of the channel unit-mode. */
export const unitModes = { off: 0, cooling: 1, heating: 2, defrost: 3 } as const;
export type UnitMode = (typeof unitModes)[keyof typeof unitModes];

/** What the world does to the container during one step. */
export type ReeferInput = {
  readonly ambientC: number;
  readonly setpointC: number;
  readonly isDoorOpen: boolean;
  readonly isDefrosting: boolean;
  /** False when the unit has tripped: no compressor, no heater, no fans. */
  readonly isUnitRunning: boolean;
};

export type ReeferParameters = typeof reefer40ft;

/**
 * A 40 ft high cube with chilled cargo. Plausible, not one maker's: sizes from ISO 668, the rest from the usual range
 * of makers' sheets where one is named, else chosen so that times are those a driver would see.
 */
export const reefer40ft = {
  /** Heat leakage. 135 m² of panel at 0.3 to 0.4 W/(m² K): 40 to 54. ISO 1496-2 has the test. */
  insulationWPerK: 44,
  /** 45 kg of air, 500 kg of aluminium T-floor and steel liner, 300 kg of outer carton walls. */
  airJPerK: 800_000,
  /** 10 t of packed pharmaceuticals at 3 kJ/(kg K); water has 4.2. */
  cargoJPerK: 30_000_000,
  /** Air to cargo, fans on: 60 m² of free carton surface at 10 W/(m² K). */
  cargoFansOnWPerK: 600,
  /** Still air between and above the cartons. */
  cargoFansOffWPerK: 110,
  /** Aluminium and copper of the coil, drip pan, some frost. */
  coilJPerK: 110_000,
  /** Coil to air, fans on: 55 % of 6,000 m³/h of air at 2 kW/K. */
  coilFansOnWPerK: 1_100,
  coilFansOffWPerK: 18,
  /** Share of the way from return air to coil that the supply air has gone when it leaves the coil. */
  coilEffectiveness: 0.55,
  /** Share of the coil in what the supply sensor feels when the air stands still: it hangs next to the coil. */
  coilShareFansOff: 0.6,
  /** Makers give 5 to 12 kW; at +5 °C inside and 38 °C outside the lower end. */
  coolingWMax: 6_000,
  /** Electric elements under the coil, for heating as for defrost. */
  heatingWMax: 2_500,
  /** Defrost ends its heating when the coil is this warm, then holds it; makers end between 18 and 30 °C. */
  defrostCoilC: 22,
  /** Two evaporator fans at low speed. All of it ends as heat in the air. */
  fansW: 300,
  /** Proportional and integral gain of the capacity control on supply air. */
  gainWPerK: 900,
  gainWPerKSec: 1.5,
  /** An open rear door with fans running: 0.4 m³/s of outside air. */
  doorWPerK: 520,
  supplySensorSec: 60,
  /** A probe between the cartons, a few centimetres from the air. */
  cargoProbeSec: 480,
};

export const stepSec = 5;

export function startReefer(setpointC: number): ReeferState {
  const c = setpointC;
  return { airC: c, cargoC: c, coilC: c, supplyAirC: c, cargoProbeC: c, integralW: 0, mode: unitModes.cooling };
}

/** The state `stepSec` later. Explicit Euler: the fastest part, the coil, has a time constant of 100 s. */
export function stepReefer(state: ReeferState, input: ReeferInput, parameters: ReeferParameters): ReeferState {
  const p = parameters;
  const { airC, cargoC, coilC } = state;
  const areFansOn = input.isUnitRunning && !input.isDefrosting;
  const { coilW, integralW } = driveCoil(state, input, p);

  const fromOutsideW = (p.insulationWPerK + (input.isDoorOpen ? p.doorWPerK : 0)) * (input.ambientC - airC);
  const fromCargoW = (areFansOn ? p.cargoFansOnWPerK : p.cargoFansOffWPerK) * (cargoC - airC);
  const fromCoilW = (areFansOn ? p.coilFansOnWPerK : p.coilFansOffWPerK) * (coilC - airC);
  const fromFansW = areFansOn ? p.fansW : 0;

  const leavingC = airC + (areFansOn ? p.coilEffectiveness : p.coilShareFansOff) * (coilC - airC);
  return {
    airC: airC + (stepSec / p.airJPerK) * (fromOutsideW + fromCargoW + fromCoilW + fromFansW),
    cargoC: cargoC - (stepSec / p.cargoJPerK) * fromCargoW,
    coilC: coilC + (stepSec / p.coilJPerK) * (coilW - fromCoilW),
    supplyAirC: state.supplyAirC + (stepSec / p.supplySensorSec) * (leavingC - state.supplyAirC),
    cargoProbeC: state.cargoProbeC + (stepSec / p.cargoProbeSec) * (airC - state.cargoProbeC),
    integralW,
    mode: modeOf(input, coilW),
  };
}

/** Watts into the coil (cooling is negative), and the controller's memory. */
function driveCoil(state: ReeferState, input: ReeferInput, p: ReeferParameters): { coilW: number; integralW: number } {
  const { integralW } = state;
  if (!input.isUnitRunning) return { coilW: 0, integralW };
  if (input.isDefrosting) return { coilW: state.coilC < p.defrostCoilC ? p.heatingWMax : 0, integralW };
  const errorK = input.setpointC - state.supplyAirC;
  const wantedW = integralW + p.gainWPerK * errorK;
  const coilW = clamp(wantedW, -p.coolingWMax, p.heatingWMax);
  // Integrates only while the unit can follow, or it would overshoot for as long as it could not.
  const isSaturated = coilW !== wantedW;
  return { coilW, integralW: isSaturated ? integralW : integralW + stepSec * p.gainWPerKSec * errorK };
}

function modeOf(input: ReeferInput, coilW: number): UnitMode {
  if (!input.isUnitRunning) return unitModes.off;
  if (input.isDefrosting) return unitModes.defrost;
  return coilW > 0 ? unitModes.heating : unitModes.cooling;
}

function clamp(value: number, least: number, most: number): number {
  return value < least ? least : value > most ? most : value;
}
