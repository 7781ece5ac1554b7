/** wire's Crypto on OpenSSL: the fast one. It must agree with wire's referenceCrypto on every input. */
import { createPublicKey, hash, verify, type KeyObject } from 'node:crypto';
import type { Crypto, Sha256 } from '@coldproof/wire';

/** SubjectPublicKeyInfo of a P-256 key (RFC 5480 §2) up to the point, with the uncompressed point's 0x04. */
const spkiPrefix = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex');

/** A KeyObject costs more to make than a verification, and a few hundred bytes to keep. */
const keysMax = 10_000;

/** One shot, and by way of a string: half the time of createHash, whose digest is an ArrayBuffer of its own. */
export const opensslSha256: Sha256 = (message) => Buffer.from(hash('sha256', message, 'binary'), 'binary');

type VerifyKey = { readonly key: KeyObject; readonly dsaEncoding: 'ieee-p1363' };

export function opensslCrypto(): Crypto {
  const keys = new Map<string, VerifyKey | undefined>();
  const keyOf = (publicKey: Uint8Array): VerifyKey | undefined => {
    const name = Buffer.from(publicKey.buffer, publicKey.byteOffset, publicKey.byteLength).toString('latin1');
    if (keys.has(name)) return keys.get(name);
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
      return key !== undefined && verify('sha256', message, key, signature);
    },
  };
}

/** Undefined when x ‖ y is no point of the curve, which OpenSSL checks on import. */
function importKey(publicKey: Uint8Array): VerifyKey | undefined {
  try {
    const key = createPublicKey({ key: Buffer.concat([spkiPrefix, publicKey]), format: 'der', type: 'spki' });
    return { key, dsaEncoding: 'ieee-p1363' };
  } catch {
    return undefined;
  }
}
