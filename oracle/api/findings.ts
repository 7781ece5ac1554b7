/** What the rules found, what happens on the chain for it, and the evidence: over the orders that the caller sees. */
import { describeAction, describeFinding } from '../describe.ts';
import { actionStates, type EvidenceRecord } from '../store-outbox.ts';
import type { ActionSummary } from '../store-page.ts';
import type { StoredFinding } from '../store-evaluation.ts';
import type { Store } from '../store.ts';
import { formatCursor } from './cursor.ts';
import { canSeeChannel, canSeeOrder, isUnrestricted, type Principal } from './principal.ts';
import { Refusal, cursorOf, visibleOrder, visiblePage, type Api } from './route.ts';
import * as schema from './schema.ts';

export const findingAnswer = schema.object({
  orderId: schema.text,
  kind: schema.text,
  channel: schema.text,
  startedAt: schema.integer,
  endedAt: schema.integerOrNull,
  detail: schema.text,
  values: schema.object({}),
});

export const actionAnswer = schema.object({
  id: schema.text,
  orderId: schema.text,
  state: { enum: actionStates },
  reason: schema.textOrNull,
  createdMs: schema.integer,
  transactionHash: schema.textOrNull,
  blockNumber: schema.integerOrNull,
  blockHash: schema.textOrNull,
  gasUsed: schema.integerOrNull,
  finality: schema.finalityOrNull,
});

const evidenceAnswer = schema.object({
  orderId: schema.text,
  digest: schema.text,
  excursion: schema.object({
    startedAtSec: schema.integer,
    durationSec: schema.integer,
    peakCentiC: schema.integer,
  }),
  runs: schema.list(schema.object({})),
});

const pageQuery = schema.input({ cursor: schema.cursorText, limit: schema.limitUpTo(200, 50) });
type PageQuery = { Querystring: { cursor?: string; limit: number } };

export function addFindings({ app, sources }: Api): void {
  const { store } = sources;
  app.get<PageQuery>(
    '/api/v1/findings',
    {
      config: { scope: 'shipments' },
      schema: schema.describeRoute({
        summary: 'What the rules found, by order',
        tag: 'findings',
        query: pageQuery,
        answer: schema.page(findingAnswer),
      }),
    },
    ({ query: { cursor, limit }, principal }) => {
      const from = cursorOf(cursor, ['', '', -1, -1]);
      const { items, last, isEnd } = visiblePage<StoredFinding, object>(
        (after, countMax) => store.pages.findings(after === undefined ? from : keyOf(after), countMax),
        limit,
        (finding) => {
          if (!canSeeOrderId(store, principal, finding.orderId)) return undefined;
          return canSeeChannel(principal, finding.channel) ? describeFinding(finding) : undefined;
        },
      );
      return { items, next: isEnd || last === undefined ? null : formatCursor(keyOf(last)) };
    },
  );
  app.get<PageQuery>(
    '/api/v1/actions',
    {
      config: { scope: 'shipments' },
      schema: schema.describeRoute({
        summary: 'What the oracle does on the chain, oldest first',
        tag: 'actions',
        query: pageQuery,
        answer: schema.page(actionAnswer),
      }),
    },
    ({ query: { cursor, limit }, principal }) => {
      const from = cursorOf(cursor, [-1, '']);
      const head = store.chain.head();
      const { items, last, isEnd } = visiblePage<ActionSummary, object>(
        (after, countMax) => store.pages.actions(after === undefined ? from : [after.createdMs, after.id], countMax),
        limit,
        (action) => {
          return canSeeOrderId(store, principal, action.orderId) ? describeAction(action, head) : undefined;
        },
      );
      return { items, next: isEnd || last === undefined ? null : formatCursor([last.createdMs, last.id]) };
    },
  );
  addEvidence({ app, sources });
}

function addEvidence({ app, sources }: Api): void {
  const { store } = sources;
  const params = schema.input({ orderId: schema.orderIdText }, ['orderId']);
  const evidenceOf = (orderId: string, principal: Principal) =>
    store.outbox.ofOrder(orderId).flatMap((action) => {
      // Written by findings.ts only.
      const { digest, excursion, runs } = JSON.parse(action.evidence) as EvidenceRecord;
      const [run] = runs as { channel: number }[];
      return run !== undefined && canSeeChannel(principal, run.channel) ? [{ orderId, digest, excursion, runs }] : [];
    });
  app.get<{ Params: { orderId: string } }>(
    '/api/v1/evidence/:orderId',
    {
      config: { scope: 'shipments' },
      schema: schema.describeRoute({
        summary: 'The last evidence that was sent to the contract, to be checked again by anybody',
        tag: 'evidence',
        params,
        answer: evidenceAnswer,
      }),
    },
    ({ params: { orderId }, principal }) => {
      const order = store.chain.order(orderId)?.order;
      const isVisible = order === undefined ? isUnrestricted(principal) : canSeeOrder(principal, order);
      const last = isVisible ? evidenceOf(orderId, principal).at(-1) : undefined;
      if (last === undefined) throw new Refusal(404, `no evidence about order ${orderId}`);
      return last;
    },
  );
  app.get<{ Params: { orderId: string } }>(
    '/api/v1/shipments/:orderId/evidence',
    {
      config: { scope: 'shipments' },
      schema: schema.describeRoute({
        summary: 'All evidence about an order',
        tag: 'evidence',
        params,
        answer: schema.object({ items: schema.list(evidenceAnswer) }),
      }),
    },
    (request) => {
      const { orderId } = visibleOrder(sources, request, request.params.orderId);
      return { items: evidenceOf(orderId, request.principal) };
    },
  );
}

function keyOf({ orderId, rule, channel, openedAtSec }: StoredFinding): [string, string, number, number] {
  return [orderId, rule, channel, openedAtSec];
}

function canSeeOrderId(store: Store, principal: Principal, orderId: string): boolean {
  if (isUnrestricted(principal)) return true;
  const order = store.chain.order(orderId)?.order;
  return order !== undefined && canSeeOrder(principal, order);
}
