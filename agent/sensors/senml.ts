/**
 * SenML packs (RFC 8428) in JSON (§5) or CBOR (§6), told apart by their first byte: from the bytes of a message to
 * resolved records, with every base field worked in (§4.6). Anything that the RFC forbids refuses the whole pack: half
 * a pack could hide a base field's mistake.
 *
 *   [{"bn":"TRUCK-7/","bt":1767225660,"n":"cargo-probe-1","u":"Cel","v":4.25},{"n":"door","vb":false}]
 */
import { accept, reject, type Verdict } from '@coldproof/wire';
import { isCborPack, parseCborPack } from './senml-cbor.ts';
import { parseJson } from './value-mapping.ts';

export type SenmlRecord = {
  /** Base name and name. */
  readonly name: string;
  /** Unix seconds, may have a fraction. */
  readonly timeSec: number;
  readonly unit: string | undefined;
  /** Undefined: the record has a sum only. */
  readonly value: number | string | boolean | { readonly base64url: string } | undefined;
  readonly sum: number | undefined;
};

export type SenmlReason =
  /** Over senmlBytesMax or recordsMax. */
  | 'senml-too-large'
  /** Neither UTF-8 JSON nor CBOR, or not a pack as RFC 8428 has it. */
  | 'senml-malformed'
  /** A later version of the format, or a field that says "refuse me if you do not know me" (§4.4). */
  | 'senml-unsupported';

/** A day of one probe at one sample a minute, with a full name in each record. */
export const senmlBytesMax = 262_144;
const recordsMax = 4_096;
/** RFC 8428 §4.1: the version that this is. */
const versionMax = 10;
/** §4.5.3: below this a time is relative to now. */
const absoluteSec = 2 ** 28;
/** §4.5.1 */
const namePattern = /^[A-Za-z0-9][-:./_A-Za-z0-9]*$/;

type Kind = 'string' | 'number' | 'boolean';
const fieldKinds: { readonly [label: string]: Kind } = {
  bn: 'string',
  bt: 'number',
  bu: 'string',
  bv: 'number',
  bs: 'number',
  bver: 'number',
  n: 'string',
  u: 'string',
  v: 'number',
  vs: 'string',
  vb: 'boolean',
  vd: 'string',
  s: 'number',
  t: 'number',
  ut: 'number',
};

type Base = { bn: string; bt: number; bu: string | undefined; bv: number; bs: number | undefined };
type Fields = {
  bn?: string;
  bt?: number;
  bu?: string;
  bv?: number;
  bs?: number;
  bver?: number;
  n?: string;
  u?: string;
  v?: number;
  vs?: string;
  vb?: boolean;
  vd?: string;
  s?: number;
  t?: number;
  ut?: number;
};

/** `nowSec` dates records without a time, and those with a relative one. */
export function decodeSenml(bytes: Uint8Array, nowSec: number): Verdict<SenmlRecord[], SenmlReason> {
  if (bytes.length > senmlBytesMax) {
    return reject('senml-too-large', `expected <= ${senmlBytesMax} bytes, got ${bytes.length}`);
  }
  const pack = parsePack(bytes);
  if (!pack.ok) return pack;
  const records: SenmlRecord[] = [];
  const base: Base = { bn: '', bt: 0, bu: undefined, bv: 0, bs: undefined };
  let version = versionMax;
  for (const [i, item] of pack.value.entries()) {
    const checked = checkFields(item, i, isCborPack(bytes));
    if (!checked.ok) return checked;
    const fields = checked.value;
    if (i === 0) version = fields.bver ?? versionMax;
    if (fields.bver !== undefined && fields.bver !== version) {
      return malformed(i, `bver: expected ${version} as before, got ${fields.bver}`);
    }
    const resolved = resolve(fields, base, nowSec, i);
    if (!resolved.ok) return resolved;
    if (resolved.value !== undefined) records.push(resolved.value);
  }
  return accept(records);
}

function parsePack(bytes: Uint8Array): Verdict<readonly unknown[], SenmlReason> {
  const parsed = isCborPack(bytes) ? parseCborPack(bytes) : parseJson(bytes);
  if (!parsed.ok) return reject('senml-malformed', parsed.detail);
  const pack = parsed.value;
  if (!Array.isArray(pack) || pack.length === 0) return reject('senml-malformed', 'expected an array of 1 or more');
  if (pack.length > recordsMax) {
    return reject('senml-too-large', `expected <= ${recordsMax} records, got ${pack.length}`);
  }
  return accept(pack);
}

function checkFields(item: unknown, i: number, isCbor: boolean): Verdict<Fields, SenmlReason> {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return malformed(i, 'expected an object');
  for (const [label, value] of Object.entries(item)) {
    if (!Object.hasOwn(fieldKinds, label)) {
      // §4.4: unknown fields are left alone, but for those that end in an underscore.
      if (label.endsWith('_')) return reject('senml-unsupported', `record ${i}: field ${label.slice(0, 40)}`);
      continue;
    }
    const kind = fieldKinds[label]!;
    // A float of CBOR can be NaN or infinite. As a value it is a sensor that has not measured, and is marked; as a time
    // or a base it would spoil what is right beside it.
    const isOfKind =
      typeof value === kind && (kind !== 'number' || (isCbor && label === 'v') || Number.isFinite(value));
    if (!isOfKind) return malformed(i, `${label}: expected a ${kind}, got a ${typeof value}`);
  }
  const fields = item as Fields;
  const { bver } = fields;
  if (bver === undefined) return accept(fields);
  if (!Number.isInteger(bver) || bver < 1) return malformed(i, `bver: expected an integer >= 1, got ${bver}`);
  if (bver > versionMax) {
    return reject('senml-unsupported', `record ${i}: bver: expected <= ${versionMax}, got ${bver}`);
  }
  return accept(fields);
}

/** Works the record's base fields into `base`, and `base` into the record. Undefined for base fields alone. */
function resolve(fields: Fields, base: Base, nowSec: number, i: number): Verdict<SenmlRecord | undefined, SenmlReason> {
  base.bn = fields.bn ?? base.bn;
  base.bt = fields.bt ?? base.bt;
  base.bu = fields.bu ?? base.bu;
  base.bv = fields.bv ?? base.bv;
  base.bs = fields.bs ?? base.bs;
  const values = [fields.v, fields.vs, fields.vb, fields.vd].filter((value) => value !== undefined);
  if (values.length === 0 && fields.s === undefined) {
    const isBaseOnly = [fields.n, fields.u, fields.t, fields.ut].every((field) => field === undefined);
    return isBaseOnly ? accept(undefined) : malformed(i, 'expected a value or a sum (section 4.2)');
  }
  if (values.length > 1) return malformed(i, `expected one value, got ${values.length}`);
  const name = base.bn + (fields.n ?? '');
  if (!namePattern.test(name)) return malformed(i, `name: not one of section 4.5.1: "${name.slice(0, 60)}"`);
  const timeSec = base.bt + (fields.t ?? 0);
  return accept({
    name,
    timeSec: timeSec < absoluteSec ? nowSec + timeSec : timeSec,
    unit: fields.u ?? base.bu,
    value: fields.v !== undefined ? base.bv + fields.v : (fields.vs ?? fields.vb ?? wrapData(fields.vd)),
    sum: fields.s === undefined && base.bs === undefined ? undefined : (base.bs ?? 0) + (fields.s ?? 0),
  });
}

function wrapData(base64url: string | undefined): { base64url: string } | undefined {
  return base64url === undefined ? undefined : { base64url };
}

function malformed(i: number, detail: string) {
  return reject('senml-malformed', `record ${i}: ${detail}`);
}
