/** `npm run campaign:kill -- [runs] [first seed]`: killVoyage over many seeds; prints each, exits 1 when one fails. */
import { killVoyage } from './kill-voyage.ts';

const runs = Number(process.argv[2] ?? 200);
const firstSeed = Number(process.argv[3] ?? 1);
let failed = 0;
let kills = 0;
let readings = 0;
for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
  const voyage = await killVoyage(seed);
  kills += voyage.kills.length;
  readings += voyage.readings;
  const isSound = voyage.problems.length === 0;
  if (!isSound) failed += 1;
  process.stdout.write(`seed ${seed}: ${isSound ? 'ok' : 'FAILED'} after ${voyage.kills.join(', ')}\n`);
  for (const problem of voyage.problems) process.stdout.write(`  ${problem}\n`);
}
process.stdout.write(`${runs - failed} of ${runs} runs sound, ${kills} kills, ${readings} readings accounted for\n`);
process.exitCode = failed === 0 ? 0 : 1;
