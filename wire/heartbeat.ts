/**
 * Proof that a device lived: any batch of its own, whatever is in it. verifyHeartbeat and contracts/Heartbeat.sol make
 * the same checks in the same order and refuse with the same names.
 */
import { digestBatch, type Batch } from './batch.ts';
import { bytesEqual, bytesToHex } from './bytes.ts';
import { deviceOf, referenceCrypto, type Crypto } from './crypto.ts';
import { rebuildBatch, verifySealed, verifyUnflagged, type EvidenceReason } from './evidence.ts';
import { accept, reject, type Verdict } from './verdict.ts';

export type Heartbeat = {
  /** x ‖ y. The device is its digest, so the key needs no look-up. */
  readonly publicKey: Uint8Array;
  readonly batch: Batch;
  readonly signature: Uint8Array;
};

export type HeartbeatReason = Extract<
  EvidenceReason,
  'DeviceNotAssigned' | 'BatchFlagged' | 'SignatureNotLowS' | 'SignatureInvalid'
>;

export type SignOfLife = {
  /** Of the batch's latest sample, or of its sealing. */
  readonly lastSec: number;
  /** The batch's. */
  readonly digest: Uint8Array;
};

export function verifyHeartbeat(
  { publicKey, batch, signature }: Heartbeat,
  device: Uint8Array,
  crypto: Crypto = referenceCrypto,
): Verdict<SignOfLife, HeartbeatReason> {
  const signer = deviceOf(publicKey);
  if (!bytesEqual(signer, device)) {
    return reject('DeviceNotAssigned', `expected ${bytesToHex(device)}, got ${bytesToHex(signer)}`);
  }
  const unflagged = verifyUnflagged(batch);
  if (!unflagged.ok) return unflagged;
  const sealed = verifySealed(batch, signature, publicKey, crypto);
  if (!sealed.ok) return sealed;
  return accept({ lastSec: batch.lastSec, digest: digestBatch(rebuildBatch(batch, publicKey), crypto.sha256) });
}
