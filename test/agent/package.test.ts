/** The Debian package, unpacked into an empty root: the agent starts from there and needs nothing else. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { parseConfig } from '@coldproof/agent/config';
import { StubOracle, temporaryFolder, truckYaml, until } from './fixture.ts';
import { environment } from './process.ts';

const packager = fileURLToPath(import.meta.resolve('@coldproof/agent/packaging/main'));
const hasTool = (tool: string) => spawnSync(tool, ['--version']).status === 0;
const skipUnless = (tool: string) =>
  hasTool(tool) || process.env['CI'] === 'true' ? false : `${tool} is not installed`;

t.test('dpkg -x into an empty root, and start', { skip: skipUnless('dpkg-deb') }, async (t) => {
  const folder = temporaryFolder(t);
  const made = spawnSync(process.execPath, [packager, join(folder, 'package')], { encoding: 'utf8' });
  t.equal(made.status, 0, made.stderr);
  const [tarball, deb] = readdirSync(join(folder, 'package')).filter((name) => /\.(gz|deb)$/.test(name));
  t.match([tarball, deb], [/^coldproof-agent-[\d.]+\.tar\.gz$/, /^coldproof-agent_[\d.]+_[a-z0-9]+\.deb$/]);
  const root = join(folder, 'root');
  t.equal(spawnSync('dpkg-deb', ['-x', join(folder, 'package', deb!), root]).status, 0);
  const { stdout } = spawnSync('dpkg-deb', ['--field', join(folder, 'package', deb!), 'Depends'], { encoding: 'utf8' });
  t.match(stdout, /nodejs \(>= 20\.19\)/);
  t.same(readdirSync(join(root, 'etc', 'coldproof')), ['secrets']);
  t.equal(statSync(join(root, 'etc', 'coldproof', 'secrets')).mode & 0o777, 0o700);

  const home = join(root, 'opt', 'coldproof');
  const main = join(home, 'agent', 'dist', 'main.js');
  const share = join(root, 'usr', 'share', 'coldproof-agent');
  const example = readFileSync(join(share, 'agent.example.yaml'), 'utf8');
  const parsed = parseConfig(example);
  t.ok(parsed.ok, parsed.ok ? 'the example is accepted' : parsed.detail);
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [main, ...args], { env: environment, encoding: 'utf8' });
  t.same(JSON.parse(run('schema').stdout), JSON.parse(readFileSync(join(share, 'agent.schema.json'), 'utf8')));

  const file = join(folder, 'agent.yaml');
  const key = new StubOracle().logKey.publicKey;
  writeFileSync(file, truckYaml(join(folder, 'state'), { oraclePort: 1, logPublicKey: key }));
  t.match(run('--config', file, '--check-config'), { status: 0, stdout: '{"config":"ok","devices":1}\n' });
  t.equal(run('keygen', '--config', file).status, 0);
  const child = spawn(process.execPath, [main, '--config', file], {
    env: environment,
    stdio: ['ignore', 'ignore', 'pipe'],
    // Away from this repository: whatever is found, is found in the package.
    cwd: root,
  });
  t.teardown(() => child.kill('SIGKILL'));
  const lines: { event: string; httpPort: number }[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => lines.push(JSON.parse(line) as (typeof lines)[number]));
  const started = () => lines.find(({ event }) => event === 'started');
  await until(() => started() !== undefined || child.exitCode !== null, 'started', 60_000);
  t.match(await (await fetch(`http://127.0.0.1:${started()!.httpPort}/readyz`)).json(), { ready: true });
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
  t.equal(child.exitCode, 0);
  checkUnit(t, root);
});

/** As far as systemd can tell without running it: misspelt keys, programs that are not there. */
function checkUnit(t: Test, root: string): void {
  const unit = join(root, 'usr', 'lib', 'systemd', 'system', 'coldproof-agent.service');
  const text = readFileSync(unit, 'utf8');
  const [, program] = /^ExecStart=\S+ (?:--\S+ )*(\S+)/m.exec(text) ?? [];
  t.ok(existsSync(join(root, program!)), `${program!} is in the package`);
  if (!hasTool('systemd-analyze')) {
    t.comment('systemd-analyze is not installed: the unit is not verified');
    return;
  }
  const folder = join(root, 'verify');
  mkdirSync(folder);
  // The interpreter of this very test stands for /usr/bin/node.
  const copy = join(folder, 'coldproof-agent.service');
  writeFileSync(copy, text.replaceAll('/usr/bin/node', process.execPath));
  const verified = spawnSync('systemd-analyze', ['verify', copy], { encoding: 'utf8' });
  t.same([verified.status, verified.stderr], [0, '']);
}
