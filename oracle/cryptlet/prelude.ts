/**
 * What runs in the sandbox before a program does: takes away what depends on more than the input, gives `exp` and `ln`,
 * and makes the function that the host calls. Everything that it needs later it keeps for itself, so that a program may
 * spoil its own built-ins as it likes.
 *
 * Why exp and ln are here: ECMAScript (ECMA-262 §21.3.2) leaves the last bits of Math.exp and Math.log to the
 * implementation. These are fdlibm's e_exp.c and e_log.c in additions, multiplications and divisions of doubles, which
 * IEEE 754 fixes to the last bit, off by less than one unit in the last place.
 */
export const prelude = String.raw`(() => {
'use strict';
const { parse, stringify } = JSON;
const { defineProperty, getPrototypeOf, freeze, keys } = Object;
const { isArray } = Array;
const { trunc } = Math;
const InternalFault = InternalError;
const text = String;
const { apply } = Reflect;
const { slice } = String.prototype;
const bits = new DataView(new ArrayBuffer(8));

const high = (x) => (bits.setFloat64(0, x), bits.getInt32(0));
const low = (x) => (bits.setFloat64(0, x), bits.getUint32(4));
const withHigh = (x, word) => (bits.setFloat64(0, x), bits.setInt32(0, word), bits.getFloat64(0));
const ln2High = 6.93147180369123816490e-01, ln2Low = 1.90821492927058770002e-10;

const exp = (argument) => {
  let x = +argument;
  const sign = high(x) >>> 31;
  const magnitude = high(x) & 0x7fffffff;
  if (x !== x) return x;
  if (x > 7.09782712893383973096e+02) return Infinity;
  if (x < -7.45133219101941108420e+02) return 0;
  let k = 0, upper = 0, lower = 0;
  if (magnitude > 0x3fd62e42) {
    if (magnitude < 0x3ff0a2b2) {
      if (x === 1) return 2.718281828459045235360;
      k = 1 - sign - sign;
      upper = sign === 0 ? x - ln2High : x + ln2High;
      lower = sign === 0 ? ln2Low : -ln2Low;
    } else {
      k = trunc(1.44269504088896338700 * x + (sign === 0 ? 0.5 : -0.5));
      upper = x - k * ln2High;
      lower = k * ln2Low;
    }
    x = upper - lower;
  } else if (magnitude < 0x3e300000) return 1 + x;
  const t = x * x;
  const c = x - t * (1.66666666666666019037e-01 + t * (-2.77777777770155933842e-03 + t * (6.61375632143793436117e-05 +
    t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08))));
  if (k === 0) return 1 - ((x * c) / (c - 2) - x);
  const y = 1 - ((lower - (x * c) / (2 - c)) - upper);
  if (k === 1024) return y * 2 * 8.98846567431158e307;
  const scale = withHigh(0, k >= -1021 ? 0x3ff00000 + (k << 20) : 0x3ff00000 + ((k + 1000) << 20));
  return k >= -1021 ? y * scale : y * scale * 9.33263618503218878990e-302;
};

const ln = (argument) => {
  let x = +argument, k = 0;
  let word = high(x);
  if (word < 0x00100000) {
    if (x === 0) return -Infinity;
    if (word < 0) return NaN;
    k = -54;
    x *= 1.80143985094819840000e+16;
    word = high(x);
  }
  if (word >= 0x7ff00000) return x + x;
  k += (word >> 20) - 1023;
  word &= 0x000fffff;
  const carry = (word + 0x95f64) & 0x100000;
  x = withHigh(x, word | (carry ^ 0x3ff00000));
  k += carry >> 20;
  const f = x - 1;
  if ((0x000fffff & (2 + word)) < 3) {
    if (f === 0) return k === 0 ? 0 : k * ln2High + k * ln2Low;
    const R = f * f * (0.5 - 0.33333333333333333 * f);
    return k === 0 ? f - R : k * ln2High - ((R - k * ln2Low) - f);
  }
  const s = f / (2 + f), z = s * s, w = z * z;
  const R = z * (6.666666666666735130e-01 + w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 +
    w * 1.479819860511658591e-01))) +
    w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
  if (((word - 0x6147a) | (0x6b851 - word)) > 0) {
    const half = 0.5 * f * f;
    if (k === 0) return f - (half - s * (half + R));
    return k * ln2High - ((half - (s * (half + R) + k * ln2Low)) - f);
  }
  return k === 0 ? f - s * (f - R) : k * ln2High - ((s * (f - R) - k * ln2Low) - f);
};

let touched = '';
const forbid = (holder, name, path, kind) => {
  const touch = () => {
    if (touched === '') touched = kind + ' ' + path;
    throw new TypeError(path + ' is not for cryptlets');
  };
  defineProperty(holder, name, { get: touch, set: touch, configurable: false, enumerable: false });
};

const functions = [function () {}, function* () {}, async function () {}, async function* () {}];
for (const each of functions) forbid(getPrototypeOf(each), 'constructor', 'Function', 'forbidden-global');
for (const name of ['Date', 'performance', 'setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask']) {
  forbid(globalThis, name, name, 'clock-read');
}
const arrays = ['Int8', 'Uint8', 'Uint8Clamped', 'Int16', 'Uint16', 'Int32', 'Uint32', 'BigInt64', 'BigUint64',
  'Float16',
  'Float32', 'Float64'];
for (const name of [...arrays.map((each) => each + 'Array'), 'ArrayBuffer', 'SharedArrayBuffer', 'DataView', 'Atomics',
  'eval', 'Function', 'Promise', 'Iterator', 'RegExp', 'BigInt', 'WeakRef', 'FinalizationRegistry', 'Intl', 'Temporal',
  'WebAssembly', 'Worker', 'console', 'crypto', 'fetch', 'process', 'require', 'module', 'Buffer', 'XMLHttpRequest',
  'std',
  'os', 'print', 'navigator', 'location', 'escape', 'unescape', 'gc', 'InternalError']) {
  forbid(globalThis, name, name, 'forbidden-global');
}
// What is left of Math is exact: IEEE 754 says each bit of it.
for (const name of ['random', 'exp', 'expm1', 'log', 'log10', 'log1p', 'log2', 'pow', 'cbrt', 'hypot', 'sin', 'cos',
  'tan',
  'asin', 'acos', 'atan', 'atan2', 'sinh', 'cosh', 'tanh', 'asinh', 'acosh', 'atanh', 'f16round', 'sumPrecise']) {
  forbid(Math, name, 'Math.' + name, 'forbidden-global');
}
for (const holder of [String, Number, Array, Object].map((each) => each.prototype)) {
  for (const name of ['localeCompare', 'toLocaleString', 'toLocaleLowerCase', 'toLocaleUpperCase', 'normalize']) {
    if (name in holder) forbid(holder, name, name, 'forbidden-global');
  }
}
defineProperty(globalThis, 'exp', { value: exp });
defineProperty(globalThis, 'ln', { value: ln });

const freezeAll = (value) => {
  if (typeof value !== 'object' || value === null) return value;
  for (const key of keys(value)) freezeAll(value[key]);
  return freeze(value);
};

const said = (error) => {
  if (error instanceof InternalFault) {
    const { message } = error;
    if (message === 'out of memory' || message === 'string too long') return 'memory-exceeded ' + message;
    if (message === 'stack overflow') return 'stack-exceeded calls are nested too deep';
  }
  // What QuickJS throws when there is no room for the error either.
  if (error === null) return 'memory-exceeded null was thrown';
  try {
    return 'threw ' + apply(slice, text(error), [0, 256]);
  } catch {
    return 'threw something that has no text';
  }
};

const run = (evaluate, input, outputMax) => {
  let outcome = '';
  try {
    const output = evaluate(freezeAll(parse(input)));
    if (output === undefined) outcome = 'output undefined';
    else if (typeof output !== 'object' || output === null || isArray(output)) {
      outcome = 'output-malformed not an object';
    }
    else outcome = 'output ' + stringify(output);
    if (outcome.length > outputMax) outcome = 'output-too-large ' + outcome.length + ' of ' + outputMax + ' characters';
  } catch (error) {
    outcome = said(error);
  }
  return touched === '' ? outcome : touched;
};
return { run, said: (error) => (touched === '' ? said(error) : touched) };
})()`;
