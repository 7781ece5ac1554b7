/** wire's Crypto on OpenSSL: the fast one. It must agree with wire's referenceCrypto on every input. */
import { createPublicKey, hash, verify, type KeyObject } from 'node:crypto';
import type { Crypto, Sha256 } from '@coldproof/wire';

/** SubjectPublicKeyInfo of a P-256 key (RFC 5480 §2) up to the point, with the uncompressed point's 0x04. */
const spkiPrefix = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex');

/** A KeyObject costs more to make than a verification, and a few hundred bytes to keep. */
const keysMax = 10_000;

/**
 * One shot, and by way of a string: half the time of createHash, whose digest is an ArrayBuffer of its own. Parts are
 * joined in Node's pool, since V8 goes to malloc for every typed array of more than 64 bytes.
 */
export const opensslSha256: Sha256 = (...parts) => {
  const message = parts.length === 1 ? parts[0]! : join(parts);
  return Buffer.from(hash('sha256', message, 'binary'), 'binary');
};

function join(parts: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const part of parts) size += part.length;
  const joined = Buffer.allocUnsafe(size);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

export function opensslCrypto(): Crypto {
  const keys = new Map<string, KeyObject | null>();
  const keyOf = (publicKey: Uint8Array): KeyObject | null => {
    const name = Buffer.from(publicKey.buffer, publicKey.byteOffset, publicKey.byteLength).toString('latin1');
    const known = keys.get(name);
    if (known !== undefined) return known;
    if (keys.size >= keysMax) keys.clear();
    const key = importKey(publicKey);
    keys.set(name, key);
    return key;
  };
  return {
    sha256: opensslSha256,
    verifyP256(publicKey, message, signature) {
      if (publicKey.length !== 64 || signature.length !== 64) return false;
      const key = keyOf(publicKey);
      // r or s of zero, or over n, is answered false by OpenSSL (FIPS 186-5 §6.4.2).
      return key !== null && verify('sha256', message, key, toDer(signature));
    },
  };
}

/** Null when x ‖ y is no point of the curve, which OpenSSL checks on import. */
function importKey(publicKey: Uint8Array): KeyObject | null {
  try {
    return createPublicKey({ key: Buffer.concat([spkiPrefix, publicKey]), format: 'der', type: 'spki' });
  } catch {
    return null;
  }
}

/**
 * r ‖ s as the ECDSA-Sig-Value of RFC 3279 §2.2.3, which is what OpenSSL takes. Node can do it (`ieee-p1363`): at no
 * cost on Node 20, but on Node 24 that takes a quarter of the whole verification.
 */
function toDer(signature: Uint8Array): Uint8Array {
  const [r, s] = [skipZeros(signature, 0), skipZeros(signature, 32)];
  const [rSize, sSize] = [integerSize(signature, r, 32), integerSize(signature, s, 64)];
  const der = Buffer.allocUnsafe(6 + rSize + sSize);
  der[0] = derSequence;
  der[1] = 4 + rSize + sSize;
  writeInteger(der, 2, signature.subarray(r, 32), rSize);
  writeInteger(der, 4 + rSize, signature.subarray(s, 64), sSize);
  return der;
}

const derSequence = 0x30;
const derInteger = 0x02;

/** Index of the first byte of a 32-byte number that is not zero, or of its last byte. */
function skipZeros(signature: Uint8Array, from: number): number {
  let at = from;
  while (at < from + 31 && signature[at] === 0) at += 1;
  return at;
}

/** With a zero in front where the highest bit would make the number negative. */
function integerSize(signature: Uint8Array, at: number, end: number): number {
  return end - at + (signature[at]! >> 7);
}

function writeInteger(der: Uint8Array, at: number, magnitude: Uint8Array, size: number): void {
  der[at] = derInteger;
  der[at + 1] = size;
  der[at + 2] = 0;
  der.set(magnitude, at + 2 + size - magnitude.length);
}
