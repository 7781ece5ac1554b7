/**
 * npm run campaign:invariants -- RUNS SEED: any number of runs of 100 random moves by hostile parties. Prints how
 * often each move succeeded and each state was reached; fails when an invariant was broken, with the seed of the run.
 */
import { availableParallelism } from 'node:os';
import { sailAll } from './voyagers.ts';

const [runs = '100000', seed = 'campaign'] = process.argv.slice(2);
const lanes = Math.max(2, availableParallelism());
const startedMs = Date.now();
const print = (line: string): boolean => process.stdout.write(`${line}\n`);

const totals = await sailAll({ runs: Number(runs), steps: 100, seed, lanes }, ({ runs: done, breaches }) => {
  if (done % 1_000 !== 0) return;
  print(`${done} runs in ${Math.round((Date.now() - startedMs) / 1_000)} s, ${breaches.length} breaches`);
});
const table = (counts: Record<string, number>): string =>
  Object.entries(counts)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
print(`${totals.runs} runs, ${totals.steps} moves tried, seed ${seed}`);
print(`moves that succeeded: ${table(totals.moves)}`);
print(`states entered: ${table(totals.states)}`);
for (const breach of totals.breaches) print(`BROKEN ${breach}`);
process.exitCode = totals.breaches.length === 0 && totals.steps === totals.runs * 100 ? 0 : 1;
