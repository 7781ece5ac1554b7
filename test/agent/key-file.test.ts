import { randomBytes } from 'node:crypto';
import { chmodSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createKeyFile, openKeyFile } from '@coldproof/agent/key-file';
import { isLowS, isP256Point, referenceCrypto, deviceOf } from '@coldproof/wire';
import { seeded } from '../helpers/seed.ts';
import { passphrase, temporaryFolder } from './fixture.ts';

t.test('signs what the reference verifies, low s, after it was opened again', async (t) => {
  const path = join(temporaryFolder(t), 'keys', 'TRUCK-7.json');
  const made = createKeyFile(path, passphrase, randomBytes);
  const opened = openKeyFile(path, passphrase);
  t.same(opened.publicKey(), made.publicKey());
  t.same(opened.device(), deviceOf(made.publicKey()));
  t.ok(isP256Point(opened.publicKey()));
  let flipped = 0;
  for (let i = 0; i < 64; i++) {
    const message = Uint8Array.of(i);
    const signature = await opened.sign(message);
    if (!isLowS(signature) || !referenceCrypto.verifyP256(opened.publicKey(), message, signature)) t.fail(`${i}`);
    flipped += 1;
  }
  t.equal(flipped, 64);
});

t.test('the file: private, whole, without the key in it, never overwritten', (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'keys', 'TRUCK-7.json');
  createKeyFile(path, passphrase, randomBytes);
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.equal(statSync(join(folder, 'keys')).mode & 0o777, 0o700);
  t.same(readdirSync(join(folder, 'keys')), ['TRUCK-7.json'], 'nothing temporary is left');
  t.notOk(readFileSync(path, 'utf8').includes(passphrase));
  const before = readFileSync(path, 'utf8');
  t.throws(() => createKeyFile(path, passphrase, randomBytes), { code: 'key-exists' });
  t.equal(readFileSync(path, 'utf8'), before);
  t.end();
});

t.test('a crash between the journal and the file leaves no key', (t) => {
  const path = join(temporaryFolder(t), 'TRUCK-7.json');
  const crash = () => {
    throw new Error('power cut');
  };
  t.throws(() => createKeyFile(path, passphrase, randomBytes, crash), { message: 'power cut' });
  t.throws(() => openKeyFile(path, passphrase), { code: 'key-missing', message: /keygen/ });
  t.end();
});

t.test('wrong passphrase, exposed file, and every kind of damage is told as such', (t) => {
  const random = seeded(t, 7914);
  const path = join(temporaryFolder(t), 'TRUCK-7.json');
  const made = createKeyFile(path, passphrase, randomBytes);
  const text = readFileSync(path, 'utf8');
  t.throws(() => openKeyFile(path, 'a guess'), { code: 'key-passphrase-wrong', message: /wrong passphrase/ });
  chmodSync(path, 0o640);
  t.throws(() => openKeyFile(path, passphrase), { code: 'key-exposed', message: /expected 600, got 640/ });
  chmodSync(path, 0o600);
  for (const length of [0, 1, 20, text.length >> 1, text.length - 3]) {
    writeFileSync(path, text.slice(0, length));
    t.throws(() => openKeyFile(path, passphrase), { code: 'key-damaged' }, `truncated to ${length}`);
  }
  const file = JSON.parse(text) as { kdf: { n: number }; box: string; publicKey: string };
  const variants: readonly [string, unknown][] = [
    ['a bomb of scrypt memory', { ...file, kdf: { ...file.kdf, n: 2 ** 30 } }],
    ['n is no power of 2', { ...file, kdf: { ...file.kdf, n: 32_767 } }],
    ['no box', { ...file, box: undefined }],
    ['a box of a tag alone', { ...file, box: 'ab'.repeat(16) }],
    ['another version', { ...file, version: 2 }],
    ['null', null],
    ['kdf null', { ...file, kdf: null }],
    ['a list', []],
  ];
  for (const [what, value] of variants) {
    writeFileSync(path, JSON.stringify(value));
    t.throws(() => openKeyFile(path, passphrase), { code: 'key-damaged' }, what);
  }
  // Each field outside of the box is bound to it: no other public key, salt or cost may be put in its place.
  writeFileSync(path, JSON.stringify({ ...file, publicKey: 'cd'.repeat(64) }));
  t.throws(() => openKeyFile(path, passphrase), { code: 'key-passphrase-wrong' }, 'a foreign public key');
  for (let round = 0; round < 12; round++) {
    const box = Buffer.from(file.box, 'hex');
    box[random.integer(0, box.length - 1)]! ^= 1 << random.integer(0, 7);
    writeFileSync(path, JSON.stringify({ ...file, box: box.toString('hex') }));
    t.throws(() => openKeyFile(path, passphrase), { code: 'key-passphrase-wrong' }, 'a flipped bit');
  }
  writeFileSync(path, JSON.stringify(file, null, 2));
  t.same(openKeyFile(path, passphrase).publicKey(), made.publicKey(), 'laid out by a person: still good');
  t.end();
});
