/** Stage 3, sign: Batch -> Envelope, by the device's key store. */
import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import { encodeEnvelope, envelopePreimage, referenceCrypto, verifyEnvelope, type Crypto } from '@coldproof/wire';
import type { Clock } from './clock.ts';
import type { KeyStore } from './key-store.ts';
import { OperatingError } from './operating-error.ts';
import type { Sealed } from './seal.ts';

/** A token is plugged in again by hand; a TPM that restarts takes as long. */
const retryMsFirst = 1_000;
const retryMsMax = 30_000;

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

export type SignDeps = {
  /** Real, monotonic time. */
  readonly timer: Clock;
  /** `why` the key cannot be had; undefined when it can. Told at each change and each try. */
  readonly onKey: (why: string | undefined) => void;
};

/**
 * As signBatch, as soon as the key can be had; undefined when `signal` was aborted before. Meanwhile readings are
 * journaled as ever. A wrong PIN waits for a person, who restarts the agent.
 */
export async function signWhenPossible(
  sealed: Sealed,
  keyStore: KeyStore,
  { timer, onKey }: SignDeps,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      const bytes = await signBatch(sealed, keyStore);
      if (failures > 0) onKey(undefined);
      return bytes;
    } catch (error) {
      const isKnown = error instanceof OperatingError && ['key-away', 'key-pin-wrong'].includes(error.code);
      if (!isKnown) throw error;
      onKey(error.message);
      await timer.wait(error.retry === 'later' ? Math.min(retryMsMax, retryMsFirst * 2 ** failures) : Infinity, signal);
    }
  }
  return undefined;
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
