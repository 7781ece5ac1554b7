/**
 * The part of the platform's WebAssembly that the sandbox needs (WebAssembly JavaScript Interface 2.0 §5). Its types
 * are the DOM's, and neither those nor Node's are here.
 */

export type WasmModule = { readonly kind?: 'module' };
export type WasmMemory = { readonly buffer: ArrayBuffer };
export type WasmGlobal = { value: number };
export type WasmExports = Readonly<Record<string, unknown>>;
export type WasmImports = Record<string, Record<string, unknown>>;
export type WasmInstance = { readonly exports: WasmExports };

export type WebAssembly = {
  readonly compile: (bytes: Uint8Array) => Promise<WasmModule>;
  readonly Memory: new (pages: { initial: number; maximum: number }) => WasmMemory;
  readonly Global: new (type: { value: 'i32'; mutable: true }, value: number) => WasmGlobal;
  readonly Instance: new (module: WasmModule, imports: WasmImports) => WasmInstance;
};

export const webAssembly = (globalThis as unknown as { readonly WebAssembly: WebAssembly }).WebAssembly;
