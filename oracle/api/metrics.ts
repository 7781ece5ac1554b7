/** What Prometheus scrapes, and the only file that imports prom-client. Each server has a registry of its own. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { AccountStatus } from '../status.ts';
import { actionStates } from '../store-outbox.ts';
import type { Api, ApiSources } from './route.ts';
import * as schema from './schema.ts';

const secondsBuckets = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10];

export function addMetrics({ app, sources }: Api): void {
  const registry = new Registry();
  const registers = [registry];
  const answers = new Counter({
    ...{ name: 'coldproof_http_answers_total', help: 'Answers by route and status', registers },
    labelNames: ['route', 'status'] as const,
  });
  const durations = new Histogram({
    ...{ name: 'coldproof_http_seconds', help: 'Time to answer by route', registers },
    ...{ labelNames: ['route'] as const, buckets: secondsBuckets },
  });
  app.addHook('onResponse', (request, reply, done) => {
    // The route as it is written, not as it was asked: hostile paths make no new series.
    const route = request.routeOptions.url ?? 'none';
    answers.inc({ route, status: String(reply.statusCode) });
    durations.observe({ route }, reply.elapsedTime / 1_000);
    done();
  });
  addGauges({ app, sources }, registers);
  addAccount(sources, registers);
  app.get(
    '/metrics',
    {
      config: { scope: 'metrics' },
      schema: schema.describeRoute({ summary: 'For Prometheus', tag: 'operation', media: 'text/plain' }),
    },
    async (_request, reply) => reply.type(registry.contentType).send(await registry.metrics()),
  );
}

function addGauges({ sources: { store, log, webhooks, isReady } }: Api, registers: Registry[]): void {
  const gauge = (name: string, help: string, read: () => number) => {
    new Gauge({
      ...{ name: `coldproof_${name}`, help, registers },
      collect() {
        this.set(read());
      },
    });
  };
  gauge('ready', 'Whether batches are received and the chain answers', () => (isReady() ? 1 : 0));
  gauge('log_leaves', 'Batches in the log', () => log.size);
  gauge('events', 'Id of the newest event', () => store.events.lastId());
  gauge('audit_entries', 'Entries in the audit trail', () => store.audit.last()?.entry ?? 0);
  gauge('chain_block', 'Newest block that was read', () => store.chain.head()?.number ?? 0);
  gauge('chain_final_block', 'Newest final block', () => store.chain.head()?.finalNumber ?? 0);
  gauge('webhooks_disabled', 'Webhooks that were given up', () => {
    return webhooks.states().filter(({ disabledMs }) => disabledMs !== undefined).length;
  });
  new Gauge({
    ...{ name: 'coldproof_batches', help: 'Batches by what became of them', registers },
    labelNames: ['outcome'] as const,
    collect() {
      for (const [outcome, count] of store.log.counts()) this.set({ outcome }, count);
    },
  });
  new Gauge({
    ...{ name: 'coldproof_actions_open', help: 'What is still to happen on the chain, by state', registers },
    labelNames: ['state'] as const,
    collect() {
      for (const state of actionStates) this.set({ state }, 0);
      for (const { state } of store.outbox.open()) this.inc({ state });
    },
  });
}

/** What is to be watched about paying for transactions. NaN where a figure is not known or not configured. */
function addAccount({ account, store }: ApiSources, registers: Registry[]): void {
  if (account === undefined) return;
  const gauge = (name: string, help: string, read: (account: AccountStatus) => bigint | number | undefined) => {
    new Gauge({
      ...{ name: `coldproof_${name}`, help, registers },
      collect() {
        this.set(Number(read(account())));
      },
    });
  };
  const gwei = (wei: bigint | undefined) => (wei === undefined ? undefined : wei / 1_000_000_000n);
  gauge('transmitter_balance_gwei', 'Of the account that pays', ({ balanceWei }) => gwei(balanceWei));
  gauge('transmitter_balance_low', 'Whether it is under its minimum', ({ isBalanceLow }) => (isBalanceLow ? 1 : 0));
  gauge('spent_gwei_per_day', 'Spent in 24 hours, open transactions at their most', ({ spentWei }) => gwei(spentWei));
  gauge('spend_max_gwei_per_day', 'Bound of that', ({ spendWeiMaxPerDay }) => gwei(spendWeiMaxPerDay));
  gauge('actions_at_spending_cap', 'Actions that wait for that bound', () => {
    return store.outbox.open().filter(({ reason }) => reason === 'spending-cap').length;
  });
  new Gauge({
    ...{ name: 'coldproof_chain_endpoint_up', help: 'Whether an RPC endpoint is fit for use', registers },
    labelNames: ['endpoint', 'state'] as const,
    collect() {
      this.reset();
      for (const { endpoint, state } of account().endpoints) this.set({ endpoint, state }, state === 'up' ? 1 : 0);
    },
  });
}
