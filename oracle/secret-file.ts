/** Files that hold keys: written whole or not at all, and readable by their owner only. */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { OperatingError, describeError } from './operating-error.ts';

export function readSecretFile(path: string): string {
  try {
    const mode = statSync(path).mode & 0o777;
    if ((mode & 0o077) !== 0) {
      const message = `${path}: expected mode 0600, got 0${mode.toString(8)}: others can read the key`;
      throw new OperatingError('key-unusable', message, { retry: 'never' });
    }
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (cause instanceof OperatingError) throw cause;
    throw new OperatingError('key-unusable', `key file ${path}: ${describeError(cause)}`, { retry: 'never', cause });
  }
}

/** Beside, synced, renamed, folder synced: after a crash the file is there in full or not there. */
export function writeSecretFile(path: string, text: string): void {
  const beside = `${path}.new`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const file = openSync(beside, 'w', 0o600);
    writeSync(file, text);
    fsyncSync(file);
    closeSync(file);
    renameSync(beside, path);
    const folder = openSync(dirname(path), 'r');
    fsyncSync(folder);
    closeSync(folder);
  } catch (cause) {
    throw new OperatingError('key-unusable', `key file ${path}: ${describeError(cause)}`, { retry: 'never', cause });
  }
}
