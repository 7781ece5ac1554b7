/**
 * One ciphertext that ChaCha20-Poly1305 opens under two keys, to two plaintexts. No break: an AEAD promises nothing
 * against who chooses both keys (Len, Grubbs and Ristenpart, "Partitioning Oracle Attacks", 2021, §3.1).
 */
import { chacha20 } from '@noble/ciphers/chacha.js';
import { concatBytes } from '@coldproof/wire';
import type { Random } from '../helpers/seed.ts';

const p = 2n ** 130n - 5n;
const blockEnd = 2n ** 128n;

function fromLittleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n);
}

function littleEndian(value: bigint, size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}

function mod(value: bigint): bigint {
  return ((value % p) + p) % p;
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let b = mod(base), e = exponent; e > 0n; e >>= 1n, b = mod(b * b)) if (e % 2n === 1n) result = mod(result * b);
  return result;
}

/** RFC 8439 §2.6: r and s of a message. */
function oneTimeKey(key: Uint8Array, nonce: Uint8Array): { r: bigint; s: bigint } {
  const block = chacha20(key, nonce, new Uint8Array(32));
  const clamp = 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  return { r: fromLittleEndian(block.subarray(0, 16)) & clamp, s: fromLittleEndian(block.subarray(16)) };
}

/** §2.8: associated data and ciphertext, each padded to blocks, and their lengths. */
function macBlocks(aad: Uint8Array, ciphertext: Uint8Array): bigint[] {
  const padded = (bytes: Uint8Array) => concatBytes(bytes, new Uint8Array((16 - (bytes.length % 16)) % 16));
  const lengths = concatBytes(littleEndian(BigInt(aad.length), 8), littleEndian(BigInt(ciphertext.length), 8));
  const all = concatBytes(padded(aad), padded(ciphertext), lengths);
  return Array.from(
    { length: all.length / 16 },
    (_, i) => fromLittleEndian(all.subarray(16 * i, 16 * i + 16)) + blockEnd,
  );
}

function accumulate(blocks: readonly bigint[], r: bigint): bigint {
  return blocks.reduce((sum, block) => mod((sum + block) * r), 0n);
}

/** `size` is a multiple of 16: all but the last block is drawn, the last is solved for, so that both tags are one. */
export function ciphertextOfTwoKeys(
  keys: readonly [Uint8Array, Uint8Array],
  { nonce, aad, size }: { readonly nonce: Uint8Array; readonly aad: Uint8Array; readonly size: number },
  random: Random,
): Uint8Array {
  const [one, two] = keys.map((key) => oneTimeKey(key, nonce)) as [{ r: bigint; s: bigint }, { r: bigint; s: bigint }];
  for (;;) {
    const drawn = random.bytes(size - 16);
    // The last block of the ciphertext is the last but one of all, so it counts r squared times.
    const zero = macBlocks(aad, concatBytes(drawn, new Uint8Array(16)));
    const [a, b] = [accumulate(zero, one.r), accumulate(zero, two.r)];
    const slope = mod(one.r * one.r - two.r * two.r);
    const last = mod(mod(b + two.s - a - one.s) * power(slope, p - 2n));
    if (last >= blockEnd) continue;
    const body = concatBytes(drawn, littleEndian(last, 16));
    const tags = [one, two].map(({ r, s }) => (accumulate(macBlocks(aad, body), r) + s) % blockEnd);
    if (tags[0] === tags[1]) return concatBytes(body, littleEndian(tags[0]!, 16));
  }
}
