/**
 * Two statements that one key must not both have signed -> a fact about that key. Pure but for the keys it asks for: an
 * accusation proves itself, so it does not matter who brings it, and nobody can be accused by a lie.
 */
import {
  accept,
  bytesEqual,
  bytesToHex,
  decodeBatch,
  decodeEnvelope,
  digestBatch,
  reject,
  verifyCheckpoint,
  verifyEnvelope,
  verifyPeerMessage,
  type Accusation,
  type Attestation,
  type Crypto,
  type PeerContent,
  type Proposal,
  type Verdict,
} from '@coldproof/wire';
import type { StoredAccusation } from '../store-quorum.ts';
import type { Peers } from './peers.ts';

export type AccuseReason =
  /** One of the two is not what it should be, or not by that key. */
  | 'accusation-unproved'
  /** Both can be true. */
  | 'accusation-compatible'
  /** A device that the registry, as far as it is read here, does not have. */
  | 'accused-unknown';

export type AccuseKeys = {
  readonly peers: Peers;
  /** x ‖ y of an enrolled device (hex). */
  readonly deviceKey: (device: string) => Uint8Array | undefined;
  readonly crypto: Crypto;
};

type Judged = Verdict<Pick<StoredAccusation, 'accused' | 'subject' | 'place'>, AccuseReason>;

export function judgeAccusation({ accused, first, second }: Accusation, keys: AccuseKeys): Judged {
  if (accused === 'device') return judgeDevice(first, second, keys);
  if (accused === 'log') return judgeLog(first, second, keys.peers);
  return judgeNode(first, second, keys.peers);
}

/** Two batches with one sequence. */
function judgeDevice(first: Uint8Array, second: Uint8Array, { deviceKey, crypto }: AccuseKeys): Judged {
  const read = (bytes: Uint8Array) => {
    const envelope = decodeEnvelope(bytes);
    const batch = envelope.ok ? decodeBatch(envelope.value.batch) : envelope;
    return envelope.ok && batch.ok ? { envelope: envelope.value, batch: batch.value } : undefined;
  };
  const [a, b] = [read(first), read(second)];
  if (a === undefined || b === undefined) return reject('accusation-unproved', 'expected two envelopes');
  const isOnePlace = bytesEqual(a.batch.device, b.batch.device) && a.batch.sequence === b.batch.sequence;
  if (!isOnePlace || bytesEqual(digestBatch(a.envelope.batch), digestBatch(b.envelope.batch))) {
    return reject('accusation-compatible', 'expected two batches of one device and sequence');
  }
  const subject = bytesToHex(a.batch.device);
  const key = deviceKey(subject);
  if (key === undefined) return reject('accused-unknown', `device ${subject}`);
  for (const { envelope } of [a, b]) {
    const signed = verifyEnvelope(envelope, key, crypto);
    if (!signed.ok) return reject('accusation-unproved', signed.detail);
  }
  return accept({ accused: 'device', subject, place: String(a.batch.sequence) });
}

/** Two heads of one size. */
function judgeLog(first: Uint8Array, second: Uint8Array, peers: Peers): Judged {
  const notes = [first, second].map((bytes) => Buffer.from(bytes).toString('utf8'));
  const origin = notes[0]!.split('\n', 1)[0];
  const peer = peers.all.find((each) => each.origin === origin);
  if (peer === undefined) return reject('accusation-unproved', `no log ${origin ?? ''}`);
  const [a, b] = notes.map((note) => verifyCheckpoint(note, peer.origin, peer.logPublicKey));
  if (a?.ok !== true || b?.ok !== true) return reject('accusation-unproved', `expected two heads of ${peer.origin}`);
  if (a.value.size !== b.value.size || bytesEqual(a.value.root, b.value.root)) {
    return reject('accusation-compatible', `sizes ${a.value.size} and ${b.value.size}`);
  }
  return accept({ accused: 'log', subject: peer.id, place: String(a.value.size) });
}

/** Two proposals with other results for one slot, or two signatures for one slot and deadline. */
function judgeNode(first: Uint8Array, second: Uint8Array, peers: Peers): Judged {
  const keyOf = (node: Uint8Array) => peers.byId(bytesToHex(node))?.logPublicKey;
  const [a, b] = [verifyPeerMessage(first, keyOf), verifyPeerMessage(second, keyOf)];
  if (!a.ok) return reject('accusation-unproved', a.detail);
  if (!b.ok) return reject('accusation-unproved', b.detail);
  const isOneVoice = bytesEqual(a.value.node, b.value.node) && bytesEqual(a.value.config, b.value.config);
  if (!isOneVoice || !contradicts(a.value.content, b.value.content)) {
    return reject('accusation-compatible', 'expected two statements of one node that exclude each other');
  }
  return accept({ accused: 'node', subject: bytesToHex(a.value.node), place: placeOf(a.value.content) ?? '' });
}

/** A renewed deadline is no contradiction; another result is. */
export function contradicts(a: PeerContent, b: PeerContent): boolean {
  const place = placeOf(a);
  if (place === undefined || place !== placeOf(b)) return false;
  if (a.kind === 'proposal' && b.kind === 'proposal') return !isSameResult(a, b);
  if (a.kind === 'attestation' && b.kind === 'attestation') return !isSameVote(a, b);
  return false;
}

function isSameResult(a: Proposal, b: Proposal): boolean {
  return bytesEqual(a.report.payload, b.report.payload) && bytesEqual(a.report.consumer, b.report.consumer);
}

function isSameVote(a: Attestation, b: Attestation): boolean {
  return a.deadlineSec !== b.deadlineSec || bytesEqual(a.digest, b.digest);
}

/** What a node may say one thing only about. */
export function placeOf(content: PeerContent): string | undefined {
  const slot = content.kind === 'proposal' ? content.report : content.kind === 'attestation' ? content : undefined;
  if (slot === undefined) return undefined;
  return `${content.kind} ${slot.subject}/${bytesToHex(slot.cryptlet)}/${slot.sequence}`;
}
