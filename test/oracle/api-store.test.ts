/** What the API reads and writes is the same on SQLite and on PostgreSQL. */
import { findTampered } from '@coldproof/oracle/audit';
import { cancelOrder, openDesk, parties, startSec } from './api-fixture.ts';
import { testOnEachEngine } from './stores.ts';

testOnEachEngine('lists, events, audit and webhooks', async (t, place) => {
  const desk = await openDesk(t, { place });
  const { store, announcer, get } = desk;
  t.ok(announcer.round() > 0);
  t.equal(announcer.round(), 0);
  cancelOrder(desk);
  store.chain.setHead({ number: 9, hash: '0x9d', timeSec: startSec, safeNumber: 8, finalNumber: 5 });
  t.equal(announcer.round(), 3);
  const head = { number: 9, hash: '0x9e', timeSec: startSec, safeNumber: 8, finalNumber: 5 };
  store.chain.deleteOrder('9');
  store.chain.setHead(head);
  t.equal(announcer.round(), 1, 'what the chain took back');
  t.match(store.events.after(store.events.lastId() - 1, 9), [{ type: 'order.withdrawn', orderId: '9' }]);
  const { token } = desk.makeToken({ party: parties.buyer });
  const ids = (await get('/api/v1/shipments?limit=1', token)).json as { items: { orderId: string }[]; next: string };
  t.same(ids.items[0]!.orderId, '7');
  const paths = ['findings?limit=1', 'actions', `devices/${desk.id}`, 'devices', 'shipments/7/timeline', 'audit'];
  for (const path of paths) {
    const admin = desk.makeToken().token;
    t.equal((await get(`/api/v1/${path}`, admin)).code, 200, path);
  }
  const first = (await get('/api/v1/findings?limit=1', token)).json as { next: string };
  t.equal((await get(`/api/v1/findings?limit=1&cursor=${first.next}`, token)).code, 200);
  for (const path of ['bundle', 'export/csv', 'chart?channel=cargo-probe-1']) {
    t.equal((await get(`/api/v1/shipments/7/${path}`, token)).code, 200, path);
  }
  t.equal(findTampered(store.audit.after(0, 100)), undefined);
  const state = { name: 'ab', url: 'https://x', deliveredId: 2 ** 40, failures: 1, dueMs: 2 ** 45, problem: 'p' };
  store.webhooks.save(state);
  store.webhooks.save({ ...state, disabledMs: 2 ** 45 });
  t.same(store.webhooks.load('ab'), { ...state, disabledMs: 2 ** 45 });
  t.same(desk.faults, []);
});
