/** Files that are whole or not there, also after a power cut. */
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { describeError, OperatingError } from './operating-error.ts';

/** Temporary file, fsync, rename, fsync of the folder: after a power cut there is the whole file or none. */
export function writeDurably(path: string, text: string): void {
  const folder = dirname(path);
  const temporary = `${path}.tmp`;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const file = openSync(temporary, 'w', 0o600);
    try {
      writeFileSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
    fsyncFolder(folder);
  } catch (cause) {
    throw new OperatingError('state-unavailable', `${path}: ${describeError(cause)}`, { retry: 'never', cause });
  }
}

/** A new name is durable only when its folder is (fsync(2), notes). */
export function fsyncFolder(folder: string): void {
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
