/**
 * Compiles every contract with the solc of package.json and writes artifacts/NAME.json. Run it after tsc: `node
 * dist/build.js`. Compiling takes several seconds, so unchanged sources, settings and compiler are recognised by one
 * digest and left alone.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const folder = fileURLToPath(new URL('..', import.meta.url));
const artifactsFolder = join(folder, 'artifacts');
const stampFile = join(artifactsFolder, '.digest');

/** EIP-170. */
const deployedBytesMax = 24_576;

/** Third-party contracts that a deployment needs as they are. */
const packageSources = ['@openzeppelin/contracts/access/manager/AccessManager.sol'];

const settings = {
  // No opcode of a later fork, so that one bytecode runs on Prague (Solidity P-256) and Osaka (precompile) alike.
  evmVersion: 'prague',
  // Without it the compiler runs out of stack. More runs than 1,000 save some 400 gas on a report (gas.json).
  viaIR: true,
  optimizer: { enabled: true, runs: 700 },
  outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object', 'evm.deployedBytecode.object'] } },
};

type Source = { content: string };
type Output = {
  errors?: { severity: string; formattedMessage: string; sourceLocation?: { file: string } }[];
  contracts?: Record<
    string,
    Record<
      string,
      { abi: { type: string }[]; evm: { bytecode: { object: string }; deployedBytecode: { object: string } } }
    >
  >;
};
type Solc = { compile(input: string): string; version(): string };

class BuildError extends Error {}

/** Our own sources by path, and all that they import, by the name that they import it by. */
function readSources(): Record<string, Source> {
  const sources: Record<string, Source> = {};
  const pending = [...packageSources, ...soliditySources('')];
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (name in sources) continue;
    const content = readFileSync(name.startsWith('@') ? require.resolve(name) : join(folder, name), 'utf8');
    sources[name] = { content };
    for (const [, imported] of content.matchAll(/^import\s[^"]*"([^"]+)"/gm))
      pending.push(resolveImport(name, imported!));
  }
  return Object.fromEntries(Object.entries(sources).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function soliditySources(under: string): string[] {
  const names: string[] = [];
  for (const entry of readdirSync(join(folder, under), { withFileTypes: true })) {
    const name = under === '' ? entry.name : `${under}/${entry.name}`;
    if (entry.isDirectory() && entry.name !== 'node_modules') names.push(...soliditySources(name));
    else if (entry.name.endsWith('.sol')) names.push(name);
  }
  return names;
}

function resolveImport(from: string, imported: string): string {
  return imported.startsWith('.') ? join(dirname(from), imported) : imported;
}

function compile(solc: Solc, sources: Record<string, Source>): Output {
  return JSON.parse(solc.compile(JSON.stringify({ language: 'Solidity', sources, settings }))) as Output;
}

/** Writes the artifacts; returns how many. Throws on any warning in our own sources: there are none to live with. */
function writeArtifacts({ errors = [], contracts = {} }: Output): number {
  const ours = errors.filter((each) => each.severity === 'error' || each.sourceLocation?.file.startsWith('@') !== true);
  if (ours.length > 0) throw new BuildError(ours.map((each) => each.formattedMessage).join('\n'));
  let count = 0;
  for (const [source, named] of Object.entries(contracts)) {
    if (source.startsWith('@') && !packageSources.includes(source)) continue;
    for (const [name, { abi, evm }] of Object.entries(named)) {
      // Interfaces and libraries of internal functions: there is nothing to deploy or to call.
      if (evm.bytecode.object === '' || !abi.some((entry) => entry.type === 'function')) continue;
      const deployedBytes = evm.deployedBytecode.object.length / 2;
      if (deployedBytes > deployedBytesMax) {
        throw new BuildError(`${name}: expected <= ${deployedBytesMax} deployed bytes, got ${deployedBytes}`);
      }
      const artifact = { abi, bytecode: `0x${evm.bytecode.object}`, deployedBytes };
      writeFileSync(join(artifactsFolder, `${name}.json`), `${JSON.stringify(artifact, null, 1)}\n`);
      count += 1;
    }
  }
  return count;
}

function main(): void {
  const sources = readSources();
  // The package's own name for its version: loading solc itself already takes a second.
  const { version } = require('solc/package.json') as { version: string };
  const build = readFileSync(fileURLToPath(import.meta.url), 'utf8');
  const digest = createHash('sha256').update(JSON.stringify({ version, settings, sources, build })).digest('hex');
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === digest) {
    process.stdout.write(`contracts: unchanged (${digest.slice(0, 8)})\n`);
    return;
  }
  const startedMs = Date.now();
  mkdirSync(artifactsFolder, { recursive: true });
  const count = writeArtifacts(compile(require('solc') as Solc, sources));
  // Last and in one step: a build that was interrupted is not taken for a whole one.
  writeFileSync(`${stampFile}.new`, digest);
  renameSync(`${stampFile}.new`, stampFile);
  const tookMs = Date.now() - startedMs;
  process.stdout.write(`contracts: ${count} artifacts by solc ${version} in ${tookMs} ms (${digest.slice(0, 8)})\n`);
}

try {
  main();
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
