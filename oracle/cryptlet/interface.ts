/**
 * What a cryptlet's reports look like: "MeanKineticTemperature(int32 milliC,uint32 fromSec,uint32 toSec)". The registry
 * has its keccak256 as the interface's id; the payload is the ABI encoding of the fields.
 */
import { accept, reject, type Verdict } from '@coldproof/wire';
import { fieldsMax } from './limits.ts';

export type Field = {
  /** A type of the ABI: intN, uintN, bool or bytesN. */
  readonly type: string;
  readonly name: string;
};

export type Interface = { readonly name: string; readonly fields: readonly Field[] };

/** Integers are numbers, whatever their width; bytes are 0x-hex in lower case. */
export type ReportValue = number | boolean | string;

export function parseInterface(text: string): Verdict<Interface, 'interface-malformed'> {
  const [, name, list] = /^([A-Z][A-Za-z0-9]{0,63})\(([A-Za-z0-9 ,]+)\)$/.exec(text) ?? [];
  if (name === undefined || list === undefined) return malformed(`expected "Name(type name,...)", got "${text}"`);
  const fields: Field[] = [];
  for (const part of list.split(',')) {
    const [, type, field] = /^([a-z0-9]+) ([a-z][A-Za-z0-9]{0,63})$/.exec(part) ?? [];
    if (type === undefined || field === undefined) return malformed(`expected "type name", got "${part}"`);
    if (!isType(type)) return malformed(`type of ${field}: expected intN, uintN, bool or bytesN, got ${type}`);
    if (fields.some((each) => each.name === field)) return malformed(`${field} stands twice`);
    fields.push({ type, name: field });
  }
  if (fields.length > fieldsMax) return malformed(`expected at most ${fieldsMax} fields, got ${fields.length}`);
  return accept({ name, fields });
}

/** Undefined when the value is one of the field's type; else what is wrong with it. */
export function problemOf({ type, name }: Field, value: unknown): string | undefined {
  if (type === 'bool') return typeof value === 'boolean' ? undefined : `${name}: expected a boolean`;
  const [, kind, size] = /^(u?int|bytes)(\d+)$/.exec(type)!;
  if (kind === 'bytes') {
    const isHex = typeof value === 'string' && /^0x[0-9a-f]*$/.test(value) && value.length === 2 + 2 * Number(size);
    return isHex ? undefined : `${name}: expected 0x-hex of ${size} bytes`;
  }
  const [least, most] = boundsOf(kind === 'int', Number(size));
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || Object.is(value, -0)) {
    return `${name}: expected an integer`;
  }
  if (value >= least && value <= most) return undefined;
  return `${name}: expected ${least} to ${most}, got ${value}`;
}

function boundsOf(isSigned: boolean, bits: number): [least: number, most: number] {
  const most = 2 ** (isSigned ? bits - 1 : bits) - 1;
  return [isSigned ? Math.max(-(most + 1), Number.MIN_SAFE_INTEGER) : 0, Math.min(most, Number.MAX_SAFE_INTEGER)];
}

function isType(type: string): boolean {
  if (type === 'bool') return true;
  const [, kind, digits] = /^(u?int|bytes)([1-9]\d*)$/.exec(type) ?? [];
  const size = Number(digits);
  return kind === 'bytes' ? size <= 32 : kind !== undefined && size % 8 === 0 && size <= 256;
}

function malformed(detail: string) {
  return reject('interface-malformed', `interface: ${detail}`);
}
