/** What the sensors measured: every reading page by page, or a chart's worth of them with nothing averaged away. */
import { channelName, faultValue, hexToBytes, parseChannel } from '@coldproof/wire';
import { transitOf } from '../bundle.ts';
import { Downsample } from '../downsample.ts';
import { exportUnit, markNames } from '../exports/unit.ts';
import { PrivateStretches, privateEntry } from '../private-readings.ts';
import { batchesIn, readingsOf, type Window } from '../readings.ts';
import type { Order } from '../store-chain.ts';
import { formatCursor } from './cursor.ts';
import { canSeeChannel, type Principal } from './principal.ts';
import { Refusal, cursorOf, nowSecOf, visibleOrder, type Api, type ApiSources } from './route.ts';
import * as schema from './schema.ts';
import { orderParams } from './shipments.ts';

const readingAnswer = schema.object({
  time: schema.integer,
  value: { ...schema.integerOrNull, description: 'null: the sensor was at fault' },
  marks: schema.list(schema.text),
  provenance: { enum: ['sensor-signed', 'gateway-signed'] },
  sequence: { ...schema.integer, description: 'of the signed batch' },
});

const privateAnswer = schema.object({
  ...{ sequence: schema.integer, fromSec: schema.integer, toSec: schema.integer },
  parties: { ...schema.list(schema.text), description: 'first 8 bytes of the SHA-256 of their X25519 keys' },
  proof: {
    type: ['object', 'null'],
    additionalProperties: true,
    description: 'batch, signature, leafIndex, path, bytes, channels; null when the leaf has channels not to be seen',
  },
});
const stretchAnswer = schema.object({ fromSec: schema.integer, toSec: schema.integer });

/** Each is a kilobyte and more. */
const privatesPerPageMax = 100;

const unitAnswer = schema.object({ digits: schema.integer, name: schema.textOrNull });
const pointAnswer = schema.object({ timeSec: schema.integer, value: schema.integer });
const bucketAnswer = schema.object(
  {
    ...{ fromSec: schema.integer, count: schema.integer, faultCount: schema.integer },
    marks: schema.list(schema.text),
    ...{ first: pointAnswer, last: pointAnswer, lowest: pointAnswer, highest: pointAnswer },
  },
  ['first', 'last', 'lowest', 'highest'],
);

const windowQuery = { channel: schema.channelText, from: schema.unixSec, to: schema.unixSec };
type WindowQuery = { channel: string; from?: number; to?: number };

export function addReadings({ app, sources }: Api): void {
  app.get<{ Params: { orderId: string }; Querystring: WindowQuery & { cursor?: string; limit: number } }>(
    '/api/v1/shipments/:orderId/readings',
    {
      config: { scope: 'readings' },
      schema: schema.describeRoute({
        summary: "An order's readings of one channel, oldest first, as they were signed",
        tag: 'readings',
        params: orderParams,
        query: schema.input({ ...windowQuery, cursor: schema.cursorText, limit: schema.limitUpTo(5_000, 1_000) }, [
          'channel',
        ]),
        answer: schema.object({
          ...{ channel: schema.text, unit: unitAnswer, items: schema.list(readingAnswer) },
          private: { ...schema.list(privateAnswer), description: 'batches in which only its parties can read it' },
          next: schema.textOrNull,
        }),
      }),
    },
    async (request) => {
      const order = visibleOrder(sources, request, request.params.orderId);
      const channel = channelFor(request.principal, request.query.channel);
      const window = windowFor(sources, order, request.query);
      const [sequence, afterSec] = cursorOf(request.query.cursor, [0, -1]);
      const { limit } = request.query;
      const canSee = (each: number) => canSeeChannel(request.principal, each);
      const items: object[] = [];
      const hidden: object[] = [];
      let next: string | null = null;
      const from = Math.max(0, sequence);
      for await (const batch of batchesIn(readingSource(sources), deviceBytes(order), window, from)) {
        for (const { timeSec, value, marks, isSensorSigned, sequence } of readingsOf(
          batch,
          window,
          new Set([channel]),
        )) {
          if (timeSec <= afterSec || next !== null) continue;
          const provenance = isSensorSigned ? 'sensor-signed' : 'gateway-signed';
          const said = value === faultValue(channel) ? null : value;
          items.push({ time: timeSec, value: said, marks: markNames(marks), provenance, sequence });
          if (items.length === limit) next = formatCursor([sequence, timeSec]);
        }
        // Where the page before has ended with it, it is not told again.
        const isTold = batch.batch.sequence === sequence && afterSec >= 0;
        const entry = isTold ? undefined : privateEntry(batch, channel, canSee, sources.crypto);
        if (entry !== undefined) hidden.push(entry);
        const isFull = entry !== undefined && hidden.length === privatesPerPageMax;
        if (isFull) next = formatCursor([entry.sequence, entry.toSec]);
        if (next !== null) break;
      }
      return { channel: channelName(channel), unit: unitOf(channel), items, private: hidden, next };
    },
  );
  addChart({ app, sources });
}

function addChart({ app, sources }: Api): void {
  app.get<{ Params: { orderId: string }; Querystring: WindowQuery & { buckets: number } }>(
    '/api/v1/shipments/:orderId/chart',
    {
      config: { scope: 'readings' },
      schema: schema.describeRoute({
        summary: "An order's readings of one channel for a chart: first, last, lowest and highest of each bucket",
        tag: 'readings',
        params: orderParams,
        query: schema.input(
          { ...windowQuery, buckets: { type: 'integer', minimum: 1, maximum: 4_000, default: 500 } },
          ['channel'],
        ),
        answer: schema.object({
          ...{ channel: schema.text, unit: unitAnswer, bucketSec: schema.integer, buckets: schema.list(bucketAnswer) },
          private: { ...schema.list(stretchAnswer), description: 'when only its parties can read it' },
        }),
      }),
    },
    async (request) => {
      const order = visibleOrder(sources, request, request.params.orderId);
      const channel = channelFor(request.principal, request.query.channel);
      const wanted = windowFor(sources, order, request.query);
      // A voyage that goes on is drawn up to now.
      const window = { ...wanted, toSec: Math.max(wanted.fromSec, Math.min(wanted.toSec, nowSecOf(sources))) };
      const downsample = new Downsample(window, request.query.buckets);
      const asked = new Set([channel]);
      const stretches = new PrivateStretches(window);
      for await (const batch of batchesIn(readingSource(sources), deviceBytes(order), window)) {
        stretches.add(batch, asked);
        for (const reading of readingsOf(batch, window, asked)) downsample.add(reading);
      }
      const hidden = stretches.list().map(({ fromSec, toSec }) => ({ fromSec, toSec }));
      const buckets = downsample.buckets().map((bucket) => ({ ...bucket, marks: markNames(bucket.marks) }));
      return {
        channel: channelName(channel),
        unit: unitOf(channel),
        bucketSec: downsample.bucketSec,
        buckets,
        private: hidden,
      };
    },
  );
}

export function readingSource({ store, crypto }: ApiSources) {
  return { store, crypto };
}

/** An order without a device has no readings: the digest of no key is 32 zero bytes. */
export function deviceBytes({ device }: Order): Uint8Array {
  return hexToBytes(device);
}

/**
 * The asked time, as far as it lies in the order's transit. Throws 400 when it ends before it begins, 410 when the
 * oracle has removed envelopes of it: a part is never given as if it were the whole.
 */
export function windowFor(
  { store }: Pick<ApiSources, 'store'>,
  order: Order,
  { from = 0, to = 0xffff_ffff }: { from?: number; to?: number },
): Window {
  if (from > to) throw new Refusal(400, `to: expected >= from ${from}, got ${to}`);
  const transit = transitOf(order);
  const [fromSec, toSec] = [Math.max(from, transit.fromSec), Math.min(to, transit.toSec)];
  const window = { fromSec, toSec: Math.max(fromSec, toSec) };
  const removed = store.log.lastRemoved(deviceBytes(order), window.fromSec, window.toSec);
  if (removed === undefined) return window;
  const words = 'are older than log.retentionDays and were removed; their digests stand in the log';
  throw new Refusal(410, `the envelopes of batches up to ${removed} ${words}`);
}

/** Throws 400 for a name that is no channel, 404 for a channel that is not for the caller. */
export function channelFor(principal: Principal, name: string): number {
  const channel = parseChannel(name);
  if (channel === undefined) throw new Refusal(400, `channel: expected a name of wire/WIRE.md, got ${name}`);
  if (!canSeeChannel(principal, channel)) throw new Refusal(404, `no channel ${name}`);
  return channel;
}

/** Those that are asked for, all when none is named, as far as they are for the caller. */
export function channelsFor(principal: Principal, names: string | undefined): Set<number> | undefined {
  if (names !== undefined) return new Set(names.split(',').map((name) => channelFor(principal, name)));
  return principal.channels === undefined ? undefined : new Set(principal.channels);
}

/** A value is a whole number of 10^-digits of the unit. */
function unitOf(channel: number) {
  const { digits, senml } = exportUnit(channel);
  return { digits, name: senml ?? null };
}
