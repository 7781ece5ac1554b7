/**
 * From an order's terms and the log to what is due: which cryptlets are to be run now, and on what. Pure: whoever has
 * the chain and the log comes to the same runs and the same inputs.
 */
import { assert, bytesToHex, faultValue, type OpenEnvelope, type OrderUnderWatch } from '@coldproof/wire';
import type { Cryptlet } from './cryptlet.ts';
import type { CryptletInput, InputSample, InputSeries } from './input.ts';
import type { Manifest } from './manifest.ts';

/** What a run rests on besides the batches; all of it is on the chain. */
export type ReadOrder = OrderUnderWatch & {
  /** Bare hex. */
  readonly device: string;
};

/** An order that names cryptlets in its terms. */
export type AttestedOrder = ReadOrder & {
  /** Digests, bare hex. */
  readonly cryptlets: readonly string[];
};

export type DueRun = { readonly cryptlet: Cryptlet; readonly input: CryptletInput };

/**
 * The runs that the last of `batches` asks for, in the order of the terms. `batches` are all of the device's since the
 * first that reaches past the dispatch, without a hole; `installed` are the cryptlets that this node has, by digest.
 */
export function dueRuns(
  order: AttestedOrder,
  batches: readonly OpenEnvelope[],
  installed: ReadonlyMap<string, Cryptlet>,
): DueRun[] {
  return cryptletsOf(order, installed)
    .filter(({ manifest }) => isDue(manifest, order, batches) && canRead(manifest, order, batches))
    .map((cryptlet) => ({ cryptlet, input: inputOf(cryptlet.manifest, order, batches) }));
}

/**
 * The last run that any of `batches` asked for, of each cryptlet: what it has come to by now, however many batches ago.
 */
export function latestRuns(
  order: AttestedOrder,
  batches: readonly OpenEnvelope[],
  installed: ReadonlyMap<string, Cryptlet>,
): DueRun[] {
  return cryptletsOf(order, installed).flatMap((cryptlet) => {
    for (let count = batches.length; count > 0; count--) {
      const read = batches.slice(0, count);
      if (!isDue(cryptlet.manifest, order, read)) continue;
      const isReadable = canRead(cryptlet.manifest, order, read);
      return isReadable ? [{ cryptlet, input: inputOf(cryptlet.manifest, order, read) }] : [];
    }
    return [];
  });
}

function cryptletsOf({ cryptlets }: AttestedOrder, installed: ReadonlyMap<string, Cryptlet>): Cryptlet[] {
  return cryptlets.flatMap((digest) => installed.get(digest) ?? []);
}

/** Whether the last batch asks for a run. */
export function isDue({ trigger }: Manifest, order: OrderUnderWatch, batches: readonly OpenEnvelope[]): boolean {
  const { judgedFromSec, deliveredAtSec } = order;
  const last = batches.at(-1)?.batch;
  assert(last !== undefined, 'there is a batch');
  const isAfter = deliveredAtSec !== 0 && last.firstSec > deliveredAtSec;
  const before = batches.slice(0, -1).map(({ batch }) => batch.lastSec);
  switch (trigger.on) {
    case 'batch':
      return !isAfter;
    case 'interval':
      return !isAfter && periodsUntil(last.lastSec) > Math.max(0, ...before.map(periodsUntil));
    case 'delivery':
      // With the batch that says that there is nothing more from before the delivery.
      return deliveredAtSec !== 0 && last.lastSec >= deliveredAtSec && before.every((sec) => sec < deliveredAtSec);
  }

  function periodsUntil(sec: number): number {
    return trigger.on === 'interval' ? Math.floor((sec - judgedFromSec) / trigger.everySec) : 0;
  }
}

/**
 * Whether none of the channels was private in the time that the program looks at. Without its samples a channel would
 * look silent, and what is attested must be neither that nor "in order": so nothing is.
 */
export function canRead(manifest: Manifest, order: ReadOrder, batches: readonly OpenEnvelope[]): boolean {
  const isHidden = (each: OpenEnvelope) => each.privateChannels.some((channel) => manifest.channels.includes(channel));
  const hidden = batches.filter(isHidden);
  if (hidden.length === 0) return true;
  const { fromSec, nowSec } = inputOf(manifest, order, batches);
  return !hidden.some(({ batch }) => batch.lastSec >= fromSec && batch.firstSec <= nowSec);
}

export function inputOf(manifest: Manifest, order: ReadOrder, batches: readonly OpenEnvelope[]): CryptletInput {
  const { orderId, judgedFromSec, deliveredAtSec, limits, device } = order;
  const [first, last] = [batches[0], batches.at(-1)];
  assert(first !== undefined && last !== undefined, 'there is a batch');
  const untilSec = deliveredAtSec === 0 ? Number.MAX_SAFE_INTEGER : deliveredAtSec;
  const sent = batches.reduce((most, { batch }) => Math.max(most, batch.lastSec), judgedFromSec);
  const nowSec = Math.min(sent, untilSec);
  const windowFromSec = manifest.windowSec === 0 ? 0 : nowSec - manifest.windowSec + 1;
  const fromSec = Math.max(judgedFromSec, windowFromSec);
  return {
    orderId,
    parameters: Object.fromEntries(manifest.parameters.map(({ name, value }) => [name, value])),
    terms: { limits },
    device,
    range: {
      firstSequence: first.batch.sequence,
      lastSequence: last.batch.sequence,
      lastDigest: bytesToHex(last.digest),
    },
    channels: manifest.channels.map((channel) => ({ channel, series: seriesOf(channel, batches, fromSec, untilSec) })),
    dispatchedSec: judgedFromSec,
    fromSec,
    nowSec,
  };
}

/**
 * The channel's samples from `fromSec` to `untilSec`, in the order of their batches. Times ascend: a sample that is not
 * later than the ones before it, of a clock that was set back, is left out.
 */
function seriesOf(channel: number, batches: readonly OpenEnvelope[], fromSec: number, untilSec: number): InputSeries[] {
  let beforeSec = fromSec - 1;
  return batches.flatMap(({ batch, series }) => {
    const found = series.find((each) => each.channel === channel);
    if (found === undefined) return [];
    const samples: InputSample[] = [];
    for (const { timeSec, value } of found.samples) {
      if (timeSec <= beforeSec || timeSec > untilSec) continue;
      samples.push([timeSec, value === faultValue(channel) ? null : value]);
      beforeSec = timeSec;
    }
    if (samples.length === 0) return [];
    return [{ sequence: batch.sequence, flags: batch.flags, marks: found.marks, samples }];
  });
}
