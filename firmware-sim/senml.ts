/**
 * SenML in JSON (RFC 8428 §5), one pack per sampling, base name and base time in the first record:
 *
 *   [{"bn":"TRUCK-7/","bt":1767225660,"n":"supply-air","u":"Cel","v":4.97},{"n":"door","vb":false}]
 *
 * A name that a receiver joins to "TRUCK-7/supply-air" must begin with a letter or digit and hold only letters, digits
 * and - : . / _ (§4.5.1). A time below 2^28 would mean "that long from now" (§4.5.3), so none is sent.
 */
export type SenmlReading =
  | { readonly name: string; readonly centiC: number }
  | { readonly name: string; readonly value: number }
  | { readonly name: string; readonly isSet: boolean };

const namePattern = /^[A-Za-z0-9][-A-Za-z0-9:./_]*$/;
const absoluteSecMin = 2 ** 28;

/** Throws RangeError for what SenML cannot carry. */
export function formatSenml(device: string, unixSec: number, readings: readonly SenmlReading[]): string {
  return JSON.stringify(senmlRecords(device, unixSec, readings));
}

/** Throws RangeError for a name or time that SenML cannot carry, and for a pack of no readings. */
export function senmlRecords(device: string, unixSec: number, readings: readonly SenmlReading[]): object[] {
  if (!Number.isSafeInteger(unixSec) || unixSec < absoluteSecMin) {
    throw new RangeError(`unixSec: expected an integer >= ${absoluteSecMin}, got ${unixSec}`);
  }
  if (readings.length === 0) throw new RangeError('readings: expected at least 1, got 0');
  return readings.map((reading, i) => {
    const name = `${device}/${reading.name}`;
    if (!namePattern.test(name)) throw new RangeError(`name: expected ${namePattern.source}, got ${name}`);
    return { ...(i === 0 ? { bn: `${device}/`, bt: unixSec } : {}), n: reading.name, ...fieldsOf(reading) };
  });
}

function fieldsOf(reading: SenmlReading) {
  if ('isSet' in reading) return { vb: reading.isSet };
  // An integer over 100 is the nearest double to its two decimals, and prints as them.
  return 'centiC' in reading ? { u: 'Cel', v: reading.centiC / 100 } : { v: reading.value };
}
