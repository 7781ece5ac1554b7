/**
 * An oracle's signature over a digest that a contract verifies: secp256k1, r ‖ s ‖ v of 65 bytes, low s, v 27 or 28.
 * The nonce is that of RFC 6979: the same digest gives the same bytes, also after a crash.
 */
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { keccak_256 } from '@noble/hashes/sha3.js';
import { concatBytes } from './bytes.ts';

export const attestationBytes = 65;

/** Last 20 bytes of keccak256(x ‖ y): how Ethereum names a key. */
export function addressOfKey(secretKey: Uint8Array): Uint8Array {
  return addressOf(secp256k1.getPublicKey(secretKey, false));
}

export function signDigest(digest: Uint8Array, secretKey: Uint8Array): Uint8Array {
  // noble gives recovery ‖ r ‖ s, and low s always.
  const signature = secp256k1.sign(digest, secretKey, { prehash: false, format: 'recovered' });
  return concatBytes(signature.subarray(1), Uint8Array.of(27 + signature[0]!));
}

/** Who signed, or undefined for what a contract would refuse: length, v, high s, no such point. */
export function recoverSigner(digest: Uint8Array, signature: Uint8Array): Uint8Array | undefined {
  const v = signature[64];
  if (signature.length !== attestationBytes || (v !== 27 && v !== 28)) return undefined;
  try {
    const parsed = secp256k1.Signature.fromBytes(
      concatBytes(Uint8Array.of(v - 27), signature.subarray(0, 64)),
      'recovered',
    );
    if (parsed.hasHighS()) return undefined;
    return addressOf(parsed.recoverPublicKey(digest).toBytes(false));
  } catch {
    // Out of range, or no key makes this signature: from an outsider, an invalid one.
    return undefined;
  }
}

function addressOf(uncompressed: Uint8Array): Uint8Array {
  return keccak_256(uncompressed.subarray(1)).slice(12);
}
