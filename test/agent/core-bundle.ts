/** kill-core.js in one file, since to find and read a hundred of them takes longer than all else that it does. */
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const source = fileURLToPath(new URL('kill-core.js', import.meta.url));
/** Where it is one folder below a package.json, as agent/dist is. */
export const coreProgram = fileURLToPath(new URL('../kill-core-bundle.js', import.meta.url));

export async function bundleCore(): Promise<void> {
  await build({ entryPoints: [source], outfile: coreProgram, bundle: true, platform: 'node', format: 'esm' });
}
