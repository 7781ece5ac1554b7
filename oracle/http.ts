/** The read side over HTTP, and the only file that imports fastify. Nothing here changes anything. */
import fastify, { type FastifyInstance } from 'fastify';
import { bytesToHex } from '@coldproof/wire';
import type { Log } from './log.ts';
import type { Log as LogLine } from './log-line.ts';
import { OperatingError, describeError } from './operating-error.ts';
import type { EvidenceRecord } from './store-outbox.ts';
import type { Store } from './store.ts';

export type HttpSources = {
  readonly store: Store;
  readonly log: Log;
  readonly status: () => unknown;
  /** Whether batches are received and the chain answers. */
  readonly isReady: () => boolean;
  readonly say: LogLine;
  /** Routes of others. */
  readonly extend?: (app: FastifyInstance) => void;
};

export type HttpServer = { readonly port: number; close(): Promise<void> };

/** A request here is one line and a few headers. */
const bodyBytesMax = 1_024;
const requestMsMax = 10_000;

const wholeNumber = { type: 'string', pattern: '^(0|[1-9][0-9]{0,15})$' } as const;

export async function openHttp(
  sources: HttpSources,
  { host, port }: { host: string; port: number },
): Promise<HttpServer> {
  const app = fastify({ bodyLimit: bodyBytesMax, requestTimeout: requestMsMax, forceCloseConnections: true });
  app.setErrorHandler((error: unknown, request, reply) => {
    const status = statusOf(error);
    if (status >= 500)
      sources.say('error', 'http-fault', { url: request.url.slice(0, 200), error: describeError(error) });
    return reply.code(status).send({ error: status >= 500 ? 'internal error' : describeError(error) });
  });
  app.setNotFoundHandler((request, reply) => reply.code(404).send({ error: `no ${request.method} on this path` }));
  addRoutes(app, sources);
  sources.extend?.(app);
  try {
    await app.listen({ host, port });
  } catch (cause) {
    const message = `http: cannot listen on ${host}:${port}`;
    throw new OperatingError('listen-failed', message, { retry: 'later', cause });
  }
  const address = app.server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () => app.close(),
  };
}

function addRoutes(app: FastifyInstance, { store, log, status, isReady }: HttpSources): void {
  app.get('/healthz', () => ({ status: 'ok' }));
  app.get('/readyz', (_request, reply) => {
    const ready = isReady();
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not ready' });
  });
  app.get('/api/v1/status', () => status());
  app.get('/api/v1/checkpoint', (_request, reply) => reply.type('text/plain; charset=utf-8').send(log.checkpoint()));

  app.get<{ Querystring: { index: string; size?: string } }>(
    '/api/v1/proof/inclusion',
    { schema: { querystring: queryOf(['index'], ['size']) } },
    ({ query }, reply) => {
      const index = Number(query.index);
      const size = Number(query.size ?? log.size);
      if (size > log.size || index >= size) {
        return reply
          .code(404)
          .send({ error: `expected index < size <= ${log.size}, got index ${index}, size ${size}` });
      }
      return { index, size, digest: hexOf(store.log.digest(index)), path: log.inclusionProof(index, size).map(hexOf) };
    },
  );

  app.get<{ Querystring: { first: string; second?: string } }>(
    '/api/v1/proof/consistency',
    { schema: { querystring: queryOf(['first'], ['second']) } },
    ({ query }, reply) => {
      const first = Number(query.first);
      const second = Number(query.second ?? log.size);
      if (first < 1 || first > second || second > log.size) {
        const error = `expected 1 <= first <= second <= ${log.size}, got first ${first}, second ${second}`;
        return reply.code(404).send({ error });
      }
      return { first, second, path: log.consistencyProof(first, second).map(hexOf) };
    },
  );

  app.get<{ Params: { orderId: string } }>(
    '/api/v1/evidence/:orderId',
    {
      schema: {
        params: { type: 'object', properties: { orderId: { type: 'string', pattern: '^[1-9][0-9]{0,77}$' } } },
      },
    },
    ({ params }, reply) => {
      const action = store.outbox.ofOrder(params.orderId).at(-1);
      if (action === undefined) return reply.code(404).send({ error: `no evidence about order ${params.orderId}` });
      // Written by findings.ts only.
      const { digest, excursion, runs } = JSON.parse(action.evidence) as EvidenceRecord;
      return { orderId: params.orderId, digest, excursion, runs };
    },
  );
}

function queryOf(required: readonly string[], optional: readonly string[]) {
  const properties = Object.fromEntries([...required, ...optional].map((name) => [name, wholeNumber]));
  return { type: 'object', properties, required, additionalProperties: false };
}

/** Fastify's own refusals carry their status; anything else is our fault. */
function statusOf(error: unknown): number {
  const status = typeof error === 'object' && error !== null && 'statusCode' in error ? error.statusCode : 500;
  return typeof status === 'number' && status >= 400 && status <= 599 ? status : 500;
}

function hexOf(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? '' : bytesToHex(bytes);
}
