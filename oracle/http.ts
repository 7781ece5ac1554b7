/**
 * The API over HTTP: who may ask is settled here, what is answered in api/. This file and those import fastify.
 *
 *   request --> who is it (token, or this machine) --> how often --> what may it (scope) --> api/RESOURCE.ts
 *
 * Without any token only this machine is answered, and asked for nothing: what a proxy forwards is not this machine.
 */
import { isIP } from 'node:net';
import rateLimit from '@fastify/rate-limit';
import swagger from '@fastify/swagger';
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import { addAudit } from './api/audit.ts';
import { addDevices } from './api/devices.ts';
import { addEvents } from './api/events.ts';
import { addExports } from './api/exports.ts';
import { addFindings } from './api/findings.ts';
import { addHealth } from './api/health.ts';
import { addLog } from './api/log.ts';
import { addMetrics } from './api/metrics.ts';
import { loopback, nobody, principalOf, type Principal } from './api/principal.ts';
import { addReadings } from './api/readings.ts';
import { Refusal, type ApiSources } from './api/route.ts';
import { addShipments } from './api/shipments.ts';
import { addWebhooks } from './api/webhooks.ts';
import { OperatingError, describeError } from './operating-error.ts';

export type HttpServer = { readonly port: number; close(): Promise<void> };

export type HttpSettings = { readonly host: string; readonly port: number; readonly requestsPerMinMax: number };

/** A request here is one line and a few headers. */
const bodyBytesMax = 1_024;
const requestMsMax = 10_000;

export async function openHttp(
  sources: ApiSources,
  { host, port, requestsPerMinMax }: HttpSettings,
): Promise<HttpServer> {
  const app = await makeApi(sources, { requestsPerMinMax });
  try {
    await app.listen({ host, port });
  } catch (cause) {
    const message = `http: cannot listen on ${host}:${port}`;
    throw new OperatingError('listen-failed', message, { retry: 'later', cause });
  }
  if (sources.tokens.all().length === 0) sources.say('info', 'api-without-tokens', { answers: 'this machine only' });
  const address = app.server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () => app.close(),
  };
}

/** All routes, without a port: what a test injects requests into. */
export async function makeApi(
  sources: ApiSources,
  { requestsPerMinMax }: Pick<HttpSettings, 'requestsPerMinMax'>,
): Promise<FastifyInstance> {
  const app = fastify({
    ...{ bodyLimit: bodyBytesMax, requestTimeout: requestMsMax, forceCloseConnections: true },
    // Input is right or refused: nothing is taken out of it in silence.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: true } },
    routerOptions: { maxParamLength: 200 },
  });
  app.setErrorHandler((error: unknown, request, reply) => {
    const status = statusOf(error);
    const url = request.url.slice(0, 200);
    if (status >= 500) sources.say('error', 'http-fault', { url, error: describeError(error) });
    return reply.code(status).send({ error: status >= 500 ? 'internal error' : describeError(error) });
  });
  app.setNotFoundHandler((request, reply) => reply.code(404).send({ error: `no ${request.method} on this path` }));
  app.decorateRequest('principal');
  app.addHook('onRequest', (request, _reply, done) => {
    request.principal = identify(sources, request);
    done();
  });
  await app.register(rateLimit, {
    ...{ max: requestsPerMinMax, timeWindow: 60_000 },
    keyGenerator: ({ principal, ip }) => (principal === nobody ? ip : principal.id),
    allowList: ({ principal }) => principal === loopback,
    errorResponseBuilder: (_request, { max }) => new Refusal(429, `expected at most ${max} requests a minute`),
  });
  // After the count, which is made on each route's own onRequest: who tries tokens is counted too.
  app.addHook('preParsing', (request, reply, payload, done) => {
    authorise(request);
    // Answers are about one caller and one moment.
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
    done(null, payload);
  });
  await app.register(swagger, { openapi });
  const api = { app, sources };
  addHealth(api);
  addMetrics(api);
  addLog(api);
  addShipments(api);
  addFindings(api);
  addReadings(api);
  addDevices(api);
  addExports(api);
  addEvents(api);
  addAudit(api);
  addWebhooks(api);
  sources.extend?.(app);
  await app.ready();
  return app;
}

const openapi = {
  openapi: '3.1.0',
  info: {
    title: 'Coldproof oracle',
    description: 'Signed cold-chain readings, what was found in them, and what contracts did about it. oracle/API.md',
    version: '1.0.0',
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
  },
  components: { securitySchemes: { token: { type: 'http' as const, scheme: 'bearer' } } },
  security: [{ token: [] as string[] }],
};

/** A wrong token is nobody: it says no more than none. */
function identify({ tokens, clock }: ApiSources, request: FastifyRequest): Principal {
  const [, text] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? [];
  if (text !== undefined) {
    const token = tokens.find(text, clock.nowMs());
    return token === undefined ? nobody : principalOf(token);
  }
  const isForwarded = request.headers['x-forwarded-for'] !== undefined || request.headers.forwarded !== undefined;
  return tokens.all().length === 0 && isThisMachine(request) && !isForwarded ? loopback : nobody;
}

/** A page of another site, open in a browser here, is not this machine either: it names its own host or origin. */
function isThisMachine({ ip, headers }: FastifyRequest): boolean {
  if (!/^(127\.\d+\.\d+\.\d+|::1|::ffff:127\.\d+\.\d+\.\d+)$/.test(ip)) return false;
  const name = (headers.host ?? 'localhost').replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  const isOwnName = name === 'localhost' || isIP(name) !== 0;
  return isOwnName && (headers.origin === undefined || /^https?:\/\/(localhost|127\.|\[::1\])/.test(headers.origin));
}

function authorise({ principal, routeOptions, headers }: FastifyRequest): void {
  const { scope } = routeOptions.config;
  if (scope === undefined || principal.scopes.has(scope)) return;
  if (principal !== nobody) throw new Refusal(403, `expected a token with scope ${scope}`);
  const hasTried = headers.authorization !== undefined;
  throw new Refusal(401, hasTried ? 'expected a token that counts' : `expected a token with scope ${scope}`);
}

/** Fastify's own refusals carry their status; anything else is our fault. */
function statusOf(error: unknown): number {
  const status = typeof error === 'object' && error !== null && 'statusCode' in error ? error.statusCode : 500;
  return typeof status === 'number' && status >= 400 && status <= 599 ? status : 500;
}
