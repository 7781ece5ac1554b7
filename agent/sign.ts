/** Stage 3, sign: Batch -> Envelope, by the device's key store. */
import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import { encodeEnvelope, envelopePreimage, referenceCrypto, verifyEnvelope, type Crypto } from '@coldproof/wire';
import type { KeyStore } from './key-store.ts';
import { OperatingError } from './operating-error.ts';
import type { Sealed } from './seal.ts';

/**
 * Gives the encoded envelope. A key store that errs (a secure element at the edge of its voltage) would otherwise leave
 * a batch in the journal that no oracle accepts, and every later one behind it: so the signature is verified here.
 */
export async function signBatch({ encoded, series }: Sealed, keyStore: KeyStore): Promise<Uint8Array> {
  const signature = await keyStore.sign(envelopePreimage(encoded));
  const verdict = verifyEnvelope({ batch: encoded, signature }, keyStore.publicKey(), crypto);
  if (!verdict.ok) throw new OperatingError('key-unusable', `signature: ${verdict.detail}`, { retry: 'never' });
  return encodeEnvelope({ batch: encoded, signature, series });
}

/** By OpenSSL: the reference takes 30 times as long, which is what a gateway with many devices would spend most of. */
const crypto: Crypto = {
  ...referenceCrypto,
  verifyP256: (publicKey, message, signature) =>
    verify('sha256', message, { key: keyOf(publicKey), dsaEncoding: 'ieee-p1363' }, signature),
};

/** Of the device's own key, which its key store has from a point of the curve. */
function keyOf(publicKey: Uint8Array): KeyObject {
  const [x, y] = [publicKey.subarray(0, 32), publicKey.subarray(32)].map((half) => Buffer.from(half));
  const jwk = { kty: 'EC', crv: 'P-256', x: x!.toString('base64url'), y: y!.toString('base64url') };
  return createPublicKey({ key: jwk, format: 'jwk' });
}
