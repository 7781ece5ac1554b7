/** A throw-away PostgreSQL cluster, as Debian installs the programs, with a database of its own for each test. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { freePort } from '@coldproof/oracle/demonstration/free-ports';

const versionsFolder = '/usr/lib/postgresql';
/** The server refuses to run as root. */
const nobody = 65_534;

const programs = existsSync(versionsFolder)
  ? readdirSync(versionsFolder)
      .sort((a, b) => Number(b) - Number(a))
      .map((version) => join(versionsFolder, version, 'bin'))
      .find((folder) => existsSync(join(folder, 'initdb')))
  : undefined;

/** tap's `skip` option: a visible reason without PostgreSQL; with CI=true the test runs, and fails. */
export const skipWithoutPostgresql: string | false =
  programs !== undefined || process.env['CI'] === 'true' ? false : 'PostgreSQL is absent: apt-get install postgresql';

export class Postgres {
  readonly #folder: string;
  readonly #port: number;
  readonly #server: ChildProcess;
  #databases = 0;

  private constructor(folder: string, port: number, server: ChildProcess) {
    this.#folder = folder;
    this.#port = port;
    this.#server = server;
  }

  /** `settings` as in postgresql.conf. */
  static async start(settings: Readonly<Record<string, string>> = {}): Promise<Postgres> {
    if (programs === undefined) throw new Error(`no PostgreSQL below ${versionsFolder}`);
    const folder = mkdtempSync(join(tmpdir(), 'coldproof-postgres-'));
    const isRoot = process.getuid?.() === 0;
    if (isRoot) chownSync(folder, nobody, nobody);
    const as = isRoot ? { uid: nobody, gid: nobody } : {};
    const cluster = join(folder, 'cluster');
    const init = ['-D', cluster, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'];
    const made = spawnSync(join(programs, 'initdb'), init, { ...as, cwd: folder, encoding: 'utf8' });
    if (made.status !== 0) throw new Error(`initdb: ${made.stderr}`);
    const port = await freePort();
    const all = { port: String(port), listen_addresses: '127.0.0.1', unix_socket_directories: '', ...settings };
    const options = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const server = spawn(join(programs, 'postgres'), ['-D', cluster, ...options], {
      ...as,
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const postgres = new Postgres(folder, port, server);
    await postgres.#ready();
    return postgres;
  }

  /** The URL of a new, empty database. */
  async makeDatabase(): Promise<string> {
    const name = `test_${++this.#databases}`;
    await this.query(`CREATE DATABASE ${name}`);
    return this.#urlOf(name);
  }

  async query(sql: string, url = this.#urlOf('postgres')): Promise<Record<string, unknown>[]> {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(sql)).rows;
    } finally {
      await client.end();
    }
  }

  async stop(): Promise<void> {
    if (this.#server.exitCode === null && this.#server.signalCode === null) {
      // Immediate shutdown: nobody needs what is in there.
      this.#server.kill('SIGQUIT');
      await once(this.#server, 'exit');
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #urlOf(name: string): string {
    return `postgres://postgres@127.0.0.1:${this.#port}/${name}`;
  }

  async #ready(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      let said = '';
      this.#server.once('error', reject);
      this.#server.once('exit', (code) => reject(new Error(`postgres ended with ${String(code)}: ${said}`)));
      this.#server.stderr!.on('data', (chunk: Buffer) => {
        said += chunk.toString();
        if (said.includes('database system is ready to accept connections')) resolve();
      });
    });
  }
}
