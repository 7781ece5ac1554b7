/** exp and ln of the prelude: within one unit in the last place of the true value, and exact where they must be. */
import { createContext, runInContext } from 'node:vm';
import t from 'tap';
import { prelude } from '@coldproof/oracle/cryptlet/prelude';
import { compileRuntime } from '@coldproof/oracle/cryptlet/runtime';
import { runProgram } from '@coldproof/oracle/cryptlet/sandbox';
import { cryptletLimits } from '@coldproof/oracle/cryptlet/limits';
import { seeded } from '../helpers/seed.ts';

const context = createContext({ InternalError: Error });
runInContext(prelude, context);
const { exp, ln } = runInContext('({ exp, ln })', context) as Record<'exp' | 'ln', (x: number) => number>;

/** Fixed point, this many bits behind the point: far more than a double has. */
const bits = 320n;
const one = 1n << bits;

/** A double as fixed point, exactly (its last bit is within `bits` for all values below). */
function fixed(x: number): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, x);
  const raw = view.getBigUint64(0);
  const exponent = (raw >> 52n) & 0x7ffn;
  const mantissa = (raw & ((1n << 52n) - 1n)) | (exponent === 0n ? 0n : 1n << 52n);
  const shift = (exponent === 0n ? 1n : exponent) - 1075n + bits;
  const magnitude = shift >= 0n ? mantissa << shift : mantissa >> -shift;
  return raw >> 63n === 1n ? -magnitude : magnitude;
}

/** Series, after halving until the argument is small. */
function exactExp(x: bigint): bigint {
  const halvings = 20n;
  const small = x >> halvings;
  let [sum, term] = [one, one];
  for (let n = 1n; term !== 0n && n < 200n; n++) {
    term = (term * small) / (n << bits);
    sum += term;
  }
  for (let i = 0n; i < halvings; i++) sum = (sum * sum) >> bits;
  return sum;
}

function ulpOf(x: number): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, Math.abs(x));
  view.setBigUint64(0, view.getBigUint64(0) + 1n);
  return view.getFloat64(0) - Math.abs(x);
}

const within = (got: number, want: bigint): boolean => {
  const off = fixed(got) - want;
  return (off < 0n ? -off : off) < fixed(ulpOf(got));
};

t.test('exp is within one unit in the last place', (t) => {
  const random = seeded(t, 11);
  const arguments_ = [0, 1, -1, 0.5, 1e-9, -1e-9, 0.34657, 0.34658, 1.0397, 1.0398, -35.95, -36.6, 20, 60];
  for (let i = 0; i < 400; i++) arguments_.push((random.next() - 0.5) * 2 ** random.integer(-8, 7));
  // Where mean kinetic temperatures are: -10,000 / T.
  for (let i = 0; i < 400; i++) arguments_.push(-10_000 / (273.15 + random.integer(-4_000, 6_000) / 100));
  for (const x of arguments_) if (!within(exp(x), exactExp(fixed(x)))) t.fail(`exp(${x}) = ${exp(x)}`);
  t.end();
});

t.test('ln is within one unit in the last place', (t) => {
  const random = seeded(t, 12);
  const arguments_ = [1, 2, 0.5, Math.E, 10, 1.4142, 1.4143, 0.7071, 1 + 2 ** -30, 1 - 2 ** -30];
  for (let i = 0; i < 400; i++) arguments_.push(random.next() * 2 ** random.integer(-50, 50));
  for (const x of arguments_.filter((each) => each > 0)) {
    // Newton's step from the answer: ln(x) = y + x * exp(-y) - 1, off by the square of what y is off by.
    const y = ln(x);
    const exact = fixed(y) + ((fixed(x) * exactExp(-fixed(y))) >> bits) - one;
    if (!within(y, exact) && y !== 0) t.fail(`ln(${x}) = ${y}`);
  }
  t.equal(ln(1), 0);
  t.end();
});

t.test('the ends of the range are those of ECMA-262', (t) => {
  for (const [x, want] of [
    [0, 1],
    [-0, 1],
    [Infinity, Infinity],
    [-Infinity, 0],
    [NaN, NaN],
    [710, Infinity],
    [-746, 0],
    [1, Math.E],
  ] as const) {
    t.ok(Object.is(exp(x), want), `exp(${x})`);
  }
  t.ok(exp(-745) > 0, 'a subnormal');
  t.ok(exp(709.78) < Infinity);
  for (const [x, want] of [
    [0, -Infinity],
    [-0, -Infinity],
    [-1, NaN],
    [NaN, NaN],
    [Infinity, Infinity],
    [1, 0],
  ] as const) {
    t.ok(Object.is(ln(x), want), `ln(${x})`);
  }
  t.ok(Math.abs(ln(5e-324) + 744.4400719213812) < 1e-12, 'a subnormal');
  t.end();
});

t.test('the sandbox has the same bits as this engine', async (t) => {
  const random = seeded(t, 13);
  const given = Array.from({ length: 4_000 }, () => (random.next() - 0.5) * 2 ** random.integer(-30, 10));
  const program = `const evaluate = ({ all }) => ({ all: all.map((x) => [exp(x), ln(Math.abs(x))].map(String)) });`;
  const limits = { ...cryptletLimits, outputBytes: 1_000_000 };
  const answer = await runProgram(await compileRuntime(), { program, input: JSON.stringify({ all: given }), limits });
  const want = JSON.stringify({ all: given.map((x) => [exp(x), ln(Math.abs(x))].map(String)) });
  t.ok('output' in answer.outcome && answer.outcome.output === want);
});
