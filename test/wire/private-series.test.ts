/** Private series: their parties read them and nobody else, the root binds them, a device that lies is found out. */
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { expand } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import t from 'tap';
import {
  bytesEqual,
  bytesToHex,
  cargoProbe,
  channels,
  concatBytes,
  decodePrivate,
  deriveHpkeKey,
  encodeBatch,
  encodeCbor,
  encodeEnvelope,
  encodeSeries,
  leafHash,
  makeInclusionProof,
  merkleRoot,
  openAead,
  openEnvelope,
  openPrivate,
  openPrivateWith,
  partyOf,
  privateContext,
  sealBatch,
  sealHpke,
  sealPrivate,
  subtreesOf,
  unwrapContentKey,
  utf8ToBytes,
  verifyInclusion,
  type Batch,
  type Cbor,
  type PrivateSeries,
  type Series,
} from '@coldproof/wire';
import { seeded, type Random } from '../helpers/seed.ts';
import { regularSeries, VoyageDevice } from '../helpers/voyage-device.ts';
import { ciphertextOfTwoKeys } from './poly1305-two-keys.ts';

const startSec = 1_767_225_600;
const [buyer, carrier, stranger] = [1, 2, 3].map((fill) => deriveHpkeKey(new Uint8Array(32).fill(fill))) as [
  ReturnType<typeof deriveHpkeKey>,
  ReturnType<typeof deriveHpkeKey>,
  ReturnType<typeof deriveHpkeKey>,
];
const secret = new Uint8Array(32).fill(0x5e);
const position = [
  regularSeries(channels.latitude, startSec, [52_100_000, 52_100_400]),
  regularSeries(channels.longitude, startSec + 30, [4_300_000, 4_300_900]),
];
const temperature = regularSeries(cargoProbe(1), startSec, [487, 491, 495]);
const group = { channels: [channels.latitude, channels.longitude], parties: [buyer.publicKey, carrier.publicKey] };
const link = {
  device: new Uint8Array(32).fill(7),
  sequence: 4,
  previous: new Uint8Array(32),
  flags: 0,
  sealedAtSec: 0,
};
const sealed = sealBatch([temperature, ...position], link, { groups: [group], secret });
const { batch } = sealed;

function decoded(bytes: Uint8Array): PrivateSeries {
  const leaf = decodePrivate(bytes);
  if (!leaf.ok) throw new Error(leaf.detail);
  return leaf.value;
}

const leaf = decoded(sealed.series[1]!);

function encoded({ channels, commitment, wraps, sealed }: PrivateSeries): Uint8Array {
  const list = wraps.map(({ party, enc, wrapped }): Cbor => [party, enc, wrapped]);
  return encodeCbor([channels, commitment, list, sealed]);
}

function reasonOf(of: PrivateSeries, secretKey = buyer.secretKey, place: Batch = batch): string {
  const opened = openPrivate(of, place, secretKey);
  return opened.ok ? 'opened' : opened.reason;
}

const derive = (contentKey: Uint8Array, what: string) =>
  expand(sha256, contentKey, utf8ToBytes(`coldproof v1 private ${what}`), 32);

/** As sealPrivate, by a device that puts in what it likes. */
function forge(lies: {
  readonly place?: Pick<Batch, 'device' | 'sequence'>;
  readonly contentKey?: Uint8Array;
  /** For the buyer and the carrier. */
  readonly wrapped?: readonly [Uint8Array, Uint8Array];
  readonly content?: Uint8Array;
  readonly ciphertext?: Uint8Array;
}): PrivateSeries {
  const { place = batch, contentKey = new Uint8Array(32).fill(9), ciphertext } = lies;
  const { wrapped = [contentKey, contentKey] } = lies;
  const { content = encodeCbor(position.map((each) => encodeSeries(each, batch.firstSec))) } = lies;
  const of = group.channels;
  const info = privateContext(place, of);
  const wraps = [buyer, carrier]
    .map(({ publicKey }, i) => {
      const message = { info, aad: new Uint8Array(), plaintext: wrapped[i]! };
      const { enc, ciphertext } = sealHpke(publicKey, message, new Uint8Array(32).fill(40 + i));
      return { party: partyOf(publicKey), enc, wrapped: ciphertext };
    })
    .sort((a, b) => (bytesToHex(a.party) < bytesToHex(b.party) ? -1 : 1));
  const encrypted =
    ciphertext ?? chacha20poly1305(derive(contentKey, 'cipher key'), new Uint8Array(12), info).encrypt(content);
  return decoded(encoded({ channels: of, commitment: derive(contentKey, 'commitment'), wraps, sealed: encrypted }));
}

t.test('each party reads what the device has sealed; a stranger, and the oracle, read nothing', (t) => {
  for (const { secretKey } of [buyer, carrier]) {
    const opened = openPrivate(leaf, batch, secretKey);
    t.same(opened.ok && opened.value, position);
  }
  t.equal(reasonOf(leaf, stranger.secretKey), 'private-of-other-parties');
  const open = openEnvelope({ batch: sealed.encoded, signature: new Uint8Array(64), series: sealed.series });
  t.same(open.ok && open.value.series, [temperature]);
  t.same(open.ok && open.value.privateChannels, group.channels);
  const bytes = bytesToHex(
    encodeEnvelope({ batch: sealed.encoded, signature: new Uint8Array(64), series: sealed.series }),
  );
  for (const each of position) t.notOk(bytes.includes(bytesToHex(encodeSeries(each, batch.firstSec))));
  t.same([batch.firstSec, batch.lastSec], [startSec, startSec + 120], 'the times are those of all samples');
  t.end();
});

t.test('the root binds the leaf, and an inclusion path shows it alone', (t) => {
  const hashes = sealed.series.map((each) => leafHash(each));
  const path = makeInclusionProof(1, 2, subtreesOf(hashes));
  t.ok(verifyInclusion(hashes[1]!, 1, 2, path, batch.root));
  for (let bit = 0; bit < sealed.series[1]!.length * 8; bit += 5) {
    const flipped = Uint8Array.from(sealed.series[1]!);
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    const series = [sealed.series[0]!, flipped];
    const open = openEnvelope({ batch: sealed.encoded, signature: new Uint8Array(64), series });
    if (open.ok || open.reason !== 'root-mismatch') t.fail(`bit ${bit}`);
    if (verifyInclusion(leafHash(flipped), 1, 2, path, batch.root)) t.fail(`bit ${bit} is in the tree`);
  }
  t.end();
});

t.test('a device that signs a changed leaf: every byte of it is looked at by the oracle or by the party', (t) => {
  const bytes = sealed.series[1]!;
  const others = leaf.wraps.find(({ party }) => bytesEqual(party, partyOf(carrier.publicKey)))!;
  const ours = leaf.wraps.find(({ party }) => bytesEqual(party, partyOf(buyer.publicKey)))!;
  const reasons = new Map<string, number>();
  for (let at = 0; at < bytes.length; at++) {
    const flipped = Uint8Array.from(bytes);
    flipped[at]! ^= 1 << ((at * 5) & 7);
    const form = decodePrivate(flipped);
    const reason = form.ok ? reasonOf(form.value) : form.reason;
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    if (reason !== 'opened') continue;
    // The one thing that the buyer cannot judge is what the carrier was given.
    const changed = form.ok ? form.value.wraps.filter((each) => !bytesEqual(each.party, ours.party)) : [];
    const isOthers = changed.some(({ enc, wrapped, party }) => {
      return ![
        [enc, others.enc],
        [wrapped, others.wrapped],
        [party, others.party],
      ].every(([a, b]) => bytesEqual(a!, b!));
    });
    if (!isOthers) t.fail(`byte ${at} says the same changed`);
  }
  t.comment(JSON.stringify(Object.fromEntries(reasons)));
  const seen = ['private-malformed', 'private-of-other-parties', 'private-wrap-invalid', 'private-key-uncommitted'];
  for (const reason of [...seen, 'private-content-invalid']) t.ok((reasons.get(reason) ?? 0) > 0, reason);
  t.end();
});

t.test('nothing opens in another place: batch, device, channels', (t) => {
  const elsewhere = { ...batch, sequence: batch.sequence + 1 };
  t.equal(reasonOf(leaf, buyer.secretKey, elsewhere), 'private-wrap-invalid', 'the whole leaf in the next batch');
  const thief = { ...batch, device: new Uint8Array(32).fill(8) };
  t.equal(reasonOf(leaf, buyer.secretKey, thief), 'private-wrap-invalid', 'the whole leaf signed by another device');
  const renamed = { ...leaf, channels: [channels.latitude, channels.odometer] };
  t.equal(reasonOf(renamed), 'private-wrap-invalid', 'as other channels');
  const next = decoded(
    sealBatch([temperature, ...position], { ...link, sequence: 5 }, { groups: [group], secret }).series[1]!,
  );
  t.equal(reasonOf({ ...leaf, wraps: next.wraps }), 'private-wrap-invalid', 'wraps of the next batch');
  // With the content key in hand, a party and another device wrap it anew: the content is bound, too.
  const key = unwrapContentKey(leaf, batch, carrier.secretKey);
  if (!key.ok) throw new Error(key.detail);
  const moved = { ...forge({ place: thief, contentKey: key.value }), sealed: leaf.sealed };
  t.equal(reasonOf(moved, buyer.secretKey, thief), 'private-content-invalid');
  t.end();
});

t.test('two content keys, one ciphertext, two plaintexts: the cipher takes it, the commitment does not', (t) => {
  const random = seeded(t, 2021);
  const keys = [random.bytes(32), random.bytes(32)] as const;
  const aad = privateContext(batch, group.channels);
  const once = new Uint8Array(12);
  const cipherKeys = [derive(keys[0], 'cipher key'), derive(keys[1], 'cipher key')] as const;
  const ciphertext = ciphertextOfTwoKeys(cipherKeys, { nonce: once, aad, size: 64 }, random);
  const [one, two] = cipherKeys.map((key) => openAead(key, once, aad, ciphertext));
  t.ok(one !== undefined && two !== undefined, 'ChaCha20-Poly1305 opens it with both');
  t.not(bytesToHex(one!), bytesToHex(two!), 'to two plaintexts');
  const forged = forge({ contentKey: keys[0], wrapped: [...keys], ciphertext });
  t.equal(reasonOf(forged, buyer.secretKey), 'private-content-malformed', 'it holds no series here, but it was opened');
  t.equal(reasonOf(forged, carrier.secretKey), 'private-key-uncommitted');
  t.end();
});

t.test('what is inside is the canonical series of the channels that are named, within the batch', (t) => {
  const [latitude, longitude] = position.map((each) => encodeSeries(each, batch.firstSec)) as [Uint8Array, Uint8Array];
  const late = encodeSeries(regularSeries(channels.longitude, startSec + 61, [1, 2]), batch.firstSec);
  const edge = encodeSeries(regularSeries(channels.longitude, startSec + 60, [1, 2]), batch.firstSec);
  const still = Uint8Array.from(longitude);
  still.set([0, 0], still.length - 6);
  const cases: [string, Uint8Array, string][] = [
    ['as it should be', encodeCbor([latitude, longitude]), 'opened'],
    ['up to the last second', encodeCbor([latitude, edge]), 'opened'],
    ['a sample after last', encodeCbor([latitude, late]), 'private-times-mismatch'],
    ['two samples at one time', encodeCbor([latitude, still]), 'private-content-malformed'],
    ['in another order', encodeCbor([longitude, latitude]), 'private-content-malformed'],
    ['one twice', encodeCbor([latitude, latitude]), 'private-content-malformed'],
    ['one too few', encodeCbor([latitude]), 'private-content-malformed'],
    ['one too many', encodeCbor([latitude, longitude, latitude]), 'private-content-malformed'],
    ['no byte strings', encodeCbor([1, 2]), 'private-content-malformed'],
    ['no array', encodeCbor(latitude), 'private-content-malformed'],
    ['a byte more', concatBytes(encodeCbor([latitude, longitude]), Uint8Array.of(0)), 'private-content-malformed'],
    [
      'not the shortest form',
      concatBytes(Uint8Array.of(0x98, 0x02), encodeCbor([latitude, longitude]).subarray(1)),
      'private-content-malformed',
    ],
    ['nothing', new Uint8Array(2), 'private-content-malformed'],
  ];
  for (const [name, content, reason] of cases) t.equal(reasonOf(forge({ content })), reason, name);
  t.end();
});

t.test('a leaf has one form', (t) => {
  const form = (change: Partial<PrivateSeries>) => {
    const verdict = decodePrivate(encoded({ ...leaf, ...change }));
    return verdict.ok ? 'accepted' : verdict.reason;
  };
  const [first, second] = leaf.wraps as [PrivateSeries['wraps'][0], PrivateSeries['wraps'][0]];
  const many = Array.from({ length: 9 }, (_, i) => ({ ...first, party: new Uint8Array(8).fill(i) }));
  t.equal(form({}), 'accepted');
  t.equal(form({ wraps: many.slice(0, 8) }), 'accepted');
  t.equal(form({ channels: Array.from({ length: 16 }, (_, i) => i) }), 'accepted');
  const bad: [string, Partial<PrivateSeries>][] = [
    ['no channel', { channels: [] }],
    ['a channel twice', { channels: [128, 128] }],
    ['17 channels', { channels: Array.from({ length: 17 }, (_, i) => i) }],
    ['a channel over 255', { channels: [256] }],
    ['the statement about dropped readings', { channels: [channels.readingsDropped] }],
    ['a commitment of 31 bytes', { commitment: new Uint8Array(31) }],
    ['no wrap', { wraps: [] }],
    ['nine wraps', { wraps: many }],
    ['wraps out of order', { wraps: [second, first] }],
    ['a party twice', { wraps: [first, first] }],
    ['a party of 7 bytes', { wraps: [{ ...first, party: first.party.subarray(1) }] }],
    ['enc of 31 bytes', { wraps: [{ ...first, enc: first.enc.subarray(1) }] }],
    ['a wrapped key of 47 bytes', { wraps: [{ ...first, wrapped: first.wrapped.subarray(1) }] }],
    ['no room for a tag', { sealed: new Uint8Array(17) }],
  ];
  for (const [name, change] of bad) t.equal(form(change), 'private-malformed', name);
  for (const bytes of [Uint8Array.of(0x84), encodeCbor([1, 2, 3, 4]), concatBytes(encoded(leaf), Uint8Array.of(0))]) {
    t.match(decodePrivate(bytes), { ok: false, reason: 'private-malformed' });
  }
  t.end();
});

t.test('the oracle refuses what it can see: a channel twice, readable samples outside the batch', (t) => {
  const device = new VoyageDevice(4);
  const sealedWith = (leaves: readonly Uint8Array[], change: Partial<Batch> = {}) => {
    const root = merkleRoot(leaves.map((each) => leafHash(each)));
    const lied = { ...batch, device: device.device, seriesCount: leaves.length, root, ...change };
    const open = openEnvelope({ batch: encodeBatch(lied), signature: new Uint8Array(64), series: leaves });
    return open.ok ? 'accepted' : open.reason;
  };
  const plain = encodeSeries(temperature, startSec);
  const place = { device: device.device, sequence: batch.sequence, firstSec: startSec };
  const hidden = sealPrivate(position, place, group.parties, secret);
  const other = sealPrivate([position[0]!], place, [buyer.publicKey], secret);
  t.equal(sealedWith([plain, hidden]), 'accepted');
  t.equal(sealedWith([hidden]), 'accepted', 'nothing but private series');
  t.equal(sealedWith([plain, hidden, other]), 'channel-repeated', 'private twice');
  t.equal(sealedWith([encodeSeries(position[0]!, startSec), hidden]), 'channel-repeated', 'private and readable');
  t.equal(sealedWith([plain, hidden], { lastSec: startSec + 119 }), 'times-mismatch');
  t.equal(sealedWith([plain, hidden], { lastSec: startSec + 600 }), 'accepted', 'as far as it can tell');
  t.equal(sealedWith([plain], { lastSec: startSec + 600 }), 'times-mismatch', 'where all is readable, it can');
  t.equal(sealedWith([plain, hidden.subarray(0, -1)]), 'private-malformed');
  t.end();
});

t.test('who is handed the content key of one leaf reads that leaf, and checks it', (t) => {
  const key = unwrapContentKey(leaf, batch, carrier.secretKey);
  if (!key.ok) throw new Error(key.detail);
  const opened = openPrivateWith(leaf, batch, key.value);
  t.same(opened.ok && opened.value, position);
  for (const wrong of [new Uint8Array(32), key.value.subarray(1)]) {
    t.match(openPrivateWith(leaf, batch, wrong), { reason: 'private-key-uncommitted' });
  }
  t.end();
});

t.test('the same seal to the same bytes, anything else to other keys', (t) => {
  const again = (change: { series?: Series[]; secret?: Uint8Array; sequence?: number; parties?: Uint8Array[] }) => {
    const { series = position, sequence = 4, parties = group.parties } = change;
    const place = { device: link.device, sequence, firstSec: startSec };
    return decoded(sealPrivate(series, place, parties, change.secret ?? secret));
  };
  t.same(encoded(again({})), sealed.series[1]);
  const others = [
    again({ series: [position[0]!, regularSeries(channels.longitude, startSec, [1])] }),
    again({ secret: new Uint8Array(32).fill(1) }),
    again({ sequence: 5 }),
    again({ parties: [buyer.publicKey] }),
  ];
  const seen = [leaf, ...others].flatMap(({ commitment, wraps }) => [commitment, ...wraps.map(({ enc }) => enc)]);
  t.equal(new Set(seen.map(bytesToHex)).size, seen.length, 'no content key and no ephemeral key comes twice');
  t.end();
});

t.test('seeded batches with some channels private, to some parties, come back whole', (t) => {
  const random = seeded(t, 5869);
  for (let round = 0; round < 25; round++) {
    const all = randomSeries(random);
    const parties = [buyer, carrier, stranger].slice(0, random.integer(1, 3));
    const chosen = all.filter(() => random.integer(0, 1) === 1).map(({ channel }) => channel);
    const half = random.integer(0, chosen.length);
    const groups = [chosen.slice(0, half), chosen.slice(half)]
      .filter((each) => each.length > 0)
      .map((each) => ({ channels: each, parties: parties.map(({ publicKey }) => publicKey) }));
    const made = sealBatch(all, { ...link, sequence: round }, { groups, secret: random.bytes(32) });
    const open = openEnvelope({ batch: made.encoded, signature: new Uint8Array(64), series: made.series });
    if (!open.ok) throw new Error(open.detail);
    const inside = made.series.slice(open.value.series.length).flatMap((each) => {
      const read = openPrivate(decoded(each), made.batch, parties.at(-1)!.secretKey);
      if (!read.ok) throw new Error(read.detail);
      return read.value;
    });
    const byChannel = (a: Series, b: Series) => a.channel - b.channel;
    t.same([...open.value.series, ...inside].sort(byChannel), all.toSorted(byChannel));
    t.same([...open.value.privateChannels].sort(), chosen.sort());
  }
  t.end();
});

function randomSeries(random: Random): Series[] {
  const numbers = new Set(Array.from({ length: random.integer(1, 8) }, () => random.integer(0, 130)));
  return [...numbers].map((channel) => ({
    channel,
    marks: random.integer(0, 15),
    samples: Array.from({ length: random.integer(1, 20) }, (_, i) => {
      return { timeSec: startSec + 60 * i, value: random.integer(-0x8000, 0x7fff) };
    }),
  }));
}
