/**
 * A device's consent: "I, who hold this key, am enrolled by `owner` for `asset` in `registry` on chain `chainId`".
 * Without it anybody could enrol a stranger's key, or carry an enrolment over to another chain.
 *
 *   enrolment = [version, chainId, registry: bstr .size 20, owner: bstr .size 20, asset: tstr]
 */
import { encodeCbor } from './cbor.ts';
import { indexMax } from './limits.ts';

export const enrolmentVersion = 1;

export type Enrolment = {
  readonly chainId: number;
  /** Address of the DeviceRegistry, 20 bytes. */
  readonly registry: Uint8Array;
  readonly owner: Uint8Array;
  /** ISO 6346 container number, four letters and seven digits. */
  readonly asset: string;
};

/** What the device signs is enrolmentPreimage of this. DeviceRegistry.sol builds the same bytes. */
export function encodeEnrolment({ chainId, registry, owner, asset }: Enrolment): Uint8Array {
  if (!Number.isInteger(chainId) || chainId < 1 || chainId > indexMax) {
    throw new RangeError(`chainId: expected 1 <= chainId <= ${indexMax}, got ${chainId}`);
  }
  for (const [field, address] of Object.entries({ registry, owner })) {
    if (address.length !== 20) throw new RangeError(`${field}: expected 20 bytes, got ${address.length}`);
  }
  if (!isContainerNumber(asset)) throw new RangeError(`asset: expected an ISO 6346 container number, got "${asset}"`);
  return encodeCbor([enrolmentVersion, chainId, registry, owner, asset]);
}

/** ISO 6346: owner code, category, serial, check digit = (sum of value * 2^position) mod 11 mod 10. */
export function isContainerNumber(text: string): boolean {
  if (!/^[A-Z]{3}[UJZ][0-9]{7}$/.test(text)) return false;
  let sum = 0;
  for (let i = 0; i < 10; i++) sum += letterValue(text.charCodeAt(i)) * 2 ** i;
  return (sum % 11) % 10 === Number(text[10]);
}

/** Digits as they are; A = 10 and on, but never a multiple of 11. */
function letterValue(code: number): number {
  if (code < 0x41) return code - 0x30;
  const value = code - 0x41 + 10;
  return value + Math.floor((value - 1) / 10);
}
