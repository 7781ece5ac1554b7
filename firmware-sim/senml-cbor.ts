/**
 * SenML in CBOR (RFC 8428 §6): the records of senml.ts with numbers for labels; an integer as one, any other number as
 * a float of 32 bits where they hold it and of 64 where not. Example, cargo-probe-1 of TRUCK-7 at 4.25 °C:
 *
 *   81 a5 21 68 545255434b2d372f 22 1a 6955b93c 00 6d 636172676f2d70726f62652d31 01 63 43656c 02 fa 40880000
 */
import { concatBytes, utf8ToBytes } from '@coldproof/wire';
import { senmlRecords, type SenmlReading } from './senml.ts';

/** Table 4 of §6. */
const labels = new Map([
  ['bn', -2],
  ['bt', -3],
  ['n', 0],
  ['u', 1],
  ['v', 2],
  ['vb', 4],
]);

/** Throws RangeError for what SenML cannot carry. */
export function encodeSenmlCbor(device: string, unixSec: number, readings: readonly SenmlReading[]): Uint8Array {
  const records = senmlRecords(device, unixSec, readings);
  return concatBytes(head(4, records.length), ...records.map(encodeRecord));
}

function encodeRecord(record: object): Uint8Array {
  const fields = Object.entries(record) as [string, string | number | boolean][];
  return concatBytes(
    head(5, fields.length),
    ...fields.flatMap(([label, value]) => [encodeNumber(labels.get(label)!), encodeValue(value)]),
  );
}

function encodeValue(value: string | number | boolean): Uint8Array {
  if (typeof value === 'boolean') return Uint8Array.of(value ? 0xf5 : 0xf4);
  if (typeof value === 'number') return encodeNumber(value);
  const bytes = utf8ToBytes(value);
  return concatBytes(head(3, bytes.length), bytes);
}

function encodeNumber(value: number): Uint8Array {
  if (Number.isInteger(value)) return value < 0 ? head(1, -1 - value) : head(0, value);
  const isSingle = Math.fround(value) === value;
  const bytes = new Uint8Array(isSingle ? 5 : 9);
  const view = new DataView(bytes.buffer);
  bytes[0] = isSingle ? 0xfa : 0xfb;
  if (isSingle) view.setFloat32(1, value);
  else view.setFloat64(1, value);
  return bytes;
}

/** Major type and argument (RFC 8949 §3), the argument in its shortest form up to 32 bits. */
function head(major: number, argument: number): Uint8Array {
  const type = major << 5;
  if (argument < 24) return Uint8Array.of(type | argument);
  if (argument < 0x100) return Uint8Array.of(type | 24, argument);
  if (argument < 0x1_0000) return Uint8Array.of(type | 25, argument >> 8, argument & 0xff);
  const bytes = new Uint8Array(5);
  bytes[0] = type | 26;
  new DataView(bytes.buffer).setUint32(1, argument);
  return bytes;
}
