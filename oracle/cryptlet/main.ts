/**
 * The authors' tool (CRYPTLETS.md):
 *
 *   node oracle/dist/cryptlet/main.js new FOLDER        writes a small cryptlet, to be changed
 *   node oracle/dist/cryptlet/main.js test FOLDER       runs its examples in the sandbox; exit 1 if one fails
 *   node oracle/dist/cryptlet/main.js digest FOLDER|FILE --publisher ADDRESS
 *   node oracle/dist/cryptlet/main.js publish FOLDER --key-file FILE --rpc URL --chain-id N
 *                                                         --registry ADDRESS --out FILE
 *   node oracle/dist/cryptlet/main.js bind FILE...      prints what names the cryptlets in terms
 *
 * `--set NAME=VALUE`, as often as needed, gives a parameter another value than the author's. The passphrase of an
 * encrypted key file is in COLDPROOF_PASSPHRASE.
 */
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { OperatingError, describeError } from '../operating-error.ts';
import { parsePackage, type Cryptlet } from './cryptlet.ts';
import { invalid, readExamples, readFolder, type Choices } from './folder.ts';
import { openCryptletHost } from './host.ts';
import { publicationOf } from './publication.ts';
import { templateFiles } from './template.ts';

const usage =
  'usage: main.js new FOLDER | test FOLDER | digest FOLDER|FILE [--publisher ADDRESS] | bind FILE... | ' +
  'publish FOLDER --key-file FILE --rpc URL --chain-id N --registry ADDRESS --out FILE   [--set NAME=VALUE]';

/** For a test, whose digest nobody signs. */
const nobody = `0x${'00'.repeat(20)}`;
/** Of AttestedTerms. */
const cryptletsMax = 8;

const text = { type: 'string' } as const;
const options = {
  ...{ publisher: text, 'key-file': text, rpc: text, 'chain-id': text, registry: text, out: text },
  set: { type: 'string', multiple: true },
} as const;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const [command, path, ...more] = positionals;
  if (path === undefined || (command !== 'bind' && more.length > 0)) throw wrongUse(usage);
  const chosen = choicesOf(values.set ?? []);
  switch (command) {
    case 'new': {
      makeFolder(path);
      return;
    }
    case 'test':
      return testFolder(path, { publisher: values.publisher ?? nobody, values: chosen });
    case 'digest': {
      say(publicationOf(open(path, { publisher: values.publisher, values: chosen })));
      return;
    }
    case 'publish':
      return publishFolder(path, chosen, values);
    case 'bind': {
      bind([path, ...more]);
      return;
    }
    default:
      throw wrongUse(usage);
  }
}

function makeFolder(folder: string): void {
  if (existsSync(folder)) throw wrongUse(`${folder} is there already`);
  mkdirSync(folder, { recursive: true });
  for (const [file, content] of Object.entries(templateFiles(basename(folder)))) {
    writeFileSync(join(folder, file), content);
  }
  // Says at once when the folder's name is none for a cryptlet.
  readFolder(folder, { publisher: nobody, values: {} });
  process.stdout.write(`${folder}: manifest.json, program.js, examples.json\n`);
}

async function testFolder(folder: string, choices: Choices): Promise<void> {
  const cryptlet = readFolder(folder, choices);
  const examples = readExamples(folder, cryptlet.manifest);
  const host = await openCryptletHost({ workers: 1 });
  try {
    for (const { name, input, result } of examples) {
      const verdict = await host.run(cryptlet, input);
      const got = verdict.ok ? JSON.stringify(verdict.value) : `${verdict.reason}: ${verdict.detail}`;
      const want = JSON.stringify(result);
      process.stdout.write(got === want ? `ok      ${name}\n` : `failed  ${name}: expected ${want}, got ${got}\n`);
      if (got !== want) process.exitCode = 1;
    }
  } finally {
    await host.close();
  }
}

async function publishFolder(
  folder: string,
  values: Choices['values'],
  given: { 'key-file'?: string; rpc?: string; 'chain-id'?: string; registry?: string; out?: string },
): Promise<void> {
  const { 'key-file': keyFile, rpc, registry, out } = given;
  const chainId = Number(given['chain-id']);
  if (keyFile === undefined || rpc === undefined || registry === undefined || out === undefined) throw wrongUse(usage);
  if (!Number.isSafeInteger(chainId) || chainId < 1) throw wrongUse('--chain-id: expected a number from 1');
  const passphrase = process.env['COLDPROOF_PASSPHRASE'] ?? '';
  // What reaches the chain takes longer to load than all the rest.
  const { publish } = await import('./publish.ts');
  say(await publish({ folder, values, keyFile, passphrase, rpcUrl: rpc, chainId, registry, out }));
}

function bind(files: readonly string[]): void {
  const cryptlets = files.map((file) => publicationOf(openPackage(file)).cryptlet);
  if (cryptlets.length > cryptletsMax)
    throw wrongUse(`expected at most ${cryptletsMax} cryptlets, got ${files.length}`);
  if (new Set(cryptlets).size < cryptlets.length) throw wrongUse('a cryptlet stands twice');
  say({ attested: { cryptlets } });
}

function open(
  path: string,
  { publisher, values }: { publisher: string | undefined; values: Choices['values'] },
): Cryptlet {
  if (!isFolder(path)) return openPackage(path);
  if (publisher === undefined) throw wrongUse('--publisher: the address is part of the digest');
  return readFolder(path, { publisher, values });
}

function openPackage(file: string): Cryptlet {
  const parsed = parsePackage(readFileOf(file));
  if (!parsed.ok) throw invalid(file, `${parsed.reason}: ${parsed.detail}`);
  return parsed.value;
}

function readFileOf(file: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (error) {
    throw invalid(file, describeError(error));
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function choicesOf(settings: readonly string[]): Record<string, number> {
  return Object.fromEntries(
    settings.map((setting) => {
      const [, name, value] = /^([A-Za-z0-9]+)=(-?\d+)$/.exec(setting) ?? [];
      if (name === undefined) throw wrongUse(`--set: expected NAME=VALUE with an integer, got ${setting}`);
      return [name, Number(value)];
    }),
  );
}

function say(value: object): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

function wrongUse(message: string): OperatingError {
  return new OperatingError('config-invalid', message, { retry: 'never' });
}

try {
  await main();
} catch (error) {
  // An operating fault is told in a sentence; a bug keeps its stack.
  if (!(error instanceof OperatingError)) throw error;
  process.stderr.write(`${describeError(error)}\n`);
  process.exitCode = 1;
}
