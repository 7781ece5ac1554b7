/**
 * Every test file as a program of its own, some at a time: what `npm test` runs. tap alone would load its module hooks
 * into each of them, and with `fork` and `Worker` into each program and thread that they start: 1 to 2 s of a processor
 * every time, for a coverage that nobody has asked for. `npx tap FILE` runs one file with all of tap around it.
 */
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const folder = fileURLToPath(new URL('.', import.meta.url));
const fileMsMax = 600_000;

/** Whole voyages mostly wait, so they are begun first and fill the time of the others. */
const isVoyage = (file: string): boolean => file.startsWith('system/');

const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.js'))
  .sort((a, b) => Number(isVoyage(b)) - Number(isVoyage(a)) || a.localeCompare(b));

// Each file has its own.
t.setTimeout(0);
t.jobs = availableParallelism() + 1;
for (const file of files) {
  t.spawn(
    process.execPath,
    ['--enable-source-maps', `${folder}${file}`],
    { timeout: fileMsMax, stdio: 'inherit' },
    file,
  );
}
