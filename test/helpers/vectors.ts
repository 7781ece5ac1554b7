/** Public test vectors are read, never committed: from COLDPROOF_VECTORS, or from the folder beside the checkout. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const repository = resolve(fileURLToPath(new URL('../../..', import.meta.url)));
const folder = process.env['COLDPROOF_VECTORS'] ?? join(repository, '..', 'shared', 'vectors');

/**
 * tap's `skip` option for a test that needs vectors: a visible reason where they are absent. With CI=true an absence is
 * no skip: the test runs, and fails on the missing file.
 */
export const skipWithoutVectors: string | false =
  existsSync(folder) || process.env['CI'] === 'true' ? false : 'test vectors are absent: set COLDPROOF_VECTORS';

export function vectorText(path: string): string {
  return readFileSync(join(folder, path), 'utf8');
}

export function vectorJson(path: string): unknown {
  return JSON.parse(vectorText(path));
}

/** Every file below a folder of the vectors. Names there hold brackets and at-signs: list, do not glob. */
export function vectorFiles(path: string): string[] {
  return readdirSync(join(folder, path), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}
