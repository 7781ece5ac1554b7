/**
 * The shipped cryptlets on many voyages: `npm run campaign:cryptlets -- VOYAGES SEED`. Ends with 1 when sandbox, this
 * engine and the statement differ on one.
 */
import { compileRuntime } from '@coldproof/oracle/cryptlet/runtime';
import { Random } from '../helpers/seed.ts';
import { statements } from './cryptlet-statements.ts';
import { compareVoyages } from './cryptlet-voyages.ts';

const [voyages = 1_000, seed = 1] = process.argv.slice(2).map(Number);

const module = await compileRuntime();
for (const name of Object.keys(statements)) {
  const compared = await compareVoyages(module, name, voyages, new Random(seed));
  process.stdout.write(`${JSON.stringify({ cryptlet: name, voyages, seed, ...compared })}\n`);
  if (compared.difference !== undefined) process.exitCode = 1;
}
