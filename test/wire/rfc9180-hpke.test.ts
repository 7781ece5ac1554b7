/** HPKE against RFC 9180, Appendix A.2.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305, base mode. */
import t from 'tap';
import { bytesToHex, deriveHpkeKey, hexToBytes, isHpkePublicKey, openHpke, sealHpke } from '@coldproof/wire';
import { seeded } from '../helpers/seed.ts';

const info = hexToBytes('4f6465206f6e2061204772656369616e2055726e');
const ikmE = hexToBytes('909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b');
const ikmR = hexToBytes('1ac01f181fdf9f352797655161c58b75c656a6cc2716dcb66372da835542e1df');
const enc = '1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a';
/** Sequence number 0. */
const plaintext = hexToBytes('4265617574792069732074727574682c20747275746820626561757479');
const aad = hexToBytes('436f756e742d30');
const ciphertext = '1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28';

t.test('the vector of A.2.1: both key pairs, enc, and the first message', (t) => {
  const recipient = deriveHpkeKey(ikmR);
  t.equal(bytesToHex(recipient.secretKey), '8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb');
  t.equal(bytesToHex(recipient.publicKey), '4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a');
  const ephemeral = deriveHpkeKey(ikmE);
  t.equal(bytesToHex(ephemeral.secretKey), 'f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600');
  const sealed = sealHpke(recipient.publicKey, { info, aad, plaintext }, ikmE);
  t.same([sealed.enc, sealed.ciphertext].map(bytesToHex), [enc, ciphertext]);
  t.same(openHpke(recipient.secretKey, sealed, { info, aad }), plaintext);
  t.end();
});

t.test('nothing else opens: another key, info or aad, a flipped bit, a piece', (t) => {
  const random = seeded(t, 9180);
  const { secretKey } = deriveHpkeKey(ikmR);
  const sealed = { enc: hexToBytes(enc), ciphertext: hexToBytes(ciphertext) };
  const flip = (bytes: Uint8Array) => {
    const flipped = Uint8Array.from(bytes);
    flipped[random.integer(0, bytes.length - 1)]! ^= 1 << random.integer(0, 7);
    return flipped;
  };
  t.equal(openHpke(deriveHpkeKey(ikmE).secretKey, sealed, { info, aad }), undefined);
  for (let i = 0; i < 20; i++) {
    t.equal(openHpke(secretKey, sealed, { info: flip(info), aad }), undefined);
    t.equal(openHpke(secretKey, sealed, { info, aad: flip(aad) }), undefined);
    t.equal(openHpke(secretKey, { ...sealed, ciphertext: flip(sealed.ciphertext) }, { info, aad }), undefined);
    // The highest bit of a public key is not read (RFC 7748 §5), but it is part of the key's context.
    t.equal(openHpke(secretKey, { ...sealed, enc: flip(sealed.enc) }, { info, aad }), undefined);
  }
  for (let size = 0; size < sealed.ciphertext.length; size += 4) {
    t.equal(
      openHpke(secretKey, { ...sealed, ciphertext: sealed.ciphertext.subarray(0, size) }, { info, aad }),
      undefined,
    );
  }
  t.equal(openHpke(secretKey, { ...sealed, enc: sealed.enc.subarray(1) }, { info, aad }), undefined);
  t.end();
});

t.test('RFC 9180 §7.1.4: a point of low order is no key, and opens nothing', (t) => {
  const { secretKey, publicKey } = deriveHpkeKey(ikmR);
  // RFC 7748 §6.1, and the points of order 4 and 8 (cr.yp.to/ecdh.html, "How do I validate public keys?").
  const lowOrder = [
    '00'.repeat(32),
    `01${'00'.repeat(31)}`,
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  ].map(hexToBytes);
  t.ok(isHpkePublicKey(publicKey));
  t.notOk(isHpkePublicKey(publicKey.subarray(1)));
  for (const point of lowOrder) {
    t.notOk(isHpkePublicKey(point));
    t.throws(() => sealHpke(point, { info, aad, plaintext }, ikmE), { name: 'RangeError' });
    t.equal(openHpke(secretKey, { enc: point, ciphertext: hexToBytes(ciphertext) }, { info, aad }), undefined);
  }
  t.end();
});
