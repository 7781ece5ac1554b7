/** Eclipse Mosquitto, as a broker that others run, and certificates by openssl for it and its clients. */
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { freePort } from '@coldproof/oracle/demonstration/free-ports';

/** Debian has it beside the daemons, which is not on everybody's PATH. */
const program = '/usr/sbin/mosquitto';
const isCi = process.env['CI'] === 'true';
const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
const hasMosquitto = spawnSync(program, ['-h']).error === undefined;
/** A test's `skip`: with CI it runs, and fails where the program is not. */
export const skipWithoutOpenssl = hasOpenssl || isCi ? false : 'openssl is not installed';
export const skipWithoutMosquitto = (hasMosquitto || isCi ? false : 'mosquitto is not installed') || skipWithoutOpenssl;

export class Mosquitto {
  readonly port: number;
  readonly #folder: string;
  #process: ChildProcess | undefined;

  private constructor(port: number, folder: string) {
    this.port = port;
    this.#folder = folder;
  }

  /** Anonymous unless `settings`, lines of mosquitto.conf(5) for its one listener, say otherwise. */
  static async start(
    t: Pick<Test, 'teardown'>,
    settings: readonly string[] = ['allow_anonymous true'],
  ): Promise<Mosquitto> {
    const folder = mkdtempSync(join(tmpdir(), 'coldproof-mosquitto-'));
    const port = await freePort();
    // As root it would become the user mosquitto, who may not read the folder.
    const lines = ['user root', 'persistence false', 'log_type error', `listener ${port} 127.0.0.1`, ...settings];
    writeFileSync(join(folder, 'mosquitto.conf'), `${lines.join('\n')}\n`);
    const broker = new Mosquitto(port, folder);
    t.teardown(async () => {
      await broker.stop();
      rmSync(folder, { recursive: true, force: true });
    });
    await broker.restart();
    return broker;
  }

  async restart(): Promise<void> {
    await this.stop();
    const child = spawn(program, ['-c', join(this.#folder, 'mosquitto.conf')], { stdio: 'ignore' });
    this.#process = child;
    while (!(await answers(this.port))) {
      if (child.exitCode !== null) throw new Error(`mosquitto ended with ${child.exitCode}`);
    }
  }

  signal(name: 'SIGHUP' | 'SIGSTOP' | 'SIGCONT'): void {
    this.#process?.kill(name);
  }

  /** By kill -9: what it held in memory is gone. */
  async stop(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  }
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const isOpen = await new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => setTimeout(() => resolve(false), 10));
  });
  socket.destroy();
  return isOpen;
}

/** Paths of PEM files. */
export type Certificate = { readonly certFile: string; readonly keyFile: string };

/** A CA of openssl's own, in a folder. */
export class CertificateAuthority {
  readonly caFile: string;
  readonly #folder: string;

  constructor(parent: string, name: string) {
    this.#folder = join(parent, name);
    this.caFile = join(this.#folder, 'ca.pem');
    mkdirSync(this.#folder);
    writeFileSync(join(this.#folder, 'index.txt'), '');
    writeFileSync(join(this.#folder, 'openssl.cnf'), configuration(this.#folder));
    const key = [
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-keyout',
      this.#path('ca.key'),
    ];
    openssl(['req', '-x509', ...key, '-subj', `/CN=${name}`, '-days', '2', '-out', this.caFile]);
  }

  /** Valid for two days around now; or, with `isExpired`, for the year 2020. */
  issue(
    commonName: string,
    { names = [], isExpired = false }: { names?: string[]; isExpired?: boolean } = {},
  ): Certificate {
    const [certFile, keyFile, request] = ['pem', 'key', 'csr'].map((end) => this.#path(`${commonName}.${end}`));
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', keyFile!];
    const extensions = names.length === 0 ? [] : ['-addext', `subjectAltName=${names.join(',')}`];
    openssl(['req', '-new', ...key, '-subj', `/CN=${commonName}`, ...extensions, '-out', request!]);
    const validity = isExpired ? ['-startdate', '20200101000000Z', '-enddate', '20201231000000Z'] : ['-days', '2'];
    const files = ['-config', this.#path('openssl.cnf'), '-in', request!, '-out', certFile!];
    openssl(['ca', '-batch', '-notext', ...files, ...validity]);
    return { certFile: certFile!, keyFile: keyFile! };
  }

  #path(file: string): string {
    return join(this.#folder, file);
  }
}

function openssl(args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: 'pipe' });
}

function configuration(folder: string): string {
  return `[ca]
default_ca = authority
[authority]
database = ${join(folder, 'index.txt')}
new_certs_dir = ${folder}
certificate = ${join(folder, 'ca.pem')}
private_key = ${join(folder, 'ca.key')}
rand_serial = yes
default_md = sha256
unique_subject = no
copy_extensions = copy
policy = any
[any]
commonName = supplied
`;
}

export function readPem({ certFile, keyFile }: Certificate): { cert: Buffer; key: Buffer } {
  return { cert: readFileSync(certFile), key: readFileSync(keyFile) };
}
