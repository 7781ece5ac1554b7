/**
 * What the oracles of a consortium tell one another, each message signed with the sender's log key and worth nothing
 * under another configuration of the OracleSet.
 *
 *   message = #6.18([h'a10127', {}, body: bstr, signature: bstr])
 *   body    = [version, config, node, kind, content]
 *
 * Each content says the same whenever it is heard: a repeat, an old message or one out of order can only be heard
 * again. So there is no counter to keep, and nothing to lose with it.
 */
import { attestationBytes } from './attestation.ts';
import { bytesEqual } from './bytes.ts';
import { decodeCbor, encodeCbor, isCborArray, type Cbor } from './cbor.ts';
import { verifyEd25519 } from './crypto.ts';
import { describeValue, isDigest, isUint } from './field.ts';
import {
  checkpointBytesMax,
  indexMax,
  payloadBytesMax,
  peerMessageBytesMax,
  sequenceMax,
  unixSecMax,
} from './limits.ts';
import { peerPreimage, protectedEdDsa } from './preimage.ts';
import { logOf } from './receipt.ts';
import type { Report } from './report.ts';
import { openSign1, sign1 } from './sign1.ts';
import { peerKinds } from './topic.ts';
import { accept, assert, reject, type Verdict } from './verdict.ts';

export const peerMessageVersion = 1;

/** "It is my turn: let us attest this." */
export type Proposal = {
  readonly kind: 'proposal';
  readonly report: Report;
  /** Which turn it is, from 0: the leaders change by it. */
  readonly turn: number;
  /** The last batch of the device that the cryptlet has read. */
  readonly lastSequence: number;
  readonly lastDigest: Uint8Array;
};

/** "I have worked it out for myself, and sign." */
export type Attestation = {
  readonly kind: 'attestation';
  readonly cryptlet: Uint8Array;
  readonly subject: bigint;
  readonly sequence: number;
  readonly deadlineSec: number;
  /** digestReport */
  readonly digest: Uint8Array;
  readonly signature: Uint8Array;
};

/** "This is the head of my log; here is the proof from where you saw it last." (c2sp.org/tlog-witness, add-checkpoint) */
export type PeerCheckpoint = {
  readonly kind: 'checkpoint';
  readonly note: string;
  readonly oldSize: number;
  /** RFC 9162 consistency proof from oldSize; empty from 0. */
  readonly proof: readonly Uint8Array[];
};

/** "I have seen the log up to `size`", and, if it has signed at all, what it signed last. */
export type Cosignature = {
  readonly kind: 'cosignature';
  readonly log: Uint8Array;
  readonly size: number;
  readonly signed?: {
    readonly note: string;
    /** formatCosignature's line. */
    readonly line: string;
    /** Over digestAnchor, under the message's configuration. */
    readonly signature: Uint8Array;
  };
};

export const accusedKinds = ['device', 'log', 'node'] as const;

/** Two statements that one key must not both have signed: envelopes without series, notes, or peer messages. */
export type Accusation = {
  readonly kind: 'accusation';
  readonly accused: (typeof accusedKinds)[number];
  readonly first: Uint8Array;
  readonly second: Uint8Array;
};

/** "Give me this path of your HTTP API": shown with a request, and good for this log and about this time. */
export type PeerRequest = {
  readonly kind: 'request';
  readonly log: Uint8Array;
  readonly timeSec: number;
  readonly path: string;
};

export type PeerContent = Proposal | Attestation | PeerCheckpoint | Cosignature | Accusation | PeerRequest;

/** By their numbers; the last one travels over HTTP and has no topic. */
const contentKinds = [...peerKinds, 'request'] as const;

export type PeerMessage = {
  readonly config: Uint8Array;
  /** logOf the key that signs it. */
  readonly node: Uint8Array;
  readonly content: PeerContent;
};

export type PeerReason =
  | 'peer-message-malformed'
  /** No oracle of the configured ones. */
  | 'peer-unknown'
  | 'peer-signature-invalid';

/** What the log key signs is peerPreimage(encodePeerBody(message)). */
export function encodePeerBody({ config, node, content }: PeerMessage): Uint8Array {
  return encodeCbor([peerMessageVersion, config, node, contentKinds.indexOf(content.kind), encodeContent(content)]);
}

export function encodePeerMessage(body: Uint8Array, signature: Uint8Array): Uint8Array {
  const encoded = encodeCbor(sign1(protectedEdDsa, body, signature));
  assert(encoded.length <= peerMessageBytesMax, `${encoded.length} bytes are at most ${peerMessageBytesMax}`);
  return encoded;
}

/** `publicKeyOf` gives the log key of a node that may speak here. */
export function verifyPeerMessage(
  bytes: Uint8Array,
  publicKeyOf: (node: Uint8Array) => Uint8Array | undefined,
  verify: typeof verifyEd25519 = verifyEd25519,
): Verdict<PeerMessage, PeerReason> {
  if (bytes.length > peerMessageBytesMax) {
    return reject('peer-message-malformed', `expected <= ${peerMessageBytesMax} bytes, got ${bytes.length}`);
  }
  const decoded = decodeCbor(bytes);
  if (!decoded.ok) return reject('peer-message-malformed', decoded.detail);
  const signed = openSign1(decoded.value, protectedEdDsa);
  if (signed === undefined) return malformed('message', bytes, 'a COSE_Sign1 with protected header {1: -8}');
  const body = decodeBody(signed.payload);
  if (!body.ok) return body;
  const publicKey = publicKeyOf(body.value.node);
  if (publicKey === undefined || !bytesEqual(logOf(publicKey), body.value.node)) {
    return reject('peer-unknown', 'node: not one of the configured ones');
  }
  if (!verify(publicKey, peerPreimage(signed.payload), signed.signature)) {
    return reject('peer-signature-invalid', "the signature is not by the node's log key over this message");
  }
  return body;
}

function encodeContent(content: PeerContent): Cbor {
  switch (content.kind) {
    case 'proposal': {
      const { report, turn, lastSequence, lastDigest } = content;
      const { cryptlet, consumer, subject, sequence, deadlineSec, payload } = report;
      return [
        cryptlet,
        consumer,
        subjectBytes(subject),
        sequence,
        deadlineSec,
        payload,
        turn,
        lastSequence,
        lastDigest,
      ];
    }
    case 'attestation': {
      const { cryptlet, subject, sequence, deadlineSec, digest, signature } = content;
      return [cryptlet, subjectBytes(subject), sequence, deadlineSec, digest, signature];
    }
    case 'checkpoint':
      return [content.note, content.oldSize, content.proof];
    case 'cosignature': {
      const { log, size, signed } = content;
      return [log, size, signed === undefined ? [] : [signed.note, signed.line, signed.signature]];
    }
    case 'accusation':
      return [accusedKinds.indexOf(content.accused), content.first, content.second];
    case 'request':
      return [content.log, content.timeSec, content.path];
  }
}

function decodeBody(bytes: Uint8Array): Verdict<PeerMessage, PeerReason> {
  const decoded = decodeCbor(bytes);
  if (!decoded.ok) return reject('peer-message-malformed', decoded.detail);
  const item = decoded.value;
  if (!isCborArray(item) || item.length !== 5) return malformed('body', item, 'an array of 5');
  const [version, config, node, kindIndex, fields] = item;
  if (version !== peerMessageVersion) return malformed('version', version, `${peerMessageVersion}`);
  if (!isDigest(config)) return malformed('config', config, '32 bytes');
  if (!isDigest(node)) return malformed('node', node, '32 bytes');
  const kind = isUint(kindIndex, contentKinds.length - 1) ? contentKinds[kindIndex] : undefined;
  if (kind === undefined) return malformed('kind', kindIndex, `< ${contentKinds.length}`);
  if (fields === undefined || !isCborArray(fields)) return malformed('content', fields, 'an array');
  const content = decoders[kind](fields);
  return content.ok ? accept({ config, node, content: content.value }) : content;
}

type Decoded = Verdict<PeerContent, 'peer-message-malformed'>;

const decoders: Readonly<Record<PeerContent['kind'], (fields: readonly Cbor[]) => Decoded>> = {
  proposal(fields) {
    if (fields.length !== 9) return malformed('proposal', fields, 'an array of 9');
    const [cryptlet, consumer, subject, sequence, deadlineSec, payload, turn, lastSequence, lastDigest] = fields;
    if (!isDigest(cryptlet)) return malformed('cryptlet', cryptlet, '32 bytes');
    if (!isBytes(consumer, 20)) return malformed('consumer', consumer, '20 bytes');
    if (!isDigest(subject)) return malformed('subject', subject, '32 bytes');
    if (!isUint(sequence, indexMax) || sequence === 0) return malformed('sequence', sequence, '>= 1');
    if (!isUint(deadlineSec, unixSecMax)) return malformed('deadline', deadlineSec, `<= ${unixSecMax}`);
    if (!(payload instanceof Uint8Array) || payload.length > payloadBytesMax) {
      return malformed('payload', payload, `<= ${payloadBytesMax} bytes`);
    }
    if (!isUint(turn, indexMax)) return malformed('turn', turn, `<= ${indexMax}`);
    if (!isUint(lastSequence, sequenceMax)) return malformed('lastSequence', lastSequence, `<= ${sequenceMax}`);
    if (!isDigest(lastDigest)) return malformed('lastDigest', lastDigest, '32 bytes');
    const report = { cryptlet, consumer, subject: subjectOf(subject), sequence, deadlineSec, payload };
    return accept({ kind: 'proposal', report, turn, lastSequence, lastDigest });
  },
  attestation(fields) {
    if (fields.length !== 6) return malformed('attestation', fields, 'an array of 6');
    const [cryptlet, subject, sequence, deadlineSec, digest, signature] = fields;
    if (!isDigest(cryptlet)) return malformed('cryptlet', cryptlet, '32 bytes');
    if (!isDigest(subject)) return malformed('subject', subject, '32 bytes');
    if (!isUint(sequence, indexMax) || sequence === 0) return malformed('sequence', sequence, '>= 1');
    if (!isUint(deadlineSec, unixSecMax)) return malformed('deadline', deadlineSec, `<= ${unixSecMax}`);
    if (!isDigest(digest)) return malformed('digest', digest, '32 bytes');
    if (!isBytes(signature, attestationBytes)) return malformed('signature', signature, `${attestationBytes} bytes`);
    const named = { cryptlet, subject: subjectOf(subject), sequence, deadlineSec };
    return accept({ kind: 'attestation', ...named, digest, signature });
  },
  checkpoint(fields) {
    if (fields.length !== 3) return malformed('checkpoint', fields, 'an array of 3');
    const [note, oldSize, proof] = fields;
    if (!isNote(note)) return malformed('note', note, `<= ${checkpointBytesMax} characters`);
    if (!isUint(oldSize, indexMax)) return malformed('oldSize', oldSize, `<= ${indexMax}`);
    // A proof in a tree of 2^53 leaves has at most 53 + 1 digests.
    if (proof === undefined || !isCborArray(proof) || proof.length > 54 || !proof.every(isDigest)) {
      return malformed('proof', proof, 'at most 54 digests of 32 bytes');
    }
    return accept({ kind: 'checkpoint', note, oldSize, proof });
  },
  cosignature(fields) {
    if (fields.length !== 3) return malformed('cosignature', fields, 'an array of 3');
    const [log, size, signed] = fields;
    if (!isDigest(log)) return malformed('log', log, '32 bytes');
    if (!isUint(size, indexMax)) return malformed('size', size, `<= ${indexMax}`);
    if (signed === undefined || !isCborArray(signed)) return malformed('signed', signed, 'an array');
    if (signed.length === 0) return accept({ kind: 'cosignature', log, size });
    const [note, line, signature] = signed;
    if (signed.length !== 3 || !isNote(note)) return malformed('note', note, `<= ${checkpointBytesMax} characters`);
    if (!isNote(line)) return malformed('line', line, `<= ${checkpointBytesMax} characters`);
    if (!isBytes(signature, attestationBytes)) return malformed('signature', signature, `${attestationBytes} bytes`);
    return accept({ kind: 'cosignature', log, size, signed: { note, line, signature } });
  },
  accusation(fields) {
    if (fields.length !== 3) return malformed('accusation', fields, 'an array of 3');
    const [kindIndex, first, second] = fields;
    const accused = isUint(kindIndex, accusedKinds.length - 1) ? accusedKinds[kindIndex] : undefined;
    if (accused === undefined) return malformed('accused', kindIndex, `< ${accusedKinds.length}`);
    if (!(first instanceof Uint8Array)) return malformed('first', first, 'bytes');
    if (!(second instanceof Uint8Array)) return malformed('second', second, 'bytes');
    return accept({ kind: 'accusation', accused, first, second });
  },
  request(fields) {
    if (fields.length !== 3) return malformed('request', fields, 'an array of 3');
    const [log, timeSec, path] = fields;
    if (!isDigest(log)) return malformed('log', log, '32 bytes');
    if (!isUint(timeSec, unixSecMax)) return malformed('time', timeSec, `<= ${unixSecMax}`);
    if (!isNote(path)) return malformed('path', path, `<= ${checkpointBytesMax} characters`);
    return accept({ kind: 'request', log, timeSec, path });
  },
};

function isBytes(item: unknown, size: number): item is Uint8Array {
  return item instanceof Uint8Array && item.length === size;
}

function isNote(item: unknown): item is string {
  return typeof item === 'string' && item.length <= checkpointBytesMax;
}

/** uint256, big-endian. */
function subjectBytes(subject: bigint): Uint8Array {
  const bytes = new Uint8Array(32);
  for (let i = 31, rest = subject; rest > 0n; i--, rest >>= 8n) bytes[i] = Number(rest & 0xffn);
  return bytes;
}

function subjectOf(bytes: Uint8Array): bigint {
  return bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

function malformed(field: string, value: unknown, bound: string) {
  return reject('peer-message-malformed', `${field}: expected ${bound}, got ${describeValue(value)}`);
}
