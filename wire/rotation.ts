/**
 * A key's consent to its successor: "from second `from` on, `successor` speaks in my place, in `registry` on chain
 * `chainId`". The successor signs an enrolment besides, so neither key can be drawn into it by the other alone.
 *
 *   rotation = [version, chainId, registry: bstr .size 20, successor: bstr .size 32, from]
 */
import { encodeCbor } from './cbor.ts';
import { indexMax, unixSecMax } from './limits.ts';

export const rotationVersion = 1;

export type Rotation = {
  readonly chainId: number;
  /** Address of the DeviceRegistry, 20 bytes. */
  readonly registry: Uint8Array;
  /** deviceOf the new key. */
  readonly successor: Uint8Array;
  /** The old key's samples count before, the new one's from then on. */
  readonly fromSec: number;
};

/** What the old key signs is rotationPreimage of this. DeviceRegistry.sol builds the same bytes. */
export function encodeRotation({ chainId, registry, successor, fromSec }: Rotation): Uint8Array {
  if (!Number.isInteger(chainId) || chainId < 1 || chainId > indexMax) {
    throw new RangeError(`chainId: expected 1 <= chainId <= ${indexMax}, got ${chainId}`);
  }
  if (registry.length !== 20) throw new RangeError(`registry: expected 20 bytes, got ${registry.length}`);
  if (successor.length !== 32) throw new RangeError(`successor: expected 32 bytes, got ${successor.length}`);
  if (!Number.isInteger(fromSec) || fromSec < 0 || fromSec > unixSecMax) {
    throw new RangeError(`fromSec: expected 0 <= fromSec <= ${unixSecMax}, got ${fromSec}`);
  }
  return encodeCbor([rotationVersion, chainId, registry, successor, fromSec]);
}
