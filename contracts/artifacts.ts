/** What build.ts compiled, by name. */
import { readFileSync } from 'node:fs';

export const artifactNames = ['AccessManager', 'DeviceRegistry', 'Fleet', 'Shipments', 'TestToken'] as const;
export type ArtifactName = (typeof artifactNames)[number];

export type Artifact = {
  /** Contract ABI in JSON, as ethers and others take it. */
  readonly abi: readonly AbiEntry[];
  /** Creation code, 0x and hex. */
  readonly bytecode: string;
  /** Size of the code on chain. */
  readonly deployedBytes: number;
};

export type AbiEntry = { readonly type: string; readonly name?: string };

/** Throws when the artifact is absent: the contracts have not been built (`npm run build`). */
export function loadArtifact(name: ArtifactName | (string & {})): Artifact {
  const file = new URL(`../artifacts/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, 'utf8')) as Artifact;
}
