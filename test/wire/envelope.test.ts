import t from 'tap';
import {
  channels,
  cargoProbe,
  concatBytes,
  decodeEnvelope,
  encodeBatch,
  encodeEnvelope,
  envelopeBytesMax,
  faultValue,
  flags,
  leafHash,
  merkleRoot,
  openEnvelope,
  verifyEnvelope,
  type Envelope,
  type Series,
} from '@coldproof/wire';
import { p256 } from '@noble/curves/nist.js';
import { seeded, type Random } from '../helpers/seed.ts';
import { regularSeries, VoyageDevice } from '../helpers/voyage-device.ts';

const startSec = 1_767_225_600;
const device = new VoyageDevice(1);

/** Decode, open, verify: what an oracle does with what came in. The reason, or "accepted". */
function verdictOf(bytes: Uint8Array, publicKey = device.publicKey): string {
  const decoded = decodeEnvelope(bytes);
  if (!decoded.ok) return decoded.reason;
  const opened = openEnvelope(decoded.value);
  if (!opened.ok) return opened.reason;
  const verified = verifyEnvelope(decoded.value, publicKey);
  return verified.ok ? 'accepted' : verified.reason;
}

t.test('random batches: sealed, encoded, decoded, opened, the same readings', (t) => {
  const random = seeded(t, 52);
  for (let i = 0; i < 100; i++) {
    const series = randomSeries(random);
    const envelope = device.seal(series, random.pick([0, flags.sensorSigned, flags.clockUnsynchronised]), startSec);
    const bytes = encodeEnvelope(envelope);
    t.equal(verdictOf(bytes), 'accepted');
    const decoded = decodeEnvelope(bytes);
    const opened = decoded.ok ? openEnvelope(decoded.value) : decoded;
    t.same(opened.ok && opened.value.series, series);
    t.same(decoded.ok && encodeEnvelope(decoded.value), bytes);
  }
  t.end();
});

t.test('every single flipped bit of an envelope is refused', (t) => {
  const bytes = device.sealEncoded([
    regularSeries(channels.supplyAir, startSec, [310, 305]),
    regularSeries(cargoProbe(1), startSec, [487, faultValue(16)]),
    regularSeries(channels.latitude, startSec, [52_100_000, -4_300_000]),
  ]);
  const reasons = new Map<string, number>();
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = Uint8Array.from(bytes);
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    const reason = verdictOf(flipped);
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  t.comment(JSON.stringify(Object.fromEntries(reasons)));
  t.notOk(reasons.has('accepted'));
  t.ok(
    ['envelope-malformed', 'batch-malformed', 'root-mismatch', 'signature-invalid'].every((each) => reasons.has(each)),
  );
  t.end();
});

t.test('every truncation and every added byte is refused', (t) => {
  const bytes = device.sealEncoded([regularSeries(channels.door, startSec, [0, 1])]);
  for (let length = 0; length < bytes.length; length++) t.not(verdictOf(bytes.subarray(0, length)), 'accepted');
  t.equal(verdictOf(concatBytes(bytes, Uint8Array.of(0))), 'envelope-malformed');
  t.equal(verdictOf(new Uint8Array(envelopeBytesMax + 1)), 'envelope-too-large');
  t.end();
});

t.test('each attack has its own reason', (t) => {
  const series = [regularSeries(cargoProbe(1), startSec, [487, 491]), regularSeries(channels.door, startSec, [0, 0])];
  const envelope = device.seal(series);
  const other = new VoyageDevice(2).seal(series);
  const attacks: Record<string, [Envelope, string]> = {
    'signature of another key': [{ ...envelope, signature: other.signature }, 'signature-invalid'],
    'the upper twin': [{ ...envelope, signature: upperTwin(envelope.signature) }, 'signature-not-low-s'],
    'a series left out': [{ ...envelope, series: envelope.series.slice(1) }, 'root-mismatch'],
    'series in another order': [{ ...envelope, series: envelope.series.toReversed() }, 'root-mismatch'],
    'series of another batch': [{ ...envelope, series: device.seal([series[0]!]).series }, 'root-mismatch'],
    'a channel twice': [device.seal([series[0]!, series[0]!]), 'channel-repeated'],
    'r = 0': [
      { ...envelope, signature: concatBytes(new Uint8Array(32), envelope.signature.subarray(32)) },
      'signature-invalid',
    ],
  };
  for (const [name, [attacked, reason]] of Object.entries(attacks))
    t.equal(verdictOf(encodeEnvelope(attacked)), reason, name);
  t.equal(
    verdictOf(encodeEnvelope(envelope), other.batch.subarray(0, 64)),
    'signature-invalid',
    'a key that is no point',
  );
  t.end();
});

t.test('a device that signs false times, a false count or an unknown flag is refused all the same', (t) => {
  const leaf = regularSeries(cargoProbe(1), startSec, [487, 491]);
  const { series } = device.seal([leaf]);
  const root = merkleRoot(series.map((each) => leafHash(each)));
  const honest = {
    device: device.device,
    sequence: 9,
    previous: new Uint8Array(32),
    firstSec: startSec,
    lastSec: startSec + 60,
    seriesCount: 1,
    root,
    flags: 0,
  };
  const lies = [
    [{}, 'accepted'],
    [{ lastSec: startSec + 61 }, 'times-mismatch'],
    [{ seriesCount: 2 }, 'root-mismatch'],
    [{ flags: 0x8000 }, 'batch-malformed'],
    [{ lastSec: startSec - 1 }, 'batch-malformed'],
  ] as const;
  for (const [lie, reason] of lies) {
    const batch = encodeBatch({ ...honest, ...lie });
    const signature = device.sign(new Uint8Array(batch));
    const signed = verdictOf(encodeEnvelope({ batch, signature, series }));
    // Without the domain tag in front, the device's signature over the very same bytes is none over an envelope.
    t.equal(signed, reason === 'accepted' ? 'signature-invalid' : reason, JSON.stringify(lie));
  }
  t.end();
});

function upperTwin(signature: Uint8Array): Uint8Array {
  const { Fn } = p256.Point;
  const s = Fn.fromBytes(signature.subarray(32));
  return concatBytes(signature.subarray(0, 32), Fn.toBytes(Fn.ORDER - s));
}

function randomSeries(random: Random): Series[] {
  const numbers = new Set(Array.from({ length: random.integer(0, 12) }, () => random.integer(0, 255)));
  return [...numbers].map((channel) => {
    let timeSec = startSec + (channel === [...numbers][0] ? 0 : random.integer(0, 600));
    const samples = Array.from({ length: random.integer(1, 40) }, (_, i) => {
      timeSec += i === 0 ? 0 : random.integer(1, 3_600);
      return { timeSec, value: random.integer(-0x8000, 0x7fff) };
    });
    return { channel, marks: random.integer(0, 15), samples };
  });
}
