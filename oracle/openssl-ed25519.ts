/** wire's verifyEd25519 on OpenSSL, which is some thirty times faster: nodes verify every message of every other node. */
import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import type { verifyEd25519 } from '@coldproof/wire';

/** SubjectPublicKeyInfo of an Ed25519 key (RFC 8410 §4) up to the key. */
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex');

/** Keys of configured nodes only: a handful. */
const keys = new Map<string, KeyObject>();
const keysMax = 256;

export const opensslEd25519: typeof verifyEd25519 = (publicKey, message, signature) => {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  try {
    return verify(null, message, keyOf(publicKey), signature);
  } catch {
    // No point of the curve: from an outsider, an invalid signature.
    return false;
  }
};

function keyOf(publicKey: Uint8Array): KeyObject {
  const name = Buffer.from(publicKey).toString('latin1');
  const known = keys.get(name);
  if (known !== undefined) return known;
  if (keys.size >= keysMax) keys.clear();
  const key = createPublicKey({ key: Buffer.concat([spkiPrefix, publicKey]), format: 'der', type: 'spki' });
  keys.set(name, key);
  return key;
}
