/**
 * Signs the load of a campaign that goes on for millions of batches, in a process of its own: one round's batches while
 * those of the round before are on their way. At the start it writes a load without batches, then a round's at each
 * line on stdin; prints the file's name every time. A file is written again two rounds later.
 *
 *   node load-writer.js FOLDER DEVICES GATEWAYS ROUND_BATCHES START_SEC
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { loadOf, makeLoadDevices, writeLoad } from './load-file.ts';

const [folder = '', ...numbers] = process.argv.slice(2);
const [deviceCount = 0, gateways = 0, roundBatches = 0, startSec = 0] = numbers.map(Number);
const devices = makeLoadDevices(deviceCount, startSec);

function write(name: string, batches: number): void {
  const file = join(folder, name);
  writeFileSync(file, writeLoad(loadOf(devices, { gateways, batches })));
  process.stdout.write(`${file}\n`);
}

write('devices', 0);
let round = 0;
createInterface({ input: process.stdin }).on('line', () => {
  write(`round-${round % 2}`, roundBatches);
  round += 1;
});
