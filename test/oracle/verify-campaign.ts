/**
 * `npm run campaign:verify -- COUNT SEED`: mutated envelopes, which OpenSSL in threads and the reference must judge
 * alike. Ends with 1 when they do not.
 */
import { Random } from '../helpers/seed.ts';
import { compareMutated } from './mutated-envelopes.ts';

const [count = 100_000, seed = 1] = process.argv.slice(2).map(Number);
const startedMs = performance.now();
const { differing, reasons } = await compareMutated(count, new Random(seed));
const seconds = Math.round((performance.now() - startedMs) / 1_000);
const counted = { seed, seconds, reasons: Object.fromEntries(reasons), differing: differing.length };
process.stdout.write(`${JSON.stringify({ ...counted, first: differing[0] })}\n`);
if (differing.length > 0) process.exitCode = 1;
