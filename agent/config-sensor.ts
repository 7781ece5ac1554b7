/** The sensors' part of the configuration: what each measures, where its values come from, what to make of them. */
import { channelName, channels, faultValue, isTemperature, parseChannel } from '@coldproof/wire';
import {
  described,
  finite,
  integer,
  list,
  optional,
  record,
  text,
  type Field,
  type Formed,
  type Place,
} from './config-field.ts';
import { modbusSource, mqttSource, nmeaSource, sparkplugSource, textSource, type Source } from './config-source.ts';
import type { SamplerTerms } from './sample.ts';
import { toChannelInteger, unitsOf } from './unit.ts';

export type SensorConfig = SamplerTerms & { readonly source: Source };

const names = channelNames();

/** By its name. */
export const channel: Field<number> = described({ enum: names }, (value, place) => {
  const known = typeof value === 'string' && names.includes(value) ? parseChannel(value) : undefined;
  return known ?? place.problem(value, 'a channel, as supply-air or cargo-probe-1');
});

/** What terms can limit (TermsRules.sol). */
export const temperatureChannel: Field<number> = described(
  { enum: names.filter((each) => isTemperature(parseChannel(each)!)) },
  (value, place) => {
    const known = typeof value === 'string' ? parseChannel(value) : undefined;
    return known !== undefined && isTemperature(known)
      ? known
      : place.problem(value, 'a channel of temperature, as cargo-probe-1');
  },
);

/** All but the one that only the agent itself speaks on. */
function channelNames(): string[] {
  return Array.from({ length: 256 }, (_, number) => channelName(number)).filter((each) => {
    const channel = parseChannel(each);
    return channel !== undefined && channel !== channels.readingsDropped;
  });
}

const sensorShape = {
  channel,
  unit: optional(text(/^.{1,16}$/, 'a unit')),
  mqtt: optional(mqttSource),
  modbus: optional(modbusSource),
  text: optional(textSource),
  nmea: optional(nmeaSource),
  sparkplug: optional(sparkplugSource),
  range: optional(list(finite(-1e9, 1e9), 2, 2)),
  invalid: optional(list(finite(-1e9, 1e9), 0, 16), []),
  // With 2, two equal samples in a row would already be no evidence.
  stuckSamples: optional(integer(3, 1_000)),
  spikeCentiCPerMin: optional(integer(1, 32_767)),
  gapSecMax: optional(integer(1, 86_400)),
};

export const sensor: Field<SensorConfig> = record(sensorShape, checkSensor);

/** Numbers of the file are in the sensor's unit; from here on they are the channel's integers. */
function checkSensor(formed: Formed<typeof sensorShape>, place: Place): SensorConfig | null {
  const { channel, stuckSamples, spikeCentiCPerMin } = formed;
  const source = sourceOf(formed, place);
  if (channel === null || formed.unit === null) return null;
  if (typeof spikeCentiCPerMin === 'number' && !isTemperature(channel)) {
    place.key('spikeCentiCPerMin').problem(spikeCentiCPerMin, `nothing: ${channelName(channel)} is no temperature`);
  }
  const unit = formed.unit ?? unitsOf(channel)[0]!;
  if (!unitsOf(channel).includes(unit)) {
    return place.key('unit').problem(unit, `a unit of ${channelName(channel)}: ${unitsOf(channel).join(', ')}`);
  }
  const range = formed.range?.map((value) => toChannelInteger(channel, unit, value)!);
  const most = -1 - faultValue(channel);
  if (range !== undefined && !(range[0]! < range[1]! && range[0]! >= -most && range[1]! <= most)) {
    place.key('range').problem(formed.range, `[least, most] in ${unit}, within +-${most} of the channel's own unit`);
  }
  if (source === null) return null;
  // Null is told of already, and has made the record null.
  return {
    channel,
    unit,
    source,
    stuckSamples: stuckSamples ?? undefined,
    spikeCentiCPerMin: spikeCentiCPerMin ?? undefined,
    gapSecMax: formed.gapSecMax ?? undefined,
    range: range === undefined ? undefined : { least: range[0]!, most: range[1]! },
    invalid: (formed.invalid ?? []).map((value) => toChannelInteger(channel, unit, value)!),
  };
}

/** The one way that the sensor speaks. */
function sourceOf(formed: Formed<typeof sensorShape>, place: Place): Source | null {
  const { channel, mqtt, modbus, text, nmea, sparkplug } = formed;
  const given = Object.entries({ mqtt, modbus, text, nmea, sparkplug }).filter(([, source]) => source !== undefined);
  if (given.length !== 1) {
    const keys = given.map(([key]) => key).join(' and ');
    return place
      .key(given[0]?.[0] ?? 'mqtt')
      .problem(keys || undefined, 'one of mqtt, modbus, text, nmea and sparkplug');
  }
  if (nmea !== undefined && channel !== channels.latitude && channel !== channels.longitude) {
    return place.key('nmea').problem(channel === null ? undefined : channelName(channel), 'latitude or longitude');
  }
  return given[0]![1] ?? null;
}
