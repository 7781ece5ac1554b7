/**
 * The log's Ed25519 key, which signs receipts and checkpoints. It lies in an encrypted file, is opened once, and never
 * leaves this module.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { logOf } from '@coldproof/wire';
import { openSealedKey, readKeyName, sealKey, type KeyForm } from './sealed-key.ts';

export type LogKey = {
  readonly publicKey: Uint8Array;
  /** logOf(publicKey): the log's identity in receipts. */
  readonly log: Uint8Array;
  /** Ed25519 (RFC 8032), 64 bytes, always the same for the same message. */
  sign(preimage: Uint8Array): Uint8Array;
  /** The same in a thread of Node's pool: a receipt for each batch is too much for the loop's. */
  signAside(preimage: Uint8Array): Promise<Uint8Array>;
};

const form: KeyForm = { what: 'log key', publicField: 'publicKey', publicBytes: 32 };

/** Makes a key and writes its file. Gives the public key. */
export function makeLogKey(path: string, passphrase: string): Uint8Array {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const publicBytes = rawPublicKey(publicKey);
  sealKey(path, form, publicBytes, privateKey.export({ format: 'der', type: 'pkcs8' }), passphrase);
  return publicBytes;
}

/** Only the public half, which needs no passphrase. */
export function readLogPublicKey(path: string): Uint8Array {
  return readKeyName(path, form);
}

export function openLogKey(path: string, passphrase: string): LogKey {
  const { named, key } = openSealedKey(path, form, passphrase, (secret) =>
    createPrivateKey({ key: Buffer.from(secret), format: 'der', type: 'pkcs8' }),
  );
  return {
    publicKey: named,
    log: logOf(named),
    sign: (preimage) => sign(null, preimage, key),
    signAside: (preimage) =>
      new Promise((resolve, reject) => {
        sign(null, preimage, key, (error, signature) => (error === null ? resolve(signature) : reject(error)));
      }),
  };
}

/** The last 32 bytes of the SubjectPublicKeyInfo (RFC 8410 §4). */
function rawPublicKey(key: KeyObject): Uint8Array {
  return Uint8Array.from(
    createPublicKey(key.export({ format: 'pem', type: 'spki' }))
      .export({ format: 'der', type: 'spki' })
      .subarray(-32),
  );
}
