/**
 * What devices with a backlog say of now, ahead of what is still on its way: verified like a batch, and shown as
 * live, not yet logged. It is never a log entry, never evidence, and gives no receipt: it is kept in memory alone,
 * until the batch itself is logged or an hour has passed. In its own time it comes by the usual way.
 */
import {
  accept,
  assert,
  bytesToHex,
  channelName,
  decodeEnvelope,
  faultValue,
  openEnvelope,
  reject,
  type Crypto,
  type Verdict,
} from '@coldproof/wire';
import { verifyBatch, type DeviceRecord, type VerifyReason } from './verify.ts';

export type LiveReason =
  | VerifyReason
  /** More than one a second of a device, or more of all than the oracle's thread has time for. */
  | 'live-too-often'
  /** Not after the last live batch of this device, or in the log already. */
  | 'live-not-newer';

/** The newest sample of each channel. Times are Unix seconds; `value` is in the channel's unit, null for a fault. */
export type LiveBatch = {
  readonly device: string;
  readonly sequence: number;
  readonly lastSec: number;
  readonly channels: readonly {
    readonly channel: string;
    readonly time: number;
    readonly value: number | null;
    readonly marks: number;
  }[];
  /** Measured, for their parties alone. */
  readonly privateChannels: readonly string[];
};

export type LiveDeps = {
  readonly devices: (device: string) => DeviceRecord | undefined;
  /** The next sequence of the device in the log; 0 for a device without batches. */
  readonly nextSequence: (device: Uint8Array) => number;
  readonly crypto: Crypto;
  /** The voyage's time. */
  readonly nowSec: () => number;
  /** Real time, for the limits of rate. */
  readonly realMs: () => number;
};

const deviceMsMin = 1_000;
/** A verification is about a tenth of a millisecond here: these take 2 % of the thread at most. */
const perSecondMax = 200;
const keptMsMax = 3_600_000;

type Kept = { readonly id: Uint8Array; readonly atMs: number; readonly batch: LiveBatch | undefined };

export class Live {
  readonly #deps: LiveDeps;
  /** By device in hex; only devices of the registry come in here. */
  readonly #kept = new Map<string, Kept>();
  #second = 0;
  #taken = 0;

  constructor(deps: LiveDeps) {
    this.#deps = deps;
  }

  take(device: Uint8Array, bytes: Uint8Array): Verdict<LiveBatch, LiveReason> {
    const { devices, nextSequence, crypto, nowSec, realMs } = this.#deps;
    const atMs = realMs();
    if (!this.#mayTake(atMs)) return reject('live-too-often', `all devices: expected <= ${perSecondMax} a second`);
    const hex = bytesToHex(device);
    const record = devices(hex);
    const known = this.#kept.get(hex);
    if (known !== undefined && atMs - known.atMs < deviceMsMin) {
      return reject('live-too-often', `device ${hex}: expected one in ${deviceMsMin} ms, got ${atMs - known.atMs} ms`);
    }
    // The pause is counted from here on: a forger's attempt must not cost a verification each.
    if (record !== undefined) this.#kept.set(hex, { id: device, atMs, batch: known?.batch });
    const verified = verifyBatch({ device, bytes, record, nowSec: nowSec() }, crypto);
    if (!verified.ok) return verified;
    const { sequence, lastSec } = verified.value;
    const least = Math.max(nextSequence(device), (known?.batch?.sequence ?? -1) + 1);
    if (sequence < least) return reject('live-not-newer', `sequence: expected >= ${least}, got ${sequence}`);
    const batch = { device: hex, sequence, lastSec, ...newestOf(bytes, crypto) };
    this.#kept.set(hex, { id: device, atMs, batch });
    return accept(batch);
  }

  /** Those that are not in the log yet. */
  list(): LiveBatch[] {
    const nowMs = this.#deps.realMs();
    const found: LiveBatch[] = [];
    for (const [hex, { id, atMs, batch }] of this.#kept) {
      if (nowMs - atMs > keptMsMax) this.#kept.delete(hex);
      else if (batch !== undefined && batch.sequence >= this.#deps.nextSequence(id)) found.push(batch);
    }
    return found;
  }

  #mayTake(atMs: number): boolean {
    const second = Math.floor(atMs / 1_000);
    if (second !== this.#second) this.#taken = 0;
    this.#second = second;
    this.#taken += 1;
    return this.#taken <= perSecondMax;
  }
}

function newestOf(bytes: Uint8Array, crypto: Crypto): Pick<LiveBatch, 'channels' | 'privateChannels'> {
  const decoded = decodeEnvelope(bytes);
  const opened = decoded.ok ? openEnvelope(decoded.value, crypto) : decoded;
  assert(opened.ok, 'what was verified can be read');
  const channels = opened.value.series.map(({ channel, marks, samples }) => {
    const { timeSec, value } = samples.at(-1)!;
    const isFault = value === faultValue(channel);
    return { channel: channelName(channel), time: timeSec, value: isFault ? null : value, marks };
  });
  return { channels, privateChannels: opened.value.privateChannels.map(channelName) };
}
