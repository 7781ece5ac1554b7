import t from 'tap';
import { ed25519 } from '@noble/curves/ed25519.js';
import {
  encodeReceipt,
  encodeReceiptBody,
  envelopePreimage,
  logOf,
  receiptBytesMax,
  receiptPreimage,
  verifyReceipt,
} from '@coldproof/wire';

const secret = new Uint8Array(32).fill(7);
const publicKey = ed25519.getPublicKey(secret);
const stranger = new Uint8Array(32).fill(8);
const receipt = {
  log: logOf(publicKey),
  index: 123_456,
  device: new Uint8Array(32).fill(1),
  sequence: 42,
  digest: new Uint8Array(32).fill(2),
};
const body = encodeReceiptBody(receipt);
const signed = encodeReceipt(body, ed25519.sign(receiptPreimage(body), secret));

t.test('a receipt gives back what was signed', (t) => {
  t.same(verifyReceipt(signed, publicKey), { ok: true, value: receipt });
  t.end();
});

t.test('every flipped bit is refused', (t) => {
  for (let bit = 0; bit < signed.length * 8; bit++) {
    const flipped = Uint8Array.from(signed);
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    if (verifyReceipt(flipped, publicKey).ok) t.fail(`bit ${bit}`);
  }
  t.end();
});

t.test('another key, another domain, too long: each its reason', (t) => {
  const reason = (bytes: Uint8Array, key = publicKey) => {
    const verdict = verifyReceipt(bytes, key);
    return verdict.ok ? 'accepted' : verdict.reason;
  };
  t.equal(reason(signed, ed25519.getPublicKey(stranger)), 'receipt-of-another-log');
  t.equal(reason(encodeReceipt(body, ed25519.sign(receiptPreimage(body), stranger))), 'receipt-signature-invalid');
  t.equal(reason(encodeReceipt(body, ed25519.sign(envelopePreimage(body), secret))), 'receipt-signature-invalid');
  t.equal(reason(new Uint8Array(receiptBytesMax + 1)), 'receipt-malformed');
  t.end();
});
