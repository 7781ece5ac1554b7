/**
 * The oracle's signed "stored at index i of log L". It ends the device's duty to keep a batch; nothing else does, in
 * particular not a broker's PUBACK.
 *
 *   receipt = #6.18([h'a10127', {}, body: bstr, signature: bstr])
 *   body    = [version, log, index, device, sequence, digest]
 */
import { bytesEqual } from './bytes.ts';
import { decodeCbor, encodeCbor, isCborArray } from './cbor.ts';
import { describeValue, isDigest, isUint } from './field.ts';
import { referenceCrypto, verifyEd25519 } from './crypto.ts';
import { indexMax, receiptBytesMax, sequenceMax } from './limits.ts';
import { protectedEdDsa, receiptPreimage } from './preimage.ts';
import { openSign1, sign1 } from './sign1.ts';
import { accept, reject, type Verdict } from './verdict.ts';

export const receiptVersion = 1;

export type Receipt = {
  /** logOf the key that signs it. */
  readonly log: Uint8Array;
  /** Leaf index, from 0. */
  readonly index: number;
  readonly device: Uint8Array;
  readonly sequence: number;
  /** digestBatch of the stored batch: two batches with one sequence cannot share a receipt. */
  readonly digest: Uint8Array;
};

export type ReceiptReason = 'receipt-malformed' | 'receipt-of-another-log' | 'receipt-signature-invalid';

/** A log's identity: SHA-256 of its Ed25519 public key. */
export function logOf(publicKey: Uint8Array): Uint8Array {
  return referenceCrypto.sha256(publicKey);
}

/** What the log key signs is receiptPreimage(encodeReceiptBody(receipt)). */
export function encodeReceiptBody({ log, index, device, sequence, digest }: Receipt): Uint8Array {
  return encodeCbor([receiptVersion, log, index, device, sequence, digest]);
}

export function encodeReceipt(body: Uint8Array, signature: Uint8Array): Uint8Array {
  return encodeCbor(sign1(protectedEdDsa, body, signature));
}

/** Decodes and verifies at once: an unverified receipt is of no use to anybody. */
export function verifyReceipt(
  bytes: Uint8Array,
  logPublicKey: Uint8Array,
  verify: typeof verifyEd25519 = verifyEd25519,
): Verdict<Receipt, ReceiptReason> {
  const decoded = decodeReceipt(bytes);
  if (!decoded.ok) return decoded;
  const { receipt, payload, signature } = decoded.value;
  if (!bytesEqual(receipt.log, logOf(logPublicKey))) {
    return reject('receipt-of-another-log', 'log: not the identity of the key it is checked with');
  }
  if (!verify(logPublicKey, receiptPreimage(payload), signature)) {
    return reject('receipt-signature-invalid', 'the signature is not by the log key over this receipt');
  }
  return accept(receipt);
}

/** Whose receipt it says it is, to choose the key to verify it with. Nothing else is to be made of it. */
export function claimedLogOf(bytes: Uint8Array): Verdict<Uint8Array, ReceiptReason> {
  const decoded = decodeReceipt(bytes);
  return decoded.ok ? accept(decoded.value.receipt.log) : decoded;
}

type Signed = { readonly receipt: Receipt; readonly payload: Uint8Array; readonly signature: Uint8Array };

function decodeReceipt(bytes: Uint8Array): Verdict<Signed, ReceiptReason> {
  if (bytes.length > receiptBytesMax) {
    return reject('receipt-malformed', `expected <= ${receiptBytesMax} bytes, got ${bytes.length}`);
  }
  const decoded = decodeCbor(bytes);
  if (!decoded.ok) return reject('receipt-malformed', decoded.detail);
  const signed = openSign1(decoded.value, protectedEdDsa);
  if (signed === undefined) return reject('receipt-malformed', 'expected a COSE_Sign1 with protected header {1: -8}');
  const body = decodeBody(signed.payload);
  if (!body.ok) return body;
  return accept({ receipt: body.value, payload: signed.payload, signature: signed.signature });
}

function decodeBody(bytes: Uint8Array): Verdict<Receipt, ReceiptReason> {
  const decoded = decodeCbor(bytes);
  if (!decoded.ok) return reject('receipt-malformed', decoded.detail);
  const item = decoded.value;
  if (!isCborArray(item) || item.length !== 6) return reject('receipt-malformed', 'body: expected an array of 6');
  const [version, log, index, device, sequence, digest] = item;
  if (version !== receiptVersion) return malformed('version', version, `${receiptVersion}`);
  if (!isDigest(log)) return malformed('log', log, '32 bytes');
  if (!isUint(index, indexMax)) return malformed('index', index, `<= ${indexMax}`);
  if (!isDigest(device)) return malformed('device', device, '32 bytes');
  if (!isUint(sequence, sequenceMax)) return malformed('sequence', sequence, `<= ${sequenceMax}`);
  if (!isDigest(digest)) return malformed('digest', digest, '32 bytes');
  return accept({ log, index, device, sequence, digest });
}

function malformed(field: string, value: unknown, bound: string) {
  return reject('receipt-malformed', `${field}: expected ${bound}, got ${describeValue(value)}`);
}
