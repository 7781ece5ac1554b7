/**
 * From the bytes of a serial line to lines of text that can be believed. Pure: bytes in, lines and refusals out.
 *
 *   T1=4.25;T2=4.31*5C CR LF        checksum xor: as in NMEA 0183, "*" and the XOR of all before it in hex
 *   {"t1":4.25}*1F0A LF             checksum crc16: "*" and the CRC-16/MODBUS of all before it in hex
 */
import { accept, reject, type Verdict } from '@coldproof/wire';
import type { Checksum } from '../config-line.ts';

export type TextLineReason =
  /** No end of line within textLineBytesMax. */
  | 'line-too-long'
  /** Not UTF-8, or with control characters: mostly a wrong baud rate. */
  | 'line-not-text'
  /** Without its checksum, or with another. */
  | 'line-checksum-wrong';

/** A line of a logger with sixteen probes; NMEA 0183 has 82. */
export const textLineBytesMax = 1_024;

const carriageReturn = 0x0d;
const lineFeed = 0x0a;

export class LineSplitter {
  #held = Buffer.alloc(0);
  /** What came before the first end of line may be the second half of something. */
  #isWhole: boolean;

  /** `isWhole`: the first line counts as it is, because it has a checksum that tells. */
  constructor(isWhole: boolean) {
    this.#isWhole = isWhole;
  }

  /** The lines that end in this chunk, at CR or LF; empty ones are passed over. Undefined stands for one too long. */
  push(chunk: Uint8Array): (Uint8Array | undefined)[] {
    const lines: (Uint8Array | undefined)[] = [];
    let bytes = Buffer.concat([this.#held, chunk]);
    for (;;) {
      const end = bytes.findIndex((byte) => byte === carriageReturn || byte === lineFeed);
      if (end < 0) break;
      if (this.#isWhole && end > 0) lines.push(end <= textLineBytesMax ? bytes.subarray(0, end) : undefined);
      this.#isWhole = true;
      bytes = bytes.subarray(end + 1);
    }
    if (bytes.length > textLineBytesMax) {
      // Told once; the rest of it is dropped as it comes.
      if (this.#isWhole) lines.push(undefined);
      this.#isWhole = false;
      bytes = Buffer.alloc(0);
    }
    this.#held = bytes;
    return lines;
  }
}

/** The text before the checksum. */
export function openTextLine(line: Uint8Array, checksum: Checksum): Verdict<string, TextLineReason> {
  const body = checksum === 'none' ? line : checkedBody(line, checksum);
  if (body === undefined) return reject('line-checksum-wrong', `expected *hh of ${checksum} at the end of the line`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    return reject('line-not-text', `expected UTF-8, got ${body.length} other bytes`);
  }
  // Cc without the tab, which some loggers put between their columns.
  if (/[^\P{Cc}\t]/u.test(text)) return reject('line-not-text', 'expected no control characters');
  return accept(text);
}

function checkedBody(line: Uint8Array, checksum: 'xor' | 'crc16'): Uint8Array | undefined {
  const digits = checksum === 'xor' ? 2 : 4;
  const star = line.length - digits - 1;
  const given = Buffer.from(line.subarray(Math.max(0, star))).toString('latin1');
  if (star < 0 || !/^\*[0-9A-Fa-f]+$/.test(given)) return undefined;
  // NMEA 0183 begins a sentence with "$" or "!", and leaves it out of the sum.
  const begin = checksum === 'xor' && (line[0] === 0x24 || line[0] === 0x21) ? 1 : 0;
  const body = line.subarray(begin, star);
  return Number.parseInt(given.slice(1), 16) === (checksum === 'xor' ? xor8(body) : crc16(body)) ? body : undefined;
}

function xor8(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte) => sum ^ byte, 0);
}

/** CRC-16/MODBUS (Modbus over Serial Line V1.02 §6.2.2): polynomial 0xA001 reflected, from 0xFFFF. */
function crc16(bytes: Uint8Array): number {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0xa001;
  }
  return crc;
}
