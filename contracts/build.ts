/**
 * Compiles what has changed of the contracts, and writes artifacts/NAME.json and, for tsc, artifacts/names.ts. Run it
 * after tsc: `node dist/build.js`.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildArtifacts, writeWhole } from './artifact-folder.ts';
import type { Artifact } from './artifact.ts';
import { BuildError, contractsFolder, readSources, solcVersion, type CodeSettings } from './compiler.ts';

const folder = join(contractsFolder, 'artifacts');
const namesFile = join(folder, 'names.ts');

const byDefault: CodeSettings = { runs: 100_000, viaIR: true };
/** For doubles that compile without the intermediate language, and whose gas no test measures: a third of the work. */
const quick: CodeSettings = { runs: 200, viaIR: false };
/** Of the sources that are not compiled as the others are: why, beside each. */
const bySource: Readonly<Record<string, CodeSettings>> = {
  // 1,000 runs are 25,298 bytes, more than a chain takes.
  'Shipments.sol': { runs: 800, viaIR: true },
  // A harness: 20 s of solc by default.
  'testing/Voyagers.sol': quick,
  // Four tokens, each with all of TestToken: 7 s.
  'testing/HostileTokens.sol': quick,
  // Each the whole Fleet, and a little more: 4 s each.
  'testing/MoodyFleet.sol': quick,
  'testing/RelapsingFleet.sol': quick,
};

/** The names of each contract's methods, events and errors, as types: a misspelt one is a compile error. */
function namesModule(names: readonly string[]): string {
  const lines = names.map((name) => {
    const { abi } = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')) as Artifact;
    const union = (type: string): string => {
      const found = new Set(abi.filter((entry) => entry.type === type).map((entry) => `'${entry.name!}'`));
      return found.size === 0 ? 'never' : [...found].sort().join(' | ');
    };
    return `  ${name}: { method: ${union('function')}; event: ${union('event')}; error: ${union('error')} };`;
  });
  return `/** Written by build.ts. */\nexport type Names = {\n${lines.join('\n')}\n};\n`;
}

async function main(): Promise<void> {
  const startedMs = Date.now();
  const settingsOf = (source: string): CodeSettings => bySource[source] ?? byDefault;
  const options = { settingsOf, isStrict: true };
  const { names, compiledCount, sourceCount } = await buildArtifacts(folder, readSources(), options);
  const text = namesModule(names);
  // Left alone when it is the same, so that tsc need not check all that uses it again.
  if (!existsSync(namesFile) || readFileSync(namesFile, 'utf8') !== text) writeWhole(namesFile, text);
  const did = compiledCount === 0 ? 'unchanged' : `${compiledCount} of ${sourceCount} sources by solc ${solcVersion}`;
  process.stdout.write(`contracts: ${did} in ${Date.now() - startedMs} ms\n`);
}

try {
  await main();
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
