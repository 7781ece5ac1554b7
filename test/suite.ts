/**
 * What `npm test` runs: programs of several test files each, some at a time. tap alone would start one for each file,
 * and load its module hooks into each and, with `fork` and `Worker`, into all that they start: 1 to 2 s of a processor
 * every time, for a coverage that nobody has asked for. `npx tap FILE` runs one file with all of tap around it.
 */
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const folder = fileURLToPath(new URL('.', import.meta.url));

/** tap, ethers and wire are loaded and grow warm once a program, not once a file: 1.4 s of a processor each time. */
const programFilesMax = 8;
const programSecMax = 1_200;

const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.test.js'));
/** Voyages mostly wait, for a clock that does not: one at a time, beside as many programs as there are processors. */
const voyages = files.filter((file) => file.startsWith('system/')).sort();
const parts = programsOf(files.filter((file) => !file.startsWith('system/')).sort());

/** Neighbours of one folder together, since they need the same. */
function programsOf(sorted: readonly string[]): string[][] {
  const programs: string[][] = [];
  for (const file of sorted) {
    const last = programs.at(-1);
    if (last === undefined || last.length === programFilesMax || dirname(last[0]!) !== dirname(file)) {
      programs.push([file]);
    } else last.push(file);
  }
  return programs;
}

async function runLane(queue: string[][]): Promise<void> {
  for (let program = queue.shift(); program !== undefined; program = queue.shift()) {
    const args = ['--enable-source-maps', `${folder}several.js`, ...program];
    await t.spawn(process.execPath, args, { timeout: programSecMax * 1_000, stdio: 'inherit' }, program.join(' '));
  }
}

// Each program and each file has its own.
t.setTimeout(0);
t.jobs = availableParallelism() + 1;
const besideVoyages = Array.from({ length: availableParallelism() }, () => runLane(parts));
await Promise.all([runLane(voyages.map((file) => [file])).then(() => runLane(parts)), ...besideVoyages]);
