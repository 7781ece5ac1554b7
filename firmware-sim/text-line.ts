/**
 * Lines as small loggers print them, with the checksum of NMEA 0183 behind: "*" and the XOR of all before it, in hex.
 *
 *   cargo-probe-1=5.43;door=0*4D CR LF
 */
import { utf8ToBytes } from '@coldproof/wire';
import { appendCrc16 } from './crc16.ts';
import type { SenmlReading } from './senml.ts';

export function formatTextLine(readings: readonly SenmlReading[]): string {
  const fields = readings.map((reading) => {
    if ('isSet' in reading) return `${reading.name}=${reading.isSet ? 1 : 0}`;
    return `${reading.name}=${'centiC' in reading ? (reading.centiC / 100).toFixed(2) : reading.value}`;
  });
  return withXor(fields.join(';'));
}

/** The line's end included. */
export function withXor(body: string): string {
  const sum = utf8ToBytes(body).reduce((xor, byte) => xor ^ byte, 0);
  return `${body}*${hex(sum, 2)}\r\n`;
}

export function withCrc16(body: string): string {
  const bytes = utf8ToBytes(body);
  const [low, high] = appendCrc16(bytes).slice(-2);
  return `${body}*${hex((high! << 8) | low!, 4)}\r\n`;
}

function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, '0');
}
