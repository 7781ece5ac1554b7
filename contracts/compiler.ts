/** Our Solidity sources, what they import, and the solc of package.json that compiles them. */
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AbiEntry } from './artifact.ts';

const require = createRequire(import.meta.url);
export const contractsFolder = fileURLToPath(new URL('..', import.meta.url));

/** The package's own name for its version: loading solc itself already takes a second. */
export const { version: solcVersion } = require('solc/package.json') as { version: string };

/** Third-party contracts that a deployment needs as they are. */
export const packageSources = ['@openzeppelin/contracts/access/manager/AccessManager.sol'];

/** Text by the name that solc and an import know it by: a path in this folder, or a package's path. */
export type Sources = Readonly<Record<string, string>>;

export type Compiled = {
  readonly source: string;
  readonly name: string;
  readonly abi: readonly AbiEntry[];
  /** Creation code, hex without 0x. Empty for interfaces and abstract contracts. */
  readonly creationCode: string;
  /** As it is on chain, hex without 0x, with zeros for immutables; and where those are, in bytes. */
  readonly deployedCode: string;
  readonly immutables: readonly (readonly [start: number, length: number])[];
};

/** What the author of a contract has to mend; its message is all that need be shown. */
export class BuildError extends Error {}

type Message = { severity: string; formattedMessage: string; sourceLocation?: { file: string } };
type Code = { object: string; immutableReferences?: Record<string, { start: number; length: number }[]> };
type Output = {
  errors?: Message[];
  sources?: Record<string, { ast: unknown }>;
  contracts?: Record<string, Record<string, { abi: AbiEntry[]; evm: { bytecode: Code; deployedBytecode: Code } }>>;
};

export const settings = {
  // No opcode of a later fork, so that one bytecode runs on Prague (Solidity P-256) and Osaka (precompile) alike.
  evmVersion: 'prague',
};

/** How the code of a source is made. */
export type CodeSettings = {
  /** How often the optimizer takes it to be run: many runs make it fast and large, few make it small. */
  readonly runs: number;
  /** By way of solc's intermediate language. Without it most of ours runs out of stack; the rest takes a third. */
  readonly viaIR: boolean;
};

/** Our own sources and all that they import. */
export function readSources(): Sources {
  const sources: Record<string, string> = {};
  const pending = [...packageSources, ...soliditySources('')];
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (name in sources) continue;
    const content = readFileSync(name.startsWith('@') ? require.resolve(name) : join(contractsFolder, name), 'utf8');
    sources[name] = content;
    pending.push(...importsOf(name, content));
  }
  return sources;
}

function soliditySources(under: string): string[] {
  const names: string[] = [];
  for (const entry of readdirSync(join(contractsFolder, under), { withFileTypes: true })) {
    const name = under === '' ? entry.name : `${under}/${entry.name}`;
    if (entry.isDirectory() && entry.name !== 'node_modules') names.push(...soliditySources(name));
    else if (entry.name.endsWith('.sol')) names.push(name);
  }
  return names;
}

function importsOf(name: string, content: string): string[] {
  return [...content.matchAll(/^import\s[^"]*"([^"]+)"/gm)].map(([, imported]) =>
    imported!.startsWith('.') ? join(dirname(name), imported!) : imported!,
  );
}

/** The named sources and all that they import, sorted by name. */
export function closureOf(names: readonly string[], sources: Sources): Sources {
  const reached = new Set<string>();
  const pending = [...names];
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (reached.has(name)) continue;
    reached.add(name);
    pending.push(...importsOf(name, sources[name]!));
  }
  return Object.fromEntries([...reached].sort().map((name) => [name, sources[name]!]));
}

/** The syntax tree of each source, in solc's JSON form. Names are not resolved in it, types not known. */
export function parse(sources: Sources): Readonly<Record<string, unknown>> {
  const outputSelection = { '*': { '': ['ast'] } };
  const { sources: parsed = {} } = runSolc(sources, false, { stopAfter: 'parsing', outputSelection });
  return Object.fromEntries(Object.entries(parsed).map(([name, { ast }]) => [name, ast]));
}

/** Compiles the contracts of `names` alone. Throws on any warning in our own sources: there are none to live with. */
export function compile(
  names: readonly string[],
  sources: Sources,
  { runs, viaIR, isStrict }: CodeSettings & { readonly isStrict: boolean },
): Compiled[] {
  const deployed = ['evm.deployedBytecode.object', 'evm.deployedBytecode.immutableReferences'];
  const wanted = ['abi', 'evm.bytecode.object', ...deployed];
  const { contracts = {} } = runSolc(closureOf(names, sources), isStrict, {
    ...settings,
    viaIR,
    optimizer: { enabled: true, runs },
    outputSelection: Object.fromEntries(names.map((name) => [name, { '*': wanted }])),
  });
  return Object.entries(contracts).flatMap(([source, named]) =>
    Object.entries(named).map(([name, { abi, evm }]) => ({
      source,
      name,
      abi,
      creationCode: evm.bytecode.object,
      deployedCode: evm.deployedBytecode.object,
      immutables: Object.values(evm.deployedBytecode.immutableReferences ?? {})
        .flat()
        .map(({ start, length }) => [start, length] as const),
    })),
  );
}

function runSolc(sources: Sources, isStrict: boolean, solcSettings: object): Output {
  const solc = require('solc') as { compile(input: string): string };
  const content = Object.fromEntries(Object.entries(sources).map(([name, content]) => [name, { content }]));
  const input = JSON.stringify({ language: 'Solidity', sources: content, settings: solcSettings });
  const output = JSON.parse(solc.compile(input)) as Output;
  const ours = (output.errors ?? []).filter(
    ({ severity, sourceLocation }) =>
      severity === 'error' || (isStrict && sourceLocation?.file.startsWith('@') !== true),
  );
  if (ours.length > 0) throw new BuildError(ours.map((each) => each.formattedMessage).join('\n'));
  return output;
}
