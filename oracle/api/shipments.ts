/** Orders: their state and how final it is, what ended them, and everything that happened, in one line of time. */
import { describeAction, describeFinding, describeShipment } from '../describe.ts';
import { finalityOf } from '../status.ts';
import type { Order } from '../store-chain.ts';
import { orderStates } from '../store-chain.ts';
import { canSeeChannel, canSeeOrder } from './principal.ts';
import { formatCursor } from './cursor.ts';
import { actionAnswer, findingAnswer } from './findings.ts';
import { cursorOf, visibleOrder, visiblePage, type Api } from './route.ts';
import * as schema from './schema.ts';

const limitAnswer = schema.object({
  channel: schema.text,
  lowerLimitCentiC: schema.integer,
  upperLimitCentiC: schema.integer,
  excursionSecMin: schema.integer,
  cumulativeSecMin: schema.integer,
  sampleGapSecMax: schema.integer,
});

export const shipmentAnswer = schema.object({
  orderId: schema.text,
  state: { enum: orderStates },
  finality: schema.finality,
  buyer: schema.text,
  supplier: schema.text,
  carrier: schema.text,
  consignee: schema.text,
  device: schema.text,
  truck: schema.text,
  dispatchedAt: schema.integerOrNull,
  deliveredAt: schema.integerOrNull,
  price: schema.text,
  agreementId: schema.text,
  limits: schema.list(limitAnswer),
  replacementOrderId: schema.textOrNull,
  replacementOf: schema.textOrNull,
  repairTicketId: schema.textOrNull,
  fact: schema.fact,
  cause: schema.textOrNull,
  evidenceDigest: schema.textOrNull,
  transactionHash: schema.textOrNull,
});

const moment = schema.object({
  time: schema.integerOrNull,
  kind: { enum: ['chain', 'finding', 'action'] },
  name: schema.text,
  fact: schema.fact,
  finality: schema.finalityOrNull,
  content: schema.object({}),
});

export const orderParams = schema.input({ orderId: schema.orderIdText }, ['orderId']);

export function addShipments({ app, sources }: Api): void {
  const { store } = sources;
  app.get<{ Querystring: { state?: string; cursor?: string; limit: number } }>(
    '/api/v1/shipments',
    {
      config: { scope: 'shipments' },
      schema: schema.describeRoute({
        summary: 'Orders, newest first',
        tag: 'shipments',
        query: schema.input({
          state: { enum: orderStates },
          cursor: schema.cursorText,
          limit: schema.limitUpTo(100, 20),
        }),
        answer: schema.page(shipmentAnswer),
      }),
    },
    ({ query: { state, cursor, limit }, principal }) => {
      const from = cursor === undefined ? undefined : cursorOf(cursor, [''])[0];
      const head = store.chain.head();
      const { items, last, isEnd } = visiblePage<{ order: Order }, object>(
        (after, countMax) => store.pages.orders(after?.order.orderId ?? from, countMax),
        limit,
        ({ order }) => {
          if (!canSeeOrder(principal, order) || (state !== undefined && order.state !== state)) return undefined;
          return describeShipment(store, order, head);
        },
      );
      return { items, next: isEnd || last === undefined ? null : formatCursor([last.order.orderId]) };
    },
  );
  app.get<{ Params: { orderId: string } }>(
    '/api/v1/shipments/:orderId',
    {
      config: { scope: 'shipments' },
      schema: schema.describeRoute({
        summary: 'One order, with everything that its parties signed',
        tag: 'shipments',
        params: orderParams,
        answer: shipmentAnswer,
      }),
    },
    (request) => {
      const order = visibleOrder(sources, request, request.params.orderId);
      return { ...describeShipment(store, order, store.chain.head()), terms: order.terms };
    },
  );
  addTimeline({ app, sources });
  addOfOrder({ app, sources });
}

function addTimeline({ app, sources }: Api): void {
  app.get<{ Params: { orderId: string } }>(
    '/api/v1/shipments/:orderId/timeline',
    {
      config: { scope: 'shipments' },
      schema: schema.describeRoute({
        summary: 'What happened to an order, by time: proved or attested, and how final',
        tag: 'shipments',
        params: orderParams,
        answer: schema.object({ items: schema.list(moment) }),
      }),
    },
    (request) => {
      const { orderId } = visibleOrder(sources, request, request.params.orderId);
      const canSee = (channel: number) => canSeeChannel(request.principal, channel);
      return { items: momentsOf(sources, orderId, canSee) };
    },
  );
}

/** Sets aside or ends an order: what a fact does. */
const factual: ReadonlySet<string> = new Set(['ExcursionProved', 'OrderCancelled', 'OrderQuarantined', 'OrderHeld']);

function momentsOf({ store }: Api['sources'], orderId: string, canSee: (channel: number) => boolean) {
  const head = store.chain.head();
  const chain = store.chain
    .eventsOf(`order:${orderId}`)
    .map(({ name, args, blockNumber, transactionHash, logIndex }) => {
      // Written by watch.ts only.
      const content = JSON.parse(args) as { blockTimeSec?: number; cause?: number };
      const fact = factual.has(name) ? (content.cause === attestedCause ? 'attested' : 'proved') : null;
      return {
        ...{ time: content.blockTimeSec ?? null, kind: 'chain', name, fact, finality: finalityOf(blockNumber, head) },
        content: { ...content, blockNumber, transactionHash, logIndex },
      };
    });
  const findings = store.pages
    .findingsOf(orderId)
    .filter((each) => canSee(each.channel))
    .map((finding) => ({
      ...{ time: finding.openedAtSec, kind: 'finding', name: finding.rule, fact: null, finality: null },
      content: describeFinding(finding),
    }));
  const actions = store.pages.actionsOf(orderId).map((action) => {
    const content = describeAction(action, head);
    const { finality } = content;
    const time = Math.floor(action.createdMs / 1_000);
    return { time, kind: 'action', name: action.state, fact: null, finality, content };
  });
  return [...chain, ...findings, ...actions].sort((a, b) => (a.time ?? 0) - (b.time ?? 0));
}

/** Of Shipments.sol's Cause. */
const attestedCause = 4;

function addOfOrder({ app, sources }: Api): void {
  const { store } = sources;
  app.get<{ Params: { orderId: string } }>(
    '/api/v1/shipments/:orderId/findings',
    {
      config: { scope: 'shipments' },
      schema: schema.describeRoute({
        summary: 'What the rules found about an order',
        tag: 'findings',
        params: orderParams,
        answer: schema.object({ items: schema.list(findingAnswer) }),
      }),
    },
    (request) => {
      const { orderId } = visibleOrder(sources, request, request.params.orderId);
      const found = store.pages.findingsOf(orderId).filter(({ channel }) => canSeeChannel(request.principal, channel));
      return { items: found.map(describeFinding) };
    },
  );
  app.get<{ Params: { orderId: string } }>(
    '/api/v1/shipments/:orderId/actions',
    {
      config: { scope: 'shipments' },
      schema: schema.describeRoute({
        summary: 'What the oracle does on the chain about an order',
        tag: 'actions',
        params: orderParams,
        answer: schema.object({ items: schema.list(actionAnswer) }),
      }),
    },
    (request) => {
      const { orderId } = visibleOrder(sources, request, request.params.orderId);
      const head = store.chain.head();
      return { items: store.pages.actionsOf(orderId).map((action) => describeAction(action, head)) };
    },
  );
}
