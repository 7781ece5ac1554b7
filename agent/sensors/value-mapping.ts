/**
 * Values that a sensor says in its own words, as JSON or text, by a mapping of the configuration. A number is scaled;
 * a word stands for a number; what is neither is a sensor without a value, which the sampler marks and never drops.
 */
import { accept, reject, type Verdict } from '@coldproof/wire';
import type { RawSample } from '../sample.ts';
import { valueAt } from './json-pointer.ts';

/** Unix time in seconds or milliseconds, or a date-time of RFC 3339. */
export const timeFormats = ['unix-sec', 'unix-ms', 'rfc3339'] as const;
export type TimeFormat = (typeof timeFormats)[number];

export type Scaling = {
  /** Value in the sensor's unit = number * scale + offset. */
  readonly scale: number;
  readonly offset: number;
  /** Numbers for texts, and for `true` and `false`; not scaled. */
  readonly words: ReadonlyMap<string, number>;
};

/** Of a JSON document. */
export type JsonMapping = Scaling & {
  /** JSON pointers, as reference tokens. */
  readonly value: readonly string[];
  /** Undefined: a sample is of when its message came. */
  readonly time: readonly string[] | undefined;
  readonly timeFormat: TimeFormat;
};

/** Of a line of text. */
export type PatternMapping = Scaling & {
  /** Matches the whole line; group `value`, and `time` where the line has one. */
  readonly pattern: RegExp;
  readonly timeFormat: TimeFormat;
};

export type MappingReason =
  /** Over jsonBytesMax. */
  | 'json-too-large'
  /** Not UTF-8 JSON. */
  | 'json-malformed'
  /** An object or a list where a value should be. */
  | 'json-value-malformed'
  /** No time where the mapping has it, or not of its format. */
  | 'time-malformed';

/** A message of one sensor, with all that such firmware likes to tell about itself. */
export const jsonBytesMax = 65_536;

export function parseJson(bytes: Uint8Array): Verdict<unknown, 'json-malformed'> {
  try {
    return accept(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
  } catch {
    return reject('json-malformed', `expected UTF-8 JSON, got ${bytes.length} other bytes`);
  }
}

/** Undefined when the document does not have this value at all, as when each message tells only what has changed. */
export function mapJson(
  document: unknown,
  mapping: JsonMapping,
  arrivedSec: number,
): Verdict<Omit<RawSample, 'unit'> | undefined, MappingReason> {
  const said = valueAt(document, mapping.value);
  if (said === undefined) return accept(undefined);
  if (typeof said === 'object' && said !== null) {
    return reject('json-value-malformed', `/${mapping.value.join('/')}: expected a value, got an object or a list`);
  }
  const timeSec =
    mapping.time === undefined ? arrivedSec : readTime(valueAt(document, mapping.time), mapping.timeFormat);
  if (timeSec === undefined) {
    return reject('time-malformed', `/${mapping.time?.join('/') ?? ''}: expected a time as ${mapping.timeFormat}`);
  }
  return accept({ timeSec, value: readValue(said, mapping) });
}

/** Undefined for a line that the pattern is not of. */
export function mapLine(
  line: string,
  { pattern, timeFormat, ...scaling }: PatternMapping,
  arrivedSec: number,
): Verdict<Omit<RawSample, 'unit'> | undefined, MappingReason> {
  const groups = pattern.exec(line)?.groups;
  if (groups === undefined) return accept(undefined);
  const timeSec = Object.hasOwn(groups, 'time') ? readTime(groups['time'], timeFormat) : arrivedSec;
  if (timeSec === undefined) return reject('time-malformed', `(?<time>): expected a time as ${timeFormat}`);
  return accept({ timeSec, value: readValue(groups['value'], scaling) });
}

/** `said`: a text, a number, true, false or null. */
export function readValue(said: unknown, { scale, offset, words }: Scaling): number | boolean | undefined {
  const word = typeof said === 'string' || typeof said === 'boolean' ? words.get(String(said)) : undefined;
  if (word !== undefined) return word;
  if (typeof said === 'boolean') return said;
  const number = typeof said === 'string' ? readNumber(said) : said;
  return typeof number === 'number' ? number * scale + offset : undefined;
}

export function readTime(said: unknown, format: TimeFormat): number | undefined {
  if (format === 'rfc3339') return typeof said === 'string' ? readDateTime(said) : undefined;
  const number = typeof said === 'string' ? readNumber(said) : said;
  if (typeof number !== 'number') return undefined;
  return format === 'unix-ms' ? number / 1_000 : number;
}

/** Number('') is 0 and Number('0x10') is 16: neither was measured. */
function readNumber(text: string): number | undefined {
  return /^ *[-+]?\d+(\.\d+)?([eE][-+]?\d+)? *$/.test(text) ? Number(text) : undefined;
}

/** RFC 3339 §5.6. Without an offset it would be local time, and nobody knows whose. */
function readDateTime(text: string): number | undefined {
  const pattern = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[-+]\d\d:\d\d)$/;
  const ms = pattern.test(text) ? Date.parse(text.toUpperCase().replace(' ', 'T')) : Number.NaN;
  return Number.isNaN(ms) ? undefined : ms / 1_000;
}
