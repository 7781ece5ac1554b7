/**
 * What node-red-dev's validator asks of a package (node-red/node-red-dev-cli, docs: P01 to P08, N01, N02, D01), without
 * the network that it needs; and what Node-RED's palette shows of it.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { nodePackage, packageFolder } from './fixture.ts';

const types = Object.keys(nodePackage['node-red'].nodes);
const read = (file: string) => readFileSync(resolve(packageFolder, file), 'utf8');
const html = (type: string) => read(nodePackage['node-red'].nodes[type]!.replace(/\.cjs$/, '.html'));
const isConfig = (type: string) => /category: 'config'/.test(html(type));

type ExampleNode = { id: string; type: string; agent?: string; z?: string; wires?: string[][]; credentials?: unknown };
const examples = readdirSync(resolve(packageFolder, 'examples')).map((file) => ({
  file,
  nodes: JSON.parse(read(`examples/${file}`)) as ExampleNode[],
}));

t.test('package: P01 licence, P03 repository, P04 scope, P05 keyword, P06 and P07 versions, D01 dependencies', (t) => {
  t.equal(nodePackage.license, 'Apache-2.0');
  t.ok('repository' in nodePackage && 'bugs' in nodePackage);
  t.match(nodePackage.name, /^@[a-z]+\/node-red-[a-z-]+$/);
  t.ok(nodePackage.keywords.includes('node-red'));
  t.match(nodePackage['node-red'].version, /^>=3/);
  t.match(nodePackage.engines.node, /^>=20/);
  t.ok(Object.keys(nodePackage.dependencies).length <= 6);
  for (const file of Object.values(nodePackage['node-red'].nodes)) {
    t.ok(existsSync(resolve(packageFolder, file)), `${file} is built`);
    t.ok(nodePackage.files.includes('*.cjs') && nodePackage.files.includes('*.html'), 'and goes into the package');
  }
  t.end();
});

t.test('npm pack takes what the nodes need, and nothing else', (t) => {
  const out = execFileSync('npm', ['pack', '--dry-run', '--json', '--offline', packageFolder], { encoding: 'utf8' });
  const [packed] = JSON.parse(out) as [{ filename: string; files: { path: string }[] }];
  t.equal(packed.filename, 'coldproof-node-red-agent-0.1.0.tgz', 'as README says');
  const paths = packed.files.map(({ path }) => path);
  for (const file of Object.values(nodePackage['node-red'].nodes)) {
    for (const each of [file, file.replace(/\.cjs$/, '.html')]) t.ok(paths.includes(each), each);
  }
  for (const path of paths) t.match(path, /^(package\.json|README\.md|[a-z-]+\.(cjs|html)|examples\/[a-z]+\.json)$/);
  for (const path of paths.filter((each) => each.endsWith('.cjs'))) {
    for (const [, needed] of read(path).matchAll(/require\("\.\/([^"]+)"\)/g)) t.ok(paths.includes(needed!), needed!);
  }
  t.end();
});

t.test('N01: each type is registered once, under its own name, with its dialog and help beside', (t) => {
  for (const type of types) {
    const text = html(type);
    t.equal(text.split(`RED.nodes.registerType('${type}'`).length, 2, `${type} is registered`);
    t.match(text, `data-template-name="${type}"`);
    t.match(text, `data-help-name="${type}"`);
    const help = text.slice(text.indexOf('data-help-name'));
    t.match(help, /<h3>Details<\/h3>/, `${type}: details`);
    if (!isConfig(type)) t.match(help, /<h3>Outputs<\/h3>[\s\S]*<dl class="message-properties">/, `${type}: outputs`);
    for (const key of isConfig(type) ? ['defaults'] : ['defaults', 'color', 'inputs', 'outputs', 'icon', 'label']) {
      t.match(text, new RegExp(`^ {4}${key}:`, 'm'), `${type}: ${key}, as a literal`);
    }
    for (const [, input] of text.matchAll(/id="node-(?:config-)?input-([a-z]+)"/g)) {
      t.match(text, new RegExp(`^ {6}${input!}: \\{`, 'm'), `${type}: ${input!} has a default`);
    }
  }
  const secrets = html('coldproof-agent');
  t.match(secrets, /credentials: \{\s+username: [^\n]+\n\s+password: \{ type: 'password' \}/);
  t.end();
});

t.test('N02: every node is in an example; the examples are whole, and hold no secret', (t) => {
  const used = new Set(examples.flatMap(({ nodes }) => nodes.map(({ type }) => type)));
  for (const type of types) t.ok(used.has(type), `${type} is in an example`);
  for (const { file, nodes } of examples) {
    const ids = new Set(nodes.map(({ id }) => id));
    t.equal(ids.size, nodes.length, `${file}: ids`);
    for (const { type, agent, z, wires = [], credentials } of nodes) {
      t.equal(credentials, undefined);
      for (const id of [agent, z, ...wires.flat()]) t.ok(id === undefined || ids.has(id), `${file}: ${type} to ${id}`);
      const known = ['tab', 'inject', 'debug', 'catch', 'switch', ...types];
      t.ok(known.includes(type), `${file}: ${type} is of Node-RED's core or ours`);
    }
  }
  t.end();
});
