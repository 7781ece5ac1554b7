/** Runs test files one after another in this program: `node several.js FILE...`, paths from this folder. */
import { resolve } from 'node:path';
import t from 'tap';

const fileSecMax = 600;

for (const file of process.argv.slice(2)) {
  t.setTimeout(fileSecMax * 1_000);
  t.comment(file);
  // tap would name the folders of tests after all files of the program: longer than a name may be.
  t.testdirName = resolve('.tap/fixtures', file.replaceAll('/', '-'));
  const before = t.counts.total;
  // tap would keep what a file has started until the program ends, and end the root as soon as it has nothing to run.
  const teardowns: (() => unknown)[] = [];
  t.teardown = (teardown: () => unknown) => void teardowns.push(teardown);
  await import(new URL(file, import.meta.url).href);
  // Queued behind the file's own tests: the next file waits for them.
  await t.test(`end of ${file}`, async (end) => {
    end.ok(t.counts.total > before, 'had tests');
    for (const teardown of teardowns.reverse()) await teardown();
  });
}
