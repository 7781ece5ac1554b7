/**
 * Every signed byte of Coldproof, in one file. Each signed noun has a domain tag of its own, so that a signature over
 * one can never be taken for a signature over another.
 *
 * CBOR messages are signed as COSE_Sign1 (RFC 9052 §4.4) with the tag as external_aad:
 *
 *   Sig_structure = ["Signature1", protected: bstr, external_aad: bstr, payload: bstr]
 *
 * A checkpoint is text and signed as it stands (c2sp.org/signed-note); its first line, the origin, is its domain. A
 * witness puts a line of its own and the time before it (c2sp.org/tlog-cosignature).
 *
 * What a contract verifies against a quorum of oracles is EIP-712: 0x1901 ‖ domain separator ‖ struct hash.
 */
import { keccak_256 } from '@noble/hashes/sha3.js';
import { concatBytes, utf8ToBytes } from './bytes.ts';
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
  /** An oracle's word for what a bundle states and nobody else can prove. EdDSA. */
  bundle: 'coldproof v1 bundle',
  /** What the oracles of a consortium tell one another. EdDSA, by the log key. */
  peer: 'coldproof v1 peer',
  /** What the owner sets on a device from afar. ES256 or EdDSA, as the owner's key is. */
  config: 'coldproof v1 config',
  /** What the owner asks of a device once. */
  command: 'coldproof v1 command',
  /** A publisher's signature over a cryptlet's digest, and what that digest itself begins with. secp256k1. */
  cryptlet: 'coldproof v1 cryptlet',
  /** What a private series and its wraps are bound to. Encrypted, not signed: the batch's signature covers the leaf. */
  private: 'coldproof v1 private',
} as const;

/** Protected headers are fixed bytes, never negotiated: {1: -7} ES256, {1: -8} EdDSA (RFC 9053 §2). */
export const protectedEs256 = Uint8Array.of(0xa1, 0x01, 0x26);
export const protectedEdDsa = Uint8Array.of(0xa1, 0x01, 0x27);

const heads = {
  envelope: headOf(protectedEs256, domainTags.envelope),
  enrolment: headOf(protectedEs256, domainTags.enrolment),
  rotation: headOf(protectedEs256, domainTags.rotation),
  receipt: headOf(protectedEdDsa, domainTags.receipt),
  bundle: headOf(protectedEdDsa, domainTags.bundle),
  peer: headOf(protectedEdDsa, domainTags.peer),
};

export type OwnerMessage = 'config' | 'command';

/** `publicKey` says which of the two headers is signed: x ‖ y for ES256, 32 bytes for EdDSA. */
export function ownerPreimage(kind: OwnerMessage, publicKey: Uint8Array, body: Uint8Array): Uint8Array {
  const header = publicKey.length === 64 ? protectedEs256 : protectedEdDsa;
  return preimageOf(headOf(header, domainTags[kind]), body);
}

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

/** `digest` is the SHA-256 of the bundle's text without its seal. */
export function bundlePreimage(digest: Uint8Array): Uint8Array {
  return preimageOf(heads.bundle, digest);
}

export function peerPreimage(body: Uint8Array): Uint8Array {
  return preimageOf(heads.peer, body);
}

/** Signed by an account over its SHA-256, as r ‖ s ‖ v: no COSE, accounts have no name there. */
export function cryptletPreimage(cryptlet: Uint8Array): Uint8Array {
  return encodeCbor([domainTags.cryptlet, cryptlet]);
}

/** `info` of a private leaf's wraps, and the associated data of its content: they open in this place and no other. */
export function privateContext(
  { device, sequence }: { readonly device: Uint8Array; readonly sequence: number },
  channels: readonly number[],
): Uint8Array {
  return encodeCbor([domainTags.private, device, sequence, channels]);
}

/** The note text: everything before the blank line, with its last newline. */
export function checkpointPreimage(noteText: string): Uint8Array {
  return utf8ToBytes(noteText);
}

/** c2sp.org/tlog-cosignature, "cosignature/v1": what a witness says of a checkpoint at a time (Unix seconds). */
export function cosignaturePreimage(noteText: string, timeSec: number): Uint8Array {
  return utf8ToBytes(`cosignature/v1\ntime ${timeSec}\n${noteText}`);
}

/** The EIP-712 domain of an OracleSet: name "Coldproof", version "1". */
export type QuorumDomain = {
  readonly chainId: number;
  /** Address, 20 bytes. */
  readonly oracleSet: Uint8Array;
  /** Config digest, 32 bytes: what is signed dies with the configuration. */
  readonly config: Uint8Array;
};

const domainType = typeHash('EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)');
const reportFields = 'bytes32 config,bytes32 cryptlet,address consumer,uint256 subject,uint64 sequence,uint32 deadline';
const reportType = typeHash(`Report(${reportFields},bytes payload)`);
const checkpointType = typeHash('Checkpoint(bytes32 config,bytes32 origin,uint64 size,bytes32 root)');
const domainName = typeHash('Coldproof');
const domainVersion = typeHash('1');

/** IQuorum.Report under a configuration; `payload` is hashed, as EIP-712 has it for `bytes`. */
export function reportPreimage(
  domain: QuorumDomain,
  report: {
    readonly cryptlet: Uint8Array;
    readonly consumer: Uint8Array;
    readonly subject: bigint;
    readonly sequence: number;
    readonly deadlineSec: number;
    readonly payload: Uint8Array;
  },
): Uint8Array {
  const { cryptlet, consumer, subject, sequence, deadlineSec, payload } = report;
  const fields = [domain.config, cryptlet, consumer, word(subject), word(BigInt(sequence)), word(BigInt(deadlineSec))];
  return typedPreimage(domain, [reportType, ...fields, keccak_256(payload)]);
}

/** Checkpoint of IOracleSet; `log` is the 32 bytes that name it in a receipt. */
export function anchorPreimage(
  domain: QuorumDomain,
  { log, size, root }: { readonly log: Uint8Array; readonly size: number; readonly root: Uint8Array },
): Uint8Array {
  return typedPreimage(domain, [checkpointType, domain.config, log, word(BigInt(size)), root]);
}

/** EIP-712 §"Specification": each field a word of 32 bytes. */
function typedPreimage({ chainId, oracleSet }: QuorumDomain, fields: readonly Uint8Array[]): Uint8Array {
  const separator = [domainType, domainName, domainVersion, word(BigInt(chainId)), oracleSet];
  return concatBytes(Uint8Array.of(0x19, 0x01), keccak_256(words(separator)), keccak_256(words(fields)));
}

/** What OracleSet.config().digest is the keccak256 of: abi.encode(chainid, this, count, signers, f). */
export function configPreimage(
  { chainId, oracleSet }: Pick<QuorumDomain, 'chainId' | 'oracleSet'>,
  { count, signers, f }: { readonly count: number; readonly signers: readonly Uint8Array[]; readonly f: number },
): Uint8Array {
  // The list of signers is dynamic: its place is given, after five words, and it begins with its length.
  const [head, list] = [word(BigInt(chainId)), word(BigInt(signers.length))];
  return words([head, oracleSet, word(BigInt(count)), word(160n), word(BigInt(f)), list, ...signers]);
}

function typeHash(text: string): Uint8Array {
  return keccak_256(utf8ToBytes(text));
}

/** 32 bytes, big-endian. */
function word(value: bigint): Uint8Array {
  const bytes = new Uint8Array(32);
  for (let i = 31, rest = value; rest > 0n; i--, rest >>= 8n) bytes[i] = Number(rest & 0xffn);
  return bytes;
}

/** Each field at the right end of its word: 32 bytes as they are, an address of 20 after zeros. */
function words(fields: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(fields.length * 32);
  fields.forEach((field, i) => bytes.set(field, i * 32 + 32 - field.length));
  return bytes;
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
