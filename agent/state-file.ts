/** A small file of JSON in the state directory that is there whole or not at all, also after a power cut. */
import { readFileSync } from 'node:fs';
import { writeDurably } from './durable-file.ts';
import { describeError, OperatingError } from './operating-error.ts';

/** Throws `state-unavailable`. */
export function writeStateFile(path: string, state: unknown): void {
  writeDurably(path, JSON.stringify(state));
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
