/**
 * Makes what is installed on a gateway: a tarball, and a Debian package where dpkg-deb is at hand. The same sources and
 * SOURCE_DATE_EPOCH (or commit) give the same tarball. Native code is that of this machine and its Node's N-API.
 *
 *   main.js [FOLDER]      default agent/dist/package
 *
 *   /opt/coldproof                                  wire, agent, and the packages that they need to run
 *   /usr/bin/coldproof-agent                        the command line
 *   /usr/lib/systemd/system/coldproof-agent.service
 *   /usr/share/coldproof-agent                      agent.example.yaml, agent.schema.json
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { configSchema } from '../config.ts';

const repository = resolve(fileURLToPath(new URL('../../..', import.meta.url)));
const packaging = join(repository, 'agent', 'packaging');

/** Sources and intermediate files of native code, types and maps: nothing that runs. */
const isLeftOut = (path: string): boolean =>
  /\/(obj|obj\.target|\.deps|deps|test|tests)$/.test(path) || /\.(d\.ts|d\.cts|map|tsbuildinfo|o|a)$/.test(path);

/** Native code for other machines. A package of one architecture has its own. */
const isForeign = (path: string): boolean => {
  const [, target] = /\/prebuilds\/([^/]+)/.exec(path) ?? [];
  return target !== undefined && !new RegExp(`^linux-${process.arch}([.-]|$)`).test(target);
};

function run(command: string, args: readonly string[]): string {
  return execFileSync(command, args, { cwd: repository, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
}

/** Seconds since 1970 of all times in the package (reproducible-builds.org/specs/source-date-epoch). */
function epochSec(): string {
  const given = process.env['SOURCE_DATE_EPOCH'];
  if (given !== undefined && /^\d{1,10}$/.test(given)) return given;
  const { status, stdout } = spawnSync('git', ['log', '-1', '--format=%ct'], { cwd: repository, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : '0';
}

/** Folders below node_modules that the agent needs, workspaces apart. */
function productionPackages(): string[] {
  // With a complaint about a peer that is not installed npm ends with 1, and lists them all the same.
  const list = spawnSync('npm', ['ls', '--omit=dev', '--workspace', 'agent', '--all', '--parseable'], {
    cwd: repository,
    encoding: 'utf8',
  });
  const found = list.stdout
    .split('\n')
    .map((path) => relative(repository, path))
    .filter((path) => path.startsWith('node_modules/') && !path.startsWith('node_modules/@coldproof/'))
    .filter((path) => !path.startsWith('node_modules/@types/'));
  if (found.length === 0) throw new Error(`npm ls: expected packages, got none: ${list.stderr}`);
  return [...new Set(found)].sort();
}

function copyProgram(root: string): void {
  const home = join(root, 'opt', 'coldproof');
  for (const name of ['wire', 'agent']) {
    mkdirSync(join(home, name), { recursive: true });
    cpSync(join(repository, name, 'package.json'), join(home, name, 'package.json'));
    const filter = (path: string) => !isLeftOut(path) && basename(path) !== 'package' && basename(path) !== 'packaging';
    cpSync(join(repository, name, 'dist'), join(home, name, 'dist'), { recursive: true, filter });
  }
  for (const path of productionPackages()) {
    const from = join(repository, path);
    const isNative = existsSync(join(from, 'binding.gyp'));
    // A nested package is in the list by itself when it is needed.
    const filter = (each: string) => {
      const inside = each.slice(from.length);
      return (
        !isLeftOut(inside) &&
        !isForeign(inside) &&
        !inside.includes('/node_modules') &&
        !(isNative && inside === '/src')
      );
    };
    cpSync(from, join(home, path), { recursive: true, filter });
  }
  mkdirSync(join(home, 'node_modules', '@coldproof'), { recursive: true });
  symlinkSync('../../wire', join(home, 'node_modules', '@coldproof', 'wire'));
  cpSync(join(repository, 'LICENSE'), join(home, 'LICENSE'));
}

function copySystemFiles(root: string): void {
  const put = (path: string, text: string, mode = 0o644) => {
    const file = join(root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    chmodSync(file, mode);
  };
  const copy = (name: string) => readFileSync(join(packaging, name), 'utf8');
  put('usr/bin/coldproof-agent', '#!/bin/sh\nexec /usr/bin/node /opt/coldproof/agent/dist/main.js "$@"\n', 0o755);
  put('usr/lib/systemd/system/coldproof-agent.service', copy('coldproof-agent.service'));
  put('usr/share/coldproof-agent/agent.example.yaml', copy('agent.example.yaml'));
  put('usr/share/coldproof-agent/agent.schema.json', `${JSON.stringify(configSchema(), null, 2)}\n`);
  put('usr/share/doc/coldproof-agent/copyright', readFileSync(join(repository, 'LICENSE'), 'utf8'));
  mkdirSync(join(root, 'etc', 'coldproof', 'secrets'), { recursive: true });
  chmodSync(join(root, 'etc', 'coldproof', 'secrets'), 0o700);
}

function control(root: string, version: string): void {
  const architecture = run('dpkg', ['--print-architecture']).trim();
  const kibibytes = run('du', ['-sk', '--exclude=DEBIAN', root]).split('\t')[0]!;
  const fields = [
    ['Package', 'coldproof-agent'],
    ['Version', version],
    ['Architecture', architecture],
    ['Maintainer', 'Coldproof <coldproof@coldproof.example>'],
    ['Installed-Size', kibibytes],
    ['Depends', 'nodejs (>= 20.19)'],
    ['Section', 'net'],
    ['Priority', 'optional'],
    ['Description', 'edge agent for signed cold-chain readings'],
  ];
  const folder = join(root, 'DEBIAN');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'control'), fields.map(([name, value]) => `${name}: ${value}\n`).join(''));
  // Not started at installation: without its configuration and a key it could only fail.
  const reload = 'if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi';
  const stop = 'if [ -d /run/systemd/system ] && [ "$1" = remove ]; then systemctl stop coldproof-agent.service; fi';
  for (const [name, line] of [
    ['postinst', reload],
    ['prerm', stop],
    ['postrm', reload],
  ] as const) {
    writeFileSync(join(folder, name), `#!/bin/sh\nset -e\n${line}\n`, { mode: 0o755 });
  }
}

function main(folder: string): void {
  const { version } = JSON.parse(readFileSync(join(repository, 'agent', 'package.json'), 'utf8')) as {
    version: string;
  };
  const root = join(folder, 'root');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(root, { recursive: true });
  copyProgram(root);
  copySystemFiles(root);
  const epoch = epochSec();
  const tarball = join(folder, `coldproof-agent-${version}.tar.gz`);
  const owned = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', `--mtime=@${epoch}`];
  run('tar', [...owned, '--use-compress-program=gzip -n', '-C', root, '-cf', tarball, '.']);
  process.stdout.write(`${JSON.stringify({ tarball })}\n`);
  if (spawnSync('dpkg-deb', ['--version']).status !== 0) {
    process.stderr.write('dpkg-deb is not installed: no Debian package is made\n');
    return;
  }
  control(root, version);
  const deb = join(folder, `coldproof-agent_${version}_${run('dpkg', ['--print-architecture']).trim()}.deb`);
  process.env['SOURCE_DATE_EPOCH'] = epoch;
  run('dpkg-deb', ['--root-owner-group', '-Zgzip', '--build', root, deb]);
  process.stdout.write(`${JSON.stringify({ deb })}\n`);
}

main(resolve(process.argv[2] ?? join(repository, 'agent', 'dist', 'package')));
