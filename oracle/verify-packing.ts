/**
 * The two packed forms between the loop and a verifying thread. Big-endian, positions in bytes:
 *
 *   request  = nowSec: u32 ‖ count: u32 ‖ count * message
 *   message  = size: u32 ‖ revokedFromSec: u32 ‖ device: 32 ‖ publicKey: 64 ‖ envelope: size
 *   accepted = count * (sequence: u32 ‖ firstSec: u32 ‖ lastSec: u32 ‖ previous: 32 ‖ digest: 32)
 *
 * A refused message leaves its record in `accepted` zero, and stands in `refused` by its number.
 */
import { accept, reject, unixSecMax, type Crypto, type Verdict } from '@coldproof/wire';
import { verifyBatch, type DeviceRecord, type Verified, type VerifyReason } from './verify.ts';

export type VerifyAnswer = {
  readonly accepted: ArrayBuffer;
  readonly refused: readonly (readonly [at: number, reason: VerifyReason, detail: string])[];
};

const headBytes = 8;
const recordHeadBytes = 4 + 4 + 32 + 64;
const acceptedBytes = 4 + 4 + 4 + 32 + 32;

/** "Not revoked": no sample can be that late (the largest time is excluded by clockSkewSecMax in this century). */
const neverRevoked = unixSecMax;

export function packRequest(
  messages: readonly { message: { device: Uint8Array; bytes: Uint8Array }; record: DeviceRecord }[],
  nowSec: number,
): ArrayBuffer {
  const size = messages.reduce((sum, { message }) => sum + recordHeadBytes + message.bytes.length, headBytes);
  const packed = new Uint8Array(size);
  const view = new DataView(packed.buffer);
  view.setUint32(0, nowSec);
  view.setUint32(4, messages.length);
  let at = headBytes;
  for (const { message, record } of messages) {
    view.setUint32(at, message.bytes.length);
    view.setUint32(at + 4, record.revokedFromSec ?? neverRevoked);
    packed.set(message.device, at + 8);
    packed.set(record.publicKey, at + 40);
    packed.set(message.bytes, at + recordHeadBytes);
    at += recordHeadBytes + message.bytes.length;
  }
  return packed.buffer;
}

/** The thread's whole work. */
export function answerRequest(request: ArrayBuffer, crypto: Crypto): VerifyAnswer {
  const packed = new Uint8Array(request);
  const view = new DataView(request);
  const nowSec = view.getUint32(0);
  const count = view.getUint32(4);
  const accepted = new Uint8Array(count * acceptedBytes);
  const refused: [number, VerifyReason, string][] = [];
  let at = headBytes;
  for (let i = 0; i < count; i++) {
    const end = at + recordHeadBytes + view.getUint32(at);
    const revokedFromSec = view.getUint32(at + 4);
    const publicKey = packed.subarray(at + 40, at + recordHeadBytes);
    const record = revokedFromSec === neverRevoked ? { publicKey } : { publicKey, revokedFromSec };
    const device = packed.subarray(at + 8, at + 40);
    const bytes = packed.subarray(at + recordHeadBytes, end);
    const verdict = verifyBatch({ device, bytes, record, nowSec }, crypto);
    if (verdict.ok) packAccepted(verdict.value, accepted, i * acceptedBytes);
    else refused.push([i, verdict.reason, verdict.detail]);
    at = end;
  }
  return { accepted: accepted.buffer, refused };
}

export function unpackAnswer({ accepted, refused }: VerifyAnswer, count: number): Verdict<Verified, VerifyReason>[] {
  const packed = new Uint8Array(accepted);
  const view = new DataView(accepted);
  const verdicts: Verdict<Verified, VerifyReason>[] = [];
  for (let i = 0; i < count; i++) {
    const at = i * acceptedBytes;
    verdicts.push(
      accept({
        sequence: view.getUint32(at),
        firstSec: view.getUint32(at + 4),
        lastSec: view.getUint32(at + 8),
        previous: packed.slice(at + 12, at + 44),
        digest: packed.slice(at + 44, at + 76),
      }),
    );
  }
  for (const [i, reason, detail] of refused) verdicts[i] = reject(reason, detail);
  return verdicts;
}

function packAccepted(
  { sequence, firstSec, lastSec, previous, digest }: Verified,
  packed: Uint8Array,
  at: number,
): void {
  const view = new DataView(packed.buffer);
  view.setUint32(at, sequence);
  view.setUint32(at + 4, firstSec);
  view.setUint32(at + 8, lastSec);
  packed.set(previous, at + 12);
  packed.set(digest, at + 44);
}
