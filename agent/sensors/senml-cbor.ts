/**
 * SenML packs in CBOR (RFC 8428 §6): to the same records with the same labels as in JSON, so that what follows is one
 * for both. A small reader of its own, because wire's CBOR is strict where sensors are free (floats, maps, long forms).
 *
 *   81 a4 21 68 54..2f 22 1a.. 00 6d.. 02 f9 4440     [{-2: "TRUCK-7/", -3: time, 0: "cargo-probe-1", 2: 4.25}]
 */
import { accept, reject, type Verdict } from '@coldproof/wire';

/** RFC 8428 §6, Table 4. */
const labels = new Map<number, string>([
  [-1, 'bver'],
  ...['bn', 'bt', 'bu', 'bv', 'bs'].map((label, i) => [-2 - i, label] as const),
  ...['n', 'u', 'v', 'vs', 'vb', 's', 't', 'ut', 'vd'].map((label, i) => [i, label] as const),
]);
const labelNames = new Set(labels.values());

/** A pack is 2 deep; fields that this does not know may be deeper. */
const depthMax = 8;

/** Whether the bytes begin as a CBOR array (major type 4) which no JSON does. */
export function isCborPack(bytes: Uint8Array): boolean {
  return bytes.length > 0 && bytes[0]! >> 5 === 4;
}

export function parseCborPack(bytes: Uint8Array): Verdict<unknown, 'senml-malformed'> {
  try {
    const reader = new Reader(bytes);
    const pack = reader.read(0);
    if (reader.at === bytes.length) return accept(pack);
    return reject('senml-malformed', `CBOR: ${bytes.length - reader.at} bytes after the pack`);
  } catch (error) {
    if (error instanceof Malformed) return reject('senml-malformed', `CBOR: ${error.message}`);
    throw error;
  }
}

class Malformed extends Error {}

class Reader {
  at = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  read(depth: number): unknown {
    if (depth > depthMax) throw new Malformed(`deeper than ${depthMax}`);
    const start = this.at;
    const initial = this.#take(1)[0]!;
    const [major, additional] = [initial >> 5, initial & 0x1f];
    if (major === 7) return this.#simple(additional, start);
    const argument = this.#argument(additional, start);
    switch (major) {
      case 0:
        return argument;
      case 1:
        return -1 - argument;
      case 2:
        // In JSON a data value is base64url without padding (§5).
        return Buffer.from(this.#take(argument)).toString('base64url');
      case 3:
        return this.#text(argument, start);
      case 4: {
        const items: unknown[] = [];
        // Each item takes a byte at least, so a false count runs out of bytes before it runs out of memory.
        for (let i = 0; i < argument; i++) items.push(this.read(depth + 1));
        return items;
      }
      case 5:
        return this.#map(argument, depth);
      default:
        return this.#tagged(argument, depth, start);
    }
  }

  /** RFC 8949 §3. §6 of SenML: a pack that is no stream has a definite length; so have its strings. */
  #argument(additional: number, start: number): number {
    if (additional < 24) return additional;
    if (additional > 27) throw new Malformed(`additional information ${additional} at ${start}`);
    let value = 0;
    for (const byte of this.#take(1 << (additional - 24))) value = value * 256 + byte;
    if (value > Number.MAX_SAFE_INTEGER) throw new Malformed(`a number over 2^53 - 1 at ${start}`);
    return value;
  }

  #simple(additional: number, start: number): unknown {
    const at = this.at;
    switch (additional) {
      case 20:
      case 21:
        return additional === 21;
      case 22:
        return null;
      case 25:
        this.#take(2);
        return halfFloat(this.#view.getUint16(at));
      case 26:
        this.#take(4);
        return this.#view.getFloat32(at);
      case 27:
        this.#take(8);
        return this.#view.getFloat64(at);
      default:
        throw new Malformed(`simple value ${additional} at ${start}`);
    }
  }

  #map(count: number, depth: number): object {
    const fields = new Map<string, unknown>();
    for (let i = 0; i < count; i++) {
      const start = this.at;
      const key = this.read(depth + 1);
      const label = typeof key === 'number' ? (labels.get(key) ?? `label ${key}`) : key;
      if (typeof label !== 'string') throw new Malformed(`a label that is no number and no text at ${start}`);
      // §6: the known labels are numbers here; "n" and 0 in one record would be two names.
      if (typeof key === 'string' && labelNames.has(key)) throw new Malformed(`label "${key}" as text at ${start}`);
      if (fields.has(label)) throw new Malformed(`label ${label.slice(0, 40)} twice at ${start}`);
      fields.set(label, this.read(depth + 1));
    }
    return Object.fromEntries(fields);
  }

  /** §6: a number may be a decimal fraction, RFC 8949 §3.4.4: 4([exponent, mantissa]). */
  #tagged(tag: number, depth: number, start: number): unknown {
    const item = this.read(depth + 1);
    if (tag !== 4) return item;
    const [exponent, mantissa, ...rest] = Array.isArray(item) ? (item as unknown[]) : [];
    if (rest.length > 0 || !Number.isInteger(exponent) || !Number.isInteger(mantissa)) {
      throw new Malformed(`a decimal fraction that is not [integer, integer] at ${start}`);
    }
    return Number(`${String(mantissa)}e${String(exponent)}`);
  }

  #text(length: number, start: number): string {
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.#take(length));
    } catch (error) {
      if (error instanceof TypeError) throw new Malformed(`text at ${start} is not UTF-8`);
      throw error;
    }
  }

  #take(size: number): Uint8Array {
    const end = this.at + size;
    if (end > this.#bytes.length) throw new Malformed(`${size} bytes wanted, ${this.#bytes.length - this.at} left`);
    const taken = this.#bytes.subarray(this.at, end);
    this.at = end;
    return taken;
  }
}

/** RFC 8949 Appendix D. */
function halfFloat(bits: number): number {
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  const sign = (bits & 0x8000) === 0 ? 1 : -1;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1_024) * 2 ** (exponent - 15));
}
