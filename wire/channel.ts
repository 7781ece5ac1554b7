/** What a sensor measures, by number. The number goes into the signed series; the unit is part of the definition. */

export const channels = {
  /** Air that leaves the unit, into the cargo space. Centi-degrees Celsius, as all temperatures. */
  supplyAir: 1,
  /** Air that comes back to the unit from the cargo. */
  returnAir: 2,
  /** What the unit is told to hold. */
  setpoint: 3,
  /** Outside air. */
  ambient: 4,
  /** Relative humidity of the return air, per mille. */
  humidity: 5,
  /** 0 closed, 1 open. */
  door: 6,
  /** Gateway supply voltage, millivolts. */
  battery: 7,
  /** 0 off, 1 cooling, 2 heating, 3 defrost, 4 pre-trip inspection. */
  unitMode: 8,
  /** The unit's own alarm code, 0 for none. */
  unitAlarm: 9,
  /** Probe in the load, first of sixteen: channel 16 + n - 1 is cargo probe n. */
  cargoProbe1: 16,
  /** Micro-degrees, WGS 84. */
  latitude: 128,
  longitude: 129,
  /** Metres. */
  odometer: 130,
  /** Said by the device about itself: readings that it took and could not keep; see dropped.ts. */
  readingsDropped: 131,
} as const;

export type ChannelName = keyof typeof channels;

const cargoProbeCountMax = 16;

/** The channel number of cargo probe `n`, counted from 1. */
export function cargoProbe(n: number): number {
  if (!Number.isInteger(n) || n < 1 || n > cargoProbeCountMax) {
    throw new RangeError(`cargo probe: expected 1 <= n <= ${cargoProbeCountMax}, got ${n}`);
  }
  return channels.cargoProbe1 + n - 1;
}

/** Channels from 128 on hold 32-bit values, all below 16-bit ones. */
export function isWide(channel: number): boolean {
  return channel >= 0x80;
}

/** "No value: the sensor is at fault." The most negative number of the channel's width; never a measurement. */
export function faultValue(channel: number): number {
  return isWide(channel) ? -0x8000_0000 : -0x8000;
}

const fixedNames = new Map<number, string>(Object.entries(channels).map(([name, channel]) => [channel, kebab(name)]));

/** "supply-air", "cargo-probe-3"; "channel-77" for a number that this version does not name. */
export function channelName(channel: number): string {
  const probe = channel - channels.cargoProbe1;
  if (probe >= 0 && probe < cargoProbeCountMax) return `cargo-probe-${probe + 1}`;
  return fixedNames.get(channel) ?? `channel-${channel}`;
}

/** The reverse of channelName, for configuration files. */
export function parseChannel(name: string): number | undefined {
  const probe = /^cargo-probe-([1-9]|1[0-6])$/.exec(name);
  if (probe !== null) return cargoProbe(Number(probe[1]));
  for (const [channel, known] of fixedNames) {
    if (known === name && channel !== channels.cargoProbe1) return channel;
  }
  return undefined;
}

/** Centi-degrees Celsius: supply, return, setpoint, ambient and the cargo probes. */
export function isTemperature(channel: number): boolean {
  return (channel >= 1 && channel <= 4) || channelName(channel).startsWith('cargo-probe-');
}

function kebab(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`).replaceAll(/(\d+)$/g, '-$1');
}
