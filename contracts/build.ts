/**
 * Compiles the contracts and writes artifacts/NAME.json and, for tsc, artifacts/names.ts. Run it after tsc: `node
 * dist/build.js`. A contract is compiled again only when its source, one that it imports, its settings or the compiler
 * have changed: one digest for each source file, kept in artifacts/.digests.json, tells.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Artifact } from './artifact.ts';
import {
  BuildError,
  closureOf,
  compile,
  contractsFolder,
  packageSources,
  readSources,
  settings,
  solcVersion,
  type Compiled,
  type Sources,
} from './compiler.ts';

const artifactsFolder = join(contractsFolder, 'artifacts');
const digestsFile = join(artifactsFolder, '.digests.json');
const namesFile = join(artifactsFolder, 'names.ts');

/** EIP-170. */
const deployedBytesMax = 24_576;

/** How often the optimizer takes the code to be run: many runs make it fast and large, few make it small. */
const runsByDefault = 100_000;
/** Of the sources whose contracts would pass deployedBytesMax, or need not be fast: why, beside each. */
const runsBySource: Readonly<Record<string, number>> = {
  // 1,000 make it too large; 700 cost 300 gas more of a check, and 22,000 on a chain without the P-256 precompile.
  'Shipments.sol': 700,
};

/** What was made of a source file: the digest of all that went into it, and the names of its artifacts. */
type Built = { readonly digest: string; readonly artifacts: readonly string[] };

function runsOf(source: string): number {
  return runsBySource[source] ?? runsByDefault;
}

function digestOf(source: string, sources: Sources): string {
  const build = readFileSync(import.meta.filename, 'utf8');
  const parts = { solcVersion, settings, runs: runsOf(source), sources: closureOf([source], sources), build };
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

function artifactFile(name: string): string {
  return join(artifactsFolder, `${name}.json`);
}

/** Only in one step: a build that was interrupted is not taken for a whole one. */
function writeWhole(file: string, text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

/** Undefined for interfaces and libraries of internal functions: there is nothing to deploy or to call. */
function artifactOf({ name, abi, creationCode, deployedBytes }: Compiled): Artifact | undefined {
  if (creationCode === '' || !abi.some((entry) => entry.type === 'function')) return undefined;
  if (deployedBytes > deployedBytesMax) {
    throw new BuildError(`${name}: expected <= ${deployedBytesMax} deployed bytes, got ${deployedBytes}`);
  }
  return { abi, bytecode: `0x${creationCode}`, deployedBytes };
}

/** The names of each contract's methods, events and errors, as types: a misspelt one is a compile error. */
function namesModule(names: readonly string[]): string {
  const lines = names.map((name) => {
    const { abi } = JSON.parse(readFileSync(artifactFile(name), 'utf8')) as Artifact;
    const union = (type: string): string => {
      const found = new Set(abi.filter((entry) => entry.type === type).map((entry) => `'${entry.name!}'`));
      return found.size === 0 ? 'never' : [...found].sort().join(' | ');
    };
    return `  ${name}: { method: ${union('function')}; event: ${union('event')}; error: ${union('error')} };`;
  });
  return `/** Written by build.ts. */\nexport type Names = {\n${lines.join('\n')}\n};\n`;
}

/** Throws when two sources have a contract of one name: one artifact would hide the other. */
function requireDistinct(built: Readonly<Record<string, Built>>): void {
  const sourceOf = new Map<string, string>();
  for (const [source, { artifacts }] of Object.entries(built)) {
    for (const name of artifacts) {
      const other = sourceOf.get(name);
      if (other !== undefined) throw new BuildError(`${name} is in ${other} and in ${source}`);
      sourceOf.set(name, source);
    }
  }
}

/** Compiles the stale sources, those of one number of runs together, and adds them to `built`. */
function buildStale(stale: readonly string[], sources: Sources, built: Record<string, Built>): void {
  for (const runs of new Set(stale.map(runsOf))) {
    const names = stale.filter((source) => runsOf(source) === runs);
    const compiled = compile(names, sources, { runs });
    for (const source of names) {
      const artifacts = compiled
        .filter((each) => each.source === source)
        .map((each) => ({ name: each.name, artifact: artifactOf(each) }))
        .filter(({ artifact }) => artifact !== undefined);
      for (const { name, artifact } of artifacts) {
        writeWhole(artifactFile(name), `${JSON.stringify(artifact, null, 1)}\n`);
      }
      built[source] = { digest: digestOf(source, sources), artifacts: artifacts.map(({ name }) => name) };
    }
  }
}

function main(): void {
  const startedMs = Date.now();
  const sources = readSources();
  const tops = Object.keys(sources).filter((name) => !name.startsWith('@') || packageSources.includes(name));
  const before = existsSync(digestsFile)
    ? (JSON.parse(readFileSync(digestsFile, 'utf8')) as Readonly<Record<string, Built>>)
    : {};
  const isCurrent = (source: string): boolean =>
    before[source]?.digest === digestOf(source, sources) &&
    before[source].artifacts.every((name) => existsSync(artifactFile(name)));
  const built = Object.fromEntries(tops.filter(isCurrent).map((source) => [source, before[source]!]));
  const stale = tops.filter((source) => !(source in built));
  mkdirSync(artifactsFolder, { recursive: true });
  buildStale(stale, sources, built);
  requireDistinct(built);
  const names = Object.values(built)
    .flatMap(({ artifacts }) => artifacts)
    .sort();
  for (const name of Object.values(before).flatMap(({ artifacts }) => artifacts)) {
    if (!names.includes(name)) rmSync(artifactFile(name), { force: true });
  }
  const text = namesModule(names);
  // Left alone when it is the same, so that tsc need not check all that uses it again.
  if (!existsSync(namesFile) || readFileSync(namesFile, 'utf8') !== text) writeWhole(namesFile, text);
  writeWhole(digestsFile, `${JSON.stringify(built, null, 1)}\n`);
  const did = stale.length === 0 ? 'unchanged' : `${stale.length} of ${tops.length} sources by solc ${solcVersion}`;
  process.stdout.write(`contracts: ${did} in ${Date.now() - startedMs} ms\n`);
}

try {
  main();
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
