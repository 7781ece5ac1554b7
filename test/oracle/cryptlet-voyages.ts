/** Seeded voyages for the shipped cryptlets, and what each says of them, three times over. */
import { fileURLToPath } from 'node:url';
import { createContext, runInContext } from 'node:vm';
import { readFolder } from '@coldproof/oracle/cryptlet/folder';
import { formatInput, type CryptletInput, type InputSample } from '@coldproof/oracle/cryptlet/input';
import { cryptletLimits } from '@coldproof/oracle/cryptlet/limits';
import type { Manifest } from '@coldproof/oracle/cryptlet/manifest';
import { prelude } from '@coldproof/oracle/cryptlet/prelude';
import { runProgram } from '@coldproof/oracle/cryptlet/sandbox';
import type { WasmModule } from '@coldproof/oracle/cryptlet/web-assembly';
import type { Random } from '../helpers/seed.ts';
import { shippedFolder } from './cryptlet-fixture.ts';
import { statements } from './cryptlet-statements.ts';

const voyagesPerRun = 75;
/** Many voyages in one run need more than one does. */
const limits = { ...cryptletLimits, steps: 0x7fff_ffff, outputBytes: 1_000_000 };

export type Compared = {
  /** How many different answers there were. */
  readonly answers: number;
  /** The first voyage on which the three differ, and what they say. */
  readonly difference: string | undefined;
};

/** In the sandbox, as JavaScript in this engine, and as the statement: byte for byte. */
export async function compareVoyages(
  module: WasmModule,
  name: string,
  voyages: number,
  random: Random,
): Promise<Compared> {
  const statement = statements[name]!;
  const folder = fileURLToPath(shippedFolder(name));
  const { manifest, program } = readFolder(folder, { publisher: `0x${'11'.repeat(20)}`, values: {} });
  const inNode = engine(program);
  const seen = new Set<string>();
  for (let done = 0; done < voyages; done += voyagesPerRun) {
    const inputs = Array.from({ length: Math.min(voyagesPerRun, voyages - done) }, () => voyage(random, manifest));
    const texts = inputs.map(formatInput);
    const each = '({ all }) => ({ all: all.map((each) => JSON.stringify(one(each) ?? null)) })';
    const all = `${program}\nconst one = evaluate;\nglobalThis.evaluate = ${each};`;
    const { outcome } = await runProgram(module, { program: all, input: `{"all":[${texts.join(',')}]}`, limits });
    if (!('output' in outcome)) throw new Error(`${name}: ${outcome.failure}: ${outcome.detail}`);
    // Made by the line above.
    const sandboxed = (JSON.parse(outcome.output) as { all: string[] }).all;
    for (const [i, input] of inputs.entries()) {
      const said = [sandboxed[i]!, inNode(texts[i]!), JSON.stringify(statement(input) ?? null)];
      if (new Set(said).size > 1) return { answers: seen.size, difference: `${texts[i]}\n${said.join('\n')}` };
      seen.add(said[0]!);
    }
  }
  return { answers: seen.size, difference: undefined };
}

/** The program in this engine, with the prelude's exp and ln. */
function engine(program: string): (input: string) => string {
  const context = createContext({ InternalError: Error });
  runInContext(prelude, context);
  runInContext(program, context);
  return (input) => runInContext(`JSON.stringify(evaluate(${input}) ?? null)`, context) as string;
}

/** Around the limits of each program, since nothing happens elsewhere. */
const centres: Readonly<Record<string, readonly number[]>> = {
  'who-shipping-indicator': [4_500, 3_000, 1_000, -50],
  'fridge-tag': [800, -50],
  'setpoint-gate': [-1_800],
  'frozen-load': [-1_800, -1_500],
};

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
