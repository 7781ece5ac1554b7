/** Where a sensor's values come from, and how they are read out of what comes. */
import { described, finite, integer, list, name, oneOf, optional, record, text } from './config-field.ts';
import type { Field, Formed, Place } from './config-field.ts';
import { parsePointer } from './sensors/json-pointer.ts';
import { topicFilterPattern } from './sensors/topic-filter.ts';
import { timeFormats, type JsonMapping, type PatternMapping, type Scaling } from './sensors/value-mapping.ts';

/** SenML in JSON or CBOR. */
export type SenmlSource = {
  readonly kind: 'senml';
  readonly topic: string;
  /** The resolved SenML name, base name and name together. */
  readonly name: string;
};

/** Plain JSON: what stands where in the message. */
export type JsonSource = { readonly kind: 'json'; readonly topic: string; readonly mapping: JsonMapping };

export const registerTypes = ['int16', 'uint16', 'int32', 'uint32', 'float32'] as const;
export type RegisterType = (typeof registerTypes)[number];

export type ModbusSource = {
  readonly kind: 'modbus';
  readonly line: string;
  /** Of the slave on the line, where it is not the line's own. */
  readonly unitId: number | undefined;
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

/** Lines of text that a sensor sends by itself: JSON, or anything that a pattern finds a value in. */
export type TextSource = {
  readonly kind: 'text';
  readonly line: string;
  readonly mapping: JsonMapping | PatternMapping;
};

/** The position channels of an NMEA 0183 line. */
export type NmeaSource = { readonly kind: 'nmea'; readonly line: string };

/** A metric of a Sparkplug B edge node, or of a device of it. */
export type SparkplugSource = Scaling & {
  readonly kind: 'sparkplug';
  readonly group: string;
  readonly node: string;
  /** Undefined: a metric of the node itself. */
  readonly device: string | undefined;
  readonly metric: string;
};

export type Source = SenmlSource | JsonSource | ModbusSource | TextSource | NmeaSource | SparkplugSource;

/** May hold the wildcards of MQTT 3.1.1 §4.7.1. `agent/` is where the agent itself speaks. */
export const topicFilter = text(
  topicFilterPattern,
  'a topic of 1 to 256 characters, + and # as whole levels only, not under $ or agent/',
);

const pointerBound = 'a JSON pointer (RFC 6901), as /probe/celsius';
const pointerSchema = { type: 'string', pattern: '^(/([^~/]|~[01])*)*$', description: pointerBound };
const pointer: Field<readonly string[]> = described(pointerSchema, (value, place) => {
  const steps = typeof value === 'string' && value.length <= 256 ? parsePointer(value) : undefined;
  return steps ?? place.problem(value, pointerBound);
});

const wordsSchema = { type: 'object', additionalProperties: { type: 'number' }, minProperties: 1, maxProperties: 64 };
const words: Field<ReadonlyMap<string, number>> = described(wordsSchema, (value, place) => {
  const entries = typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
  const isSound = entries.every(([word, number]) => word.length <= 64 && Number.isFinite(number));
  if (entries.length >= 1 && entries.length <= 64 && isSound) return new Map<string, number>(entries);
  return place.problem(value, 'a mapping of 1 to 64 words to numbers, as { open: 1, closed: 0 }');
});

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
export const mqttSource: Field<SenmlSource | JsonSource> = record(mqttShape, (formed, place) => {
  const { topic, name, value, ...rest } = formed;
  if ((name === undefined) === (value === undefined)) {
    return place.key('name').problem(name, 'one of name (SenML) and value (JSON), and not both');
  }
  if (name !== undefined) {
    for (const [key, given] of Object.entries(rest)) {
      if (given !== undefined && given !== null) place.key(key).problem(given, 'nothing: it goes with value, not name');
    }
    return topic === null || name === null ? null : { kind: 'senml', topic, name };
  }
  const mapping = mappingOf(formed, place);
  return topic === null || mapping === null ? null : { kind: 'json', topic, mapping };
});

function mappingOf(formed: Formed<typeof mappingShape>, place: Place): JsonMapping | null {
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
    ...scalingOf({ scale, offset, words }),
  };
}

function scalingOf({ scale, offset, words }: Pick<Formed<typeof mappingShape>, 'scale' | 'offset' | 'words'>): Scaling {
  return { scale: scale ?? 1, offset: offset ?? 0, words: words ?? new Map<string, number>() };
}

const patternBound = 'a regular expression with (?<value>...), no group of it repeated';

/**
 * Of the whole line. A repeated group is how an expression comes to take exponential time over a hostile line; without
 * one it stays polynomial, and lines are short.
 */
const patternSchema = { type: 'string', pattern: '\\(\\?<value>', description: patternBound };
const pattern: Field<RegExp> = described(patternSchema, (value, place) => {
  if (typeof value !== 'string' || value.length > 512 || !value.includes('(?<value>')) {
    return place.problem(value, patternBound);
  }
  const bare = value.replaceAll(/\\./g, '_').replaceAll(/\[[^\]]*\]/g, '_');
  if (/\)[*+{]/.test(bare)) return place.problem(value, patternBound);
  try {
    return new RegExp(`^(?:${value})$`, 'u');
  } catch (error) {
    return place.problem(value, error instanceof SyntaxError ? `${patternBound}; ${error.message}` : patternBound);
  }
});

const textShape = { line: name, pattern: optional(pattern), ...mappingShape };

/** `pattern` finds the value, and the time when it has a group of that name; or JSON pointers do. */
export const textSource: Field<TextSource> = record(textShape, (formed, place) => {
  const { line, pattern, value, time, timeFormat, ...rest } = formed;
  if ((pattern === undefined) === (value === undefined)) {
    return place.key('pattern').problem(pattern?.source, 'one of pattern and value (JSON), and not both');
  }
  if (value !== undefined) {
    const mapping = mappingOf(formed, place);
    return line === null || mapping === null ? null : { kind: 'text', line, mapping };
  }
  if (time !== undefined && time !== null) {
    place.key('time').problem(`/${time.join('/')}`, 'nothing: with a pattern, its group (?<time>...)');
  }
  if (line === null || pattern === null || pattern === undefined) return null;
  return { kind: 'text', line, mapping: { pattern, timeFormat: timeFormat ?? 'unix-sec', ...scalingOf(rest) } };
});

export const nmeaSource: Field<NmeaSource> = record({ line: name }, ({ line }) =>
  line === null ? null : { kind: 'nmea', line },
);

/** tck-id-topic-structure-namespace-valid-group-id and its like: no characters that topics reserve. */
export const sparkplugId = text(/^[^+/#\0]{1,64}$/, 'a Sparkplug id of 1 to 64 characters without + / #');

const sparkplugShape = {
  group: sparkplugId,
  node: sparkplugId,
  device: optional(sparkplugId),
  metric: text(/^[^\0]{1,256}$/, 'the name of a metric, 1 to 256 characters'),
  scale: optional(finite(-1e6, 1e6)),
  offset: optional(finite(-1e9, 1e9)),
  words: optional(words),
};

export const sparkplugSource: Field<SparkplugSource> = record(sparkplugShape, (formed) => {
  const { group, node, device, metric, ...scaling } = formed;
  if (group === null || node === null || device === null || metric === null) return null;
  return { kind: 'sparkplug', group, node, device, metric, ...scalingOf(scaling) };
});

export const modbusSource: Field<ModbusSource> = record(
  {
    line: name,
    unitId: optional(integer(1, 247)),
    function: oneOf(3, 4),
    register: integer(0, 0xffff),
    type: oneOf(...registerTypes),
    wordOrder: optional(oneOf('high-first', 'low-first'), 'high-first'),
    scale: optional(finite(-1e6, 1e6), 1),
    offset: optional(finite(-1e9, 1e9), 0),
    invalid: optional(list(integer(-0x8000_0000, 0xffff_ffff), 0, 16), []),
  },
  (formed) => {
    const values = Object.values(formed);
    // A null is told of already, and makes the record null.
    return values.includes(null) ? null : { kind: 'modbus', ...(formed as Omit<ModbusSource, 'kind'>) };
  },
);
