/** Stage 3, sign: Batch -> Envelope, by the device's key store. */
import { encodeEnvelope, envelopePreimage, verifyEnvelope } from '@coldproof/wire';
import type { KeyStore } from './key-store.ts';
import { OperatingError } from './operating-error.ts';
import type { Sealed } from './seal.ts';

/**
 * Gives the encoded envelope. A key store that errs (a secure element at the edge of its voltage) would otherwise leave
 * a batch in the journal that no oracle accepts, and every later one behind it: so the signature is verified here.
 */
export async function signBatch({ encoded, series }: Sealed, keyStore: KeyStore): Promise<Uint8Array> {
  const signature = await keyStore.sign(envelopePreimage(encoded));
  const verdict = verifyEnvelope({ batch: encoded, signature }, keyStore.publicKey());
  if (!verdict.ok) throw new OperatingError('key-unusable', `signature: ${verdict.detail}`, { retry: 'never' });
  return encodeEnvelope({ batch: encoded, signature, series });
}
