/** Envelopes that travel deflated: RFC 1951, bounded, and nothing but one whole stream. */
import { deflateRawSync } from 'node:zlib';
import t from 'tap';
import { envelopeBytesMax } from '@coldproof/wire';
import { deflateEnvelope } from '@coldproof/agent/deflate';
import { inflateEnvelope } from '@coldproof/oracle/inflate';
import { seeded } from '../helpers/seed.ts';
import { regularSeries, VoyageDevice } from '../helpers/voyage-device.ts';

const marked = (stream: Uint8Array) => Buffer.concat([Uint8Array.of(0), stream]);
const reasonOf = (bytes: Uint8Array) => {
  const verdict = inflateEnvelope(bytes);
  return verdict.ok ? 'taken' : verdict.reason;
};

t.test('what the agent deflates is the same envelope at the oracle, and smaller', (t) => {
  const values = Array.from({ length: 240 }, (_, i) => 480 + (i % 7));
  const envelope = new VoyageDevice(1).sealEncoded([regularSeries(16, 1_767_225_600, values)]);
  const deflated = deflateEnvelope(envelope);
  t.ok(deflated.length < envelope.length / 2);
  const inflated = inflateEnvelope(deflated);
  t.same(inflated.ok && new Uint8Array(inflated.value), envelope);
  t.same(inflateEnvelope(envelope), { ok: true, value: envelope }, 'a plain one is taken as it is');
  const noise = seeded(t, 1).bytes(200);
  t.equal(deflateEnvelope(noise), noise, 'what does not shrink travels plain');
  t.end();
});

t.test('bombs, rests and ruins are refused', (t) => {
  t.equal(reasonOf(marked(deflateRawSync(new Uint8Array(envelopeBytesMax)))), 'taken');
  t.equal(reasonOf(marked(deflateRawSync(new Uint8Array(envelopeBytesMax + 1)))), 'envelope-too-large');
  const bomb = marked(deflateRawSync(new Uint8Array(60_000_000)));
  t.ok(bomb.length < envelopeBytesMax);
  t.equal(reasonOf(bomb), 'envelope-too-large');
  t.equal(reasonOf(new Uint8Array(envelopeBytesMax + 1)), 'envelope-too-large');
  const stream = deflateRawSync(Uint8Array.of(1, 2, 3));
  t.equal(reasonOf(marked(Buffer.concat([stream, Uint8Array.of(0)]))), 'deflate-malformed', 'bytes after the end');
  t.equal(reasonOf(marked(stream.subarray(0, -1))), 'deflate-malformed', 'cut off');
  t.equal(reasonOf(Uint8Array.of(0)), 'deflate-malformed');
  const random = seeded(t, 2);
  for (let i = 0; i < 2_000; i++) reasonOf(marked(random.bytes(random.integer(0, 64))));
  t.end();
});
