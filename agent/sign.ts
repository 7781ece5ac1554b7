/** Stage 3, sign: Batch -> Envelope, by the device's key store. */
import { encodeEnvelope, envelopePreimage, verifyEnvelope } from '@coldproof/wire';
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
  const verdict = verifyEnvelope({ batch: encoded, signature }, keyStore.publicKey());
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
