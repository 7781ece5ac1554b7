/**
 * Lines and branches of our Solidity that the contracts' tests reach: `npm run coverage:contracts`. The tests run
 * unchanged, on contracts with marks in them (instrument.ts), and every call and transaction is traced (helpers/
 * traced-provider.ts). Ends with 1 unless all of it is reached and all tests pass.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildArtifacts } from '@coldproof/contracts/artifact-folder';
import { contractsFolder, parse, readSources, type Sources } from '@coldproof/contracts/compiler';
import { instrument, marksContent, marksSource, type Place } from './instrument.ts';
import { measure, print } from './report.ts';

const testsFolder = fileURLToPath(new URL('../contracts', import.meta.url));
const artifacts = join(contractsFolder, 'artifacts', 'coverage');
const marks = join(artifacts, 'marks');

/** What the contracts cost, since marks cost gas, too; and what tries many inputs of a form that other tests have. */
const isLeftOut = /^(gas|invariants|[a-z]+-equality)\b/;

/** All others; or those named on the command line alone, to see what they reach. */
const named = process.argv.slice(2);
const isRun = (test: string): boolean => (named.length === 0 ? !isLeftOut.test(test) : named.includes(test));

/** What is deployed and what is an example: not the tests' own contracts, nor interfaces, which have no code. */
const isMeasured = (file: string): boolean => !/^(testing|interfaces|artifacts|node_modules)\/|^@/.test(file);

function instrumentAll(sources: Sources): { sources: Sources; places: Map<number, Place> } {
  const ours = Object.fromEntries(Object.entries(sources).filter(([file]) => !file.startsWith('@')));
  const trees = parse(ours);
  const places = new Map<number, Place>();
  const marked: Record<string, string> = { ...sources, [marksSource]: marksContent };
  for (const [file, content] of Object.entries(ours)) {
    const instrumented = instrument(file, content, trees[file], isMeasured(file));
    marked[file] = instrumented.content;
    for (const [mark, place] of instrumented.places) {
      if (places.has(mark)) throw new RangeError(`${file} and ${places.get(mark)!.file} share their marks`);
      places.set(mark, place);
    }
  }
  return { sources: marked, places };
}

function runTests(): number {
  const files = readdirSync(testsFolder).filter(
    (file) => file.endsWith('.test.js') && isRun(file.replace('.test.js', '')),
  );
  const tap = join(dirname(createRequire(import.meta.url).resolve('tap/package.json')), 'dist/esm/run.mjs');
  const options = ['run', '--disable-coverage', '--allow-empty-coverage', '--reporter=min', '--timeout=600'];
  const environment = { ...process.env, COLDPROOF_ARTIFACTS: artifacts, COLDPROOF_COVERAGE: marks };
  const tests = files.map((file) => join(testsFolder, basename(file)));
  return spawnSync(process.execPath, [tap, ...options, ...tests], { stdio: 'inherit', env: environment }).status ?? 1;
}

function readMarks(): Set<number> {
  const lines = readdirSync(marks).flatMap((file) => readFileSync(join(marks, file), 'utf8').trimEnd().split('\n'));
  return new Set(lines.map(Number));
}

const { sources, places } = instrumentAll(readSources());
const settingsOf = () => ({ runs: 1, viaIR: true });
const { compiledCount } = await buildArtifacts(artifacts, sources, { settingsOf, isStrict: false });
process.stdout.write(`coverage: ${compiledCount} sources compiled with ${places.size} marks\n`);
rmSync(marks, { recursive: true, force: true });
mkdirSync(marks, { recursive: true });
const status = runTests();
const files = measure(places, readMarks());
process.stdout.write(`${print(files)}\n`);
if (status !== 0 || files.some(({ missing }) => missing.length > 0)) process.exitCode = 1;
