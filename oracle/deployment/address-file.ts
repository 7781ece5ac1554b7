/** Where a chain's contracts stand: the file that a deployment writes, goes on from, and leaves. */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { ArtifactName } from '@coldproof/contracts';
import type { Address } from '../chain-abi.ts';
import { OperatingError, describeError } from '../operating-error.ts';

export type Standing = {
  readonly address: Address;
  /** SHA-256 of its creation code and constructor arguments, hex: what it was deployed from. */
  readonly creation: string;
};

type Content = { readonly chainId: number; readonly contracts: Partial<Record<ArtifactName, Standing>> };

export class AddressFile {
  readonly #path: string;
  readonly #content: Content;

  /** Throws OperatingError 'chain-id-wrong' when the file is of another chain. */
  constructor(path: string, chainId: number) {
    this.#path = path;
    this.#content = existsSync(path) ? readContent(path) : { chainId, contracts: {} };
    if (this.#content.chainId !== chainId) {
      const message = `${path}: expected the addresses of chain ${chainId}, got those of ${this.#content.chainId}`;
      throw new OperatingError('chain-id-wrong', message, { retry: 'never' });
    }
  }

  get(name: ArtifactName): Standing | undefined {
    return this.#content.contracts[name];
  }

  /** On disk when it returns. */
  set(name: ArtifactName, standing: Standing): void {
    this.#content.contracts[name] = standing;
    mkdirSync(dirname(this.#path), { recursive: true });
    const file = openSync(`${this.#path}.new`, 'w');
    writeSync(file, `${JSON.stringify(this.#content, null, 2)}\n`);
    fsyncSync(file);
    closeSync(file);
    renameSync(`${this.#path}.new`, this.#path);
  }
}

function readContent(path: string): Content {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Content;
  } catch (cause) {
    throw new OperatingError('config-invalid', `${path}: ${describeError(cause)}`, { retry: 'never', cause });
  }
}
