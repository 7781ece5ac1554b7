/**
 * Every signed byte of Coldproof, in one file. Each signed noun has a domain tag of its own, so that a signature over
 * one can never be taken for a signature over another.
 *
 * CBOR messages are signed as COSE_Sign1 (RFC 9052 §4.4) with the tag as external_aad:
 *
 *   Sig_structure = ["Signature1", protected: bstr, external_aad: bstr, payload: bstr]
 *
 * A checkpoint is text and signed as it stands (c2sp.org/signed-note); its first line, the origin, is its domain.
 */
import { utf8ToBytes } from './bytes.ts';
import { encodeCbor } from './cbor.ts';

export const domainTags = {
  /** A device's signature over a batch. ES256. */
  envelope: 'coldproof v1 envelope',
  /** A device's consent to be enrolled by an owner in one registry on one chain. ES256. */
  enrolment: 'coldproof v1 enrolment',
  /** A device's consent to the key that takes its place. ES256. */
  rotation: 'coldproof v1 rotation',
  /** An oracle's promise that a batch is stored. EdDSA. */
  receipt: 'coldproof v1 receipt',
  /** A publisher's signature over a cryptlet's digest, and what that digest itself begins with. secp256k1. */
  cryptlet: 'coldproof v1 cryptlet',
} as const;

/** Protected headers are fixed bytes, never negotiated: {1: -7} ES256, {1: -8} EdDSA (RFC 9053 §2). */
export const protectedEs256 = Uint8Array.of(0xa1, 0x01, 0x26);
export const protectedEdDsa = Uint8Array.of(0xa1, 0x01, 0x27);

const heads = {
  envelope: headOf(protectedEs256, domainTags.envelope),
  enrolment: headOf(protectedEs256, domainTags.enrolment),
  rotation: headOf(protectedEs256, domainTags.rotation),
  receipt: headOf(protectedEdDsa, domainTags.receipt),
};

export function envelopePreimage(batch: Uint8Array): Uint8Array {
  return preimageOf(heads.envelope, batch);
}

export function enrolmentPreimage(enrolment: Uint8Array): Uint8Array {
  return preimageOf(heads.enrolment, enrolment);
}

export function rotationPreimage(rotation: Uint8Array): Uint8Array {
  return preimageOf(heads.rotation, rotation);
}

export function receiptPreimage(receipt: Uint8Array): Uint8Array {
  return preimageOf(heads.receipt, receipt);
}

/** Signed by an account over its SHA-256, as r ‖ s ‖ v: no COSE, accounts have no name there. */
export function cryptletPreimage(cryptlet: Uint8Array): Uint8Array {
  return encodeCbor([domainTags.cryptlet, cryptlet]);
}

/** The note text: everything before the blank line, with its last newline. */
export function checkpointPreimage(noteText: string): Uint8Array {
  return utf8ToBytes(noteText);
}

/** Sig_structure of RFC 9052 §4.4. Exported for the test that holds it against COSE's own vectors. */
export function sigStructure(protectedHeader: Uint8Array, externalAad: Uint8Array, payload: Uint8Array): Uint8Array {
  return encodeCbor(['Signature1', protectedHeader, externalAad, payload]);
}

/** All of it before the payload, which is the last item: the same bytes for every message of a kind. */
function headOf(protectedHeader: Uint8Array, domainTag: string): Uint8Array {
  return sigStructure(protectedHeader, utf8ToBytes(domainTag), new Uint8Array()).slice(0, -1);
}

function preimageOf(head: Uint8Array, payload: Uint8Array): Uint8Array {
  // The head of a byte string is that of its length as a number, with the other major type (RFC 8949 §3.1).
  const itemHead = encodeCbor(payload.length);
  itemHead[0]! |= 0x40;
  const preimage = new Uint8Array(head.length + itemHead.length + payload.length);
  preimage.set(head);
  preimage.set(itemHead, head.length);
  preimage.set(payload, head.length + itemHead.length);
  return preimage;
}
