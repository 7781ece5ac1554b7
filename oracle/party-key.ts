/**
 * A party's X25519 key, for which devices encrypt private series. It is the party's alone, and the oracle needs none:
 * it is made here because here is where parties check what they are shown.
 */
import { randomBytes } from 'node:crypto';
import { deriveHpkeKey } from '@coldproof/wire';
import { openSealedKey, readKeyName, sealKey, type KeyForm } from './sealed-key.ts';

const form: KeyForm = { what: 'party key', publicField: 'publicKey', publicBytes: 32 };

/** Makes a key and writes its file. Gives the public key. */
export function makePartyKey(path: string, passphrase: string): Uint8Array {
  const { secretKey, publicKey } = deriveHpkeKey(randomBytes(32));
  sealKey(path, form, publicKey, secretKey, passphrase);
  return publicKey;
}

export function readPartyPublicKey(path: string): Uint8Array {
  return readKeyName(path, form);
}

export function openPartyKey(path: string, passphrase: string): Uint8Array {
  return openSealedKey(path, form, passphrase, (secret) => Uint8Array.from(secret)).key;
}
