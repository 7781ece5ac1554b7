/**
 * JSON in its one canonical spelling (RFC 8785), for texts that are signed or compared: keys sorted by UTF-16 code
 * units, no white space. Numbers are integers that JavaScript holds exactly, so RFC 8785's rules for fractions are not
 * needed. What is not spelt so is refused: one value, one text.
 */
import { describeValue } from './field.ts';
import { accept, assert, reject, type Verdict } from './verdict.ts';

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

export type JsonReason = 'json-malformed' | 'json-not-canonical';

export function formatJson(value: Json): string {
  if (typeof value === 'number') assert(Number.isSafeInteger(value), `${value} is an integer`);
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (isList(value)) return `[${value.map(formatJson).join(',')}]`;
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${formatJson(value[key]!)}`).join(',')}}`;
}

export function parseJson(text: string): Verdict<Json, JsonReason> {
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch (error) {
    return reject('json-malformed', error instanceof Error ? error.message : String(error));
  }
  // A repeated key, a fraction, an exponent or a space is gone after parsing, so that the texts differ.
  if (!hasIntegersOnly(value) || formatJson(value) !== text) {
    return reject('json-not-canonical', 'expected RFC 8785: sorted keys, no white space, whole numbers');
  }
  return accept(value);
}

function hasIntegersOnly(value: Json): boolean {
  if (typeof value === 'number') return Number.isSafeInteger(value);
  if (typeof value !== 'object' || value === null) return true;
  return (isList(value) ? value : Object.values(value)).every(hasIntegersOnly);
}

function isList(value: readonly Json[] | { readonly [key: string]: Json }): value is readonly Json[] {
  return Array.isArray(value);
}

/** What a value must be: gives it typed, or throws Misshapen. Only readShape calls one. */
export type Shape<Value> = (value: Json | undefined, path: string) => Value;
export type ValueOf<Described> = Described extends Shape<infer Value> ? Value : never;

class Misshapen extends Error {}

/** The value in its shape, or what is wrong with it: path, bound and value. */
export function readShape<Value>(shape: Shape<Value>, value: Json, at: string): Verdict<Value, 'json-malformed'> {
  try {
    return accept(shape(value, at));
  } catch (error) {
    if (error instanceof Misshapen) return reject('json-malformed', error.message);
    throw error;
  }
}

export const shapes = {
  literal:
    <Text extends string | number>(expected: Text): Shape<Text> =>
    (value, path) => {
      if (value !== expected) throw misshapen(path, value, String(expected));
      return expected;
    },
  oneOf:
    <Text extends string>(expected: readonly Text[]): Shape<Text> =>
    (value, path) => {
      const found = expected.find((each) => each === value);
      if (found === undefined) throw misshapen(path, value, `one of ${expected.join(', ')}`);
      return found;
    },
  text:
    (pattern: RegExp, what: string): Shape<string> =>
    (value, path) => {
      if (typeof value !== 'string' || !pattern.test(value)) throw misshapen(path, value, what);
      return value;
    },
  integer:
    (least: number, most: number): Shape<number> =>
    (value, path) => {
      if (typeof value !== 'number' || value < least || value > most)
        throw misshapen(path, value, `${least} to ${most}`);
      return value;
    },
  nullable:
    <Value>(shape: Shape<Value>): Shape<Value | null> =>
    (value, path) =>
      value === null ? null : shape(value, path),
  list:
    <Value>(shape: Shape<Value>, least: number, most: number): Shape<readonly Value[]> =>
    (value, path) => {
      const isBounded = typeof value === 'object' && value !== null && isList(value);
      if (!isBounded || value.length < least || value.length > most) {
        throw misshapen(path, value, `a list of ${least} to ${most}`);
      }
      return value.map((each, i) => shape(each, `${path}[${i}]`));
    },
  /** These keys and no others. */
  struct:
    <Fields extends { readonly [key: string]: Shape<unknown> }>(
      fields: Fields,
    ): Shape<{ readonly [Key in keyof Fields]: ValueOf<Fields[Key]> }> =>
    (value, path) => {
      if (typeof value !== 'object' || value === null || isList(value)) throw misshapen(path, value, 'an object');
      for (const key of Object.keys(value)) {
        if (!Object.hasOwn(fields, key)) throw misshapen(`${path}.${key}`, value[key], 'no such key');
      }
      const entries = Object.entries(fields).map(([key, shape]) => {
        return [key, shape(Object.hasOwn(value, key) ? value[key] : undefined, `${path}.${key}`)];
      });
      return Object.fromEntries(entries) as { readonly [Key in keyof Fields]: ValueOf<Fields[Key]> };
    },
} as const;

function misshapen(path: string, value: Json | undefined, expected: string): Misshapen {
  return new Misshapen(`${path}: expected ${expected}, got ${describeValue(value).slice(0, 100)}`);
}
