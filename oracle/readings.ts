/** The log -> readings of one device in a window, oldest first. What is stored was verified before it was stored. */
import { flags, type Crypto, type OpenEnvelope } from '@coldproof/wire';
import type { Store } from './store.ts';
import { openStored } from './stored-batch.ts';

/** Unix seconds, both included. */
export type Window = { readonly fromSec: number; readonly toSec: number };

export type LoggedBatch = OpenEnvelope & {
  /** Leaf of the log. */
  readonly index: number;
  readonly loggedMs: number;
};

export type Reading = {
  readonly channel: number;
  readonly timeSec: number;
  /** In the channel's unit; wire's faultValue when the sensor had none. */
  readonly value: number;
  readonly marks: number;
  readonly isSensorSigned: boolean;
  readonly sequence: number;
};

export type ReadingSource = { readonly store: Store; readonly crypto: Crypto };

/** Between two pages of this many batches, whatever else waits on the thread has its turn. */
const pageBatches = 64;

/** Batches that have a moment in common with the window, from `fromSequence` on when it is given. */
export async function* batchesIn(
  { store, crypto }: ReadingSource,
  device: Uint8Array,
  window: Window,
  fromSequence = 0,
): AsyncGenerator<LoggedBatch> {
  const first = store.log.firstSequenceSince(device, window.fromSec);
  if (first === undefined) return;
  let next = Math.max(first, fromSequence);
  for (;;) {
    const page = store.pages.leaves(device, { fromSequence: next, toSec: window.toSec, countMax: pageBatches });
    for (const { envelope, index, loggedMs } of page) yield { ...openStored(envelope, crypto), index, loggedMs };
    if (page.length < pageBatches) return;
    next = page.at(-1)!.sequence + 1;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** The readings of a batch that lie in the window, channel by channel. */
export function readingsOf({ batch, series }: OpenEnvelope, window: Window, channels: ReadonlySet<number>): Reading[] {
  const isSensorSigned = (batch.flags & flags.sensorSigned) !== 0;
  return series
    .filter(({ channel }) => channels.has(channel))
    .flatMap(({ channel, marks, samples }) =>
      samples
        .filter(({ timeSec }) => timeSec >= window.fromSec && timeSec <= window.toSec)
        .map(({ timeSec, value }) => {
          return { channel, timeSec, value, marks, isSensorSigned, sequence: batch.sequence };
        }),
    );
}
