/**
 * Units of sensors -> the integer that a channel is defined by (wire's channel.ts). SenML's units (RFC 8428 §12.1) and
 * secondary units (RFC 8798), and °F, because loggers in the trade have it.
 */
import { channels, faultValue, isTemperature } from '@coldproof/wire';

type Conversion = (value: number) => number;
type Conversions = { readonly [unit: string]: Conversion };

const times =
  (factor: number): Conversion =>
  (value) =>
    value * factor;

const temperature: Conversions = {
  Cel: times(100),
  K: (kelvin) => (kelvin - 273.15) * 100,
  Far: (fahrenheit) => ((fahrenheit - 32) * 500) / 9,
};

/** A bare number, as of a state or a code. SenML writes "/" for a unit of 1. */
const bare: Conversions = { '/': times(1) };

const byChannel = new Map<number, Conversions>([
  [channels.humidity, { '%RH': times(10), '/': times(1_000) }],
  [channels.door, bare],
  [channels.battery, { V: times(1_000), mV: times(1) }],
  [channels.unitMode, bare],
  [channels.unitAlarm, bare],
  [channels.latitude, { lat: times(1_000_000) }],
  [channels.longitude, { lon: times(1_000_000) }],
  [channels.odometer, { m: times(1), km: times(1_000) }],
]);

/** The units that a channel understands; the first is the one it is taken to be in when nothing is said. */
export function unitsOf(channel: number): readonly string[] {
  return Object.keys(conversionsOf(channel));
}

/** A measured value as the channel's integer, rounded half away from zero; undefined for a unit of another quantity. */
export function toChannelInteger(channel: number, unit: string, value: number): number | undefined {
  const conversions = conversionsOf(channel);
  return Object.hasOwn(conversions, unit) ? roundHalfAway(conversions[unit]!(value)) : undefined;
}

/** The other way, for people: in the channel's first unit; null for the fault value. */
export function fromChannelInteger(channel: number, integer: number): { value: number | null; unit: string } {
  const unit = unitsOf(channel)[0]!;
  if (integer === faultValue(channel)) return { value: null, unit };
  // First units are all a multiple of the channel's own, without an offset.
  return { value: integer / conversionsOf(channel)[unit]!(1), unit };
}

function conversionsOf(channel: number): Conversions {
  return isTemperature(channel) ? temperature : (byChannel.get(channel) ?? bare);
}

/** 4.235 °C is 423.49999999999994 in binary and must be 424: a double holds 15 decimal digits, so first to those. */
function roundHalfAway(value: number): number {
  if (!Number.isFinite(value)) return value;
  const rounded = Math.round(Number(Math.abs(value).toPrecision(15)));
  return value < 0 && rounded !== 0 ? -rounded : rounded;
}
