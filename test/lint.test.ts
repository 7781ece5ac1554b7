/** The linters as tests, so that they run beside the others. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const repository = fileURLToPath(new URL('../..', import.meta.url));

// Types of the whole tree are read once more.
t.setTimeout(900_000);

for (const script of ['lint:format', 'lint:typescript', 'lint:contracts']) {
  t.test(script, async (t) => {
    const child = spawn('npm', ['run', '--silent', script], { cwd: repository, stdio: ['ignore', 'pipe', 'pipe'] });
    const closed = once(child, 'close');
    const said = (await Promise.all([text(child.stdout), text(child.stderr)])).join('');
    const [code] = (await closed) as [number | null];
    t.equal(code, 0, code === 0 ? script : said);
  });
}
