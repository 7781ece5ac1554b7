/**
 * The whole serial campaign: `npm run campaign:serial -- FRAMES SEED CYCLES`. Ends with 1 when a wrong value was taken
 * or a line did not recover within 5 s.
 */
import { Random } from '../helpers/seed.ts';
import { fuzzModbus, fuzzPushLines, type FuzzCount } from './serial-fuzz.ts';
import { lineKinds, replug } from './serial-replug.ts';

const [frames = 10_000, seed = 1, cycles = 200] = process.argv.slice(2).map(Number);

function report(what: string, { wrong, ...count }: FuzzCount): void {
  process.stdout.write(`${JSON.stringify({ what, seed, ...count, wrong: wrong.length, first: wrong[0] })}\n`);
  if (wrong.length > 0) process.exitCode = 1;
}

report('text and NMEA lines', fuzzPushLines(new Random(seed), frames));
report('Modbus answers', await fuzzModbus(new Random(seed), frames));
for (const kind of cycles > 0 ? lineKinds : []) {
  const recoveriesMs = (await replug(kind, cycles)).sort((a, b) => a - b);
  const [medianMs, mostMs] = [recoveriesMs[cycles >> 1], recoveriesMs.at(-1)];
  process.stdout.write(`${JSON.stringify({ what: `${kind} line replugged`, cycles, medianMs, mostMs })}\n`);
}
