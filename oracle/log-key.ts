/**
 * The log's Ed25519 key, which signs receipts and checkpoints. It lies in an encrypted file, is opened once, and never
 * leaves this module.
 */
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  scryptSync,
  sign,
  type KeyObject,
} from 'node:crypto';
import { bytesToHex, logOf, parseHex } from '@coldproof/wire';
import { OperatingError } from './operating-error.ts';
import { readSecretFile, writeSecretFile } from './secret-file.ts';

export type LogKey = {
  readonly publicKey: Uint8Array;
  /** logOf(publicKey): the log's identity in receipts. */
  readonly log: Uint8Array;
  /** Ed25519 (RFC 8032), 64 bytes, always the same for the same message. */
  sign(preimage: Uint8Array): Uint8Array;
  /** The same in a thread of Node's pool: a receipt for each batch is too much for the loop's. */
  signAside(preimage: Uint8Array): Promise<Uint8Array>;
};

/** RFC 7914: 2^15 and r = 8 take 32 MiB and about 0.1 s, paid once at start. */
const scryptCost = { N: 1 << 15, r: 8, p: 1, maxmem: 64 * 1024 * 1024 } as const;
const keyFileVersion = 1;

type KeyFile = { version: number; publicKey: string; salt: string; iv: string; sealed: string; tag: string };

/** Makes a key and writes its file. Gives the public key. */
export function makeLogKey(path: string, passphrase: string): Uint8Array {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const publicBytes = rawPublicKey(publicKey);
  const salt = randomBytes(16);
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', scryptSync(passphrase, salt, 32, scryptCost), iv);
  // The public key is bound in, so that a file cannot be told to be another log's.
  cipher.setAAD(publicBytes);
  const plain = privateKey.export({ format: 'der', type: 'pkcs8' });
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
  const file: KeyFile = {
    version: keyFileVersion,
    publicKey: bytesToHex(publicBytes),
    salt: salt.toString('hex'),
    iv: iv.toString('hex'),
    sealed: sealed.toString('hex'),
    tag: cipher.getAuthTag().toString('hex'),
  };
  writeSecretFile(path, `${JSON.stringify(file, null, 2)}\n`);
  return publicBytes;
}

/** Only the public half, which needs no passphrase. */
export function readLogPublicKey(path: string): Uint8Array {
  return parseKeyFile(path).publicKey;
}

export function openLogKey(path: string, passphrase: string): LogKey {
  const { publicKey, salt, iv, sealed, tag } = parseKeyFile(path);
  const decipher = createDecipheriv('aes-256-gcm', scryptSync(passphrase, salt, 32, scryptCost), iv);
  decipher.setAAD(publicKey);
  decipher.setAuthTag(tag);
  let privateKey: KeyObject;
  try {
    const plain = Buffer.concat([decipher.update(sealed), decipher.final()]);
    privateKey = createPrivateKey({ key: plain, format: 'der', type: 'pkcs8' });
  } catch (cause) {
    throw unusable(path, 'wrong passphrase, or the file was changed', cause);
  }
  return {
    publicKey,
    log: logOf(publicKey),
    sign: (preimage) => sign(null, preimage, privateKey),
    signAside: (preimage) =>
      new Promise((resolve, reject) => {
        sign(null, preimage, privateKey, (error, signature) => (error === null ? resolve(signature) : reject(error)));
      }),
  };
}

function parseKeyFile(path: string) {
  const text = readSecretFile(path);
  let file: Partial<Record<keyof KeyFile, unknown>> | null;
  try {
    // Every field is checked below.
    file = JSON.parse(text) as Partial<Record<keyof KeyFile, unknown>> | null;
  } catch (cause) {
    throw unusable(path, 'not JSON', cause);
  }
  if (file?.version !== keyFileVersion) throw unusable(path, `version: expected ${keyFileVersion}`);
  const field = (name: keyof KeyFile, size?: number): Uint8Array => {
    const value = file[name];
    const bytes = typeof value === 'string' ? parseHex(value, size ?? value.length / 2) : undefined;
    if (bytes === undefined) throw unusable(path, `${name}: expected ${size ?? 'some'} bytes in hex`);
    return bytes;
  };
  return {
    publicKey: field('publicKey', 32),
    salt: field('salt', 16),
    iv: field('iv', 12),
    sealed: field('sealed'),
    tag: field('tag', 16),
  };
}

function unusable(path: string, why: string, cause?: unknown): OperatingError {
  return new OperatingError('key-unusable', `log key ${path}: ${why}`, { retry: 'never', cause });
}

/** The last 32 bytes of the SubjectPublicKeyInfo (RFC 8410 §4). */
function rawPublicKey(key: KeyObject): Uint8Array {
  return Uint8Array.from(
    createPublicKey(key.export({ format: 'pem', type: 'spki' }))
      .export({ format: 'der', type: 'spki' })
      .subarray(-32),
  );
}
