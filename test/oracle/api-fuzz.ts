/**
 * Hostile requests over every operation of the OpenAPI document: values that are right, wrong, too long, or of another
 * kind, in path, query, headers and body. What is looked for is an answer of 5xx, or none.
 */
import type { Random } from '../helpers/seed.ts';
import type { Desk } from './api-fixture.ts';

type Parameter = { readonly name: string; readonly in: string };
type Operation = { readonly parameters?: readonly Parameter[] };
type Paths = Readonly<Record<string, Readonly<Record<string, Operation>>>>;

export type FuzzCount = {
  readonly requests: number;
  readonly byStatus: Record<string, number>;
  readonly bad: string[];
};

const good: Readonly<Record<string, readonly string[]>> = {
  orderId: ['7', '8', '9'],
  name: ['abababababab'],
  state: ['InTransit', 'Cancelled'],
  channel: ['cargo-probe-1', 'supply-air', 'door', 'latitude', 'cargo-probe-16'],
  channels: ['cargo-probe-1', 'door,humidity', 'cargo-probe-1,cargo-probe-1'],
  from: ['0', '1767225600', '4294967295'],
  to: ['1767229200', '4294967295', '0'],
  limit: ['1', '5', '100'],
  buckets: ['1', '4000'],
  cursor: [
    ...[[''], ['7'], [0], ['', '', -1, -1], [-1, ''], ['ff'], [0, -1], [99, 99], [-5, 1e15]],
    ...[['\0'], ['7', 'gap', 16, 9], [1e308], [null], [[]], [{}], 'x', 7, {}],
  ].map((parts) => Buffer.from(JSON.stringify(parts)).toString('base64url')),
  index: ['0', '3'],
  size: ['4', '1'],
  first: ['1', '4'],
  second: ['4'],
  since: ['1', '3', '9999999'],
  after: ['0', '1', '999999'],
  order: ['7'],
  type: ['order.changed'],
  follow: ['false'],
};

const hostile = [
  ...['', '0', '-1', '1.5', '1e9', '1e309', 'NaN', 'Infinity', '-0', '00', '0x10', '9007199254740993', '٣'],
  ...['null', 'true', '[]', '{}', '%00', '%ff', '%', '%zz', '%2e%2e%2f', '..', '/', '\\', '💧', "' OR 1=1 --", '"'],
  ...['__proto__', 'constructor', 'toString', '<script>', '${7*7}', '%0d%0aset-cookie: a=b', '\u202e', ' ', '*'],
  ...['9'.repeat(78), '9'.repeat(79), 'a'.repeat(64), 'f'.repeat(65), 'x'.repeat(5_000), 'cargo-probe-99', ','],
] as const;

/** Answers of a token that may all, one that may little, a wrong one, and none. */
export async function fuzzApi(desk: Desk, random: Random, count: number): Promise<FuzzCount> {
  const { paths } = (await desk.get('/api/v1/openapi.json')).json as { paths: Paths };
  const operations = Object.entries(paths).flatMap(([path, item]) => {
    return Object.entries(item).map(([method, operation]) => ({
      path,
      method,
      parameters: operation.parameters ?? [],
    }));
  });
  const tokens = [
    desk.makeToken().token,
    desk.makeToken({ party: `0x${'a'.repeat(40)}`, channels: [16] }).token,
    ...['wrong', `coldproof_${'0'.repeat(12)}_${'0'.repeat(64)}`],
  ];
  const byStatus: Record<string, number> = {};
  const bad: string[] = [];
  for (let i = 0; i < count; i++) {
    const request = hostileRequest(random, random.pick(operations), { ...good, device: [desk.id] }, tokens);
    const status = await answerOf(desk, request);
    byStatus[status] = (byStatus[status] ?? 0) + 1;
    if (status === 'none' || Number(status) >= 500) bad.push(`${status} ${JSON.stringify(request).slice(0, 400)}`);
  }
  return { requests: count, byStatus, bad };
}

type Request = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'PATCH' | 'HEAD' | 'OPTIONS';
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly payload?: string;
};

const methods = ['POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS'] as const;

function hostileRequest(
  random: Random,
  { path, method, parameters }: { path: string; method: string; parameters: readonly Parameter[] },
  values: Readonly<Record<string, readonly string[]>>,
  tokens: readonly string[],
): Request {
  // Mostly right, so that what is wrong gets past the first check.
  const goodOf = (name: string) => (Object.hasOwn(values, name) ? values[name]! : hostile);
  const valueOf = (name: string) => random.pick(random.next() < 0.75 ? goodOf(name) : hostile);
  const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    return random.next() < 0.85 ? random.pick(goodOf(name)) : encoded(random, random.pick(hostile));
  });
  const inQuery = parameters.filter((each) => each.in === 'query' && random.next() < 0.6).map(({ name }) => name);
  const extra = random.next() < 0.1 ? [random.pick(['__proto__', 'limit', 'x', 'channel[]', ''])] : [];
  const pairs = [...inQuery, ...extra].map((name) => `${name}=${encoded(random, valueOf(name))}`);
  // A stream that goes on has no end to be looked at.
  if (path.endsWith('/events')) pairs.push('follow=false');
  const isOdd = random.next() < 0.08;
  const upper = isOdd ? random.pick(methods) : method === 'post' ? ('POST' as const) : ('GET' as const);
  const headers: Record<string, string> = {};
  if (random.next() < 0.9)
    headers['authorization'] = `Bearer ${random.next() < 0.8 ? tokens[0]! : random.pick(tokens)}`;
  if (random.next() < 0.1) headers['last-event-id'] = random.pick(['0', '3', 'x', '-1', '1e9', '9'.repeat(40)]);
  if (random.next() < 0.1) headers['accept'] = random.pick(['text/html', '*/*;q=0', 'application/xml']);
  const hasBody = upper !== 'GET' && upper !== 'HEAD' && random.next() < 0.5;
  if (hasBody)
    headers['content-type'] = random.pick(['application/json', 'text/plain', 'application/x-www-form-urlencoded', 'x']);
  const payload = hasBody
    ? { payload: random.pick(['{}', '{', 'null', '[[[[', '{"__proto__":1}', 'x'.repeat(3_000)]) }
    : {};
  return { method: upper, url: `${filled}${pairs.length === 0 ? '' : `?${pairs.join('&')}`}`, headers, ...payload };
}

function encoded(random: Random, value: string): string {
  // Sometimes as it stands, as no browser would send it.
  return random.next() < 0.8 ? encodeURIComponent(value) : value.replaceAll(/[ #]/g, '%20');
}

const answerMsMax = 10_000;

async function answerOf({ app }: Desk, request: Request): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve('none'), answerMsMax);
  });
  const answer = app.inject(request).then(({ statusCode }) => String(statusCode));
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
