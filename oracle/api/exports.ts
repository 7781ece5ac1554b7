/** An order's readings and events in the forms of the trade, and as the bundle that verifies offline. */
import { Readable } from 'node:stream';
import { channelName, flags, formatBundle } from '@coldproof/wire';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { makeBundle } from '../bundle.ts';
import { Downsample, type Bucket } from '../downsample.ts';
import { csvHead, csvPrivateRow, csvRow } from '../exports/csv.ts';
import { dcsaEvents } from '../exports/dcsa.ts';
import { epcisDocument, type OrderEvent } from '../exports/epcis.ts';
import { senmlOf, senmlPrivate } from '../exports/senml.ts';
import { PrivateStretches, type PrivateStretch } from '../private-readings.ts';
import { batchesIn, readingsOf, type LoggedBatch, type Window } from '../readings.ts';
import type { Order, StoredEvent } from '../store-chain.ts';
import type { Store } from '../store.ts';
import { canSeeChannel } from './principal.ts';
import { channelsFor, deviceBytes, readingSource, windowFor } from './readings.ts';
import { Refusal, audit, download, nowSecOf, visibleOrder, type Api, type ApiSources } from './route.ts';
import * as schema from './schema.ts';
import { orderParams } from './shipments.ts';

type ExportQuery = { channels?: string; from?: number; to?: number };
type ExportRoute = { Params: { orderId: string }; Querystring: ExportQuery };
type ExportRequest = FastifyRequest<ExportRoute>;

const exportQuery = { channels: schema.channelsText, from: schema.unixSec, to: schema.unixSec };
const allChannels: ReadonlySet<number> = new Set(Array.from({ length: 256 }, (_, channel) => channel));
/** EPCIS and DCSA have an event for each stretch of this much, or longer ones on a long voyage. */
const stretchSecMin = 3_600;
const stretchesMax = 1_000;

export function addExports({ app, sources }: Api): void {
  const kinds = {
    csv: { media: 'text/csv', summary: 'Readings as CSV (RFC 4180)', send: sendCsv },
    senml: { media: 'application/senml+json', summary: 'Readings as SenML (RFC 8428)', send: sendSenml },
    epcis: { media: 'application/ld+json', summary: 'Readings and events as EPCIS 2.0', send: sendEpcis },
    dcsa: { media: 'application/json', summary: 'Readings as DCSA reefer events', send: sendDcsa },
  } as const;
  for (const [kind, { media, summary, send }] of Object.entries(kinds)) {
    app.get<ExportRoute>(
      `/api/v1/shipments/:orderId/export/${kind}`,
      {
        config: { scope: 'exports' },
        schema: schema.describeRoute({
          ...{ summary, tag: 'exports', params: orderParams, query: schema.input(exportQuery), media },
        }),
      },
      async (request, reply) => {
        const wish = wishOf(sources, request);
        audit(sources, request, `export-${kind}`, `order ${wish.order.orderId}`);
        return send(sources, wish, download(reply, `order-${wish.order.orderId}.${kind}`, media));
      },
    );
  }
  addBundle({ app, sources });
}

function addBundle({ app, sources }: Api): void {
  app.get<ExportRoute & { Querystring: ExportQuery & { since?: string } }>(
    '/api/v1/shipments/:orderId/bundle',
    {
      config: { scope: 'exports' },
      schema: schema.describeRoute({
        summary: 'Everything that a stranger needs to check the order offline (wire/BUNDLE.md)',
        tag: 'exports',
        params: orderParams,
        query: schema.input({
          ...exportQuery,
          since: { ...schema.wholeNumberText, description: 'leaves of a head that the reader has already' },
        }),
        media: 'application/json',
      }),
    },
    async (request, reply) => {
      const { order, window, channels, nowSec } = wishOf(sources, request);
      const { since } = request.query;
      const bundle = await makeBundle(sources, order, {
        ...{ window, nowSec },
        ...(channels === allChannels ? {} : { channels }),
        ...(since === undefined ? {} : { knownSize: Number(since) }),
      });
      if (bundle === undefined) throw new Refusal(404, `order ${order.orderId} has no device yet`);
      audit(sources, request, 'export-bundle', `order ${order.orderId}`);
      return download(reply, `order-${order.orderId}.bundle.json`, 'application/json').send(formatBundle(bundle));
    },
  );
}

type Wish = {
  readonly order: Order;
  readonly window: Window;
  readonly channels: ReadonlySet<number>;
  readonly nowSec: number;
  readonly asset: string;
  readonly canSee: (channel: number) => boolean;
};

function wishOf(sources: ApiSources, request: ExportRequest): Wish {
  const order = visibleOrder(sources, request, request.params.orderId);
  const { channels = allChannels } = { channels: channelsFor(request.principal, request.query.channels) };
  const asset = sources.store.chain.device(order.device)?.asset ?? '';
  const canSee = (channel: number) => channels.has(channel) && canSeeChannel(request.principal, channel);
  return {
    order,
    window: windowFor(sources, order, request.query),
    channels,
    nowSec: nowSecOf(sources),
    asset,
    canSee,
  };
}

function batches(sources: ApiSources, { order, window }: Wish): AsyncGenerator<LoggedBatch> {
  return batchesIn(readingSource(sources), deviceBytes(order), window);
}

/** What of a batch the reader would have got, if it were not for its parties alone. */
function privatesOf({ batch, privateChannels }: LoggedBatch, { channels, window }: Wish) {
  const isSensorSigned = (batch.flags & flags.sensorSigned) !== 0;
  const { sequence } = batch;
  const timeSec = Math.max(batch.firstSec, window.fromSec);
  const asked = privateChannels.filter((channel) => channels.has(channel));
  return asked.map((channel) => ({ channel, timeSec, isSensorSigned, sequence }));
}

/** A stream: a voyage of months is never in memory as a whole. */
function sendCsv(sources: ApiSources, wish: Wish, reply: FastifyReply): FastifyReply {
  const { orderId, agreementId, supplier, device, terms } = wish.order;
  const { carrier, consignee } = terms;
  const subject = { orderId, agreementId, supplier, carrier, consignee, asset: wish.asset, device };
  const rows = async function* () {
    yield csvHead;
    for await (const batch of batches(sources, wish)) {
      yield readingsOf(batch, wish.window, wish.channels)
        .map((each) => csvRow(subject, each))
        .concat(privatesOf(batch, wish).map((each) => csvPrivateRow(subject, each)))
        .join('');
    }
  };
  return reply.send(Readable.from(rows()));
}

function sendSenml(sources: ApiSources, wish: Wish, reply: FastifyReply): FastifyReply {
  const records = async function* () {
    let before = '[';
    const { device } = wish.order;
    for await (const batch of batches(sources, wish)) {
      // Base fields hold until they are given again (§4.5.1), so that each batch stands for itself.
      const text = senmlOf(device, readingsOf(batch, wish.window, wish.channels))
        .concat(privatesOf(batch, wish).map(({ channel, timeSec }) => senmlPrivate(device, channel, timeSec)))
        .map((record) => JSON.stringify(record));
      if (text.length === 0) continue;
      yield `${before}${text.join(',')}`;
      before = ',';
    }
    yield before === '[' ? '[]' : ']';
  };
  return reply.send(Readable.from(records()));
}

type Stretch = { readonly toSec: number; readonly byChannel: Map<number, Bucket> };

type Stretches = { readonly measured: Stretch[]; readonly privates: PrivateStretch[] };

async function stretchesOf(sources: ApiSources, wish: Wish): Promise<Stretches> {
  const { window, nowSec } = wish;
  const closed = { ...window, toSec: Math.max(window.fromSec, Math.min(window.toSec, nowSec)) };
  const spanSec = closed.toSec - closed.fromSec + 1;
  const bucketsMax = Math.max(1, Math.min(stretchesMax, Math.floor(spanSec / stretchSecMin)));
  const byChannel = new Map<number, Downsample>();
  const privates = new PrivateStretches(closed);
  for await (const batch of batches(sources, { ...wish, window: closed })) {
    privates.add(batch, wish.channels);
    for (const reading of readingsOf(batch, closed, wish.channels)) {
      const downsample = byChannel.get(reading.channel) ?? new Downsample(closed, bucketsMax);
      byChannel.set(reading.channel, downsample);
      downsample.add(reading);
    }
  }
  const stretches = new Map<number, Stretch>();
  for (const [channel, downsample] of byChannel) {
    for (const bucket of downsample.buckets()) {
      const toSec = Math.min(bucket.fromSec + downsample.bucketSec - 1, closed.toSec);
      const stretch = stretches.get(toSec) ?? { toSec, byChannel: new Map<number, Bucket>() };
      stretches.set(toSec, stretch);
      stretch.byChannel.set(channel, bucket);
    }
  }
  return { measured: [...stretches.values()].sort((a, b) => a.toSec - b.toSec), privates: privates.list() };
}

async function sendEpcis(sources: ApiSources, wish: Wish, reply: FastifyReply): Promise<FastifyReply> {
  const { store, chain } = sources;
  const { order, asset, nowSec, canSee } = wish;
  const stretches = await stretchesOf(sources, wish);
  const measured = stretches.measured.flatMap(({ toSec, byChannel }) =>
    [...byChannel].map(([channel, bucket]) => ({ channel, toSec, bucket })),
  );
  const shipments = (chain.contracts['Shipments'] ?? '').toLowerCase();
  const { orderId, device, truck } = order;
  const document = epcisDocument({
    shipment: { chainId: chain.chainId, shipments, orderId, device, truck, asset },
    ...{ measured, privates: stretches.privates, nowSec },
    findings: store.pages.findingsOf(orderId).filter(({ channel }) => canSee(channel)),
    events: orderEvents(store, orderId),
  });
  return reply.send(JSON.stringify(document));
}

async function sendDcsa(sources: ApiSources, wish: Wish, reply: FastifyReply): Promise<FastifyReply> {
  const { asset, nowSec, order } = wish;
  const { orderId, device } = order;
  const { measured, privates } = await stretchesOf(sources, wish);
  // The form has no place for it.
  const names = [...new Set(privates.map(({ channel }) => channelName(channel)))];
  if (names.length > 0) reply.header('coldproof-private', names.join(', '));
  return reply.send(JSON.stringify(dcsaEvents({ asset, device, orderId }, measured, nowSec)));
}

function orderEvents(store: Store, orderId: string): OrderEvent[] {
  return store.chain.eventsOf(`order:${orderId}`).map(({ name, args, transactionHash }: StoredEvent) => {
    // Written by watch.ts only.
    const { blockTimeSec = 0, replacementId, ticketId } = JSON.parse(args) as Record<string, number | undefined>;
    return {
      ...{ name, timeSec: blockTimeSec, transactionHash },
      ...(replacementId === undefined ? {} : { replacementId: String(replacementId) }),
      ...(ticketId === undefined ? {} : { ticketId: String(ticketId) }),
    };
  });
}
