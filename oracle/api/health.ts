/** For the supervisor, for people who look, and the description of all of this for programs. */
import type { Api } from './route.ts';
import * as schema from './schema.ts';

const state = schema.object({ status: schema.text });

export function addHealth({ app, sources: { status, isReady } }: Api): void {
  app.get(
    '/healthz',
    {
      schema: schema.describeRoute({
        ...{ summary: 'Whether the process answers', tag: 'operation', answer: state, isPublic: true },
      }),
    },
    () => ({ status: 'ok' }),
  );
  const ready = schema.describeRoute({
    ...{ summary: 'Whether batches are received and the chain answers', tag: 'operation', answer: state },
    isPublic: true,
  });
  app.get(
    '/readyz',
    { schema: { ...ready, response: { ...ready.response, 503: { description: 'not now', ...state } } } },
    (_request, reply) => {
      const ok = isReady();
      return reply.code(ok ? 200 : 503).send({ status: ok ? 'ready' : 'not ready' });
    },
  );
  app.get(
    '/api/v1/status',
    {
      config: { scope: 'shipments' },
      schema: schema.describeRoute({
        ...{ summary: 'All at a glance: of a small installation', tag: 'operation', answer: schema.object({}) },
      }),
    },
    () => status(),
  );
  app.get(
    '/api/v1/openapi.json',
    {
      schema: schema.describeRoute({
        ...{ summary: 'This document', tag: 'operation', answer: schema.object({}), isPublic: true },
      }),
    },
    () => app.swagger(),
  );
}
