/**
 * Two statements that one key must not both have signed -> a fact about that key, kept and told to all. An accusation
 * proves itself: it does not matter who brings it, and nobody can be accused by a lie.
 */
import {
  accept,
  assert,
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
  type Cosignature,
  type Crypto,
  encodeEnvelope,
  utf8ToBytes,
  type PeerContent,
  type Proposal,
  type Verdict,
} from '@coldproof/wire';
import type { Clock } from '../clock.ts';
import type { Log } from '../log-line.ts';
import { opensslEd25519 } from '../openssl-ed25519.ts';
import type { StoredAccusation } from '../store-quorum.ts';
import type { Store } from '../store.ts';
import type { Peer, Peers } from './peers.ts';

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

/** What was heard last about one thing, of all nodes together. */
const rememberedMax = 4_096;

export class Accuse {
  readonly #store: Store;
  readonly #keys: AccuseKeys;
  readonly #pace: Clock;
  readonly #log: Log;
  /** By node and place: what it said, and the message that it said it in. */
  readonly #heard = new Map<string, { readonly content: PeerContent; readonly bytes: Uint8Array }>();
  #toldDevices = 0;

  constructor({ store, keys, pace, log }: { store: Store; keys: AccuseKeys; pace: Clock; log: Log }) {
    this.#store = store;
    this.#keys = keys;
    this.#pace = pace;
    this.#log = log;
  }

  /** Kept when it is proved. What is new to this node it passes on once, for those who did not hear the first. */
  receive(accusation: Accusation): Verdict<readonly PeerContent[], AccuseReason> {
    const judged = judgeAccusation(accusation, this.#keys);
    if (!judged.ok) return judged;
    const { first, second } = accusation;
    const stored = { ...judged.value, first, second, seenMs: this.#pace.nowMs() };
    const isNew = this.#store.transaction(() => this.#store.quorum.insertAccusation(stored));
    if (isNew) this.#log('error', 'equivocation-proved', judged.value);
    return accept(isNew ? [accusation] : []);
  }

  /** A key of this node, its log's and its voice, that has said two things. */
  isAccused({ id }: Peer): boolean {
    return this.#store.quorum.isAccused('node', id) || this.#store.quorum.isAccused('log', id);
  }

  /** Devices that the log caught with two batches for one sequence. */
  tick(): readonly Accusation[] {
    const proofs = this.#store.log.equivocationProofs();
    const fresh = proofs.slice(this.#toldDevices);
    this.#toldDevices = proofs.length;
    return fresh.map(({ first, second }) => {
      return { kind: 'accusation', accused: 'device', first: withoutSeries(first), second: withoutSeries(second) };
    });
  }

  /** Holds a message against what the node said about the same thing before. */
  compare(from: Peer, content: PeerContent, bytes: Uint8Array): Accusation | undefined {
    const place = placeOf(content);
    if (place === undefined) return undefined;
    const key = `${from.id} ${place}`;
    const before = this.#heard.get(key);
    if (before !== undefined && contradicts(before.content, content)) {
      return { kind: 'accusation', accused: 'node', first: before.bytes, second: bytes };
    }
    if (this.#heard.size >= rememberedMax) this.#heard.clear();
    this.#heard.set(key, { content, bytes });
    return undefined;
  }

  /** A log whose head is not the one of that size that this node has signed. */
  ofForkedLog(from: Peer, note: string): readonly Accusation[] {
    const signed = this.#store.quorum.cosigned(from.id);
    return signed === undefined ? [] : [forked(signed.note, note)];
  }

  /** What another witness has signed of a third log, against what this node has signed of it. */
  compareCosigned({ log, size, signed }: Cosignature): Accusation | undefined {
    const peer = this.#keys.peers.byId(bytesToHex(log));
    const own = peer === undefined ? undefined : this.#store.quorum.cosigned(peer.id);
    if (peer === undefined || signed === undefined || own?.size !== size) return undefined;
    const head = verifyCheckpoint(signed.note, peer.origin, peer.logPublicKey);
    if (!head.ok || head.value.size !== size || bytesEqual(head.value.root, own.root)) return undefined;
    return forked(own.note, signed.note);
  }
}

function forked(first: string, second: string): Accusation {
  return { kind: 'accusation', accused: 'log', first: utf8ToBytes(first), second: utf8ToBytes(second) };
}

/** The signed part is the proof; what was measured is nobody's business in it. */
function withoutSeries(envelope: Uint8Array): Uint8Array {
  const decoded = decodeEnvelope(envelope);
  assert(decoded.ok, 'a stored envelope decodes');
  return encodeEnvelope({ ...decoded.value, series: [] });
}

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
  const [a, b] = notes.map((note) => verifyCheckpoint(note, peer.origin, peer.logPublicKey, opensslEd25519));
  if (a?.ok !== true || b?.ok !== true) return reject('accusation-unproved', `expected two heads of ${peer.origin}`);
  if (a.value.size !== b.value.size || bytesEqual(a.value.root, b.value.root)) {
    return reject('accusation-compatible', `sizes ${a.value.size} and ${b.value.size}`);
  }
  return accept({ accused: 'log', subject: peer.id, place: String(a.value.size) });
}

/** Two proposals with other results for one slot, or two signatures for one slot and deadline. */
function judgeNode(first: Uint8Array, second: Uint8Array, peers: Peers): Judged {
  const keyOf = (node: Uint8Array) => peers.byId(bytesToHex(node))?.logPublicKey;
  const [a, b] = [first, second].map((bytes) => verifyPeerMessage(bytes, keyOf, opensslEd25519));
  if (a?.ok !== true || b?.ok !== true) return reject('accusation-unproved', 'expected two messages of a node');
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
