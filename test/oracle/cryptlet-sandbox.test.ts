/** The sandbox: every way out of it is tried, and each ends in its own reason, the same on each node. */
import t, { type Test } from 'tap';
import { openCryptletHost, type CryptletHost, type CryptletReason } from '@coldproof/oracle/cryptlet/host';
import { formatInput } from '@coldproof/oracle/cryptlet/input';
import { cryptletLimits } from '@coldproof/oracle/cryptlet/limits';
import { compileRuntime } from '@coldproof/oracle/cryptlet/runtime';
import { runProgram } from '@coldproof/oracle/cryptlet/sandbox';
import { cryptlet, inputOf } from './cryptlet-fixture.ts';

/** The heap is full soon; all else is as nodes have it. */
const limits = { ...cryptletLimits, memoryBytes: 2 * 1024 * 1024 };
/** Loops end soon. */
const stepsOfLoops = 3_000_000;
const input = inputOf({ 16: [[0, 500]] });

/** One for all tests but those about limits: that it goes on after each failure is part of what they say. */
const shared = await openCryptletHost({ workers: 2, limits });
t.teardown(() => shared.close());

const open = async (t: Test, changes: Partial<typeof limits>): Promise<CryptletHost> => {
  const host = await openCryptletHost({ workers: 2, limits: { ...limits, ...changes } });
  t.teardown(() => host.close());
  return host;
};

const inFunction = (body: string): string => `function evaluate(input) { ${body} }`;

const attacks: Record<Exclude<CryptletReason, 'input-too-large'>, readonly string[]> = {
  'instructions-exceeded': [
    'for (;;);',
    'for (;;) try { for (;;); } catch { 0; }',
    // Loops of built-ins, which no interrupt handler sees.
    'return [].indexOf.call({ length: 2 ** 53 - 1 }, 1);',
    'const s = "x".repeat(1e6); for (;;) s.indexOf("y");',
    'const s = "x".repeat(1e6); for (let i = 0; ; i++) s.slice(i % 7);',
    'throw { toString() { for (;;); } };',
    'return { report: [1], breach: false, toJSON() { for (;;); } };',
    'return new Proxy({}, { ownKeys() { for (;;); } });',
    'for (;;) Array.from({ length: 1e4 }, (_, i) => (i * 7919) % 1e4).sort();',
  ],
  'memory-exceeded': [
    'const all = []; for (;;) all.push("x".repeat(10000) + all.length);',
    'let s = "x"; for (;;) s += s;',
    'return new Array(1e6).fill({});',
    'const all = []; for (let i = 0; ; i++) all.push(new Array(100));',
  ],
  'stack-exceeded': [
    'const f = () => f() + 1; return f();',
    'JSON.parse("[".repeat(2e5));',
    'let a = []; for (let i = 0; i < 9e3; i++) a = [a]; return { report: a, breach: false };',
    'return { report: [{ toJSON() { return { toJSON: this.toJSON, get a() { return JSON.stringify(this); } }; } }] };',
    'Object.prototype.toJSON = () => ({ report: [665], breach: true }); return { report: [1], breach: true };',
    'const p = {}; p.toString = () => `${p}`; return `${p}`;',
  ],
  'output-too-large': ['return { report: ["x".repeat(5000)], breach: false };'],
  threw: [
    'throw new Error("no");',
    'throw undefined;',
    'throw { toString() { throw 1; } };',
    'input.nowSec = 0;',
    'input.channels[0].series[0].samples[0][1] = 900;',
    'return /a/.test("a");',
    'return missing;',
    'return undefined.x;',
    'return evaluate.caller.caller;',
    '}',
  ],
  'clock-read': [
    'return Date.now();',
    'try { Date; } catch { 0; } return { report: [1], breach: false };',
    'return typeof performance;',
    'globalThis["Da" + "te"];',
    'Date = 1;',
    'setTimeout(() => 1);',
  ],
  'forbidden-global': [
    'return Math.random();',
    'return eval("1");',
    'return Function("return 1")();',
    'return (() => 1).constructor("return 1")();',
    'return (function* () {}).constructor;',
    'return (async () => 1).constructor;',
    'return Math.exp(1);',
    'return "a".localeCompare("b");',
    'return (1).toLocaleString();',
    'return new Float64Array(1);',
    'return new WeakRef({});',
    'return Promise.resolve(1);',
    'return process.env;',
    'return require("fs");',
    'return fetch("http://127.0.0.1");',
    'return Intl.DateTimeFormat();',
    'return new WebAssembly.Module();',
    'try { Math.random(); } catch { 0; } for (const x of [1]) x; return { report: [1], breach: false };',
  ],
  'output-malformed': [
    'return 1;',
    'return null;',
    'return [1];',
    'return { report: [1] };',
    'return { report: [1.5], breach: false };',
    'return { report: [NaN], breach: false };',
    'return { report: [2 ** 31], breach: false };',
    'return { report: ["1"], breach: false };',
    'return { report: [1, 2], breach: false };',
    'return { report: [], breach: false };',
    'return { report: { 0: 1, length: 1 }, breach: false };',
    'return { report: [1], breach: 0 };',
    'return { report: [1], breach: false, more: 1 };',
    'return (async () => ({ report: [1], breach: false }))();',
    'return () => 1;',
  ],
};

for (const [reason, bodies] of Object.entries(attacks)) {
  t.test(`refused: ${reason}`, async (t) => {
    const host = reason === 'instructions-exceeded' ? await open(t, { steps: stepsOfLoops }) : shared;
    for (const body of bodies) {
      const verdict = await host.run(cryptlet(inFunction(body)), input);
      t.match(verdict, { ok: false, reason }, body);
    }
  });
}

t.test('a program that is none', async (t) => {
  for (const program of ['let x = 1;', 'const evaluate = 1;', 'function evaluate({', 'import "fs";']) {
    const { ok } = await shared.run(cryptlet(program), input);
    t.equal(ok, false, program);
  }
});

t.test('input-too-large', async (t) => {
  const host = await open(t, { inputBytes: 200 });
  t.match(await host.run(cryptlet(inFunction('')), input), { ok: false, reason: 'input-too-large' });
});

t.test('undefined is nothing to report; a report is as its interface says', async (t) => {
  t.same(await shared.run(cryptlet(inFunction('')), input), { ok: true, value: undefined });
  const reported = await shared.run(
    cryptlet(inFunction('return { report: [-5, true, "0x00ff"], breach: true };'), {
      interface: 'All(int8 a,bool b,bytes2 c)',
    }),
    input,
  );
  t.same(reported, { ok: true, value: { report: [-5, true, '0x00ff'], breach: true } });
});

t.test('nothing is left of one run for the next', async (t) => {
  const spoiler = cryptlet(
    inFunction(`
    JSON.stringify = () => '{"report":[666],"breach":true}';
    JSON.parse = () => 666;
    Array.prototype.map = () => [];
    Object.keys = () => [];
    globalThis.kept = (globalThis.kept ?? 0) + 1;
    return { report: [globalThis.kept], breach: false };`),
  );
  const first = await shared.run(spoiler, input);
  t.same(first, { ok: true, value: { report: [1], breach: false } }, 'a program may spoil its own built-ins');
  t.same(await shared.run(spoiler, input), first);
  const counted = cryptlet(inFunction('return { report: [globalThis.kept ?? 0], breach: false };'));
  t.same(await shared.run(counted, input), { ok: true, value: { report: [0], breach: false } });
});

t.test('the last step that a program is given decides the same in each run', async (t) => {
  const body = 'let s = 0; for (let i = 0; i < 3e3; i++) s += exp(i % 7); return { report: [s | 0], breach: false };';
  const program = cryptlet(inFunction(body));
  const request = { program: program.program, input: formatInput(input), limits };
  const { stepsUsed } = await runProgram(await compileRuntime(), request);
  t.comment(`steps: ${stepsUsed}`);
  for (const [steps, ok] of [
    [stepsUsed, true],
    [stepsUsed - 1, false],
  ] as const) {
    const host = await open(t, { steps });
    // In threads whose code is cold, and then optimised.
    const verdicts = await Promise.all([0, 1, 2, 3].map(() => host.run(program, input)));
    t.ok(verdicts.every((each) => each.ok === ok && (each.ok || each.reason === 'instructions-exceeded')));
  }
});

t.test('the depth at which the stack ends is the same, cold and warm', async (t) => {
  const depth =
    'let d = 0; const f = () => { d++; f(); }; try { f(); } catch { 0; } return { report: [d], breach: false };';
  const depths = [];
  for (let i = 0; i < 4; i++) depths.push(JSON.stringify(await shared.run(cryptlet(inFunction(depth)), input)));
  t.equal(new Set(depths).size, 1, depths.join(' '));
});
