/** The cryptlets that a node has: packages in a folder. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { bytesToHex } from '@coldproof/wire';
import { OperatingError, describeError } from '../operating-error.ts';
import { parsePackage, type Cryptlet } from './cryptlet.ts';

const suffix = '.cryptlet';

/**
 * By digest, bare hex, of every file of the folder that is named *.cryptlet. Throws OperatingError 'config-invalid' for
 * a package that is none, or for another runtime: a node that has it on disk is thought to run it.
 */
export function readInstalled(folder: string): ReadonlyMap<string, Cryptlet> {
  const installed = new Map<string, Cryptlet>();
  for (const file of filesOf(folder).filter((name) => name.endsWith(suffix))) {
    const path = join(folder, file);
    const parsed = parsePackage(Uint8Array.from(readFileSync(path)));
    if (!parsed.ok) throw invalid(`${path}: ${parsed.reason}: ${parsed.detail}`);
    installed.set(bytesToHex(parsed.value.digest), parsed.value);
  }
  return installed;
}

/** A folder that is not there is one without cryptlets. */
function filesOf(folder: string): string[] {
  if (!existsSync(folder)) return [];
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    throw invalid(`cryptlets folder ${folder}: ${describeError(error)}`);
  }
}

function invalid(message: string): OperatingError {
  return new OperatingError('config-invalid', message, { retry: 'never' });
}
