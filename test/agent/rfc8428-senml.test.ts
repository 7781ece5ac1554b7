/** SenML packs of RFC 8428's own examples, and what the RFC forbids. */
import t from 'tap';
import { decodeSenml, senmlBytesMax, type SenmlRecord } from '@coldproof/agent/sensors/senml';
import { seeded } from '../helpers/seed.ts';
import { skipWithoutVectors, vectorJson, vectorText } from '../helpers/vectors.ts';

type Resolved = { n: string; u?: string; t: number; v?: number; vs?: string; vb?: boolean };

const bytesOf = (text: string) => new TextEncoder().encode(text);

function asVector({ name, unit, timeSec, value }: SenmlRecord): Resolved {
  const shown = {
    n: name,
    t: timeSec,
    ...(unit === undefined ? {} : { u: unit }),
    ...(typeof value === 'number' ? { v: value } : {}),
    ...(typeof value === 'string' ? { vs: value } : {}),
    ...(typeof value === 'boolean' ? { vb: value } : {}),
  };
  return shown;
}

t.test('RFC 8428 examples: packs and their resolved form', { skip: skipWithoutVectors }, (t) => {
  let count = 0;
  for (let n = 1; n <= 12; n++) {
    const resolved = vectorJson(`senml/ex${n}.gen.resolved.json`) as (Resolved & { l?: string })[];
    // Fields that RFC 8428 does not have are left alone (section 4.4).
    for (const record of resolved) delete record.l;
    const decoded = decodeSenml(bytesOf(vectorText(`senml/ex${n}.gen.json`)), resolved[0]!.t);
    if (!decoded.ok) {
      t.fail(`ex${n}: ${decoded.detail}`);
      continue;
    }
    // The resolver that made the vectors knows no data values; ex7 has one. It cannot say what time "now" was either.
    const shown = decoded.value.filter(({ value }) => typeof value !== 'object').map(asVector);
    t.same(shown, resolved, `ex${n}`);
    count += 1;
  }
  // ex13 has no resolved form; these are worked out by hand: a second record of the same name, a tenth later.
  const last = decodeSenml(bytesOf(vectorText('senml/ex13.gen.json')), 0);
  t.same(last.ok && last.value.map(asVector), [
    { n: '2001:db8::3', u: '/', t: 1320078429, v: 0.5 },
    { n: '2001:db8::4', u: '/', t: 1320078429, v: 0.5 },
    { n: '2001:db8::3', u: '/', t: 1320078429.1, v: 0 },
    { n: '2001:db8::4', u: '/', t: 1320078429.1, v: 0 },
  ]);
  t.equal(count + 1, 13);
  t.end();
});

t.test('RFC 8428 section 4: base fields, sums and times', (t) => {
  const decode = (pack: unknown, nowSec = 1_767_225_600) => {
    const decoded = decodeSenml(bytesOf(JSON.stringify(pack)), nowSec);
    return decoded.ok ? decoded.value : decoded.reason;
  };
  t.match(decode([{ bn: 'a/', bv: 20, n: 'b', v: 1.5 }]), [{ name: 'a/b', value: 21.5 }], 'base value');
  t.match(decode([{ bn: 'a', bs: 10, s: 2 }]), [{ value: undefined, sum: 12 }], 'a sum needs no value');
  t.match(decode([{ bn: 'a', bs: 10, v: 2 }]), [{ value: 2, sum: 10 }], 'base sum alone');
  t.match(decode([{ n: 'a', v: 1, t: -60 }]), [{ timeSec: 1_767_225_540 }], 'negative: before now');
  t.match(decode([{ n: 'a', v: 1, t: 2 ** 28 - 1 }]), [{ timeSec: 1_767_225_600 + 2 ** 28 - 1 }], 'relative below');
  t.match(decode([{ n: 'a', v: 1, t: 2 ** 28 }]), [{ timeSec: 2 ** 28 }], 'absolute from 2^28 on');
  t.match(
    decode([
      { bt: 1_767_225_000, n: 'a', v: 1 },
      { t: 5, n: 'a', v: 2 },
    ]),
    [{ timeSec: 1_767_225_000 }, { timeSec: 1_767_225_005 }],
  );
  t.match(decode([{ bn: 'x', v: 1, unknown: [1, { deep: true }] }]), [{ name: 'x' }], 'unknown fields are left alone');
  t.end();
});

t.test('RFC 8428: what must be refused', (t) => {
  const rows: readonly [what: string, text: string, reason: string][] = [
    ['nothing', '', 'senml-malformed'],
    ['no JSON', '[{"n":"a","v":1}', 'senml-malformed'],
    ['NaN', '[{"n":"a","v":NaN}]', 'senml-malformed'],
    ['infinite', '[{"n":"a","v":1e999}]', 'senml-malformed'],
    ['null value', '[{"n":"a","v":null}]', 'senml-malformed'],
    ['text as value', '[{"n":"a","v":"4.25"}]', 'senml-malformed'],
    ['number as name', '[{"n":7,"v":1}]', 'senml-malformed'],
    ['an object', '{"n":"a","v":1}', 'senml-malformed'],
    ['an empty pack', '[]', 'senml-malformed'],
    ['a record that is none', '[1]', 'senml-malformed'],
    ['null record', '[null]', 'senml-malformed'],
    ['no name', '[{"v":1}]', 'senml-malformed'],
    ['name begins with -', '[{"n":"-a","v":1}]', 'senml-malformed'],
    ['name with a space', '[{"n":"a b","v":1}]', 'senml-malformed'],
    ['name with #', '[{"n":"a/#","v":1}]', 'senml-malformed'],
    ['two values', '[{"n":"a","v":1,"vb":true}]', 'senml-malformed'],
    ['no value', '[{"n":"a","u":"Cel"}]', 'senml-malformed'],
    ['version 11', '[{"bver":11,"n":"a","v":1}]', 'senml-unsupported'],
    ['version 0', '[{"bver":0,"n":"a","v":1}]', 'senml-malformed'],
    ['two versions', '[{"n":"a","v":1},{"bver":5,"n":"a","v":1}]', 'senml-malformed'],
    ['field that must be known', '[{"n":"a","v":1,"cal_":1}]', 'senml-unsupported'],
    ['too many records', `[${Array(4_097).fill('{"n":"a","v":1}').join(',')}]`, 'senml-too-large'],
    ['too large', `[{"n":"a","v":1}${' '.repeat(senmlBytesMax)}]`, 'senml-too-large'],
    ['a bomb of brackets', '['.repeat(200_000), 'senml-malformed'],
  ];
  for (const [what, text, reason] of rows) {
    const decoded = decodeSenml(bytesOf(text), 0);
    t.match(decoded, { ok: false, reason }, what);
  }
  t.match(decodeSenml(Uint8Array.of(0x5b, 0xff, 0x5d), 0), { ok: false, reason: 'senml-malformed' }, 'not UTF-8');
  t.equal(({} as { polluted?: unknown }).polluted, undefined);
  t.end();
});

t.test('no bytes make it throw', (t) => {
  const random = seeded(t, 8428);
  const seedText = '[{"bn":"TRUCK-7/","bt":1767225660,"n":"cargo-probe-1","u":"Cel","v":4.25},{"n":"door","vb":false}]';
  const original = bytesOf(seedText);
  for (let round = 0; round < 20_000; round++) {
    const bytes = Uint8Array.from(original);
    for (let i = random.integer(1, 4); i > 0; i--) bytes[random.integer(0, bytes.length - 1)] = random.integer(0, 255);
    const decoded = decodeSenml(bytes.subarray(0, random.integer(0, bytes.length)), 1_767_225_600);
    if (!decoded.ok) continue;
    for (const { name, timeSec } of decoded.value) {
      if (name === '' || !Number.isFinite(timeSec)) t.fail(`accepted ${name} at ${timeSec}`);
    }
  }
  t.pass();
  t.end();
});
