/** A real PKCS #11 token for tests: SoftHSM2 in a folder of its own, which can be pulled out and plugged in again. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { temporaryFolder } from './fixture.ts';

export const tokenModule = '/usr/lib/softhsm/libsofthsm2.so';
export const tokenPin = '86427531';

const isInstalled = existsSync(tokenModule) && spawnSync('softhsm2-util', ['--version']).status === 0;

/** A visible reason where SoftHSM2 is absent; with CI=true the test runs, and fails. */
export const skipWithoutToken = isInstalled || process.env['CI'] === 'true' ? false : 'softhsm2 is not installed';

export class SoftToken {
  readonly #folder: string;
  /** SOFTHSM2_CONF: which tokens this process and those that it starts have. */
  readonly configuration: string;

  constructor(t: Test) {
    const folder = temporaryFolder(t);
    this.#folder = join(folder, 'tokens');
    this.configuration = join(folder, 'softhsm2.conf');
    mkdirSync(this.#folder);
    writeFileSync(this.configuration, `directories.tokendir = ${this.#folder}\nobjectstore.backend = file\n`);
    process.env['SOFTHSM2_CONF'] = this.configuration;
    this.#initialize('truck');
  }

  #initialize(label: string): void {
    const pins = ['--so-pin', '12345678', '--pin', tokenPin];
    const made = spawnSync('softhsm2-util', ['--init-token', '--free', '--label', label, ...pins]);
    if (made.status !== 0) throw new Error(made.stderr.toString());
  }

  pull(): void {
    renameSync(this.#folder, `${this.#folder}-away`);
    mkdirSync(this.#folder);
  }

  plug(): void {
    renameSync(this.#folder, `${this.#folder}-empty`);
    renameSync(`${this.#folder}-away`, this.#folder);
  }

  /** A token with the same label and other keys, as when somebody plugs in the wrong one. */
  exchange(): void {
    renameSync(this.#folder, `${this.#folder}-away`);
    mkdirSync(this.#folder);
    this.#initialize('truck');
  }
}
