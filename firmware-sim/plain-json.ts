/**
 * Plain JSON as makers of small firmware invent it: one object, names and units of their own, milliseconds.
 *
 *   {"id":"TRUCK-7","ts":1767225660000,"cargo-probe-1":4.25,"door":"open"}
 */
import type { SenmlReading } from './senml.ts';

export function formatJson(device: string, unixSec: number, readings: readonly SenmlReading[]): string {
  const fields = readings.map((reading): [string, string | number] => {
    if ('isSet' in reading) return [reading.name, reading.isSet ? 'open' : 'closed'];
    return [reading.name, 'centiC' in reading ? reading.centiC / 100 : reading.value];
  });
  return JSON.stringify({ id: device, ts: unixSec * 1_000, ...Object.fromEntries(fields) });
}
