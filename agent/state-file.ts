/** A small file of JSON in the state directory that is there whole or not at all, also after a power cut. */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fsyncFolder } from './key-store.ts';
import { describeError, OperatingError } from './operating-error.ts';

/** Temporary file, fsync, rename, fsync of the folder. Throws `state-unavailable`. */
export function writeStateFile(path: string, state: unknown): void {
  const temporary = `${path}.tmp`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const file = openSync(temporary, 'w', 0o600);
    try {
      writeFileSync(file, JSON.stringify(state));
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
    fsyncFolder(dirname(path));
  } catch (cause) {
    throw new OperatingError('state-unavailable', `${path}: ${describeError(cause)}`, { retry: 'never', cause });
  }
}

/** Undefined where there is no file. Throws `state-unavailable` for one that cannot be read or is no JSON. */
export function readStateFile(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw new OperatingError('state-unavailable', `${path}: ${describeError(cause)}`, { retry: 'never', cause });
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    const message = `${path}: ${text.length} characters that are not JSON`;
    throw new OperatingError('state-unavailable', message, { retry: 'never', cause });
  }
}
