/**
 * A folder of artifacts, NAME.json each, brought up to date with the sources. A contract is compiled again only when
 * its source, one that it imports, its settings or the compiler have changed: one digest for each source file, kept
 * beside the artifacts, tells.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Artifact } from './artifact.ts';
import { compileAll, jobsOf } from './compile-pool.ts';
import {
  BuildError,
  closureOf,
  packageSources,
  settings,
  solcVersion,
  type CodeSettings,
  type Compiled,
  type Sources,
} from './compiler.ts';

/** Another one for other contents of an artifact: all are then compiled again. */
const format = 2;

/** EIP-170. */
const deployedBytesMax = 24_576;

export type BuildOptions = {
  /** How the code of a source is made. */
  readonly settingsOf: (source: string) => CodeSettings;
  /** Neither a warning nor a contract that is too large for a chain is let through. */
  readonly isStrict: boolean;
};

export type BuildResult = {
  /** Of all artifacts that stand now, sorted. */
  readonly names: readonly string[];
  readonly compiledCount: number;
  readonly sourceCount: number;
};

/** What was made of a source file: the digest of all that went into it, and the names of its artifacts. */
type Built = { readonly digest: string; readonly artifacts: readonly string[] };

export async function buildArtifacts(folder: string, sources: Sources, options: BuildOptions): Promise<BuildResult> {
  mkdirSync(folder, { recursive: true });
  const digestsFile = join(folder, '.digests.json');
  const before = existsSync(digestsFile)
    ? (JSON.parse(readFileSync(digestsFile, 'utf8')) as Readonly<Record<string, Built>>)
    : {};
  const digestOf = (source: string): string => {
    const { runs, viaIR } = options.settingsOf(source);
    const parts = { solcVersion, settings, runs, viaIR, sources: closureOf([source], sources), format };
    return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
  };
  const isCurrent = (source: string): boolean =>
    before[source]?.digest === digestOf(source) &&
    before[source].artifacts.every((name) => existsSync(join(folder, `${name}.json`)));
  const tops = Object.keys(sources).filter((name) => !name.startsWith('@') || packageSources.includes(name));
  const built = Object.fromEntries(tops.filter(isCurrent).map((source) => [source, before[source]!]));
  const stale = tops.filter((source) => !(source in built));
  for (const [source, artifacts] of await compileStale(folder, stale, sources, options)) {
    built[source] = { digest: digestOf(source), artifacts };
  }
  requireDistinct(built);
  const names = Object.values(built).flatMap(({ artifacts }) => artifacts);
  for (const name of Object.values(before).flatMap(({ artifacts }) => artifacts)) {
    if (!names.includes(name)) rmSync(join(folder, `${name}.json`), { force: true });
  }
  writeWhole(digestsFile, `${JSON.stringify(built, null, 1)}\n`);
  return { names: names.sort(), compiledCount: stale.length, sourceCount: tops.length };
}

async function compileStale(
  folder: string,
  stale: readonly string[],
  sources: Sources,
  options: BuildOptions,
): Promise<Map<string, string[]>> {
  const written = new Map<string, string[]>(stale.map((source) => [source, []]));
  for (const each of await compileAll(jobsOf(stale, sources, options))) {
    // Interfaces and libraries of internal functions: there is nothing to deploy or to call.
    if (each.creationCode === '' || !each.abi.some((entry) => entry.type === 'function')) continue;
    const artifact = artifactOf(each, options.isStrict);
    writeWhole(join(folder, `${each.name}.json`), `${JSON.stringify(artifact, null, 1)}\n`);
    written.get(each.source)!.push(each.name);
  }
  return written;
}

function artifactOf(compiled: Compiled, isStrict: boolean): Artifact {
  const { name, abi, creationCode, deployedCode, immutables } = compiled;
  const deployedBytes = deployedCode.length / 2;
  if (isStrict && deployedBytes > deployedBytesMax) {
    throw new BuildError(`${name}: expected <= ${deployedBytesMax} deployed bytes, got ${deployedBytes}`);
  }
  return { abi, bytecode: `0x${creationCode}`, deployedBytes, deployedCode: `0x${deployedCode}`, immutables };
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

/** In one step: a build that was interrupted is not taken for a whole one. */
export function writeWhole(file: string, text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}
