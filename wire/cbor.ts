/**
 * Deterministic CBOR (RFC 8949 §4.2.1), and of it only what Coldproof's messages use: unsigned and negative integers,
 * byte strings, text strings, arrays, the empty map, and tags. Anything else, and any encoding that is not the
 * shortest, is refused. So decoding and encoding give the same bytes, and a contract can rebuild what was signed.
 */
import { accept, assert, reject, type Verdict } from './verdict.ts';
import { utf8ToBytes } from './bytes.ts';
import { cborDepthMax } from './limits.ts';

export type Cbor =
  | number
  | string
  | Uint8Array
  | readonly Cbor[]
  | { readonly tag: number; readonly item: Cbor }
  | EmptyMap;

/** The only map in the format: COSE's unprotected header, always empty. */
export const emptyMap = Object.freeze({ map: 'empty' } as const);
type EmptyMap = typeof emptyMap;

const majorUnsigned = 0;
const majorNegative = 1;
const majorBytes = 2;
const majorText = 3;
const majorArray = 4;
const majorMap = 5;
const majorTag = 6;

export function encodeCbor(item: Cbor): Uint8Array {
  const out = new Uint8Array(measure(item));
  const end = write(item, out, 0);
  assert(end === out.length, 'the measured length is the written length');
  return out;
}

export type CborReason = 'cbor-malformed';

/** Decodes exactly one item that fills `bytes`. */
export function decodeCbor(bytes: Uint8Array): Verdict<Cbor, CborReason> {
  try {
    const reader = new Reader(bytes);
    const item = reader.read(0);
    if (reader.at !== bytes.length) {
      return reject('cbor-malformed', `${bytes.length - reader.at} bytes left after the item`);
    }
    return accept(item);
  } catch (error) {
    if (error instanceof Malformed) return reject('cbor-malformed', error.message);
    throw error;
  }
}

class Malformed extends Error {}

const utf8 = { fatal: true, ignoreBOM: true } as const;
// The one thing taken from the platform: browsers and Node share it, but neither the DOM's nor Node's types are here.
declare const TextDecoder: new (label: string, options: typeof utf8) => { decode(bytes: Uint8Array): string };

class Reader {
  at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  read(depth: number): Cbor {
    if (depth > cborDepthMax) throw new Malformed(`nested deeper than ${cborDepthMax}`);
    const start = this.at;
    const initial = this.#byte();
    const major = initial >> 5;
    const argument = this.#argument(initial & 0x1f, start);
    switch (major) {
      case majorUnsigned:
        return argument;
      case majorNegative:
        return -1 - argument;
      case majorBytes:
        return this.#take(argument);
      case majorText:
        return this.#text(argument, start);
      case majorArray: {
        const items: Cbor[] = [];
        // Each item takes a byte at least, so a false count runs out of bytes before it runs out of memory.
        for (let i = 0; i < argument; i++) items.push(this.read(depth + 1));
        return items;
      }
      case majorMap:
        if (argument !== 0) throw new Malformed(`map of ${argument} entries at ${start}, only the empty map is used`);
        return emptyMap;
      case majorTag:
        return { tag: argument, item: this.read(depth + 1) };
      default:
        throw new Malformed(`major type ${major} at ${start} is not used`);
    }
  }

  /** RFC 8949 §3, §4.2.1: the argument in its shortest form; indefinite lengths (31) and reserved (28-30) refused. */
  #argument(additional: number, start: number): number {
    if (additional < 24) return additional;
    if (additional > 27) throw new Malformed(`additional information ${additional} at ${start}`);
    const size = 1 << (additional - 24);
    let value = 0;
    for (let i = 0; i < size; i++) value = value * 256 + this.#byte();
    const least = size === 1 ? 24 : 2 ** (4 * size);
    if (value < least) throw new Malformed(`${value} in ${size} bytes at ${start} is not the shortest form`);
    if (value > Number.MAX_SAFE_INTEGER) throw new Malformed(`argument over 2^53 - 1 at ${start}`);
    return value;
  }

  #text(length: number, start: number): string {
    try {
      return new TextDecoder('utf-8', utf8).decode(this.#take(length));
    } catch (error) {
      if (error instanceof TypeError) throw new Malformed(`text at ${start} is not UTF-8`);
      throw error;
    }
  }

  #byte(): number {
    const byte = this.#bytes[this.at];
    if (byte === undefined) throw new Malformed(`1 byte wanted at ${this.at}, 0 left`);
    this.at += 1;
    return byte;
  }

  #take(size: number): Uint8Array {
    const end = this.at + size;
    if (end > this.#bytes.length) {
      throw new Malformed(`${size} bytes wanted at ${this.at}, ${this.#bytes.length - this.at} left`);
    }
    const taken = this.#bytes.subarray(this.at, end);
    this.at = end;
    return taken;
  }
}

function headSize(argument: number): number {
  if (argument < 24) return 1;
  if (argument < 0x100) return 2;
  if (argument < 0x1_0000) return 3;
  return argument < 0x1_0000_0000 ? 5 : 9;
}

function measure(item: Cbor): number {
  if (typeof item === 'number') return headSize(item < 0 ? -1 - item : item);
  if (typeof item === 'string') {
    const length = utf8ToBytes(item).length;
    return headSize(length) + length;
  }
  if (item instanceof Uint8Array) return headSize(item.length) + item.length;
  if (isCborArray(item)) return item.reduce((sum: number, each) => sum + measure(each), headSize(item.length));
  return 'tag' in item ? headSize(item.tag) + measure(item.item) : 1;
}

function write(item: Cbor, out: Uint8Array, at: number): number {
  if (typeof item === 'number') {
    assert(Number.isSafeInteger(item), `${item} is an integer within 2^53 - 1`);
    return item < 0 ? writeHead(majorNegative, -1 - item, out, at) : writeHead(majorUnsigned, item, out, at);
  }
  if (typeof item === 'string') return writeString(majorText, utf8ToBytes(item), out, at);
  if (item instanceof Uint8Array) return writeString(majorBytes, item, out, at);
  if (isCborArray(item)) {
    let next = writeHead(majorArray, item.length, out, at);
    for (const each of item) next = write(each, out, next);
    return next;
  }
  if ('tag' in item) return write(item.item, out, writeHead(majorTag, item.tag, out, at));
  return writeHead(majorMap, 0, out, at);
}

function writeString(major: number, bytes: Uint8Array, out: Uint8Array, at: number): number {
  const next = writeHead(major, bytes.length, out, at);
  out.set(bytes, next);
  return next + bytes.length;
}

function writeHead(major: number, argument: number, out: Uint8Array, at: number): number {
  const size = headSize(argument);
  if (size === 1) {
    out[at] = (major << 5) | argument;
    return at + 1;
  }
  out[at] = (major << 5) | (size === 2 ? 24 : size === 3 ? 25 : size === 5 ? 26 : 27);
  let rest = argument;
  for (let i = size - 1; i > 0; i--) {
    out[at + i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return at + size;
}

export function isCborArray(item: Cbor): item is readonly Cbor[] {
  return Array.isArray(item);
}
