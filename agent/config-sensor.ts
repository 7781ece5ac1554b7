/** The sensors' part of the configuration: what each measures, where its values come from, what to make of them. */
import { channelName, faultValue, isTemperature, parseChannel } from '@coldproof/wire';
import { finite, integer, list, name, oneOf, optional, path, record, text } from './config-field.ts';
import type { Field, Formed, Place } from './config-field.ts';
import type { SamplerTerms } from './sample.ts';
import { parsePointer } from './sensors/json-pointer.ts';
import { timeFormats, type ValueMapping } from './sensors/value-mapping.ts';
import { isTopicFilter } from './sensors/topic-filter.ts';
import { toChannelInteger, unitsOf } from './unit.ts';

/** SenML in JSON or CBOR. */
export type SenmlSource = {
  readonly topic: string;
  /** The resolved SenML name, base name and name together. */
  readonly name: string;
};

/** Plain JSON: what stands where in the message. */
export type JsonSource = { readonly topic: string; readonly mapping: ValueMapping };

export type MqttSource = SenmlSource | JsonSource;

export const registerTypes = ['int16', 'uint16', 'int32', 'uint32', 'float32'] as const;
export type RegisterType = (typeof registerTypes)[number];

export type ModbusSource = {
  readonly line: string;
  /** 3 holding, 4 input registers. */
  readonly function: 3 | 4;
  /** Address in the request, counted from 0. */
  readonly register: number;
  readonly type: RegisterType;
  /** Of a two-register value: which register holds the high half. */
  readonly wordOrder: 'high-first' | 'low-first';
  /** Value in the sensor's unit = raw * scale + offset. */
  readonly scale: number;
  readonly offset: number;
  /** Raw values that say "no value", as 0x7FFF; signed or unsigned. */
  readonly invalid: readonly number[];
};

export type SensorConfig = SamplerTerms & {
  readonly mqtt: MqttSource | undefined;
  readonly modbus: ModbusSource | undefined;
};

export type LineConfig = {
  readonly name: string;
  readonly path: string;
  readonly baud: number;
  readonly parity: 'none' | 'even' | 'odd';
  readonly stopBits: 1 | 2;
  readonly unitId: number;
  readonly pollSec: number;
  readonly timeoutMs: number;
};

const filterBound = 'a topic of 1 to 256 characters, + and # as whole levels only, not under $';

/** May hold the wildcards of MQTT 3.1.1 §4.7.1. */
export const topicFilter: Field<string> = (value, place) =>
  typeof value === 'string' && isTopicFilter(value) ? value : place.problem(value, filterBound);

const pointer: Field<readonly string[]> = (value, place) => {
  const steps = typeof value === 'string' && value.length <= 256 ? parsePointer(value) : undefined;
  return steps ?? place.problem(value, 'a JSON pointer (RFC 6901), as /probe/celsius');
};

const words: Field<ReadonlyMap<string, number>> = (value, place) => {
  const entries = typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
  const isSound = entries.every(([word, number]) => word.length <= 64 && Number.isFinite(number));
  if (entries.length >= 1 && entries.length <= 64 && isSound) return new Map<string, number>(entries);
  return place.problem(value, 'a mapping of 1 to 64 words to numbers, as { open: 1, closed: 0 }');
};

/** Of a value that comes as text or JSON. */
const mappingShape = {
  value: optional(pointer),
  time: optional(pointer),
  timeFormat: optional(oneOf(...timeFormats)),
  scale: optional(finite(-1e6, 1e6)),
  offset: optional(finite(-1e9, 1e9)),
  words: optional(words),
};

const mqttShape = {
  topic: topicFilter,
  // RFC 8428 §4.5.1: the characters that a resolved name is made of.
  name: optional(text(/^[A-Za-z0-9][-:./_A-Za-z0-9]{0,255}$/, 'a SenML name (RFC 8428 section 4.5.1)')),
  ...mappingShape,
};

/** `name` makes it SenML, `value` plain JSON. */
const mqttSource: Field<MqttSource> = record(mqttShape, (formed, place) => {
  const { topic, name, value, ...rest } = formed;
  if ((name === undefined) === (value === undefined)) {
    return place.key('name').problem(name, 'one of name (SenML) and value (JSON), and not both');
  }
  if (name !== undefined) {
    for (const [key, given] of Object.entries(rest)) {
      if (given !== undefined && given !== null) place.key(key).problem(given, 'nothing: it goes with value, not name');
    }
    return topic === null || name === null ? null : { topic, name };
  }
  const mapping = mappingOf(formed, place);
  return topic === null || mapping === null ? null : { topic, mapping };
});

function mappingOf(formed: Formed<typeof mappingShape>, place: Place): ValueMapping | null {
  const { value, time, timeFormat, scale, offset, words } = formed;
  if (timeFormat !== undefined && time === undefined) {
    place.key('time').problem(time, 'a JSON pointer, as there is a timeFormat');
  }
  // Null is told of already, and has made the record null.
  if (value === null || value === undefined) return null;
  return {
    value,
    time: time ?? undefined,
    timeFormat: timeFormat ?? 'unix-sec',
    scale: scale ?? 1,
    offset: offset ?? 0,
    words: words ?? new Map(),
  };
}

const modbusSource: Field<ModbusSource> = record({
  line: name,
  function: oneOf(3, 4),
  register: integer(0, 0xffff),
  type: oneOf(...registerTypes),
  wordOrder: optional(oneOf('high-first', 'low-first'), 'high-first'),
  scale: optional(finite(-1e6, 1e6), 1),
  offset: optional(finite(-1e9, 1e9), 0),
  invalid: optional(list(integer(-0x8000_0000, 0xffff_ffff), 0, 16), []),
});

const channel: Field<number> = (value, place) => {
  const known = typeof value === 'string' ? parseChannel(value) : undefined;
  return known ?? place.problem(value, 'a channel, as supply-air or cargo-probe-1');
};

const sensorShape = {
  channel,
  unit: optional(text(/^.{1,16}$/, 'a unit')),
  mqtt: optional(mqttSource),
  modbus: optional(modbusSource),
  range: optional(list(finite(-1e9, 1e9), 2, 2)),
  invalid: optional(list(finite(-1e9, 1e9), 0, 16), []),
  // With 2, two equal samples in a row would already be no evidence.
  stuckSamples: optional(integer(3, 1_000)),
  spikeCentiCPerMin: optional(integer(1, 32_767)),
};

export const sensor: Field<SensorConfig> = record(sensorShape, checkSensor);

/** Numbers of the file are in the sensor's unit; from here on they are the channel's integers. */
function checkSensor(formed: Formed<typeof sensorShape>, place: Place): SensorConfig | null {
  const { channel, mqtt, modbus, stuckSamples, spikeCentiCPerMin } = formed;
  if ((mqtt === undefined) === (modbus === undefined)) {
    place.key('mqtt').problem(mqtt, 'one of mqtt and modbus, and not both');
  }
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
  // Null is told of already, and has made the record null.
  return {
    channel,
    unit,
    mqtt: mqtt ?? undefined,
    modbus: modbus ?? undefined,
    stuckSamples: stuckSamples ?? undefined,
    spikeCentiCPerMin: spikeCentiCPerMin ?? undefined,
    range: range === undefined ? undefined : { least: range[0]!, most: range[1]! },
    invalid: (formed.invalid ?? []).map((value) => toChannelInteger(channel, unit, value)!),
  };
}

export const line: Field<LineConfig> = record({
  name,
  path,
  baud: optional(oneOf(1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 57_600, 115_200), 19_200),
  parity: optional(oneOf('none', 'even', 'odd'), 'none'),
  stopBits: optional(oneOf(1, 2), 1),
  unitId: integer(1, 247),
  pollSec: integer(1, 3_600),
  timeoutMs: optional(integer(20, 10_000), 1_000),
});
