/**
 * A sealed run of readings of one device. The batch names its series by the root of their Merkle tree, and the batch
 * before it by digest, so that nothing can be taken out of a device's history without a trace.
 *
 *   batch = [version, device, sequence, previous, first, last, series, root, flags]
 *
 * Example (sequence 0, one series): WIRE.md, "A batch".
 */
import { decodeCbor, encodeCbor, isCborArray } from './cbor.ts';
import { referenceCrypto } from './crypto.ts';
import { describeValue, isDigest, isUint } from './field.ts';
import { sequenceMax, seriesPerBatchMax, unixSecMax } from './limits.ts';
import { accept, reject, type Verdict } from './verdict.ts';

export const batchVersion = 1;

export type Batch = {
  /** SHA-256(x ‖ y) of the device's P-256 key. */
  readonly device: Uint8Array;
  /** Contiguous from 0 for each key, never used again. */
  readonly sequence: number;
  /** digestBatch of the batch with sequence - 1; 32 zero bytes at sequence 0. */
  readonly previous: Uint8Array;
  /** Unix seconds of the earliest and the latest sample; of the sealing when there is none. */
  readonly firstSec: number;
  readonly lastSec: number;
  /** Leaves of the series tree. 0 is a heartbeat: the device lives and has measured nothing. */
  readonly seriesCount: number;
  /** RFC 9162 tree hash over the encoded series. */
  readonly root: Uint8Array;
  readonly flags: number;
};

export const flags = {
  /** The sensor's own firmware holds the key. Without it, the gateway signed for a sensor that has none. */
  sensorSigned: 0x0001,
  /** The device could not trust its clock. */
  clockUnsynchronised: 0x0100,
} as const;

/** A reader that does not know one of these upper flags must not take the batch as evidence (as COSE's `crit`). */
export const criticalFlagsMask = 0xff00;
const knownFlagsMask = flags.sensorSigned | flags.clockUnsynchronised;

export const noPrevious: Uint8Array = new Uint8Array(32);

export type BatchReason = 'batch-malformed';

export function encodeBatch(batch: Batch): Uint8Array {
  const { device, sequence, previous, firstSec, lastSec, seriesCount, root, flags } = batch;
  return encodeCbor([batchVersion, device, sequence, previous, firstSec, lastSec, seriesCount, root, flags]);
}

/** What the next batch calls `previous`, what the log has as leaf, and what a receipt and evidence name. */
export function digestBatch(encoded: Uint8Array, sha256 = referenceCrypto.sha256): Uint8Array {
  return sha256(encoded);
}

export function decodeBatch(bytes: Uint8Array): Verdict<Batch, BatchReason> {
  const decoded = decodeCbor(bytes);
  if (!decoded.ok) return reject('batch-malformed', decoded.detail);
  const item = decoded.value;
  if (!isCborArray(item) || item.length !== 9) return reject('batch-malformed', 'expected an array of 9');
  const [version, device, sequence, previous, firstSec, lastSec, seriesCount, root, flagBits] = item;
  if (version !== batchVersion) return malformed('version', version, `${batchVersion}`);
  if (!isDigest(device)) return malformed('device', device, '32 bytes');
  if (!isUint(sequence, sequenceMax)) return malformed('sequence', sequence, `<= ${sequenceMax}`);
  if (!isDigest(previous)) return malformed('previous', previous, '32 bytes');
  if (!isUint(firstSec, unixSecMax)) return malformed('first', firstSec, `<= ${unixSecMax}`);
  if (!isUint(lastSec, unixSecMax)) return malformed('last', lastSec, `<= ${unixSecMax}`);
  if (lastSec < firstSec) return malformed('last', lastSec, `>= first ${firstSec}`);
  if (!isUint(seriesCount, seriesPerBatchMax)) return malformed('series', seriesCount, `<= ${seriesPerBatchMax}`);
  if (!isDigest(root)) return malformed('root', root, '32 bytes');
  if (!isUint(flagBits, knownFlagsMask) || (flagBits & ~knownFlagsMask) !== 0) {
    return malformed('flags', flagBits, `no bit outside 0x${knownFlagsMask.toString(16)}`);
  }
  return accept({ device, sequence, previous, firstSec, lastSec, seriesCount, root, flags: flagBits });
}

function malformed(field: string, value: unknown, bound: string) {
  return reject('batch-malformed', `${field}: expected ${bound}, got ${describeValue(value)}`);
}
