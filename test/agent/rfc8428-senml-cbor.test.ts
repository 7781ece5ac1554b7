/** SenML in CBOR: RFC 8428's own example, the simulator's packs, what §6 forbids, and damaged packs. */
import t from 'tap';
import { bytesToHex, concatBytes, utf8ToBytes } from '@coldproof/wire';
import { decodeSenml, type SenmlRecord } from '@coldproof/agent/sensors/senml';
import { encodeSenmlCbor } from '@coldproof/firmware-sim/senml-cbor';
import { formatSenml, type SenmlReading } from '@coldproof/firmware-sim/senml';
import { seeded } from '../helpers/seed.ts';
import { skipWithoutVectors, vectorJson, vectorText } from '../helpers/vectors.ts';
import { voyageStartSec } from './fixture.ts';

const fromHex = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

function decode(bytes: Uint8Array): SenmlRecord[] | string {
  const decoded = decodeSenml(bytes, voyageStartSec);
  return decoded.ok ? decoded.value : decoded.reason;
}

t.test('RFC 8428 section 6: the example is the JSON example', { skip: skipWithoutVectors }, (t) => {
  // A dump as of hexdump -C: offset, bytes, and the same as text.
  const lines = vectorText('senml/ex3.gen.cbor.hex').split('\n');
  const bytes = fromHex(lines.map((line) => line.slice(5, 53)).join(''));
  t.equal(bytes.length, 0xc3);
  const asJson = utf8ToBytes(JSON.stringify(vectorJson('senml/ex3.gen.json')));
  const records = decode(bytes);
  t.equal(records.length, 7);
  t.same(records, decode(asJson));
  t.end();
});

t.test("the simulator's packs, in CBOR and in JSON, are the same records", (t) => {
  const random = seeded(t, 8428);
  for (let round = 0; round < 500; round++) {
    const readings: SenmlReading[] = [
      { name: 'cargo-probe-1', centiC: random.integer(-0x8000, 0x7fff) },
      { name: 'door', isSet: random.next() < 0.5 },
      { name: 'unit-mode', value: random.pick([0, 23, 24, 255, 256, 65_535, 65_536, 2 ** 32 - 1, -1, -300]) },
    ];
    const unixSec = voyageStartSec + random.integer(0, 1e6);
    const fromCbor = decode(encodeSenmlCbor('TRUCK-7', unixSec, readings));
    t.same(fromCbor, decode(utf8ToBytes(formatSenml('TRUCK-7', unixSec, readings))));
  }
  const example = encodeSenmlCbor('TRUCK-7', voyageStartSec + 60, [{ name: 'cargo-probe-1', centiC: 425 }]);
  const documented =
    '81 a5 21 68 545255434b2d372f 22 1a 6955b93c 00 6d 636172676f2d70726f62652d31 01 63 43656c 02 fa 40880000';
  t.equal(bytesToHex(example), documented.replaceAll(' ', ''));
  t.end();
});

t.test('section 6: numbers in every form', (t) => {
  const rows: readonly [what: string, hex: string, expected: number][] = [
    ['a half', 'f9 4440', 4.25],
    ['the smallest half', 'f9 0001', 2 ** -24],
    ['a negative half', 'f9 c4a8', -4.65625],
    ['a single', 'fa 40880000', 4.25],
    ['a double', 'fb 4011000000000000', 4.25],
    ['an integer', '18 2a', 42],
    ['an integer, not in the shortest form', '1b 000000000000002a', 42],
    ['a negative integer', '38 7e', -127],
    ['a decimal fraction, 425 * 10^-2', 'c4 82 21 19 01a9', 4.25],
    ['a negative one', 'c4 82 20 38 30', -4.9],
    ['not a number', 'f9 7e00', Number.NaN],
    ['infinite', 'f9 fc00', Number.NEGATIVE_INFINITY],
  ];
  for (const [what, hex, expected] of rows) {
    t.match(decode(fromHex(`81 a2 00 61 61 02 ${hex}`)), [{ name: 'a', value: expected }], what);
  }
  t.match(decode(fromHex('81 a2 00 61 61 08 43 010203')), [{ value: { base64url: 'AQID' } }], 'octets');
  t.match(decode(fromHex('81 a3 00 61 61 02 01 63 6e6577 81 a1 61 78 f6')), [{ value: 1 }], 'unknown fields');
  t.match(decode(fromHex('81 a3 00 61 61 02 01 18 63 01')), [{ value: 1 }], 'an unknown number for a label');
  t.end();
});

t.test('what must be refused', (t) => {
  const rows: readonly [what: string, hex: string, reason: string][] = [
    ['an empty pack', '80', 'senml-malformed'],
    ['records without end mark', '9f a2 00 61 61 02 01 ff', 'senml-malformed'],
    ['a record of indefinite length', '81 bf 00 61 61 02 01 ff', 'senml-malformed'],
    ['cut off', '81 a2 00 61 61 02', 'senml-malformed'],
    ['more behind it', '81 a2 00 61 61 02 01 00', 'senml-malformed'],
    ['a label twice', '81 a3 00 61 61 02 01 02 02', 'senml-malformed'],
    ['a known label as text', '81 a2 61 6e 61 61 02 01', 'senml-malformed'],
    ['a label that is a list', '81 a1 80 01', 'senml-malformed'],
    ['text as value', '81 a2 00 61 61 02 61 31', 'senml-malformed'],
    ['null as value', '81 a2 00 61 61 02 f6', 'senml-malformed'],
    ['a time that is no number', '81 a3 00 61 61 02 01 06 f9 7e00', 'senml-malformed'],
    ['a base value that is infinite', '81 a3 24 f9 7c00 00 61 61 02 01', 'senml-malformed'],
    ['name that is no UTF-8', '81 a2 00 61 ff 02 01', 'senml-malformed'],
    ['over 2^53', '81 a2 00 61 61 02 1b ffffffffffffffff', 'senml-malformed'],
    ['a count that is a lie', '9a ffffffff', 'senml-malformed'],
    ['a map count that is a lie', '81 ba ffffffff', 'senml-malformed'],
    ['a decimal fraction of three', '81 a2 00 61 61 02 c4 83 01 02 03', 'senml-malformed'],
    ['nested without end', '81'.repeat(500), 'senml-malformed'],
    ['tagged without end', `81 ${'c1'.repeat(500)}`, 'senml-malformed'],
    ['a must-understand field', '81 a3 00 61 61 02 01 65 6d7573745f 01', 'senml-unsupported'],
    ['a later version', '81 a3 20 0b 00 61 61 02 01', 'senml-unsupported'],
    ['5,000 records', `99 1388 ${'a2 00 61 61 02 01'.repeat(5_000)}`, 'senml-too-large'],
  ];
  for (const [what, hex, reason] of rows) t.equal(decode(fromHex(hex)), reason, what);
  t.end();
});

t.test('damaged packs end in a verdict, never in an exception', (t) => {
  const random = seeded(t, 60);
  const whole = encodeSenmlCbor('TRUCK-7', voyageStartSec, [
    { name: 'cargo-probe-1', centiC: 425 },
    { name: 'door', isSet: true },
  ]);
  const counts = { refused: 0, taken: 0 };
  const tryOne = (bytes: Uint8Array) => {
    counts[typeof decode(bytes) === 'string' ? 'refused' : 'taken'] += 1;
  };
  for (let size = 0; size < whole.length; size++) tryOne(whole.slice(0, size));
  t.same(counts, { refused: whole.length, taken: 0 }, 'no beginning of a pack is a pack');
  for (let round = 0; round < 20_000; round++) {
    const damaged = Uint8Array.from(whole);
    for (let i = random.integer(1, 4); i > 0; i--)
      damaged[random.integer(0, whole.length - 1)] = random.integer(0, 255);
    tryOne(random.next() < 0.2 ? concatBytes(Uint8Array.of(0x82), random.bytes(random.integer(0, 40))) : damaged);
  }
  t.ok(counts.refused > 5_000, JSON.stringify(counts));
  t.end();
});
