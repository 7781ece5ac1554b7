import t from 'tap';
import { ed25519 } from '@noble/curves/ed25519.js';
import {
  checkpointPreimage,
  formatBase64,
  formatCheckpoint,
  formatSignedCheckpoint,
  parseBase64,
  verifyCheckpoint,
} from '@coldproof/wire';
import { seeded } from '../helpers/seed.ts';

const secret = new Uint8Array(32).fill(7);
const publicKey = ed25519.getPublicKey(secret);
const checkpoint = { origin: 'coldproof.example/log', size: 20_852_163, root: new Uint8Array(32).fill(9) };
const note = sign(formatCheckpoint(checkpoint));

function sign(text: string): string {
  const blank = formatSignedCheckpoint(checkpoint, publicKey, ed25519.sign(checkpointPreimage(text), secret));
  return `${text}\n${blank.slice(blank.indexOf('\n\n') + 2)}`;
}

function reasonOf(text: string, origin = checkpoint.origin): string {
  const verdict = verifyCheckpoint(text, origin, publicKey);
  return verdict.ok ? 'accepted' : verdict.reason;
}

t.test('a signed note gives back its checkpoint, with extension lines and cosignatures of others too', (t) => {
  t.same(verifyCheckpoint(note, checkpoint.origin, publicKey), { ok: true, value: checkpoint });
  t.equal(reasonOf(sign(`${formatCheckpoint(checkpoint)}extension\n`)), 'accepted');
  t.equal(reasonOf(`${note}— witness.example AAAAAQIDBA==\n`), 'accepted');
  t.end();
});

t.test('not canonical, not ours, not signed: refused', (t) => {
  t.equal(reasonOf(note, 'other.example/log'), 'checkpoint-of-another-log');
  for (const size of ['020852163', '-1', '1e3', '', '9007199254740993']) {
    t.equal(
      reasonOf(sign(`${checkpoint.origin}\n${size}\n${formatBase64(checkpoint.root)}\n`)),
      'checkpoint-malformed',
      size,
    );
  }
  t.equal(reasonOf(sign(`${checkpoint.origin}\n1\nAAAA\n`)), 'checkpoint-malformed', 'a root of three bytes');
  t.equal(reasonOf(note.replace('20852163', '20852164')), 'checkpoint-signature-invalid');
  t.equal(reasonOf(`${formatCheckpoint(checkpoint)}\n`), 'checkpoint-signature-invalid', 'no signature line');
  t.equal(reasonOf(formatCheckpoint(checkpoint).trimEnd()), 'checkpoint-malformed', 'no blank line');
  t.end();
});

t.test('RFC 4648 §10 and one spelling only', (t) => {
  const vectors = {
    '': '',
    f: 'Zg==',
    fo: 'Zm8=',
    foo: 'Zm9v',
    foob: 'Zm9vYg==',
    fooba: 'Zm9vYmE=',
    foobar: 'Zm9vYmFy',
  };
  for (const [plain, text] of Object.entries(vectors)) {
    t.equal(formatBase64(Buffer.from(plain)), text);
    t.same(parseBase64(text), Uint8Array.from(Buffer.from(plain)));
  }
  for (const bad of ['Zg', 'Zg=', 'Zh==', 'Zm9=', 'Z===', 'Zm9v\n', 'Zm-_']) t.equal(parseBase64(bad), undefined, bad);
  const random = seeded(t, 4648);
  for (let i = 0; i < 500; i++) {
    const bytes = random.bytes(i % 70);
    if (formatBase64(bytes) !== Buffer.from(bytes).toString('base64')) t.fail(`${i}`);
  }
  t.end();
});
