/** Private series of the log, as they are shown: what everybody may know of them, and the bytes that a party opens. */
import { channelName, isPrivate, leafHash, makeInclusionProof, subtreesOf, bytesToHex } from '@coldproof/wire';
import type { Crypto, OpenEnvelope, PrivateSeries } from '@coldproof/wire';
import type { LoggedBatch, Window } from './readings.ts';

export type PrivateEntry = {
  readonly sequence: number;
  /** The batch's, Unix seconds: when within them is private, too. */
  readonly fromSec: number;
  readonly toSec: number;
  /** wire's partyOf, hex. */
  readonly parties: readonly string[];
  /** All that opening and checking takes but the device's key; null where not all channels in the leaf may be seen. */
  readonly proof: PrivateProof | null;
};

export type PrivateProof = {
  readonly batch: string;
  readonly signature: string;
  readonly leafIndex: number;
  readonly path: readonly string[];
  readonly bytes: string;
  readonly channels: readonly string[];
};

/** What the batch has of this channel when it is private there. `canSee` says which channels the reader may have. */
export function privateEntry(
  { envelope, batch, leaves }: OpenEnvelope,
  channel: number,
  canSee: (channel: number) => boolean,
  crypto: Crypto,
): PrivateEntry | undefined {
  const leafIndex = leaves.findIndex((leaf) => isPrivate(leaf) && leaf.channels.includes(channel));
  if (leafIndex < 0) return undefined;
  const leaf = leaves[leafIndex] as PrivateSeries;
  const parties = leaf.wraps.map(({ party }) => bytesToHex(party));
  const { sequence, firstSec: fromSec, lastSec: toSec } = batch;
  // One key opens the whole leaf, so that who may not have all of it gets nothing of it.
  if (!leaf.channels.every(canSee)) return { sequence, fromSec, toSec, parties, proof: null };
  const subtrees = subtreesOf(
    envelope.series.map((encoded) => leafHash(encoded, crypto.sha256)),
    crypto.sha256,
  );
  const path = makeInclusionProof(leafIndex, leaves.length, subtrees).map((each) => bytesToHex(each));
  const proof = {
    ...{ batch: bytesToHex(envelope.batch), signature: bytesToHex(envelope.signature), leafIndex, path },
    ...{ bytes: bytesToHex(envelope.series[leafIndex]!), channels: leaf.channels.map(channelName) },
  };
  return { sequence, fromSec, toSec, parties, proof };
}

/** A channel that was private for so long, batch after batch. */
export type PrivateStretch = { readonly channel: number; readonly fromSec: number; readonly toSec: number };

/** Gathers them while a reader walks the batches, so that none of it looks like silence. */
export class PrivateStretches {
  readonly #window: Window;
  readonly #ended: PrivateStretch[] = [];
  readonly #open = new Map<number, PrivateStretch>();

  constructor(window: Window) {
    this.#window = window;
  }

  add({ batch, privateChannels }: Pick<LoggedBatch, 'batch' | 'privateChannels'>, channels: ReadonlySet<number>): void {
    for (const [channel, stretch] of this.#open) {
      if (privateChannels.includes(channel)) continue;
      this.#open.delete(channel);
      this.#ended.push(stretch);
    }
    for (const channel of privateChannels.filter((each) => channels.has(each))) {
      const fromSec = this.#open.get(channel)?.fromSec ?? Math.max(batch.firstSec, this.#window.fromSec);
      const toSec = Math.max(fromSec, Math.min(batch.lastSec, this.#window.toSec));
      this.#open.set(channel, { channel, fromSec, toSec });
    }
  }

  list(): PrivateStretch[] {
    return [...this.#ended, ...this.#open.values()].sort((a, b) => a.fromSec - b.fromSec || a.channel - b.channel);
  }
}
