/** What build.ts compiled, by name. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Artifact } from './artifact.ts';
import type { Names } from './artifacts/names.ts';

export type { Artifact } from './artifact.ts';

export type ArtifactName = keyof Names;
/** Of a union of contracts: what any of them has. */
export type MethodOf<Name extends ArtifactName> = Names[Name]['method'];
export type EventOf<Name extends ArtifactName> = Names[Name]['event'];
export type ErrorOf<Name extends ArtifactName> = Names[Name]['error'];

/** Another folder than the build's: what the coverage run (coverage.ts) compiled. */
const folder = process.env['COLDPROOF_ARTIFACTS'] ?? fileURLToPath(new URL('../artifacts', import.meta.url));

/** Throws when the artifact is absent: the contracts have not been built (`npm run build`). */
export function loadArtifact(name: ArtifactName): Artifact {
  return JSON.parse(readFileSync(`${folder}/${name}.json`, 'utf8')) as Artifact;
}
