/**
 * Sensors whose own firmware holds the key. Their envelopes arrive whole on the local broker; the agent checks what an
 * oracle would refuse, journals the bytes untouched, and carries them and the receipts:
 *
 *   sensor --envelope--> [judgeEnvelope] --> journal.append, fsync --> PUBACK       then forward.ts as for any device
 *   sensor <--agent/{name}/receipt, the oracle's own bytes--- journal.settle <----- receipt
 *
 * MQTT 3.1.1 has no refusal, so a PUBACK says "arrived", and only the receipt, which the sensor verifies with the log's
 * key, lets it forget. Without one it sends again from its oldest; what is known already is answered with its receipt.
 */
import {
  accept,
  bytesEqual,
  bytesToHex,
  channelName,
  clockSkewSecMax,
  decodeEnvelope,
  deviceOf,
  flags,
  openEnvelope,
  reject,
  shortHex,
  verifyEnvelope,
  type EnvelopeReason,
  type OpenEnvelope,
  type Verdict,
} from '@coldproof/wire';
import { monotonicClock } from './clock.ts';
import type { SignedSensorConfig } from './config-signed.ts';
import type { Head, Journal } from './journal.ts';
import type { ReceiptTerms } from './journal-receipts.ts';
import type { LogKeys } from './log-key.ts';
import { markNames, type DeviceStatus } from './status.ts';
import type { UplinkState } from './uplink-state.ts';

export type SignedSensorReason =
  | EnvelopeReason
  /** The envelope of another device than the configured public key's. */
  | 'envelope-of-another-device'
  /** Without the flag 0x0001 the batch says that a gateway has signed it. */
  | 'envelope-not-sensor-signed'
  /** The key has signed another batch with this sequence: the sensor, or a thief of its key, tells two stories. */
  | 'envelope-equivocation'
  /** A batch before it has not come. The sensor sends again from its oldest without a receipt. */
  | 'envelope-gap'
  /** `previous` is not the digest of the batch before it. */
  | 'envelope-previous-mismatch'
  /** Dated further ahead than clockSkewSecMax: the oracle would refuse it, and every later one behind it. */
  | 'envelope-in-future'
  /** A repeat of something so old that its receipt is no longer kept. */
  | 'envelope-forgotten';

/** What is known of an earlier sequence. */
export type Known = { readonly digest: Uint8Array; readonly receipts: readonly Uint8Array[] };

export type Judged = { readonly opened: OpenEnvelope; readonly repeated: Known | undefined };

export type Judging = {
  readonly publicKey: Uint8Array;
  /** Undefined for a sensor that never spoke here: it may have had another gateway, and any sequence is its first. */
  readonly head: Head | undefined;
  readonly known: (sequence: number) => Known | undefined;
  /** Undefined while the gateway's own clock is not to be trusted. */
  readonly nowSec: number | undefined;
};

/** Pure. The signature is looked at last, since it costs most. */
export function judgeEnvelope(bytes: Uint8Array, terms: Judging): Verdict<Judged, SignedSensorReason> {
  const decoded = decodeEnvelope(bytes);
  if (!decoded.ok) return decoded;
  const opened = openEnvelope(decoded.value);
  if (!opened.ok) return opened;
  const { batch } = opened.value;
  const device = deviceOf(terms.publicKey);
  if (!bytesEqual(batch.device, device)) {
    const detail = `device: expected ${bytesToHex(device)}, got ${bytesToHex(batch.device)}`;
    return reject('envelope-of-another-device', detail);
  }
  if ((batch.flags & flags.sensorSigned) === 0) {
    return reject('envelope-not-sensor-signed', `flags: expected bit 0x0001, got 0x${batch.flags.toString(16)}`);
  }
  if (terms.nowSec !== undefined && batch.lastSec > terms.nowSec + clockSkewSecMax) {
    const detail = `last: expected <= ${terms.nowSec} + ${clockSkewSecMax}, got ${batch.lastSec}`;
    return reject('envelope-in-future', detail);
  }
  const placed = placeOf(opened.value, terms);
  if (!placed.ok && placed.reason !== 'envelope-equivocation') return placed;
  const signed = verifyEnvelope(decoded.value, terms.publicKey);
  if (!signed.ok) return signed;
  return placed.ok ? accept({ opened: opened.value, repeated: placed.value }) : placed;
}

/** Undefined for the next one; else the earlier one that it repeats. */
function placeOf(
  { batch, digest }: OpenEnvelope,
  { head, known }: Judging,
): Verdict<Known | undefined, SignedSensorReason> {
  const { sequence, previous } = batch;
  if (head === undefined) return accept(undefined);
  if (sequence > head.sequence) {
    return reject('envelope-gap', `sequence: expected ${head.sequence}, got ${sequence}`);
  }
  if (sequence === head.sequence) {
    if (bytesEqual(previous, head.previous)) return accept(undefined);
    const detail = `previous: expected ${shortHex(head.previous)}, got ${shortHex(previous)}`;
    return reject('envelope-previous-mismatch', detail);
  }
  const earlier = known(sequence);
  if (earlier === undefined) return reject('envelope-forgotten', `sequence ${sequence}: not kept any more`);
  if (bytesEqual(earlier.digest, digest)) return accept(earlier);
  return reject('envelope-equivocation', `digest of sequence ${sequence}: got ${shortHex(digest)}, which is another`);
}

type Store = Pick<Journal, 'findHead' | 'adoptDeviceAt' | 'append' | 'unreleased' | 'pendingCount' | 'receipts'>;

/** One such sensor in the running agent. */
export class SignedSensor {
  readonly config: SignedSensorConfig;
  readonly id: Uint8Array;
  readonly uplinks: readonly UplinkState[];
  queued: number;
  receipts: number;
  readonly #journal: Store;
  readonly #terms: ReceiptTerms;
  readonly #logKeys: readonly LogKeys[];
  #lastSec: number | undefined;
  #faults: DeviceStatus['faults'] = {};

  constructor(
    config: SignedSensorConfig,
    journal: Store,
    ways: {
      readonly uplinks: readonly UplinkState[];
      readonly terms: ReceiptTerms;
      readonly logKeys: readonly LogKeys[];
    },
  ) {
    this.config = config;
    this.id = deviceOf(config.publicKey);
    this.uplinks = ways.uplinks;
    this.#journal = journal;
    this.#terms = ways.terms;
    this.#logKeys = ways.logKeys;
    const head = journal.findHead(this.id);
    if (head !== undefined) journal.receipts.require(this.id, ways.terms);
    this.queued = journal.pendingCount(this.id);
    this.receipts = head?.receipts ?? 0;
  }

  /** Sequence of its next batch, as far as this gateway knows. */
  get nextSequence(): number {
    return this.#journal.findHead(this.id)?.sequence ?? 0;
  }

  /** What it gives is on the disk. Throws what the journal throws. */
  take(bytes: Uint8Array, nowSec: number | undefined): Verdict<Judged, SignedSensorReason> {
    const head = this.#journal.findHead(this.id);
    const judged = judgeEnvelope(bytes, {
      publicKey: this.config.publicKey,
      head,
      known: (sequence) => this.#known(sequence),
      nowSec,
    });
    if (!judged.ok || judged.value.repeated !== undefined) return judged;
    const { batch, digest, series } = judged.value.opened;
    const { sequence, previous } = batch;
    if (head === undefined) {
      this.#journal.adoptDeviceAt(this.id, sequence, previous);
      this.#journal.receipts.require(this.id, this.#terms);
    }
    this.#journal.append({ device: this.id, sequence, digest, bytes, readings: [], lastSec: batch.lastSec });
    this.queued += 1;
    this.#lastSec = batch.seriesCount === 0 ? this.#lastSec : batch.lastSec;
    for (const { channel, marks } of series) {
      const name = channelName(channel);
      const others = Object.entries(this.#faults).filter(([each]) => each !== name);
      const [gravest] = markNames(marks);
      this.#faults = Object.fromEntries(gravest === undefined ? others : [...others, [name, gravest]]);
    }
    for (const { bell } of this.uplinks) bell.ring();
    return judged;
  }

  /** The oracles' own bytes, as far as they are here. */
  receiptsOf(sequence: number): Uint8Array[] {
    return this.#terms.logs.flatMap((log) => {
      const [row] = this.#journal.receipts.kept(this.id, log, sequence, 1);
      return row?.sequence === sequence ? [row.bytes] : [];
    });
  }

  status(): DeviceStatus {
    const { nextSequence } = this;
    const cursors = this.#journal.receipts.cursors(this.id);
    const down = this.uplinks.find(({ link }) => !link.connected);
    return {
      name: this.config.name,
      device: bytesToHex(this.id),
      provenance: 'sensor-signed',
      key: { available: true },
      link: { connected: down === undefined, why: down?.link.why },
      links: this.uplinks.map((uplink) => uplink.status(cursors, nextSequence, monotonicClock.nowMs())),
      unsealed: 0,
      queued: this.queued,
      formerQueued: 0,
      sealed: nextSequence,
      receipts: this.receipts,
      dropped: 0,
      lastReadingAt: this.#lastSec === undefined ? undefined : new Date(this.#lastSec * 1_000).toISOString(),
      faults: this.#faults,
      // Its terms are judged by the oracle; the gateway only carries its envelopes.
      terms: undefined,
    };
  }

  #known(sequence: number): Known | undefined {
    const receipts = this.receiptsOf(sequence);
    const [waiting] = this.#journal.unreleased(this.id, sequence, 1);
    if (waiting?.sequence === sequence) return { digest: waiting.digest, receipts };
    for (const keys of this.#logKeys) {
      for (const receipt of receipts) {
        const verified = keys.verify(receipt);
        if (verified.ok) return { digest: verified.value.digest, receipts };
      }
    }
    return undefined;
  }
}
