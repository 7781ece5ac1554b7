/**
 * HPKE (RFC 9180), base mode and single-shot (§6.1), in one suite: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
 * ChaCha20-Poly1305. Held against the vector of Appendix A.2.1.
 */
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { x25519 } from '@noble/curves/ed25519.js';
import { expand, extract } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes, utf8ToBytes } from './bytes.ts';

/** §7.1, §7.2, §7.3: the identifiers of the three algorithms. */
const kemSuite = concatBytes(utf8ToBytes('KEM'), Uint8Array.of(0x00, 0x20));
const hpkeSuite = concatBytes(utf8ToBytes('HPKE'), Uint8Array.of(0x00, 0x20, 0x00, 0x01, 0x00, 0x03));
const versionLabel = utf8ToBytes('HPKE-v1');
const modeBase = Uint8Array.of(0x00);
const none = new Uint8Array();

export const hpkeEncBytes = 32;
/** What the ciphertext has over the plaintext: the tag of RFC 8439 §2.8. */
export const aeadTagBytes = 16;

export type HpkeSealed = { readonly enc: Uint8Array; readonly ciphertext: Uint8Array };

/** X25519 (RFC 7748): both 32 bytes. */
export type HpkeKeyPair = { readonly secretKey: Uint8Array; readonly publicKey: Uint8Array };

/** DeriveKeyPair of §7.1.3; `ikm` has at least 32 bytes of randomness. */
export function deriveHpkeKey(ikm: Uint8Array): HpkeKeyPair {
  const prk = labeledExtract(kemSuite, none, 'dkp_prk', ikm);
  const secretKey = labeledExpand(kemSuite, prk, 'sk', none, 32);
  return { secretKey, publicKey: x25519.getPublicKey(secretKey) };
}

/** Whether anything can be sealed to it: 32 bytes, and no point of low order (§7.1.4). */
export function isHpkePublicKey(publicKey: Uint8Array): boolean {
  return publicKey.length === 32 && sharedPoint(new Uint8Array(32).fill(0x42), publicKey) !== undefined;
}

/**
 * SealBase. `ephemeral` stands for the randomness of Encap (§4.1), 32 bytes that no other message may have, since wire
 * has none of its own. Throws RangeError for a public key that isHpkePublicKey refuses.
 */
export function sealHpke(
  publicKey: Uint8Array,
  { info, aad, plaintext }: { readonly info: Uint8Array; readonly aad: Uint8Array; readonly plaintext: Uint8Array },
  ephemeral: Uint8Array,
): HpkeSealed {
  const { secretKey, publicKey: enc } = deriveHpkeKey(ephemeral);
  const point = sharedPoint(secretKey, publicKey);
  if (point === undefined) throw new RangeError('publicKey: expected an X25519 key, got one that no secret comes of');
  const { key, nonce } = schedule(kemSecret(point, enc, publicKey), info);
  return { enc, ciphertext: chacha20poly1305(key, nonce, aad).encrypt(plaintext) };
}

/** OpenBase; undefined for whatever was not sealed to this key with this `info` and `aad`. */
export function openHpke(
  secretKey: Uint8Array,
  { enc, ciphertext }: HpkeSealed,
  { info, aad }: { readonly info: Uint8Array; readonly aad: Uint8Array },
): Uint8Array | undefined {
  const point = enc.length === hpkeEncBytes ? sharedPoint(secretKey, enc) : undefined;
  if (point === undefined) return undefined;
  const { key, nonce } = schedule(kemSecret(point, enc, x25519.getPublicKey(secretKey)), info);
  return openAead(key, nonce, aad, ciphertext);
}

/** RFC 8439 §2.8; undefined when it does not authenticate. */
export function openAead(
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array | undefined {
  if (ciphertext.length < aeadTagBytes) return undefined;
  try {
    return chacha20poly1305(key, nonce, aad).decrypt(ciphertext);
  } catch {
    // noble throws on a wrong tag: from an outsider, an invalid ciphertext.
    return undefined;
  }
}

/** DH of §4.1; undefined where the shared secret would be all zeros, which §7.1.4 refuses. */
function sharedPoint(secretKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined {
  try {
    return x25519.getSharedSecret(secretKey, publicKey);
  } catch {
    // noble throws on a public key of low order: from an outsider, no key.
    return undefined;
  }
}

/** ExtractAndExpand of §4.1. */
function kemSecret(point: Uint8Array, enc: Uint8Array, publicKey: Uint8Array): Uint8Array {
  const prk = labeledExtract(kemSuite, none, 'eae_prk', point);
  return labeledExpand(kemSuite, prk, 'shared_secret', concatBytes(enc, publicKey), 32);
}

/** KeySchedule of §5.1 in base mode: `psk` and `psk_id` are empty. The first message's nonce is base_nonce (§5.2). */
function schedule(sharedSecret: Uint8Array, info: Uint8Array): { key: Uint8Array; nonce: Uint8Array } {
  const pskIdHash = labeledExtract(hpkeSuite, none, 'psk_id_hash', none);
  const infoHash = labeledExtract(hpkeSuite, none, 'info_hash', info);
  const context = concatBytes(modeBase, pskIdHash, infoHash);
  const secret = labeledExtract(hpkeSuite, sharedSecret, 'secret', none);
  return {
    key: labeledExpand(hpkeSuite, secret, 'key', context, 32),
    nonce: labeledExpand(hpkeSuite, secret, 'base_nonce', context, 12),
  };
}

/** §4. */
function labeledExtract(suite: Uint8Array, salt: Uint8Array, label: string, ikm: Uint8Array): Uint8Array {
  return extract(sha256, concatBytes(versionLabel, suite, utf8ToBytes(label), ikm), salt);
}

/** §4. */
function labeledExpand(suite: Uint8Array, prk: Uint8Array, label: string, info: Uint8Array, size: number): Uint8Array {
  const head = concatBytes(Uint8Array.of(size >> 8, size & 0xff), versionLabel, suite, utf8ToBytes(label));
  return expand(sha256, prk, concatBytes(head, info), size);
}
