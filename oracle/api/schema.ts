/** JSON Schemas of requests and answers, of which the OpenAPI document is made. Times are Unix seconds unless in ms. */
export type Schema = Readonly<Record<string, unknown>>;

export const orderIdText = { type: 'string', pattern: '^[1-9][0-9]{0,77}$', description: 'order, a decimal number' };
export const deviceText = { type: 'string', pattern: '^[0-9a-f]{64}$', description: 'device, SHA-256 of its key' };
export const hexText = { type: 'string', pattern: '^[0-9a-f]*$' };
export const addressText = { type: 'string', pattern: '^0x[0-9a-fA-F]{40}$' };
export const unixSec = { type: 'integer', minimum: 0, maximum: 0xffff_ffff, description: 'Unix seconds' };
export const cursorText = { type: 'string', minLength: 1, maxLength: 500, description: '`next` of the page before' };
export const channelText = {
  type: 'string',
  pattern: '^([a-z-]{4,12}|cargo-probe-[1-9][0-9]?)$',
  description: 'supply-air, cargo-probe-1 and so on',
};
export const channelsText = {
  type: 'string',
  pattern: '^[a-z0-9-]{4,15}(,[a-z0-9-]{4,15}){0,63}$',
  description: 'channels, comma between them; all when absent',
};
export const wholeNumberText = { type: 'string', pattern: '^(0|[1-9][0-9]{0,15})$', description: 'a whole number' };

export const text = { type: 'string' };
export const textOrNull = { type: ['string', 'null'] };
export const integer = { type: 'integer' };
export const integerOrNull = { type: ['integer', 'null'] };
export const boolean = { type: 'boolean' };

export function limitUpTo(maximum: number, fallback: number): Schema {
  return { type: 'integer', minimum: 1, maximum, default: fallback };
}

/** All keys must be there, and there may be others: a client that is older than the oracle goes on working. */
export function object(properties: Readonly<Record<string, Schema>>, optional: readonly string[] = []): Schema {
  const required = Object.keys(properties).filter((key) => !optional.includes(key));
  return { type: 'object', properties, required, additionalProperties: true };
}

export function list(items: Schema): Schema {
  return { type: 'array', items };
}

export function page(items: Schema): Schema {
  return object({
    items: list(items),
    next: { ...textOrNull, description: 'cursor of the next page; null at the end' },
  });
}

/** Nothing but these keys. */
export function input(properties: Readonly<Record<string, Schema>>, required: readonly string[] = []): Schema {
  return { type: 'object', properties, required, additionalProperties: false };
}

export const finality = { enum: ['provisional', 'safe', 'final'] };
export const finalityOrNull = { enum: ['provisional', 'safe', 'final', null] };
export const fact = { enum: ['proved', 'attested', null], description: 'proved by the device, or attested by oracles' };

export const problem = object({ error: text });

const refusals = {
  400: { description: 'a parameter is out of its bounds', ...problem },
  401: { description: 'no token, or one that does not count', ...problem },
  403: { description: 'the token has not this scope', ...problem },
  404: { description: 'not there, or not for this token', ...problem },
  410: { description: 'removed: older than log.retentionDays', ...problem },
  429: { description: 'too many requests', ...problem },
};

export type RouteParts = {
  readonly summary: string;
  readonly tag: string;
  readonly params?: Schema;
  readonly query?: Schema;
  readonly answer?: Schema;
  /** Media type of an answer that is no JSON. */
  readonly media?: string;
  /** Whether it needs no token. */
  readonly isPublic?: boolean;
};

/** A route's schema, as fastify and the OpenAPI document take it. */
export function describeRoute({ summary, tag, params, query, answer, media, isPublic = false }: RouteParts) {
  const inMedia = { schema: media?.endsWith('json') === true ? {} : text };
  const ok =
    media === undefined
      ? { description: 'as asked', ...answer }
      : { description: 'as asked', content: { [media]: inMedia } };
  return {
    summary,
    tags: [tag],
    ...(params === undefined ? {} : { params }),
    querystring: query ?? input({}),
    response: answer === undefined && media === undefined ? refusals : { 200: ok, ...refusals },
    ...(isPublic ? { security: [] } : {}),
  };
}
