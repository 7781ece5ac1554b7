/** The style of the house, as a test: what this file does not check is taste. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import ts from 'typescript';

const repository = resolve(fileURLToPath(new URL('../..', import.meta.url)));
const columnsMax = 120;
const fileLinesMax = 400;
const functionLinesMax = 70;
const packages = ['wire', 'contracts', 'firmware-sim', 'agent', 'oracle', 'test'] as const;

/** Tracked files, and new ones that git does not ignore. */
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: repository })
  .toString()
  .split('\n')
  .filter((file) => file !== '' && existsSync(resolve(repository, file)));
const typescript = files.filter((file) => /\.c?ts$/.test(file));
const source = typescript.filter((file) => !file.startsWith('test/'));

const read = (file: string): string => readFileSync(resolve(repository, file), 'utf8');
/** The first match: tap would print whole files. */
const found = (file: string, pattern: RegExp): string | undefined => pattern.exec(read(file))?.[0];

t.test('the top level holds the house and nothing else', (t) => {
  const allowed = new Set([
    ...packages,
    ...['README.md', 'LICENSE', 'NOTICE', 'CHANGELOG.md', 'SECURITY.md', 'package.json', 'package-lock.json'],
    ...[
      'tsconfig.json',
      'tsconfig.base.json',
      '.oxlintrc.json',
      '.gitignore',
      '.npmrc',
      '.oxfmtrc.json',
      '.ci',
      '.github',
    ],
  ]);
  for (const file of files) t.ok(allowed.has(file.split('/')[0]!), file);
  t.end();
});

t.test('lines, files and functions have a size', (t) => {
  for (const file of files.filter((each) => /\.(c?ts|sol)$/.test(each))) {
    const lines = read(file).split('\n');
    if (lines.length - 1 > fileLinesMax) t.fail(`${file}: ${lines.length - 1} lines > ${fileLinesMax}`);
    lines.forEach((line, i) => {
      if (line.length > columnsMax) t.fail(`${file}:${i + 1}: ${line.length} columns > ${columnsMax}`);
      if (/\t|\s$/.test(line)) t.fail(`${file}:${i + 1}: tab or trailing space`);
    });
  }
  for (const file of typescript) {
    for (const { name, line, length } of functionsOf(file)) {
      if (length > functionLinesMax) t.fail(`${file}:${line}: ${name} has ${length} lines > ${functionLinesMax}`);
    }
  }
  t.end();
});

t.test('names are kebab-case nouns of the field', (t) => {
  const drawer = /(^|[-/])(utils?|common|manager|helpers?|data|info|misc)([-.]|$)/;
  for (const file of source) {
    const name = file.split('/').at(-1)!;
    t.match(name, /^[a-z0-9]+(-[a-z0-9]+)*\.c?ts$/, file);
    t.notMatch(file, drawer, `${file}: a drawer, not a name`);
  }
  t.end();
});

t.test('nothing unfinished, nothing silenced', (t) => {
  const banned: [RegExp, string][] = [
    [/\b(TODO|FIXME|XXX)\b/, 'finish it or file it'],
    [/@ts-(ignore|nocheck|expect-error)/, 'fix the type'],
    [/\bas any\b|: any[,;)\]=>]/, 'say the type'],
    [/(es|ox)lint-disable/, 'fix the code or the rule'],
    [/catch\s*(\([^)]*\))?\s*\{\s*\}/, 'an error was swallowed'],
    [/\.(only|skip)\(/, 'every test runs'],
    [/console\.log\(/, 'write to process.stdout or the log'],
  ];
  for (const file of typescript.filter((each) => each !== 'test/tidy.test.ts')) {
    for (const [pattern, instead] of banned) t.equal(found(file, pattern), undefined, `${file}: ${instead}`);
  }
  t.end();
});

t.test('dependencies point one way', (t) => {
  const mayImport: Record<(typeof packages)[number], readonly string[]> = {
    wire: [],
    contracts: [],
    'firmware-sim': ['wire'],
    agent: ['wire'],
    oracle: ['wire', 'contracts'],
    test: packages,
  };
  for (const file of typescript) {
    const from = file.split('/')[0] as (typeof packages)[number];
    for (const specifier of importsOf(file)) {
      const [, to] = /^@coldproof\/([a-z-]+)/.exec(specifier) ?? [];
      if (to !== undefined) t.ok(mayImport[from].includes(to), `${file} imports ${specifier}`);
      if (specifier.startsWith('.')) {
        const target = new URL(specifier, `file:///${file}`).pathname.slice(1);
        t.ok(target.startsWith(`${from}/`), `${file} reaches out of ${from} by ${specifier}`);
      }
    }
  }
  t.end();
});

t.test('wire is pure: no Node, no clock, no randomness, no await', (t) => {
  for (const file of source.filter((each) => each.startsWith('wire/'))) {
    for (const specifier of importsOf(file)) t.match(specifier, /^(\.\/|@noble\/)/, `${file} imports ${specifier}`);
    t.equal(found(file, /\bDate\.|\bnew Date\b|Math\.random|\bawait\b|\bprocess\.|\bBuffer\b/), undefined, file);
  }
  t.end();
});

t.test('one door for each heavy dependency', (t) => {
  const doors: Record<string, RegExp> = {
    ethers: /^oracle\/chain(-[a-z]+)?\.ts$/,
    aedes: /^(oracle\/broker(-readers)?|agent\/sensors\/mqtt)\.ts$/,
    'better-sqlite3': /^(oracle\/store(-[a-z]+)?|agent\/journal(-[a-z]+)?)\.ts$/,
    pg: /^oracle\/store-postgresql-worker\.ts$/,
    serialport: /^(agent\/sensors\/serial-port|firmware-sim\/serial-line)\.ts$/,
    'modbus-serial': /^agent\/sensors\/modbus\.ts$/,
    'sparkplug-payload/lib/sparkplugPayloadProto.js': /^agent\/sensors\/sparkplug-payload\.ts$/,
    'sparkplug-payload': /^firmware-sim\/sparkplug\.ts$/,
    pkcs11js: /^agent\/pkcs11-token\.ts$/,
    'nmea-simple': /^agent\/sensors\/nmea\.ts$/,
    mqtt: /^(agent\/(link|node-red\/connection)|oracle\/(receive|peer-link)|firmware-sim\/device-mqtt)\.c?ts$/,
    solc: /^contracts\/compiler\.ts$/,
    fastify: /^oracle\/(http(-[a-z]+)?|api\/[a-z-]+|demonstration\/door)\.ts$/,
    '@fastify/swagger': /^oracle\/http\.ts$/,
    '@fastify/rate-limit': /^oracle\/http\.ts$/,
    'prom-client': /^oracle\/api\/metrics\.ts$/,
    'quickjs-emscripten-core': /^oracle\/cryptlet\/sandbox\.ts$/,
    '@jitl/quickjs-wasmfile-release-sync': /^oracle\/cryptlet\/sandbox\.ts$/,
  };
  for (const file of source) {
    for (const specifier of importsOf(file)) {
      const door = doors[specifier];
      if (door !== undefined) t.match(file, door, `${file} imports ${specifier}`);
    }
  }
  t.end();
});

t.test('every source file is reached, every package uses what it declares', (t) => {
  const oracleThreads = '(verify|log-key|store-postgresql)-worker|cryptlet/thread';
  const oracleMains = `oracle/(main|${oracleThreads}|(cryptlet|demonstration|deployment)/main)`;
  const agentMains = 'agent/(main|pkcs11-token|packaging/main)';
  const mains = `contracts/(build|compile-worker)|firmware-sim/main|${agentMains}|${oracleMains}`;
  // Node-RED loads its nodes by the list in their package.
  const nodes = 'agent/node-red/(sample|readings|alarms|queue)';
  const entries = new RegExp(`^(wire/index|contracts/artifacts|${mains}|${nodes})\\.c?ts$`);
  const imported = new Set(
    typescript.flatMap((file) =>
      importsOf(file).map((specifier) => {
        if (specifier.startsWith('.')) return new URL(specifier, `file:///${file}`).pathname.slice(1);
        return specifier.startsWith('@coldproof/') ? `${specifier.slice('@coldproof/'.length)}.ts` : specifier;
      }),
    ),
  );
  for (const file of source) if (!entries.test(file)) t.ok(imported.has(file), `${file} is imported by nobody`);
  for (const name of [...packages, 'agent/node-red']) {
    const { dependencies, optionalDependencies = {} } = JSON.parse(read(`${name}/package.json`)) as Declared;
    const declared = Object.keys({ ...dependencies, ...optionalDependencies });
    const text = files
      .filter((file) => file.startsWith(`${name}/`) && /\.(c?ts|sol)$/.test(file))
      .map(read)
      .join('\n');
    for (const dependency of declared) t.ok(text.includes(dependency), `${name} declares ${dependency} and uses it`);
  }
  t.end();
});

t.test('the project speaks of itself alone', (t) => {
  const foreign = /\/(home|root|work|tmp)\/[a-z]|registry\.npmjs|\bissue #?\d/i;
  for (const file of files.filter(
    (each) => /\.(ts|sol|md|json|yaml|yml)$/.test(each) && each !== 'package-lock.json',
  )) {
    if (file !== 'test/tidy.test.ts') t.equal(found(file, foreign), undefined, file);
  }
  t.end();
});

type Declared = { dependencies: object; optionalDependencies?: object };

function importsOf(file: string): string[] {
  const { importedFiles } = ts.preProcessFile(read(file), true, true);
  return importedFiles.map((each) => each.fileName);
}

function functionsOf(file: string): { name: string; line: number; length: number }[] {
  const tree = ts.createSourceFile(file, read(file), ts.ScriptTarget.ES2023, true);
  const found: { name: string; line: number; length: number }[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) {
      const first = tree.getLineAndCharacterOfPosition(node.getStart()).line;
      const last = tree.getLineAndCharacterOfPosition(node.end).line;
      found.push({ name: node.name?.getText() ?? 'function', line: first + 1, length: last - first + 1 });
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return found;
}
