/** Two pseudo terminals, joined as by a null-modem cable: what is written to one end is read at the other. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const isPresent = spawnSync('socat', ['-V']).status === 0;

/** tap's `skip` option: a visible reason without socat; with CI=true the test runs, and fails. */
export const skipWithoutSocat: string | false =
  isPresent || process.env['CI'] === 'true' ? false : 'socat is absent: apt-get install socat';

export class SerialPair {
  readonly device: string;
  readonly gateway: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'coldproof-line-'));
  #socat: ChildProcess | undefined;

  constructor() {
    this.device = join(this.#folder, 'device');
    this.gateway = join(this.#folder, 'gateway');
  }

  /** Plugs the cable in: resolves when both ends can be opened. */
  async plug(): Promise<void> {
    const ends = [this.device, this.gateway].map((link) => `pty,raw,echo=0,link=${link}`);
    const socat = spawn('socat', ['-d', '-d', ...ends], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#socat = socat;
    await new Promise<void>((resolve, reject) => {
      let said = '';
      socat.once('error', reject);
      socat.once('exit', (code) => reject(new Error(`socat ended with ${String(code)}: ${said}`)));
      socat.stderr.on('data', (chunk: Buffer) => {
        said += chunk.toString();
        if (said.includes('starting data transfer loop')) resolve();
      });
    });
  }

  /** Pulls it out: both ends hang up, and their paths are gone. */
  async unplug(): Promise<void> {
    const socat = this.#socat;
    this.#socat = undefined;
    if (socat === undefined) return;
    const exited = once(socat, 'exit');
    socat.kill('SIGTERM');
    await exited;
  }

  async remove(): Promise<void> {
    await this.unplug();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
