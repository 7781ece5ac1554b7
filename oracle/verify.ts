/** Bytes of a device -> a batch that the log may take, or the reason why not. Pure; runs in the verifying threads. */
import {
  accept,
  bytesEqual,
  bytesToHex,
  clockSkewSecMax,
  decodeEnvelope,
  openEnvelope,
  reject,
  verifyEnvelope,
  type Crypto,
  type EnvelopeReason,
  type Verdict,
} from '@coldproof/wire';
import type { LogReason } from './log.ts';

/** What the registry says of the device that a topic names. */
export type DeviceRecord = {
  /** x ‖ y */
  readonly publicKey: Uint8Array;
  readonly revokedFromSec?: number;
};

export type Verified = {
  readonly sequence: number;
  readonly previous: Uint8Array;
  readonly digest: Uint8Array;
  readonly firstSec: number;
  readonly lastSec: number;
};

export type VerifyReason =
  | EnvelopeReason
  /** The batch is of another device than the topic that it came on. */
  | 'topic-not-device'
  /** The registry has no such device. */
  | 'device-unknown'
  /** A sample was taken at or after the time from which the key is revoked. */
  | 'device-revoked'
  /** The last sample lies further ahead of the clock than clockSkewSecMax. */
  | 'time-in-future';

/** Everything that a batch can be refused for. Each has a counter, `rejected:REASON`. */
export type RejectReason = VerifyReason | LogReason;

export function verifyBatch(
  {
    device,
    bytes,
    record,
    nowSec,
  }: { device: Uint8Array; bytes: Uint8Array; record: DeviceRecord | undefined; nowSec: number },
  crypto: Crypto,
): Verdict<Verified, VerifyReason> {
  if (record === undefined) return reject('device-unknown', `device ${bytesToHex(device)} is not in the registry`);
  const decoded = decodeEnvelope(bytes);
  if (!decoded.ok) return decoded;
  const opened = openEnvelope(decoded.value, crypto);
  if (!opened.ok) return opened;
  const { batch, digest } = opened.value;
  if (!bytesEqual(batch.device, device)) {
    return reject('topic-not-device', `topic of ${bytesToHex(device)}, batch of ${bytesToHex(batch.device)}`);
  }
  const signed = verifyEnvelope(decoded.value, record.publicKey, crypto);
  if (!signed.ok) return signed;
  const { sequence, previous, firstSec, lastSec } = batch;
  if (record.revokedFromSec !== undefined && lastSec >= record.revokedFromSec) {
    return reject('device-revoked', `last: expected < ${record.revokedFromSec}, got ${lastSec}`);
  }
  if (lastSec > nowSec + clockSkewSecMax) {
    return reject('time-in-future', `last: expected <= ${nowSec} + ${clockSkewSecMax}, got ${lastSec}`);
  }
  return accept({ sequence, previous, digest, firstSec, lastSec });
}
