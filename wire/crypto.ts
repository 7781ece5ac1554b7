/**
 * The primitives that the format rests on, as one port. This implementation, on @noble, is the reference: it runs in a
 * browser, and every faster one must agree with it on every vector.
 */
import { ed25519 } from '@noble/curves/ed25519.js';
import { p256 } from '@noble/curves/nist.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes } from './bytes.ts';

/** Pure, synchronous, and safe to call with anything an adversary can send: a verify answers false, it never throws. */
export type Crypto = {
  /** Of the parts one after the other: who joins them knows best where. */
  readonly sha256: (...parts: readonly Uint8Array[]) => Uint8Array;
  /** ES256 over `message`; `publicKey` is x ‖ y, `signature` r ‖ s, 64 bytes each. High s is not refused here. */
  readonly verifyP256: (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean;
};

export const referenceCrypto: Crypto = {
  sha256: (...parts) => sha256(parts.length === 1 ? parts[0]! : concatBytes(...parts)),
  verifyP256(publicKey, message, signature) {
    if (publicKey.length !== 64 || signature.length !== 64) return false;
    try {
      const point = concatBytes(Uint8Array.of(0x04), publicKey);
      return p256.verify(signature, message, point, { lowS: false });
    } catch {
      // noble throws on a point off the curve and on r or s out of range: from an outsider, an invalid signature.
      return false;
    }
  },
};

/** n / 2 of P-256 (FIPS 186-5, SP 800-186 §3.2.1.3): the largest s that is low, 32 bytes big-endian. */
const halfOrder = (p256.Point.Fn.ORDER - 1n) / 2n;
const halfOrderBytes = Uint8Array.from(p256.Point.Fn.toBytes(halfOrder));

/** Each valid P-256 signature (r, s) has a twin (r, n - s). Coldproof accepts the one with the lower s, everywhere. */
export function isLowS(signature: Uint8Array): boolean {
  for (let i = 0; i < 32; i++) {
    const difference = signature[32 + i]! - halfOrderBytes[i]!;
    if (difference !== 0) return difference < 0;
  }
  return true;
}

/** r ‖ s with s replaced by the lower of s and n - s. For what a secure element or OpenSSL signed. */
export function toLowS(signature: Uint8Array): Uint8Array {
  if (isLowS(signature)) return signature;
  const s = p256.Point.Fn.fromBytes(signature.subarray(32));
  return concatBytes(signature.subarray(0, 32), p256.Point.Fn.toBytes(p256.Point.Fn.ORDER - s));
}

/** Ed25519 (RFC 8032 §5.1.7), strict: what oracles sign receipts and checkpoints with. */
export function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  try {
    return ed25519.verify(signature, message, publicKey, { zip215: false });
  } catch {
    // As above: a malformed point is an invalid signature.
    return false;
  }
}

/** Device identity: SHA-256(x ‖ y) of its P-256 key, 32 bytes. */
export function deviceOf(publicKey: Uint8Array): Uint8Array {
  if (publicKey.length !== 64) throw new RangeError(`publicKey: expected x ‖ y of 64 bytes, got ${publicKey.length}`);
  return sha256(publicKey);
}

/** Whether x ‖ y is a point of P-256, to be asked once, when a device is enrolled. */
export function isP256Point(publicKey: Uint8Array): boolean {
  if (publicKey.length !== 64) return false;
  try {
    p256.Point.fromBytes(concatBytes(Uint8Array.of(0x04), publicKey)).assertValidity();
    return true;
  } catch {
    return false;
  }
}
