/**
 * The runtime: QuickJS in WebAssembly, metered, and the prelude. Its identity is in each cryptlet's digest, so whoever
 * runs a cryptlet runs it in this very one.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { assert, encodeCbor, hexToBytes, referenceCrypto } from '@coldproof/wire';
import { cryptletLimits } from './limits.ts';
import { meterModule } from './metering.ts';
import { prelude } from './prelude.ts';
import { webAssembly, type WasmModule } from './web-assembly.ts';

/** Of @jitl/quickjs-wasmfile-release-sync 0.32.0, after metering. */
const meteredSha256 = '8f8bd82beef1a1c2b3d40d84713caf8d257b8c52409688431785d2e61405c0b5';

const { steps, memoryBytes, stackBytes, outputBytes, inputBytes } = cryptletLimits;
const identity = referenceCrypto.sha256(
  encodeCbor([
    'coldproof v1 cryptlet-runtime',
    hexToBytes(meteredSha256),
    prelude,
    [steps, memoryBytes, stackBytes, outputBytes, inputBytes],
  ]),
);

/** 32 bytes. */
export function runtimeIdentity(): Uint8Array {
  return identity;
}

/** Reads, meters and compiles it: once a process, since it takes a tenth of a second. */
export async function compileRuntime(): Promise<WasmModule> {
  const file = createRequire(import.meta.url).resolve('@jitl/quickjs-wasmfile-release-sync/wasm');
  const metered = meterModule(readFileSync(file));
  const digest = createHash('sha256').update(metered).digest('hex');
  assert(digest === meteredSha256, `the runtime's digest is ${meteredSha256}, not ${digest}`);
  return webAssembly.compile(metered);
}
