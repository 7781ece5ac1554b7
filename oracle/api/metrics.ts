/** What Prometheus scrapes, and the only file that imports prom-client. Each server has a registry of its own. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { actionStates } from '../store-outbox.ts';
import type { Api } from './route.ts';
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
