/** The API (oracle/API.md): it says what is stored, as far as the caller may see it, in the forms that it promises. */
import { Ajv2020, type AnySchema } from 'ajv/dist/2020.js';
import { Validator } from '@seriousme/openapi-schema-validator';
import t, { type Test } from 'tap';
import { cargoProbe, noPrevious, verifyBundle, type Bundle } from '@coldproof/wire';
import { findTampered } from '@coldproof/oracle/audit';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import type { AuditEntry } from '@coldproof/oracle/store-audit';
import { anchorLog, cancelOrder, contracts, openDesk, parties, quarterOf, startSec, type Desk } from './api-fixture.ts';

type Items = { items: Record<string, unknown>[]; next: string | null };

async function pages(desk: Desk, url: string, token?: string): Promise<Record<string, unknown>[]> {
  const found: Record<string, unknown>[] = [];
  for (let cursor = ''; ;) {
    const { code, json, text } = await desk.get(`${url}${cursor}`, token);
    if (code !== 200) throw new Error(`${url}: ${code} ${text}`);
    const { items, next } = json as Items;
    found.push(...items);
    if (next === null) return found;
    cursor = `&cursor=${next}`;
  }
}

t.test('an order says what it is, what ended it, and how final that is', async (t) => {
  const desk = await openDesk(t);
  t.match((await desk.get('/api/v1/shipments/7')).json, {
    ...{ orderId: '7', state: 'InTransit', finality: 'final', fact: null, carrier: parties.carrier },
    terms: { price: '48000000000' },
  });
  cancelOrder(desk);
  const order = {
    state: 'Cancelled',
    fact: 'proved',
    cause: 'Excursion',
    replacementOrderId: '9',
    repairTicketId: '1',
  };
  t.match((await desk.get('/api/v1/shipments/7')).json, { ...order, finality: 'provisional' });
  desk.store.chain.setHead({ number: 99, hash: '0x99', timeSec: startSec, safeNumber: 9, finalNumber: 7 });
  t.match((await desk.get('/api/v1/shipments/7')).json, { finality: 'safe' });
  desk.store.chain.setHead({ number: 99, hash: '0x9a', timeSec: startSec, safeNumber: 9, finalNumber: 8 });
  t.match((await desk.get('/api/v1/shipments/7')).json, { finality: 'final' });
  const ids = async (url: string) => (await pages(desk, url)).map(({ orderId }) => orderId);
  t.same(await ids('/api/v1/shipments?limit=1'), ['9', '8', '7'], 'newest first, page by page');
  t.same(await ids('/api/v1/shipments?state=Placed'), ['9', '8']);
  const moments = (await desk.get('/api/v1/shipments/7/timeline')).json as Items;
  t.same(
    moments.items.filter(({ kind }) => kind === 'chain').map(({ name }) => name),
    [
      'OrderPlaced',
      'OrderAccepted',
      'OrderDispatched',
      'ExcursionProved',
      'OrderCancelled',
      'OrderReplaced',
      'RepairRequested',
    ],
  );
  t.match(
    moments.items.find(({ name }) => name === 'OrderCancelled'),
    { fact: 'proved', finality: 'final', time: startSec + 3_700 },
  );
  t.match((await desk.get('/api/v1/actions')).json, {
    items: [{ orderId: '7', state: 'confirmed', finality: 'final' }],
  });
  t.match((await desk.get('/api/v1/evidence/7')).json, { excursion: { peakCentiC: 905 } });
  t.match((await desk.get('/api/v1/findings?limit=1')).json, { items: [{ orderId: '7' }] });
});

t.test('readings are given as they were signed, page by page', async (t) => {
  const desk = await openDesk(t);
  const url = '/api/v1/shipments/7/readings?channel=cargo-probe-1';
  const all = await pages(desk, `${url}&limit=7`);
  t.equal(all.length, 60);
  t.same(all, ((await desk.get(url)).json as Items).items, 'pages are the whole');
  const values = all.map(({ value }) => value);
  t.equal(values[45], 905);
  t.equal(values[53], null, 'a fault has no value');
  t.same(
    all.map(({ time }) => time),
    Array.from({ length: 60 }, (_, i) => startSec + 60 * (i + 1)),
  );
  t.match(all[0], { provenance: 'gateway-signed', sequence: 0, marks: [] });
  const cut = (await desk.get(`${url}&from=${startSec + 120}&to=${startSec + 180}`)).json as Items;
  t.same(
    cut.items.map(({ time }) => time),
    [startSec + 120, startSec + 180],
  );
  t.equal(
    (await desk.get('/api/v1/shipments/8/readings?channel=door')).text,
    '{"channel":"door","unit":{"digits":0,"name":null},"items":[],"private":[],"next":null}',
  );
});

t.test('a spike of two minutes in a week is in the chart, however few its points', async (t) => {
  const quarters = Array.from({ length: 672 }, () => quarterOf(500));
  quarters[300] = [...quarterOf(500).slice(2), 940, 940];
  const desk = await openDesk(t, { quarters });
  for (const buckets of [1, 7, 100, 500, 4_000]) {
    const { json } = await desk.get(`/api/v1/shipments/7/chart?channel=cargo-probe-1&buckets=${buckets}`);
    const found = json['buckets'] as { count: number; highest: { value: number; timeSec: number }; lowest: object }[];
    t.ok(found.length <= buckets, `${found.length} buckets`);
    const highest = found.map((bucket) => bucket.highest).reduce((a, b) => (b.value > a.value ? b : a));
    t.same(highest, { timeSec: startSec + 60 + 300 * 900 + 13 * 60, value: 940 }, `${buckets} buckets`);
    t.equal(
      found.reduce((sum, { count }) => sum + count, 0),
      672 * 15,
    );
  }
});

t.test('a token sees its party, its orders, its channels and its scopes, and nothing else is there', async (t) => {
  const desk = await openDesk(t);
  cancelOrder(desk);
  const admin = desk.makeToken().token;
  t.equal((await desk.get('/api/v1/shipments')).code, 401, 'with a token in the file, loopback is nobody');
  const buyer = desk.makeToken({ party: parties.buyer }).token;
  const ids = async (token: string) => (await pages(desk, '/api/v1/shipments?', token)).map(({ orderId }) => orderId);
  t.same(await ids(admin), ['9', '8', '7']);
  t.same(await ids(buyer), ['9', '7']);
  t.same(await ids(desk.makeToken({ party: parties.carrier, orders: ['7', '8'] }).token), ['7']);
  t.same(await ids(desk.makeToken({ party: parties.stranger }).token), ['8']);
  const stranger = desk.makeToken({ party: parties.stranger }).token;
  const below = [
    '',
    '/timeline',
    '/findings',
    '/actions',
    '/evidence',
    '/readings?channel=door',
    '/chart?channel=door',
  ];
  for (const path of [...below, '/bundle', '/export/csv', '/export/senml', '/export/epcis', '/export/dcsa']) {
    const answer = await desk.get(`/api/v1/shipments/7${path}`, stranger);
    t.equal(answer.code, 404, path);
    t.same(answer.json, { error: 'no order 7' }, 'as if there were none');
    t.equal((await desk.get(`/api/v1/shipments/7${path}`, buyer)).code, 200, path);
  }
  t.equal((await desk.get('/api/v1/evidence/7', stranger)).code, 404);
  t.same(((await desk.get('/api/v1/findings', stranger)).json as Items).items, []);
  t.same(((await desk.get('/api/v1/actions', stranger)).json as Items).items, []);
  t.same(((await desk.get('/api/v1/devices', stranger)).json as Items).items, []);
  t.equal((await desk.get(`/api/v1/devices/${desk.id}`, stranger)).code, 404);
  t.equal((await desk.get(`/api/v1/devices/${desk.id}`, desk.makeToken({ party: parties.carrier }).token)).code, 200);
  const narrow = desk.makeToken({ channels: [cargoProbe(1)], scopes: ['readings', 'exports'] }).token;
  t.equal((await desk.get('/api/v1/shipments/7/readings?channel=cargo-probe-1', narrow)).code, 200);
  t.equal((await desk.get('/api/v1/shipments/7/readings?channel=latitude', narrow)).code, 404);
  t.equal((await desk.get('/api/v1/shipments/7/export/csv?channels=latitude', narrow)).code, 404);
  t.notMatch((await desk.get('/api/v1/shipments/7/export/csv', narrow)).text, /latitude|door/);
  t.match((await desk.get('/api/v1/shipments/7/bundle', narrow)).json, { withheldSeries: 28 });
  t.match((await desk.get('/api/v1/shipments', narrow)).json, { error: 'expected a token with scope shipments' });
  t.equal((await desk.get('/api/v1/shipments', narrow)).code, 403);
  t.equal((await desk.get('/metrics', narrow)).code, 403);
  const past = desk.makeToken({ expiresMs: 1 }).token;
  for (const wrong of [past, `${admin.slice(0, -1)}x`, admin.slice(0, -1), 'x', `${admin}0`]) {
    t.equal((await desk.get('/api/v1/shipments', wrong)).code, 401, 'a wrong token');
  }
  t.equal((await desk.get('/api/v1/checkpoint')).code, 200, 'the log is for anyone');
});

t.test('without tokens this machine is answered, and nobody who is only forwarded by it', async (t) => {
  const { app } = await openDesk(t);
  const ask = async (headers: Record<string, string>, remoteAddress = '127.0.0.1') =>
    (await app.inject({ method: 'GET', url: '/api/v1/shipments', headers, remoteAddress })).statusCode;
  t.equal(await ask({}), 200);
  t.equal(await ask({}, '::1'), 200);
  t.equal(await ask({}, '192.0.2.7'), 401);
  t.equal(await ask({ 'x-forwarded-for': '192.0.2.7' }), 401);
  t.equal(await ask({ host: 'rebound.example' }), 401, 'a name that leads here is not this machine');
  t.equal(await ask({ origin: 'https://elsewhere.example' }), 401, 'a page of another site is not this machine');
  t.equal(await ask({ origin: 'http://localhost:8080' }), 200);
});

t.test('tries are counted: too many are refused, wrong tokens too', async (t) => {
  const desk = await openDesk(t, { requestsPerMinMax: 3 });
  const { token } = desk.makeToken();
  const codes = async (asked: string) => {
    const answers = [];
    for (let i = 0; i < 5; i++) answers.push((await desk.get('/api/v1/shipments', asked)).code);
    return answers;
  };
  t.same(await codes(token), [200, 200, 200, 429, 429]);
  t.same(await codes('wrong'), [401, 401, 401, 429, 429]);
});

t.test('devices say when they were heard, what is missing, and what was signed twice', async (t) => {
  const desk = await openDesk(t);
  const { device, log, envelopes, id } = desk;
  const twin = { device: device.device, sequence: 0, previous: noPrevious, digest: new Uint8Array(32).fill(9) };
  log.append([{ ...twin, firstSec: 1, lastSec: 2, envelope: new Uint8Array(1) }], 77);
  const { json } = await desk.get(`/api/v1/devices/${id}`);
  t.match(json, {
    ...{ device: id, asset: 'CSQU3054383', batches: envelopes.length, lastSeen: startSec + 3_600, isCalibrated: true },
    ...{ provenance: 'gateway-signed', equivocations: [{ sequence: 0, seenMs: 77 }] },
  });
  t.match((await desk.get('/api/v1/devices')).json, { items: [{ device: id }], next: null });
});

t.test('every export stands in the audit trail, which shows any change of it', async (t) => {
  const desk = await openDesk(t);
  const { id, token } = desk.makeToken();
  for (const kind of ['csv', 'senml', 'epcis', 'dcsa']) await desk.get(`/api/v1/shipments/7/export/${kind}`, token);
  await desk.get('/api/v1/shipments/7/bundle', token);
  await desk.get('/api/v1/shipments', token);
  const entries = (await pages(desk, '/api/v1/audit?limit=2', token)) as unknown as AuditEntry[];
  t.same(
    entries.map(({ who, what, subject }) => [who, what, subject]),
    [
      ['oracle', 'token-created', id],
      ...['csv', 'senml', 'epcis', 'dcsa', 'bundle'].map((kind) => [id, `export-${kind}`, 'order 7']),
    ],
  );
  t.equal(findTampered(entries), undefined);
  for (const [i, entry] of entries.entries()) {
    const changed = { ...entry, who: 'somebody else' };
    t.equal(findTampered([...entries.slice(0, i), changed, ...entries.slice(i + 1)]), changed);
    if (i < entries.length - 1) t.ok(findTampered([...entries.slice(0, i), ...entries.slice(i + 1)]), 'one left out');
  }
});

t.test('the OpenAPI document is valid, and answers are what it says', async (t) => {
  const desk = await openDesk(t);
  cancelOrder(desk);
  desk.announcer.round();
  const { json: document } = await desk.get('/api/v1/openapi.json');
  t.equal(document['openapi'], '3.1.0');
  const { valid, errors } = await new Validator().validate(structuredClone(document));
  t.ok(valid, JSON.stringify(errors));
  checkDocument(t, document as unknown as OpenApi);
  const ajv = new Ajv2020({ strict: false });
  const { paths } = document as unknown as OpenApi;
  const values: Record<string, string> = { orderId: '7', device: desk.id, name: 'ab'.repeat(6) };
  for (const [path, { get: operation }] of Object.entries(paths)) {
    if (operation === undefined) continue;
    const query = path.includes('inclusion') ? 'index=0' : 'first=1&channel=cargo-probe-1';
    const asked = /readings|chart|proof/.test(path) ? `?${query}` : path.endsWith('events') ? '?follow=false' : '';
    const cut = path.includes('consistency')
      ? '?first=1'
      : path.includes('inclusion')
        ? '?index=0'
        : asked.replace('first=1&', '');
    const answer = await desk.get(`${path.replaceAll(/\{(\w+)\}/g, (_, name: string) => values[name]!)}${cut}`);
    t.equal(answer.code, 200, `${path} ${answer.text.slice(0, 200)}`);
    const schema = operation.responses['200']?.content?.['application/json']?.schema;
    if (schema === undefined || path.endsWith('/bundle')) continue;
    const validate = ajv.compile(schema);
    t.ok(validate(answer.json), `${path}: ${JSON.stringify(validate.errors)}`);
  }
  t.same(desk.faults, []);
});

type Operation = {
  readonly summary?: string;
  readonly tags?: readonly string[];
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: AnySchema }[];
  readonly responses: Readonly<
    Record<string, { description: string; content?: Record<string, { schema: AnySchema }> } | undefined>
  >;
};
type OpenApi = { readonly paths: Readonly<Record<string, { get?: Operation; post?: Operation }>> };

/** What OpenAPI 3.1 asks of such a document: each path parameter described, each schema JSON Schema 2020-12. */
function checkDocument(t: Test, { paths }: OpenApi): void {
  const ajv = new Ajv2020({ strict: false });
  for (const [path, item] of Object.entries(paths)) {
    for (const operation of Object.values(item)) {
      const inPath = (operation.parameters ?? []).filter((each) => each.in === 'path').map(({ name }) => name);
      t.same(
        [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name),
        inPath,
        path,
      );
      for (const { schema } of operation.parameters ?? []) t.ok(ajv.validateSchema(schema), path);
      for (const answer of Object.values(operation.responses)) {
        t.type(answer?.description, 'string');
        for (const { schema } of Object.values(answer?.content ?? {})) t.ok(ajv.validateSchema(schema), path);
      }
      t.ok(operation.summary !== undefined && operation.tags?.length === 1, path);
    }
  }
}

t.test('health, metrics, and what Prometheus gets', async (t) => {
  const { get } = await openDesk(t);
  await get('/api/v1/shipments/7');
  const { text } = await get('/metrics');
  t.match(text, /coldproof_log_leaves 4\n/);
  t.match(text, /coldproof_http_answers_total\{route="\/api\/v1\/shipments\/:orderId",status="200"\} 1\n/);
  t.match(text, /coldproof_actions_open\{state="unstarted"\} 1\n/);
});

t.test('a bundle names the first anchor that has all of its batches, of this log alone', async (t) => {
  const desk = await openDesk(t);
  const url = `/api/v1/shipments/7/bundle?to=${startSec + 60 + 899}`;
  const bundle = async () => (await desk.get(url)).json as unknown as Bundle;
  const anchorsIn = ({ log }: Bundle) => log.heads.filter(({ anchor }) => anchor !== null);
  t.match((await bundle()).log.heads, [{ size: 1, anchor: null }], 'where its last batch was logged');
  anchorLog(desk, 2, desk.device.publicKey.subarray(0, 32));
  t.same(anchorsIn(await bundle()), [], 'of another log');
  anchorLog(desk, 4);
  const transaction = anchorLog(desk, 3);
  anchorLog(desk, 5);
  const anchored = await bundle();
  t.match(anchorsIn(anchored), [{ size: 3, anchor: { contract: contracts.AnchorLog, transaction } }]);
  const { checks, isSound } = verifyBundle(JSON.stringify(anchored), opensslCrypto());
  t.ok(isSound, JSON.stringify(checks));
  t.match(checks.find(({ name }) => name === 'heads')?.verdict, { ok: true, value: /3 \(anchored\)/ });
});
