/** The whole API campaign: `npm run campaign:api -- COUNT SEED`. Ends with 1 when an answer was 5xx or did not come. */
import { Random } from '../helpers/seed.ts';
import { cancelOrder, openDesk } from './api-fixture.ts';
import { fuzzApi } from './api-fuzz.ts';

const [count = 10_000, seed = 1] = process.argv.slice(2).map(Number);

const teardowns: (() => unknown)[] = [];
const desk = await openDesk({ teardown: (each: () => unknown) => void teardowns.unshift(each) });
cancelOrder(desk);
desk.announcer.round();
const startedMs = performance.now();
const { bad, ...counted } = await fuzzApi(desk, new Random(seed), count);
const seconds = Math.round((performance.now() - startedMs) / 1_000);
process.stdout.write(`${JSON.stringify({ seed, seconds, ...counted, bad: bad.length, first: bad[0] })}\n`);
if (bad.length > 0) process.exitCode = 1;
for (const teardown of teardowns) await teardown();
