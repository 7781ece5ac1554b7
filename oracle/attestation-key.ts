/**
 * The secp256k1 key with which a node attests for the contracts. Its address is one of the OracleSet's signers. It lies
 * in an encrypted file, is opened once, and never leaves this module.
 */
import { randomBytes } from 'node:crypto';
import { addressOfKey, bytesToHex, hexToBytes, signDigest } from '@coldproof/wire';
import type { Signatory } from './chain-account.ts';
import { openSealedKey, readKeyName, sealKey, type KeyForm } from './sealed-key.ts';

export type AttestationKey = {
  /** 20 bytes. */
  readonly address: Uint8Array;
  /** 65 bytes r ‖ s ‖ v, low s, always the same for the same digest. */
  sign(digest: Uint8Array): Uint8Array;
};

const form: KeyForm = { what: 'attestation key', publicField: 'address', publicBytes: 20 };

/** Makes a key and writes its file. Gives the address. */
export function makeAttestationKey(path: string, passphrase: string): Uint8Array {
  // All but 2^-127 of the 256-bit numbers are keys; addressOfKey throws at the others.
  const secret = randomBytes(32);
  const address = addressOfKey(secret);
  sealKey(path, form, address, secret, passphrase);
  return address;
}

export function readAttestationAddress(path: string): Uint8Array {
  return readKeyName(path, form);
}

export function openAttestationKey(path: string, passphrase: string): AttestationKey {
  const { named, key } = openSealedKey(path, form, passphrase, (secret) => Uint8Array.from(secret));
  return { address: named, sign: (digest) => signDigest(digest, key) };
}

/** For a node whose paying account is its signer, too. */
export function attestationKeyOf(account: Signatory): AttestationKey {
  return {
    address: hexToBytes(account.address.slice(2).toLowerCase()),
    sign: (digest) => hexToBytes(account.signDigest(`0x${bytesToHex(digest)}`).slice(2)),
  };
}
