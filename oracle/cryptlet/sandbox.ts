/**
 * One run of one program, in an instance of the runtime that is made for it and thrown away after it: nothing is left
 * of one run for the next, and the same program and input take the same steps and end in the same way, everywhere.
 *
 * What QuickJS could ask of the machine (time, environment, files) is answered here with nothing.
 */
import variant from '@jitl/quickjs-wasmfile-release-sync';
import {
  DefaultIntrinsics,
  newQuickJSWASMModuleFromVariant,
  newVariant,
  type QuickJSContext,
  type QuickJSHandle,
  type QuickJSSyncVariant,
} from 'quickjs-emscripten-core';
import { assert } from '@coldproof/wire';
import type { CryptletLimits } from './limits.ts';
import { callDepthMax, depthExport, stepsExport } from './metering.ts';
import { prelude } from './prelude.ts';
import {
  webAssembly,
  type WasmExports,
  type WasmGlobal,
  type WasmImports,
  type WasmInstance,
  type WasmMemory,
  type WasmModule,
} from './web-assembly.ts';

export type RunRequest = { readonly program: string; readonly input: string; readonly limits: CryptletLimits };

const failures = [
  'instructions-exceeded',
  'memory-exceeded',
  'stack-exceeded',
  'output-too-large',
  /** The program threw, or is no program. */
  'threw',
  /** It asked for the time. */
  'clock-read',
  /** It asked for something else that depends on more than its input. */
  'forbidden-global',
  'output-malformed',
] as const;

export type RunFailure = (typeof failures)[number];

export type RunAnswer = {
  /** JSON, 'undefined' for nothing to report; or why there is none. */
  readonly outcome: { readonly output: string } | { readonly failure: RunFailure; readonly detail: string };
  readonly stepsUsed: number;
};

const pageBytes = 65_536;
/** QuickJS itself, its stack, and what a heap loses to fragmentation. */
const overheadBytes = 64 * 1024 * 1024;

/** Throws when the machine fails and not the program. */
export async function runProgram(module: WasmModule, request: RunRequest): Promise<RunAnswer> {
  const { limits } = request;
  const { context, stepsLeft, depth } = await instantiate(module, limits);
  const started = context.unwrapResult(context.evalCode(prelude, 'prelude.js', { strict: true }));
  stepsLeft.value = limits.steps;
  try {
    const [word, rest] = splitOnce(say(context, started, request));
    const stepsUsed = limits.steps - stepsLeft.value;
    if (word === 'output') return { outcome: { output: rest }, stepsUsed };
    const failure = failures.find((each) => each === word);
    assert(failure !== undefined, `${word} is an outcome`);
    return { outcome: { failure, detail: rest }, stepsUsed };
  } catch (error) {
    if (depth.value > callDepthMax) {
      const outcome = { failure: 'stack-exceeded', detail: 'calls are nested too deep' } as const;
      return { outcome, stepsUsed: limits.steps - stepsLeft.value };
    }
    // The counts are past their limits only when the metering has ended it: any other trap says nothing of the program.
    if (stepsLeft.value >= 0) throw error;
    const detail = `more than ${limits.steps} steps`;
    return { outcome: { failure: 'instructions-exceeded', detail }, stepsUsed: limits.steps };
  }
}

async function instantiate(
  module: WasmModule,
  { memoryBytes, stackBytes }: CryptletLimits,
): Promise<{ context: QuickJSContext; stepsLeft: WasmGlobal; depth: WasmGlobal }> {
  // All of it at once: a later `grow` could fail on one machine and not on another. Pages cost nothing until used.
  const pages = Math.ceil((memoryBytes + overheadBytes) / pageBytes);
  const wasmMemory = new webAssembly.Memory({ initial: pages, maximum: pages });
  let exports: WasmExports = {};
  const instantiateWasm = (imports: WasmImports, onDone: (instance: WasmInstance) => void) => {
    const instance = new webAssembly.Instance(module, { a: { ...imports['a'], ...machineOf(wasmMemory) } });
    ({ exports } = instance);
    onDone(instance);
    return {};
  };
  // The package's types are those of its CommonJS twin, which has the variant in `default`.
  const base = variant as unknown as QuickJSSyncVariant;
  const quickjs = await newQuickJSWASMModuleFromVariant(
    newVariant(base, { emscriptenModule: { wasmMemory, instantiateWasm } }),
  );
  const stepsLeft = exports[stepsExport];
  const depth = exports[depthExport];
  const isMetered = stepsLeft instanceof webAssembly.Global && depth instanceof webAssembly.Global;
  assert(isMetered, 'the runtime is metered');
  const runtime = quickjs.newRuntime();
  runtime.setMemoryLimit(memoryBytes);
  runtime.setMaxStackSize(stackBytes);
  // Regular expressions and big integers have loops whose length is not bounded by that of their input.
  const absent = { Date: false, RegExp: false, RegExpCompiler: false, BigInt: false };
  return { context: runtime.newContext({ intrinsics: { ...DefaultIntrinsics, ...absent } }), stepsLeft, depth };
}

/** The imports by which QuickJS reaches for the machine, by their names in this build. */
function machineOf(memory: WasmMemory): Record<string, (...args: number[]) => number> {
  const words = () => new Uint32Array(memory.buffer);
  const nothing = () => 0;
  const refused = () => 52;
  return {
    ...{ p: nothing, m: nothing, n: nothing, j: nothing },
    // No growth, no environment, no files.
    k: nothing,
    e: nothing,
    f: (countAt, sizeAt) => {
      words()[countAt >> 2] = 0;
      words()[sizeAt >> 2] = 0;
      return 0;
    },
    ...{ c: refused, d: refused, o: refused },
  };
}

/** The outcome as the prelude words it: a word, a space, and the rest. */
function say(context: QuickJSContext, started: QuickJSHandle, { program, input, limits }: RunRequest): string {
  const loaded = context.evalCode(program, 'program.js', { strict: true });
  if (loaded.error !== undefined) return describe(context, started, loaded.error);
  const declared = context.evalCode('evaluate', 'program.js', { strict: true });
  if (declared.error !== undefined) return describe(context, started, declared.error);
  const run = context.getProp(started, 'run');
  const args = [declared.value, context.newString(input), context.newNumber(limits.outputBytes)];
  const done = context.callFunction(run, context.undefined, ...args);
  if (done.error !== undefined) return describe(context, started, done.error);
  return context.getString(done.value);
}

function describe(context: QuickJSContext, started: QuickJSHandle, error: QuickJSHandle): string {
  const said = context.callFunction(context.getProp(started, 'said'), context.undefined, error);
  // To say what happened takes a few bytes: only a heap that is full has none.
  return said.error === undefined ? context.getString(said.value) : 'memory-exceeded the heap is used up';
}

function splitOnce(text: string): [word: string, rest: string] {
  const at = text.indexOf(' ');
  return [text.slice(0, at), text.slice(at + 1)];
}
