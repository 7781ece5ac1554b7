/** What every route file is given, and the few things that they all do. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Crypto } from '@coldproof/wire';
import type { Announcer } from '../announce.ts';
import { recordDeed } from '../audit.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Log as LogLine } from '../log-line.ts';
import type { Order } from '../store-chain.ts';
import type { AccountStatus } from '../status.ts';
import type { Store } from '../store.ts';
import type { Scope, TokenFile } from '../token-file.ts';
import type { Webhooks } from '../webhook.ts';
import { parseCursor, type CursorPart } from './cursor.ts';
import { canSeeOrder, type Principal } from './principal.ts';

declare module 'fastify' {
  interface FastifyRequest {
    principal: Principal;
  }
  interface FastifyContextConfig {
    /** What a token must have; absent for what anybody may ask. */
    scope?: Scope;
  }
}

export type ApiSources = {
  readonly store: Store;
  readonly log: Log;
  readonly crypto: Crypto;
  readonly chain: { readonly chainId: number; readonly contracts: Readonly<Record<string, string>> };
  /** Dates what is exported and recorded. */
  readonly clock: Clock;
  readonly announcer: Announcer;
  readonly webhooks: Webhooks;
  readonly tokens: TokenFile;
  readonly status: () => unknown;
  readonly account?: () => AccountStatus;
  /** Whether batches are received and the chain answers. */
  readonly isReady: () => boolean;
  readonly say: LogLine;
  /** Routes of others. */
  readonly extend?: (app: FastifyInstance) => void;
};

export type Api = { readonly app: FastifyInstance; readonly sources: ApiSources };

/** Is answered with its status and its words. */
export class Refusal extends Error {
  readonly statusCode: 400 | 401 | 403 | 404 | 429;

  constructor(statusCode: Refusal['statusCode'], message: string) {
    super(message);
    this.statusCode = statusCode;
  }
}

export function nowSecOf({ clock }: Pick<ApiSources, 'clock'>): number {
  return Math.floor(clock.nowMs() / 1_000);
}

/** The order, when the caller may see it. Throws 404. */
export function visibleOrder(
  { store }: Pick<ApiSources, 'store'>,
  { principal }: FastifyRequest,
  orderId: string,
): Order {
  const order = store.chain.order(orderId)?.order;
  if (order === undefined || !canSeeOrder(principal, order)) throw new Refusal(404, `no order ${orderId}`);
  return order;
}

/** Where a list goes on: `first` when there is no cursor yet. Throws 400. */
export function cursorOf<const Like extends readonly CursorPart[]>(text: string | undefined, first: Like) {
  const cursor = text === undefined ? first : parseCursor(text, first);
  if (cursor === undefined) throw new Refusal(400, 'cursor: expected `next` of a page of this list');
  return cursor;
}

/** Every write and every export is in the audit trail before it is answered. */
export function audit(
  sources: Pick<ApiSources, 'store' | 'clock'>,
  request: FastifyRequest,
  what: string,
  subject: string,
) {
  const detail = `${request.method} ${request.url}`.slice(0, 1_000);
  recordDeed(sources.store, sources.clock.nowMs(), { who: request.principal.id, what, subject, detail });
}

export function download(reply: FastifyReply, name: string, media: string): FastifyReply {
  return reply.header('content-disposition', `attachment; filename="${name}"`).type(media);
}

/** Goes through pages of what may be invisible until there are `limit` visible ones, or enough was looked at. */
export function visiblePage<Row, Item>(
  read: (after: Row | undefined, countMax: number) => readonly Row[],
  limit: number,
  show: (row: Row) => Item | undefined,
): { readonly items: Item[]; readonly last: Row | undefined; readonly isEnd: boolean } {
  const items: Item[] = [];
  let last: Row | undefined;
  for (let looked = 0; looked < rowsLookedAtMax;) {
    const rows = read(last, pageRows);
    for (const row of rows) {
      last = row;
      const item = show(row);
      if (item !== undefined) items.push(item);
      if (items.length === limit) return { items, last, isEnd: false };
    }
    looked += rows.length;
    if (rows.length < pageRows) return { items, last, isEnd: true };
  }
  return { items, last, isEnd: false };
}

const pageRows = 200;
/** A page may then hold fewer than were asked for, and still not be the last. */
const rowsLookedAtMax = 2_000;
