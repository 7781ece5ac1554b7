/** A slice of the API campaign: npm run campaign:api has the rest. */
import t from 'tap';
import { seeded } from '../helpers/seed.ts';
import { cancelOrder, openDesk } from './api-fixture.ts';
import { fuzzApi } from './api-fuzz.ts';

t.test('hostile requests to every operation: no 5xx, no request without an answer', async (t) => {
  const desk = await openDesk(t);
  cancelOrder(desk);
  desk.announcer.round();
  const { bad, ...count } = await fuzzApi(desk, seeded(t, 615), 2_000);
  t.comment(JSON.stringify(count));
  t.same(bad, []);
  t.same(desk.faults, []);
  t.ok((count.byStatus['200'] ?? 0) > 400, 'enough of them get through to the handlers');
});
