/**
 * Compiles what has changed of the contracts, and writes artifacts/NAME.json and, for tsc, artifacts/names.ts. Run it
 * after tsc: `node dist/build.js`.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildArtifacts, writeWhole } from './artifact-folder.ts';
import type { Artifact } from './artifact.ts';
import { BuildError, contractsFolder, readSources, solcVersion } from './compiler.ts';

const folder = join(contractsFolder, 'artifacts');
const namesFile = join(folder, 'names.ts');

/** How often the optimizer takes the code to be run: many runs make it fast and large, few make it small. */
const runsByDefault = 100_000;
/** Of the sources whose contracts would be too large for a chain, or need not be fast: why, beside each. */
const runsBySource: Readonly<Record<string, number>> = {
  // 1,000 runs are 25,156 bytes.
  'Shipments.sol': 700,
  // Shipments and its faults; and a harness of 21,000 bytes at 200 runs.
  'testing/FaultyShipments.sol': 200,
  'testing/Voyagers.sol': 200,
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
  const runsOf = (source: string): number => runsBySource[source] ?? runsByDefault;
  const { names, compiledCount, sourceCount } = await buildArtifacts(folder, readSources(), { runsOf, isStrict: true });
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
