/**
 * Metering: WebAssembly is rewritten so that it counts its own steps and the depth of its calls, and traps when it has
 * used up what it was given.
 *
 * One step is charged at the entry of each function and each turn of each loop, and one for each 64 bytes of a bulk
 * copy or fill: whatever takes long does one of these often. QuickJS' interrupt handler would not do, since it is asked
 * by loops of the program only, and never by those of a built-in (`[].indexOf.call({ length: 2 ** 53 - 1 }, 1)`). A
 * count in the code itself is the same on each machine, and nothing that the program does gets round it.
 *
 * The depth is counted because the stack of the engine around it has another size on each machine, and QuickJS' own
 * check sees only what its C code keeps in memory (`JSON.parse('['.repeat(1e6))` keeps nothing there).
 *
 * WebAssembly Core Specification 2.0, §5 (binary format) and §5.4 (instructions).
 */
import { assert, concatBytes, utf8ToBytes } from '@coldproof/wire';

/** The mutable i32 global, exported by this name, that holds the steps left; below zero once they were used up. */
export const stepsExport = 'steps';
/** Likewise for how deep the calls are; over callDepthMax once they were too deep. */
export const depthExport = 'depth';
/** QuickJS' own limit ends JavaScript's recursion before this; what a thread's stack must hold (see thread.ts). */
export const callDepthMax = 8_191;

const section = { custom: 0, type: 1, import: 2, function: 3, global: 6, export: 7, code: 10 } as const;
/** 2^31 - 1: enough to start with, until the host sets the limit of a run. */
const stepsOfStart = [0xff, 0xff, 0xff, 0xff, 0x07] as const;
const bulkBytesPerStepLog2 = 6;

const op = {
  ...{ unreachable: 0x00, block: 0x02, loop: 0x03, if: 0x04, end: 0x0b, br: 0x0c, brIf: 0x0d },
  ...{ brTable: 0x0e, call: 0x10, callIndirect: 0x11 },
  ...{ selectTyped: 0x1c, localGet: 0x20, localTee: 0x22, globalGet: 0x23, globalSet: 0x24, tableSet: 0x26 },
  ...{ load: 0x28, store: 0x3e, memorySize: 0x3f, memoryGrow: 0x40, i32Const: 0x41, i64Const: 0x42, f32Const: 0x43 },
  ...{
    f64Const: 0x44,
    i32LtS: 0x48,
    i32GtS: 0x4a,
    i32Add: 0x6a,
    i32Sub: 0x6b,
    i32ShrU: 0x76,
    lastNumeric: 0xc4,
    refNull: 0xd0,
    refFunc: 0xd2,
  },
  prefixed: 0xfc,
} as const;
const prefixed = { memoryInit: 8, dataDrop: 9, memoryCopy: 10, memoryFill: 11, tableInit: 12, tableCopy: 14 } as const;
const i32 = 0x7f;
const emptyBlock = 0x40;

/** Throws on a module that it does not fully understand: it is our own, pinned by its digest. */
export function meterModule(wasm: Uint8Array): Uint8Array {
  const sections = splitSections(wasm);
  const bodyOf = (id: number) => sections.find((each) => each.id === id)?.body ?? Uint8Array.of(0);
  assert(count(bodyOf(section.global)) > 0, 'the module has globals');
  assert((unsigned(callDepthMax).at(-1)! & 0x40) === 0, 'the depth is no negative number in LEB128');
  // Imported globals would come first in the numbering; functions imported do not, in their own section.
  const stepsIndex = count(bodyOf(section.global));
  const added = [
    { name: stepsExport, index: stepsIndex, start: stepsOfStart },
    { name: depthExport, index: stepsIndex + 1, start: [0] },
  ];
  const parameters = parameterCounts(bodyOf(section.type));
  const types = vector(bodyOf(section.function), (reader) => reader.unsigned());
  const metered = sections
    .filter(({ id }) => id !== section.custom)
    .map(({ id, body }) => {
      if (id === section.global) {
        return { id, body: append(body, ...added.map(({ start }) => [i32, 1, op.i32Const, ...start, op.end])) };
      }
      if (id === section.export) {
        const exported = added.map(({ name, index }) => [name.length, ...utf8ToBytes(name), 3, ...unsigned(index)]);
        return { id, body: append(body, ...exported) };
      }
      if (id !== section.code) return { id, body };
      const functions = meterFunctions(body, stepsIndex, (i) => parameters[types[i]!]!);
      return { id, body: concatBytes(Uint8Array.from(unsigned(functions.length)), ...functions) };
    });
  const parts = metered.map(({ id, body }) => concatBytes(Uint8Array.from([id, ...unsigned(body.length)]), body));
  return concatBytes(wasm.subarray(0, 8), ...parts);
}

function splitSections(wasm: Uint8Array): { id: number; body: Uint8Array }[] {
  const reader = new Reader(wasm, 8);
  const sections: { id: number; body: Uint8Array }[] = [];
  while (!reader.isAtEnd) {
    const id = reader.byte();
    const body = reader.take(reader.unsigned());
    if (id === section.import) refuseImportedGlobals(body);
    sections.push({ id, body });
  }
  return sections;
}

function refuseImportedGlobals(body: Uint8Array): void {
  vector(body, (reader) => {
    reader.take(reader.unsigned());
    reader.take(reader.unsigned());
    const kind = reader.byte();
    assert(kind === 0 || kind === 2, 'functions and a memory are imported');
    if (kind === 0) return void reader.unsigned();
    const hasMaximum = (reader.byte() & 1) === 1;
    reader.unsigned();
    if (hasMaximum) reader.unsigned();
  });
}

function parameterCounts(body: Uint8Array): number[] {
  return vector(body, (reader) => {
    assert(reader.byte() === 0x60, 'types are of functions');
    const parameters = reader.unsigned();
    reader.take(parameters);
    reader.take(reader.unsigned());
    return parameters;
  });
}

function meterFunctions(body: Uint8Array, stepsIndex: number, parametersOf: (i: number) => number): Uint8Array[] {
  let at = 0;
  return vector(body, (reader) => {
    const source = reader.take(reader.unsigned());
    const metered = meterFunction(source, stepsIndex, parametersOf(at++));
    return concatBytes(Uint8Array.from(unsigned(metered.length)), metered);
  });
}

/** One more local, i32, holds the size of a bulk operation while it is charged. */
function meterFunction(source: Uint8Array, stepsIndex: number, parameters: number): Uint8Array {
  const reader = new Reader(source);
  const groups = reader.unsigned();
  const groupsAt = reader.at;
  let local = parameters;
  for (let i = 0; i < groups; i++) {
    local += reader.unsigned();
    reader.byte();
  }
  const out = [Uint8Array.from(unsigned(groups + 1)), source.subarray(groupsAt, reader.at), Uint8Array.of(1, i32)];
  const steps = unsigned(stepsIndex);
  const chargeOne = charge(steps, [op.i32Const, 1]);
  const size = [op.localGet, ...unsigned(local), op.i32Const, bulkBytesPerStepLog2, op.i32ShrU];
  const { deeper, back } = depthCount(unsigned(stepsIndex + 1));
  const keepSize = Uint8Array.from([op.localTee, ...unsigned(local)]);
  out.push(chargeOne);
  let copiedTo = reader.at;
  while (!reader.isAtEnd) {
    const startsAt = reader.at;
    const instruction = skipInstruction(reader);
    if (instruction === 'loop') {
      out.push(source.subarray(copiedTo, reader.at), chargeOne);
      copiedTo = reader.at;
    } else if (instruction === 'bulk') {
      // Its size is on top of the stack, and stays there.
      out.push(source.subarray(copiedTo, startsAt), keepSize, charge(steps, size));
      copiedTo = startsAt;
    } else if (instruction === 'call') {
      out.push(source.subarray(copiedTo, startsAt), deeper, source.subarray(startsAt, reader.at), back);
      copiedTo = reader.at;
    }
  }
  out.push(source.subarray(copiedTo));
  return concatBytes(...out);
}

/** steps -= cost; if (steps < 0) unreachable */
function charge(steps: readonly number[], cost: readonly number[]): Uint8Array {
  const take = [op.globalGet, ...steps, ...cost, op.i32Sub, op.globalSet, ...steps];
  const isOver = [op.globalGet, ...steps, op.i32Const, 0, op.i32LtS];
  return Uint8Array.from([...take, ...isOver, op.if, emptyBlock, op.unreachable, op.end]);
}

/** Around a call: if (++depth > callDepthMax) unreachable; ... --depth */
function depthCount(depth: readonly number[]): { readonly deeper: Uint8Array; readonly back: Uint8Array } {
  const add = (by: number, operation: number) => [
    ...[op.globalGet, ...depth, op.i32Const, by, operation, op.globalSet, ...depth],
  ];
  const isOver = [op.globalGet, ...depth, op.i32Const, ...unsigned(callDepthMax), op.i32GtS];
  const trap = [op.if, emptyBlock, op.unreachable, op.end];
  return {
    deeper: Uint8Array.from([...add(1, op.i32Add), ...isOver, ...trap]),
    back: Uint8Array.from(add(1, op.i32Sub)),
  };
}

function skipInstruction(reader: Reader): 'loop' | 'bulk' | 'call' | 'other' {
  const code = reader.byte();
  if (code === op.call || code === op.callIndirect) {
    reader.leb();
    if (code === op.callIndirect) reader.leb();
    return 'call';
  }
  if (code === op.block || code === op.if || code === op.loop) {
    reader.leb();
    return code === op.loop ? 'loop' : 'other';
  }
  if (code === op.prefixed) return skipPrefixed(reader);
  if (code === op.brTable) for (let targets = reader.unsigned() + 1; targets > 0; targets--) reader.leb();
  else if (code === op.selectTyped) reader.take(reader.unsigned());
  else if (code >= op.load && code <= op.store) {
    reader.leb();
    reader.leb();
  } else if (hasOneImmediate(code)) reader.leb();
  else if (code === op.f32Const) reader.take(4);
  else if (code === op.f64Const) reader.take(8);
  else assert(code <= op.lastNumeric || code === 0xd1, `instruction 0x${code.toString(16)} is known`);
  return 'other';
}

/** br, br_if, variables and tables, memory.size and grow, integer constants, references. */
function hasOneImmediate(code: number): boolean {
  if (code === op.br || code === op.brIf) return true;
  if (code >= op.localGet && code <= op.tableSet) return true;
  if (code >= op.memorySize && code <= op.i64Const) return true;
  return code === op.refNull || code === op.refFunc;
}

function skipPrefixed(reader: Reader): 'bulk' | 'other' {
  const code = reader.unsigned();
  const pairs: readonly number[] = [prefixed.memoryInit, prefixed.memoryCopy, prefixed.tableInit, prefixed.tableCopy];
  assert(code <= 17, `instruction 0xfc ${code} is known`);
  if (code >= prefixed.memoryInit) reader.leb();
  if (pairs.includes(code)) reader.leb();
  return code === prefixed.memoryCopy || code === prefixed.memoryFill ? 'bulk' : 'other';
}

function vector<Item>(body: Uint8Array, readItem: (reader: Reader) => Item): Item[] {
  const reader = new Reader(body);
  const items = Array.from({ length: reader.unsigned() }, () => readItem(reader));
  assert(reader.isAtEnd, 'the vector fills its section');
  return items;
}

function count(body: Uint8Array): number {
  return new Reader(body).unsigned();
}

/** More items in a section that is a vector. */
function append(body: Uint8Array, ...items: readonly (readonly number[])[]): Uint8Array {
  const reader = new Reader(body);
  const length = reader.unsigned() + items.length;
  return concatBytes(Uint8Array.from(unsigned(length)), body.subarray(reader.at), Uint8Array.from(items.flat()));
}

/** LEB128 (§5.2.2); as a signed integer too, as long as bit 6 of the last byte is clear. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) | 0x80);
  }
}

class Reader {
  at: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.at = at;
  }

  get isAtEnd(): boolean {
    return this.at === this.#bytes.length;
  }

  byte(): number {
    const byte = this.#bytes[this.at++];
    assert(byte !== undefined, 'the module goes on');
    return byte;
  }

  take(size: number): Uint8Array {
    this.at += size;
    assert(this.at <= this.#bytes.length, 'the module goes on');
    return this.#bytes.subarray(this.at - size, this.at);
  }

  unsigned(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }

  /** An integer whose value does not matter. */
  leb(): void {
    while (this.byte() >= 0x80);
  }
}
