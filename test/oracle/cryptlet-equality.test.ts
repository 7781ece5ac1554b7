/**
 * Each shipped cryptlet says the same three times over, byte for byte, on seeded voyages: in the sandbox, as JavaScript in
 * this engine, and as the statement of it in this test.
 */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createContext, runInContext } from 'node:vm';
import t from 'tap';
import { readFolder } from '@coldproof/oracle/cryptlet/folder';
import { formatInput, type CryptletInput, type InputSample } from '@coldproof/oracle/cryptlet/input';
import { cryptletLimits } from '@coldproof/oracle/cryptlet/limits';
import type { Manifest } from '@coldproof/oracle/cryptlet/manifest';
import { prelude } from '@coldproof/oracle/cryptlet/prelude';
import { compileRuntime } from '@coldproof/oracle/cryptlet/runtime';
import { runProgram } from '@coldproof/oracle/cryptlet/sandbox';
import { Random, seeded } from '../helpers/seed.ts';
import { shippedFolder } from './cryptlet-fixture.ts';
import { statements } from './cryptlet-statements.ts';

/** Of each of the seven; a thousand and more in all. */
const voyages = Number(process.env['VOYAGES'] ?? 150);
const voyagesPerRun = 75;
/** Many voyages in one run need more than one does. */
const limits = { ...cryptletLimits, steps: 0x7fff_ffff, outputBytes: 1_000_000 };

/** Around the limits of each program, since nothing happens elsewhere. */
const centres: Readonly<Record<string, readonly number[]>> = {
  'who-shipping-indicator': [4_500, 3_000, 1_000, -50],
  'fridge-tag': [800, -50],
  'setpoint-gate': [-1_800],
  'frozen-load': [-1_800, -1_500],
};

t.same(Object.keys(statements).sort(), readdirSync(shippedFolder('.')).sort(), 'each has its statement');

const module = await compileRuntime();

for (const [name, statement] of Object.entries(statements)) {
  t.test(`${name}, ${voyages} voyages`, async (t) => {
    const random = seeded(t, 5);
    const folder = fileURLToPath(shippedFolder(name));
    const { manifest, program } = readFolder(folder, { publisher: `0x${'11'.repeat(20)}`, values: {} });
    const inNode = engine(program);
    const seen = new Set<string>();
    for (let done = 0; done < voyages; done += voyagesPerRun) {
      const inputs = Array.from({ length: Math.min(voyagesPerRun, voyages - done) }, () => voyage(random, manifest));
      const texts = inputs.map(formatInput);
      const all = `${program}\nconst one = evaluate;\nglobalThis.evaluate = ({ all }) => ({ all: all.map((each) => one(each) ?? null) });`;
      const { outcome } = await runProgram(module, { program: all, input: `{"all":[${texts.join(',')}]}`, limits });
      const stated = JSON.stringify({ all: inputs.map((input) => statement(input) ?? null) });
      const computed = `{"all":[${texts.map((text) => inNode(text)).join(',')}]}`;
      if (!('output' in outcome)) return t.fail(`${outcome.failure}: ${outcome.detail}`);
      if (outcome.output !== stated || computed !== stated) {
        for (const [i, input] of inputs.entries()) {
          const [sandbox, said] = [(JSON.parse(outcome.output) as { all: unknown[] }).all[i], statement(input) ?? null];
          t.same(sandbox, said, formatInput(input));
        }
        return t.fail('the three differ');
      }
      for (const each of JSON.parse(stated).all as unknown[]) seen.add(JSON.stringify(each));
    }
    t.ok(seen.size > voyages / 20, `${seen.size} different answers`);
  });
}

/** The program in this engine, with the prelude's exp and ln. */
function engine(program: string): (input: string) => string {
  const context = createContext({ InternalError: Error });
  runInContext(prelude, context);
  runInContext(program, context);
  return (input) => runInContext(`JSON.stringify(evaluate(${input}) ?? null)`, context) as string;
}

function voyage(random: Random, manifest: Manifest): CryptletInput {
  const dispatchedSec = random.integer(0, 1_000_000);
  const period = random.pick([60, 300, 600, 900]);
  const count = random.integer(0, 60);
  const channels = manifest.channels.map((channel) => {
    const series = [];
    let at = dispatchedSec + random.integer(0, 2_000);
    for (let done = 0, sequence = 0; done < count; sequence++) {
      const size = Math.min(count - done, random.integer(1, 30));
      const centre = random.pick(centres[manifest.name] ?? [800, 200]);
      const samples = Array.from({ length: size }, (): InputSample => {
        at += random.next() < 0.05 ? random.integer(1, 30_000) : period + random.integer(-1, 1);
        const value = channel === 8 ? random.integer(0, 4) : centre + random.pick([-60, -1, 0, 0, 1, 60, 2_000]);
        return [at, random.next() < 0.03 ? null : value];
      });
      const flags = random.next() < 0.05 ? 0x0100 : random.integer(0, 1);
      series.push({ sequence, flags, marks: random.next() < 0.05 ? 1 : 0, samples });
      done += size;
    }
    return { channel, series };
  });
  const times = channels.flatMap(({ series }) => series.flatMap(({ samples }) => samples.map(([timeSec]) => timeSec)));
  return {
    orderId: '1',
    parameters: Object.fromEntries(
      manifest.parameters.map(({ name, min, max, value }) => [
        name,
        random.next() < 0.8 ? value : Math.min(max, Math.max(min, Math.round(value * random.pick([0.5, 0.9, 1.5])))),
      ]),
    ),
    terms: { limits: [] },
    device: 'ab'.repeat(32),
    range: { firstSequence: 0, lastSequence: 9, lastDigest: 'cd'.repeat(32) },
    channels,
    dispatchedSec,
    fromSec: dispatchedSec,
    nowSec: Math.max(dispatchedSec, ...times),
  };
}
