/**
 * The stories that a simulated voyage can tell, as tables of (second, event). All last eight hours, ask for 5.00 °C and
 * take a sample each minute. `ending` says what the order must come to when cargo-probe-1 shall stay within
 * 2.00 to 8.00 °C and a run of samples at or beyond a limit counts from 900 s on.
 */
export type VoyageEvent =
  /** The unit trips: compressor and fans stop for good, alarm 32 stands. */
  | { readonly event: 'compressor-fails' }
  | { readonly event: 'door-opens' }
  | { readonly event: 'door-closes' }
  /** Fans off, heater on. */
  | { readonly event: 'defrost-starts' }
  | { readonly event: 'defrost-ends' }
  /** cargo-probe-1 gives this value from now on, whatever it feels. */
  | { readonly event: 'probe-sticks'; readonly centiC: number }
  /** cargo-probe-1 is torn off its line. */
  | { readonly event: 'probe-disconnects' };

export type TimedEvent = { readonly atSec: number } & VoyageEvent;

export type SensorFault = 'stuck' | 'disconnected';

export type Ending = {
  readonly order: 'Cancelled' | 'Settled';
  /** What must be shown of cargo-probe-1; absent when the sensor is sound. */
  readonly sensorFault?: SensorFault;
};

export type Scenario = {
  readonly title: string;
  readonly events: readonly TimedEvent[];
  readonly ending: Ending;
};

export const voyageSec = 28_800;
export const samplePeriodSec = 60;
export const setpointCentiC = 500;

/** A value that no agent may take for a fresh one: over the limit, and never moving. */
export const stuckCentiC = 937;

const hour = 3_600;
const minute = 60;

export const scenarios = {
  'compressor-failure': {
    title: 'the compressor fails after an hour and a half and stays off',
    events: [{ atSec: 1.5 * hour, event: 'compressor-fails' }],
    ending: { order: 'Cancelled' },
  },
  healthy: {
    title: 'nothing happens',
    events: [],
    ending: { order: 'Settled' },
  },
  'door-left-open': {
    title: 'the rear door stands open for an hour while the unit runs',
    events: [
      { atSec: 2 * hour, event: 'door-opens' },
      { atSec: 3 * hour, event: 'door-closes' },
    ],
    ending: { order: 'Cancelled' },
  },
  'spike-14min': {
    title: 'a stop with an open door: cargo-probe-1 is over the limit for 14 minutes, one less than counts',
    // 745 s is tuned: at each sample the true temperature keeps 0.09 °C from the limit, more than the noise.
    events: [
      { atSec: 3 * hour, event: 'door-opens' },
      { atSec: 3 * hour + 745, event: 'door-closes' },
    ],
    ending: { order: 'Settled' },
  },
  defrost: {
    title: 'the coil is defrosted each four hours: supply air goes over the limit, the cargo does not',
    events: [
      { atSec: 2 * hour, event: 'defrost-starts' },
      { atSec: 2 * hour + 25 * minute, event: 'defrost-ends' },
      { atSec: 6 * hour, event: 'defrost-starts' },
      { atSec: 6 * hour + 25 * minute, event: 'defrost-ends' },
    ],
    ending: { order: 'Settled' },
  },
  'sensor-stuck': {
    title: 'cargo-probe-1 gives 9.37 °C without end, in a container that is in order',
    events: [{ atSec: 2 * hour, event: 'probe-sticks', centiC: stuckCentiC }],
    ending: { order: 'Settled', sensorFault: 'stuck' },
  },
  'sensor-disconnected': {
    title: 'cargo-probe-1 is torn off its line after two hours',
    events: [{ atSec: 2 * hour, event: 'probe-disconnects' }],
    ending: { order: 'Settled', sensorFault: 'disconnected' },
  },
} as const satisfies Record<string, Scenario>;

export type ScenarioName = keyof typeof scenarios;

export const scenarioNames = Object.keys(scenarios).filter(isScenarioName);

export function isScenarioName(name: string): name is ScenarioName {
  return Object.hasOwn(scenarios, name);
}

/** Outside air at each full hour of a summer day, the voyage starting at the first. Degrees Celsius. */
export const ambientCByHour = [
  24, 26, 28, 30, 31.5, 32.5, 33, 33, 32.5, 31, 29, 27, 25.5, 24.5, 23.5, 22.5, 21.5, 21, 20.5, 20, 20, 20.5, 21.5,
  22.5,
] as const;
