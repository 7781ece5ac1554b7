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
const fileSecMax = 600;

const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.test.js'));
/** Voyages mostly wait, for a clock that does not: one at a time, beside as many others as there are processors. */
const voyages = files.filter((file) => file.startsWith('system/')).sort();
const parts = files.filter((file) => !voyages.includes(file)).sort();
const lanes = [voyages, ...Array.from({ length: availableParallelism() }, () => parts)];

async function runLane(queue: string[]): Promise<void> {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const args = ['--enable-source-maps', `${folder}${file}`];
    const env = { ...process.env, TAP_TIMEOUT: String(fileSecMax) };
    await t.spawn(process.execPath, args, { env, timeout: fileSecMax * 1_000, stdio: 'inherit' }, file);
  }
}

// Each file has its own.
t.setTimeout(0);
t.jobs = lanes.length;
await Promise.all(lanes.map(runLane));
