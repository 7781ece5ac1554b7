/** SECURITY.md's answers are held to what there is: each risk has its tests, and what is said not to be is not. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const repository = resolve(fileURLToPath(new URL('../..', import.meta.url)));
const read = (file: string): string => readFileSync(resolve(repository, file), 'utf8');
const rows = [...read('SECURITY.md').matchAll(/^\| (SC\d\d) [^|]+\|([^|]+)\|([^|]+)\|$/gm)];

t.test('each of the ten risks is answered, by tests that there are', (t) => {
  const risks = Array.from({ length: 10 }, (_, i) => `SC${String(i + 1).padStart(2, '0')}`);
  t.same(
    rows.map(([, risk]) => risk),
    risks,
  );
  for (const [, risk, , tests] of rows) {
    const links = [...tests!.matchAll(/\[([a-z0-9-]+)\]\((test\/[^)]+)\)/g)];
    t.ok(links.length > 0, risk!);
    for (const [, name, file] of links) {
      t.ok(file!.endsWith(`/${name!}.test.ts`), `${risk}: ${name!} is ${file!}`);
      t.ok(existsSync(resolve(repository, file!)), `${risk}: ${file!} is there`);
      t.match(read(file!), /\bt\.test\(/, `${file!} tests`);
    }
  }
  t.end();
});

t.test('what the answers say of the sources', (t) => {
  const files = readdirSync(resolve(repository, 'contracts')).filter((file) => file.endsWith('.sol'));
  const sources = new Map(files.map((file) => [file, read(`contracts/${file}`)]));
  const having = (pattern: RegExp): string[] => files.filter((file) => pattern.test(sources.get(file)!));
  t.same(having(/\bunchecked\b/), ['Evidence.sol'], 'one unchecked block');
  t.equal(sources.get('Evidence.sol')!.match(/\bunchecked\b/g)?.length, 1);
  t.same(having(/prevrandao|blockhash|block\.difficulty/), [], 'no randomness');
  t.same(having(/\btx\.origin\b|selfdestruct|delegatecall/), []);
  t.same(having(/\bOwnable/), [], 'no owner');
  const gated = files.flatMap((file) => [...sources.get(file)!.matchAll(/\)\s+external[^{;]*\brestricted\b/g)]);
  t.equal(gated.length, 7, 'seven methods ask the manager');
  t.end();
});
