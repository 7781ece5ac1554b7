import t from 'tap';
import { bytesToHex, decodeCbor, emptyMap, encodeCbor, hexToBytes } from '@coldproof/wire';
import { seeded, type Random } from '../helpers/seed.ts';
import { skipWithoutVectors, vectorJson } from '../helpers/vectors.ts';

type Appendix = { hex: string; roundtrip: boolean; decoded?: unknown; diagnostic?: string };

t.test('not well-formed: all 568 refused', { skip: skipWithoutVectors }, (t) => {
  const cases = vectorJson('cbor/fail.json') as { hex: string }[];
  for (const { hex } of cases) if (decodeCbor(hexToBytes(hex)).ok) t.fail(`${hex} was accepted`);
  t.equal(cases.length, 568);
  t.end();
});

t.test(
  'RFC 7049 Appendix A: what is in our profile round-trips, the rest is refused',
  { skip: skipWithoutVectors },
  (t) => {
    const cases = vectorJson('cbor/appendix_a.json') as Appendix[];
    const refused: string[] = [];
    for (const { hex, decoded, diagnostic } of cases) {
      const item = decodeCbor(hexToBytes(hex));
      if (!item.ok) {
        refused.push(hex);
        continue;
      }
      t.equal(bytesToHex(encodeCbor(item.value)), hex, `${hex} is encoded as it was`);
      const isTagged = typeof item.value === 'object' && 'tag' in item.value;
      if (!isTagged && typeof decoded !== 'object' && decoded !== undefined)
        t.equal(item.value, decoded, diagnostic ?? hex);
    }
    t.equal(cases.length, 82);
    // Floats, simple values, maps, indefinite lengths, integers past 2^53: none has a place in a signed message.
    t.equal(refused.length, 47);
    t.end();
  },
);

t.test('longer forms, trailing bytes, depth and false lengths', (t) => {
  const hostile = [
    '1817',
    '190017',
    '1a00000017',
    '1b0000000000000017',
    '5803010203',
    '980101',
    'd81200',
    '0000',
    '8180',
    '',
  ];
  const wellFormed = new Set(['8180']);
  for (const hex of hostile) t.equal(decodeCbor(hexToBytes(hex)).ok, wellFormed.has(hex), hex);
  t.notOk(decodeCbor(hexToBytes('81'.repeat(100_000))).ok, 'a hundred thousand arrays');
  t.notOk(decodeCbor(hexToBytes('5b7fffffffffffffff')).ok, 'a byte string of 2^63 - 1');
  t.notOk(decodeCbor(hexToBytes('9b001fffffffffffff')).ok, 'an array of 2^53 - 1');
  t.end();
});

t.test('random items: encode, decode, encode gives the same bytes, and a flipped bit never throws', (t) => {
  const random = seeded(t, 8949);
  for (let i = 0; i < 5_000; i++) {
    const bytes = encodeCbor(randomItem(random, 0));
    const decoded = decodeCbor(bytes);
    if (!decoded.ok) {
      t.fail(`${bytesToHex(bytes)}: ${decoded.detail}`);
      continue;
    }
    if (bytesToHex(encodeCbor(decoded.value)) !== bytesToHex(bytes)) t.fail(bytesToHex(bytes));
    const flipped = Uint8Array.from(bytes);
    flipped[random.integer(0, bytes.length - 1)]! ^= 1 << random.integer(0, 7);
    const again = decodeCbor(flipped);
    if (again.ok && bytesToHex(encodeCbor(again.value)) !== bytesToHex(flipped))
      t.fail(`${bytesToHex(flipped)} accepted`);
  }
  t.end();
});

function randomItem(random: Random, depth: number): Parameters<typeof encodeCbor>[0] {
  const kind = random.integer(0, depth < 3 ? 6 : 3);
  if (kind === 0) return Math.floor(2 ** (random.next() * 53)) - 1;
  if (kind === 1) return -1 - Math.floor(2 ** (random.next() * 52));
  if (kind === 2) return random.bytes(random.integer(0, 300));
  if (kind === 3) return 'é€😀a'.repeat(random.integer(0, 9));
  if (kind === 4) return emptyMap;
  if (kind === 5) return { tag: random.integer(0, 70_000), item: randomItem(random, depth + 1) };
  return Array.from({ length: random.integer(0, 30) }, () => randomItem(random, depth + 1));
}
