/**
 * The log's Ed25519 key, which signs receipts and checkpoints. It lies in an encrypted file, is opened once, and never
 * leaves this module and the thread that signs receipts for it.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { logOf } from '@coldproof/wire';
import { openSealedKey, readKeyName, sealKey, type KeyForm } from './sealed-key.ts';
import { Thread } from './thread.ts';

export type LogKey = {
  readonly publicKey: Uint8Array;
  /** logOf(publicKey): the log's identity in receipts. */
  readonly log: Uint8Array;
  /** Ed25519 (RFC 8032), 64 bytes, always the same for the same message. */
  sign(preimage: Uint8Array): Uint8Array;
  /**
   * The same for many, in a thread of their own: a receipt for each batch is too much for the loop's, and a job of
   * Node's pool for each costs the loop as much as a message costs it altogether. Throws OperatingError 'sign-failed'.
   */
  signAside(preimages: readonly Uint8Array[]): Promise<Uint8Array[]>;
  /** Ends the thread, if there is one. */
  close(): Promise<void>;
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
  let thread: Thread<ArrayBuffer> | undefined;
  return {
    publicKey: named,
    log: logOf(named),
    sign: (preimage) => sign(null, preimage, key),
    async signAside(preimages) {
      thread ??= signingThread(key);
      const packed = new Uint8Array(await thread.ask(packPreimages(preimages)));
      return preimages.map((_preimage, i) => packed.subarray(64 * i, 64 * (i + 1)));
    },
    close: async () => thread?.close(),
  };
}

function signingThread(key: KeyObject): Thread<ArrayBuffer> {
  return new Thread(new URL('./log-key-worker.js', import.meta.url), {
    code: 'sign-failed',
    what: 'signing',
    start: key,
  });
}

/** count: u32 ‖ count * (size: u32 ‖ preimage), big-endian. */
function packPreimages(preimages: readonly Uint8Array[]): ArrayBuffer {
  const packed = new Uint8Array(preimages.reduce((size, preimage) => size + 4 + preimage.length, 4));
  const view = new DataView(packed.buffer);
  view.setUint32(0, preimages.length);
  let at = 4;
  for (const preimage of preimages) {
    view.setUint32(at, preimage.length);
    packed.set(preimage, at + 4);
    at += 4 + preimage.length;
  }
  return packed.buffer;
}

/** The last 32 bytes of the SubjectPublicKeyInfo (RFC 8410 §4). */
function rawPublicKey(key: KeyObject): Uint8Array {
  return Uint8Array.from(
    createPublicKey(key.export({ format: 'pem', type: 'spki' }))
      .export({ format: 'der', type: 'spki' })
      .subarray(-32),
  );
}
