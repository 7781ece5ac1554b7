/** How the webhooks stand, and the one thing that can be done about them here: go on with one that was given up. */
import type { WebhookState } from '../store-webhook.ts';
import { Refusal, audit, type Api } from './route.ts';
import * as schema from './schema.ts';

const webhookAnswer = schema.object({
  name: schema.text,
  origin: { ...schema.text, description: 'of its URL, the rest of which may be secret' },
  deliveredId: { ...schema.integer, description: 'event that it has answered for' },
  failures: schema.integer,
  problem: schema.textOrNull,
  isDisabled: schema.boolean,
});

export function addWebhooks({ app, sources }: Api): void {
  const { webhooks } = sources;
  app.get(
    '/api/v1/webhooks',
    {
      config: { scope: 'webhooks' },
      schema: schema.describeRoute({
        summary: 'Receivers of events, and how far each has been told',
        tag: 'webhooks',
        answer: schema.object({ items: schema.list(webhookAnswer) }),
      }),
    },
    () => ({ items: webhooks.states().map(describe) }),
  );
  app.post<{ Params: { name: string } }>(
    '/api/v1/webhooks/:name/enable',
    {
      config: { scope: 'webhooks' },
      schema: schema.describeRoute({
        summary: 'Goes on with a receiver, from the first event that it has not answered for',
        tag: 'webhooks',
        params: schema.input({ name: { type: 'string', pattern: '^[0-9a-f]{12}$' } }, ['name']),
        answer: webhookAnswer,
      }),
    },
    (request) => {
      const { name } = request.params;
      if (!webhooks.states().some((state) => state.name === name)) throw new Refusal(404, `no webhook ${name}`);
      audit(sources, request, 'webhook-enabled', name);
      return describe(webhooks.enable(name)!);
    },
  );
}

function describe({ name, url, deliveredId, failures, problem, disabledMs }: WebhookState) {
  return { name, origin: url, deliveredId, failures, problem: problem ?? null, isDisabled: disabledMs !== undefined };
}
