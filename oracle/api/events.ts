/**
 * Every change of state, as server-sent events (WHATWG HTML §9.2): a client that lost the line sends the id of the
 * last event that it had, and misses nothing. Each event's data is a CloudEvent, the same as webhooks get.
 */
import { bytesToHex, channelName, logOf } from '@coldproof/wire';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { eventTypes } from '../announce.ts';
import { cloudEventOf } from '../cloud-event.ts';
import type { JournalEvent } from '../store-event.ts';
import { canSeeDevice, canSeeOrder, isUnrestricted, type Principal } from './principal.ts';
import { Refusal, type Api, type ApiSources } from './route.ts';
import * as schema from './schema.ts';

const pageEvents = 200;
/** A line without news would be taken for a dead one by what stands between. */
const heartbeatMs = 15_000;
const streamsMax = 200;

type EventQuery = { after?: string; order?: string; type?: string; follow: boolean };

export function addEvents({ app, sources }: Api): void {
  let streams = 0;
  app.get<{ Querystring: EventQuery; Headers: { 'last-event-id'?: string } }>(
    '/api/v1/events',
    {
      config: { scope: 'events' },
      schema: schema.describeRoute({
        summary: 'Changes of state as server-sent events; Last-Event-ID (or `after`) replays from there',
        tag: 'events',
        query: schema.input({
          after: { ...schema.wholeNumberText, description: 'id; without it and Last-Event-ID: from now on' },
          order: schema.orderIdText,
          type: { enum: eventTypes },
          follow: { type: 'boolean', default: true, description: 'false: ends with what there is' },
        }),
        media: 'text/event-stream',
      }),
    },
    async (request, reply) => {
      const from = startOf(sources, request.headers['last-event-id'] ?? request.query.after);
      if (streams >= streamsMax) throw new Refusal(429, `expected at most ${streamsMax} streams at a time`);
      streams += 1;
      try {
        await stream(sources, request, reply, from);
      } finally {
        streams -= 1;
      }
    },
  );
}

function startOf({ store }: ApiSources, asked: string | undefined): number {
  const last = store.events.lastId();
  if (asked === undefined) return last;
  if (!/^(0|[1-9][0-9]{0,14})$/.test(asked)) throw new Refusal(400, 'Last-Event-ID: expected the id of an event');
  return Math.min(Number(asked), last);
}

async function stream(
  sources: ApiSources,
  request: FastifyRequest<{ Querystring: EventQuery }>,
  reply: FastifyReply,
  from: number,
): Promise<void> {
  const { store, announcer, log } = sources;
  const { raw } = reply.hijack();
  const source = bytesToHex(logOf(log.publicKey));
  let wake = new AbortController();
  const wakeUp = () => wake.abort();
  raw.once('close', wakeUp);
  const unlisten = announcer.listen(wakeUp);
  const headers = { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' };
  raw.writeHead(200, headers);
  raw.flushHeaders();
  const write = async (text: string) => {
    if (!raw.destroyed && !raw.write(text)) await drained(raw);
  };
  try {
    // What was forgotten since cannot be replayed: the client must read the state anew.
    const first = store.events.firstId();
    if (first > from + 1) await write(`event: stream.gap\ndata: {"after":${from},"first":${first}}\n\n`);
    for (let last = from; !raw.destroyed;) {
      wake = new AbortController();
      const events = store.events.after(last, pageEvents);
      for (const event of events) {
        last = event.id;
        if (!isAsked(sources, request.principal, request.query, event)) continue;
        const data = JSON.stringify(cloudEventOf(event, source));
        await write(`id: ${event.id}\nevent: ${event.type}\ndata: ${data}\n\n`);
      }
      if (events.length > 0) continue;
      if (!request.query.follow) break;
      if (!(await isWoken(wake.signal, heartbeatMs))) await write(': nothing new\n\n');
    }
  } finally {
    unlisten();
    raw.end();
  }
}

function isAsked(
  { store }: ApiSources,
  principal: Principal,
  { order, type }: EventQuery,
  event: JournalEvent,
): boolean {
  if ((order !== undefined && event.orderId !== order) || (type !== undefined && event.type !== type)) return false;
  if (isUnrestricted(principal)) return isOpenChannel(principal, event);
  if (event.orderId === '') {
    const owner = store.chain.device(event.device)?.owner;
    return owner !== undefined && canSeeDevice(principal, owner);
  }
  const found = store.chain.order(event.orderId)?.order;
  return found !== undefined && canSeeOrder(principal, found) && isOpenChannel(principal, event);
}

/** Findings are about a channel; with a restriction, only those of an open one are told. */
function isOpenChannel({ channels }: Principal, { type, content }: JournalEvent): boolean {
  if (channels === undefined || !type.startsWith('finding.')) return true;
  const { channel } = JSON.parse(content) as { channel: string };
  return [...channels].some((open) => channelName(open) === channel);
}

function drained(raw: FastifyReply['raw']): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      raw.off('drain', done);
      raw.off('close', done);
      resolve();
    };
    raw.on('drain', done);
    raw.on('close', done);
  });
}

/** Whether something woke it before the time was over. */
function isWoken(signal: AbortSignal, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (woken: boolean) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      resolve(woken);
    };
    const onAbort = () => end(true);
    const timer = setTimeout(() => end(false), ms);
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) end(true);
  });
}
