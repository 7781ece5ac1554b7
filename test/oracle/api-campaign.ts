/** The whole API campaign: `npm run campaign:api -- COUNT SEED`. Ends with 1 when an answer was 5xx or did not come. */
import t from 'tap';
import { Random } from '../helpers/seed.ts';
import { cancelOrder, openDesk } from './api-fixture.ts';
import { fuzzApi } from './api-fuzz.ts';

const [count = 10_000, seed = 1] = process.argv.slice(2).map(Number);

t.test(`${count} hostile requests, seed ${seed}`, { timeout: 0 }, async (t) => {
  const desk = await openDesk(t);
  cancelOrder(desk);
  desk.announcer.round();
  const startedMs = performance.now();
  const { bad, ...counted } = await fuzzApi(desk, new Random(seed), count);
  const seconds = Math.round((performance.now() - startedMs) / 1_000);
  t.comment(JSON.stringify({ seed, seconds, ...counted, bad: bad.length }));
  t.same(bad, []);
});
