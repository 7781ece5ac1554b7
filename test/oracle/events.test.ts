/**
 * Every change of state is an event with an id and a time: streamed (WHATWG HTML §9.2), replayed from the last one
 * that a client has, and delivered to webhooks (CloudEvents 1.0) at least once, in order, signed.
 */
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import type { Finding } from '@coldproof/wire';
import { Announcer } from '@coldproof/oracle/announce';
import { realClock } from '@coldproof/oracle/clock';
import type { CloudEvent } from '@coldproof/oracle/cloud-event';
import { Lease } from '@coldproof/oracle/lease';
import { silent } from '@coldproof/oracle/log-line';
import { Webhooks, defaultWebhookPolicy, webhookName } from '@coldproof/oracle/webhook';
import { cancelOrder, openDesk, parties, startSec, type Desk } from './api-fixture.ts';
import { until } from './oracle-fixture.ts';

const typesAfter = (desk: Desk, id: number) => desk.store.events.after(id, 1_000).map(({ type }) => type);

t.test('what is new is announced once, what is taken back too, and a restart announces nothing again', async (t) => {
  const desk = await openDesk(t);
  const { store, announcer } = desk;
  t.ok(announcer.round() > 0);
  const first = store.events.lastId();
  t.same(
    new Set(typesAfter(desk, 0)),
    new Set(['device.changed', 'order.changed', 'finding.opened', 'finding.closed', 'action.changed', 'device.heard']),
  );
  t.equal(announcer.round(), 0);
  t.equal(new Announcer({ store, clock: realClock }).round(), 0, 'after a restart');
  cancelOrder(desk);
  store.chain.setHead({ number: 9, hash: '0x9b', timeSec: startSec, safeNumber: 6, finalNumber: 5 });
  announcer.round();
  t.same(typesAfter(desk, first), ['order.changed', 'order.changed', 'action.changed']);
  const [event] = store.events.after(first, 1);
  t.match(JSON.parse(event!.content), { orderId: '7', state: 'Cancelled', fact: 'proved', finality: 'provisional' });
  const second = store.events.lastId();
  store.chain.setHead({ number: 12, hash: '0x12', timeSec: startSec, safeNumber: 9, finalNumber: 8 });
  announcer.round();
  t.same(typesAfter(desk, second), ['order.changed', 'action.changed'], 'final is news');
  const third = store.events.lastId();
  store.chain.deleteOrder('9');
  store.chain.setHead({ number: 12, hash: '0x13', timeSec: startSec, safeNumber: 9, finalNumber: 8 });
  announcer.round();
  t.same(typesAfter(desk, third), ['order.withdrawn'], 'a reorganisation');
  t.same(
    store.events.after(0, 1_000).map(({ id }) => id),
    Array.from({ length: store.events.lastId() }, (_, i) => i + 1),
    'ids without a hole',
  );
});

t.test('a round looks at what was written or is not final yet, and at everything after a fault', async (t) => {
  const desk = await openDesk(t);
  const { store, announcer } = desk;
  announcer.round();
  const scanned: string[] = [];
  const unsettled = store.events.unsettled.bind(store.events);
  store.events.unsettled = (kind, ...page) => {
    scanned.push(kind);
    return unsettled(kind, ...page);
  };
  const finding = (openedAtSec: number) => {
    return { rule: 'gap', channel: 257, openedAtSec, detail: { gapSec: 600 } } as unknown as Finding;
  };
  const events = (): string[] => {
    const last = store.events.lastId();
    announcer.round();
    return typesAfter(desk, last);
  };
  const setHead = (number: number, finalNumber: number): void => {
    store.chain.setHead({ number, hash: `0x${number}`, timeSec: startSec, safeNumber: finalNumber, finalNumber });
  };
  cancelOrder(desk);
  setHead(9, 5);
  t.same(events(), ['order.changed', 'order.changed', 'action.changed']);
  setHead(10, 5);
  t.same(events(), [], 'a head that moves nothing');
  setHead(11, 9);
  t.ok(events().includes('order.changed'), 'what was provisional is final');
  store.chain.deleteOrder('9');
  store.chain.deleteOrder('404');
  t.same(events(), ['order.withdrawn'], 'it was announced; the other never was');
  store.evaluation.saveFinding('7', finding(startSec + 7_200));
  const action = { id: 'report:0a', orderId: '7', evidence: '{}', dueMs: 0, createdMs: 1 };
  t.ok(store.outbox.insert(action));
  t.same(events(), ['finding.opened', 'action.changed']);
  store.evaluation.saveFinding('7', { ...finding(startSec + 7_200), closedAtSec: startSec + 7_800 });
  store.outbox.setState('report:0a', 'in-progress');
  t.same(events(), ['finding.closed', 'action.changed']);
  store.outbox.setFatal('report:0a', 'OrderStateNot', 12);
  t.same(events(), ['action.changed']);
  t.same(events(), []);
  t.same(scanned, [], 'nothing else was looked at');
  store.outbox.reviveFatal(11);
  t.same(events(), ['action.changed'], 'what is written in one go is found');
  t.same(scanned, ['action']);
  const full = () => {
    throw new Error('the disk is full');
  };
  const setAnnounced = store.events.setAnnounced.bind(store.events);
  store.evaluation.saveFinding('7', finding(startSec + 9_000));
  store.events.setAnnounced = full;
  t.throws(() => announcer.round(), /the disk is full/);
  store.events.setAnnounced = setAnnounced;
  t.same(events(), ['finding.opened'], 'a round that failed has announced nothing, and forgets nothing');
  store.evaluation.reset('7');
  t.ok(events().includes('finding.withdrawn'));
});

type Message = { id: number; event: string; data: CloudEvent };

/** Reads a stream until `count` events have come. */
async function listen(url: string, count: number, headers: Record<string, string> = {}): Promise<Message[]> {
  const abort = new AbortController();
  const response = await fetch(url, { headers, signal: abort.signal });
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
  const messages: Message[] = [];
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true });
    const blocks = text.split('\n\n');
    text = blocks.pop()!;
    for (const block of blocks.filter((each) => !each.startsWith(':'))) {
      const fields = Object.fromEntries(block.split('\n').map((line) => line.split(/: (.*)/s).slice(0, 2))) as Record<
        string,
        string
      >;
      messages.push({
        id: Number(fields['id']),
        event: fields['event']!,
        data: JSON.parse(fields['data']!) as CloudEvent,
      });
    }
    if (messages.length >= count) break;
  }
  abort.abort();
  return messages;
}

t.test('a stream goes on as things change; one that was cut misses nothing', async (t) => {
  const desk = await openDesk(t);
  desk.announcer.round();
  const { app, store, announcer } = desk;
  const base = await app.listen({ host: '127.0.0.1', port: 0 });
  const known = store.events.lastId();
  const live = listen(`${base}/api/v1/events`, 2);
  const heard = new AbortController();
  void live.then(() => heard.abort());
  cancelOrder(desk);
  for (let round = 0; !heard.signal.aborted; round++) {
    // Safe, provisional, safe: whoever listens hears it.
    const head = {
      number: 9,
      hash: `0x${round}`,
      timeSec: startSec,
      safeNumber: round % 2 === 0 ? 8 : 6,
      finalNumber: 5,
    };
    store.chain.setHead(head);
    announcer.round();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const now = await live;
  const replay = (after: number) => listen(`${base}/api/v1/events?after=${after}&follow=false`, 1_000_000);
  const all = await replay(0);
  t.ok(now[0]!.id > known, 'from now on');
  t.same(
    all.map(({ id }) => id),
    Array.from({ length: all.length }, (_, i) => i + 1),
    'from the first on',
  );
  t.same(
    all.filter(({ id }) => now.some((each) => each.id === id)),
    now,
  );
  const { specversion, id, type, subject } = now[0]!.data;
  t.match(
    { specversion, id, type, subject },
    {
      specversion: '1.0',
      id: String(now[0]!.id),
      type: /^coldproof\.(order|action)\.changed\.v1$/,
      subject: /^order\/[79]$/,
    },
  );
  const again = await listen(`${base}/api/v1/events`, 1, { 'last-event-id': String(now[0]!.id - 1) });
  t.same(again[0], now[0], 'Last-Event-ID');
  const actions = await listen(`${base}/api/v1/events?after=0&type=action.changed&follow=false`, 99);
  t.ok(actions.length > 0 && actions.every(({ event }) => event === 'action.changed'));
  const buyer = desk.makeToken({ party: parties.stranger }).token;
  const seen = await listen(`${base}/api/v1/events?after=0&follow=false`, 99, { authorization: `Bearer ${buyer}` });
  t.same(
    seen.map(({ data }) => data.subject),
    ['order/8'],
    'a party hears of its own orders',
  );
});

type Heard = { headers: IncomingHttpHeaders; body: string };

async function openReceiver(t: Test, answer: () => number) {
  const heard: Heard[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => (body += text));
    request.on('end', () => {
      const code = answer();
      heard.push({ headers: request.headers, body });
      response.writeHead(code, code === 302 ? { location: 'http://127.0.0.1:1/' } : {}).end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return { heard, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook` };
}

const secret = 'a secret of the receiver';
const policy = { ...defaultWebhookPolicy, retryMs: 1, retryMsMax: 2 };

t.test('a webhook gets what it asked for, in order, signed, and again until it says 2xx', async (t) => {
  const desk = await openDesk(t);
  const answers = [500, 302, 200, 503];
  const { heard, url } = await openReceiver(t, () => answers.shift() ?? 204);
  const deps = { store: desk.store, announcer: desk.announcer, pace: realClock, log: silent, source: 'ab'.repeat(32) };
  const webhooks = new Webhooks(deps, [{ url, secret, events: ['order.changed'], orders: ['7', '9'] }], policy);
  const stop = new AbortController();
  webhooks.states();
  desk.announcer.round();
  const following = webhooks.follow(stop.signal);
  await until('the first is delivered', () => heard.length === 3);
  cancelOrder(desk);
  desk.store.chain.setHead({ number: 9, hash: '0x9c', timeSec: startSec, safeNumber: 6, finalNumber: 5 });
  desk.announcer.round();
  await until('all are delivered', () => webhooks.states()[0]!.deliveredId === desk.store.events.lastId());
  stop.abort();
  await following;
  const events = heard.map(({ body }) => JSON.parse(body) as CloudEvent);
  t.same(
    events.map(({ subject }) => subject),
    ['order/7', 'order/7', 'order/7', 'order/7', 'order/7', 'order/9'],
  );
  const ids = events.map(({ id }) => Number(id));
  t.same(
    ids,
    [...ids].sort((a, b) => a - b),
    'in order; a repeat has the same id',
  );
  t.equal(new Set(ids).size, 3);
  for (const { headers, body } of heard) {
    const [, at, mac] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(headers['coldproof-signature'] as string) ?? [];
    t.equal(mac, createHmac('sha256', secret).update(`${at}.${body}`).digest('hex'));
    t.match(headers['content-type'], 'application/cloudevents+json');
  }
});

t.test(
  'the place in the journal outlives the process: what came while it was away is told when it is back',
  async (t) => {
    const desk = await openDesk(t);
    const { heard, url } = await openReceiver(t, () => 200);
    const deps = { store: desk.store, announcer: desk.announcer, pace: realClock, log: silent, source: '' };
    const settings = [{ url, secret, events: ['order.changed'] }];
    new Webhooks(deps, settings, policy).states();
    desk.announcer.round();
    const stop = new AbortController();
    const second = new Webhooks(deps, settings, policy);
    const following = second.follow(stop.signal);
    await until('everything since the first start', () => heard.length === 2);
    t.same(
      heard.map(({ body }) => (JSON.parse(body) as CloudEvent).subject),
      ['order/7', 'order/8'],
    );
    stop.abort();
    await following;
  },
);

t.test('one that fails for too long is given up, in the audit trail, and goes on when it is enabled', async (t) => {
  const desk = await openDesk(t);
  let code = 500;
  const { heard, url } = await openReceiver(t, () => code);
  const deps = { store: desk.store, announcer: desk.announcer, pace: realClock, log: silent, source: '' };
  const webhooks = new Webhooks(deps, [{ url, secret, events: ['order.changed'] }], { ...policy, failuresMax: 3 });
  webhooks.states();
  desk.announcer.round();
  const stop = new AbortController();
  const following = webhooks.follow(stop.signal);
  await until('it is given up', () => webhooks.states()[0]!.disabledMs !== undefined);
  t.equal(heard.length, 3);
  t.match(desk.store.audit.last(), { what: 'webhook-disabled', detail: 'answered 500', subject: webhookName({ url }) });
  code = 200;
  webhooks.enable(webhookName({ url }));
  await until('it goes on', () => heard.length === 5);
  t.equal(heard[3]!.body, heard[2]!.body, 'from the event that it had not answered for');
  stop.abort();
  await following;
});

type Worker = { readonly lease: Lease; readonly announcer: Announcer; readonly webhooks: Webhooks };

/** Two on one store, the first of them with the lease. */
function openWorkers({ store }: Desk, url: string): [Worker, Worker] {
  const [one, two] = ['one', 'two'].map((holder) => {
    const lease = new Lease({ store, pace: realClock }, { holder, leaseMs: 600_000 });
    const announcer = new Announcer({ store, clock: realClock, fence: lease });
    const deps = { store, announcer, pace: realClock, log: silent, source: '' };
    const webhooks = new Webhooks(deps, [{ url, secret, events: ['order.changed'] }], { ...policy, failuresMax: 2 });
    return { lease, announcer, webhooks };
  }) as [Worker, Worker];
  one.lease.renew();
  one.webhooks.states();
  one.announcer.round();
  return [one, two];
}

t.test('of two workers one delivers: who holds the lease, also what was enabled at the other', async (t) => {
  const desk = await openDesk(t);
  let code = 500;
  const { heard, url } = await openReceiver(t, () => code);
  const [one, two] = openWorkers(desk, url);
  t.equal(two.lease.renew(), false);
  const stop = new AbortController();
  const following = [one, two].map(({ webhooks }) => webhooks.follow(stop.signal));
  const state = () => two.webhooks.states()[0]!;
  await until('it is given up', () => state().disabledMs !== undefined);
  t.equal(heard.length, 2, 'tried by one of them');
  code = 200;
  two.webhooks.enable(state().name);
  await until('it goes on', () => state().deliveredId === desk.store.events.lastId());
  one.lease.release();
  two.lease.renew();
  cancelOrder(desk);
  two.announcer.round();
  await until('by the other one', () => state().deliveredId === desk.store.events.lastId());
  stop.abort();
  await Promise.all(following);
  const ids = heard.slice(2).map(({ body }) => (JSON.parse(body) as CloudEvent).id);
  t.equal(ids.length, 4);
  t.equal(new Set(ids).size, 4, 'each once');
});

t.test('one that lost its lease over an answer does not put the place back', async (t) => {
  const desk = await openDesk(t);
  const { store } = desk;
  const stop = new AbortController();
  const { heard, url } = await openReceiver(t, () => {
    store.lease.release('chain', 1);
    two.lease.renew();
    // As if the successor had delivered all.
    store.webhooks.save({ ...two.webhooks.states()[0]!, deliveredId: store.events.lastId() });
    return 204;
  });
  const [one, two] = openWorkers(desk, url);
  const following = one.webhooks.follow(stop.signal);
  await until('it knows that the lease is lost', () => heard.length === 1 && !one.lease.isHeld);
  stop.abort();
  await following;
  t.equal(one.webhooks.states()[0]!.deliveredId, store.events.lastId());
});
