/**
 * A key store that is a file, encrypted with a passphrase: what a gateway without a secure element has.
 *
 *   {"version":1, "publicKey":x‖y, "kdf":{"name":"scrypt","n":32768,"r":8,"p":1,"salt":...},
 *    "cipher":{"name":"aes-256-gcm","nonce":...}, "box":ciphertext‖tag}        all bytes in lower-case hex
 *
 * The box holds the key as PKCS#8; everything outside the box is authenticated with it.
 */
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  scryptSync,
  sign,
  type KeyObject,
} from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { bytesToHex, concatBytes, deviceOf, parseHex, toLowS } from '@coldproof/wire';
import { writeDurably } from './durable-file.ts';
import type { KeyStore } from './key-store.ts';
import { describeError, OperatingError } from './operating-error.ts';

export type RandomBytes = (size: number) => Uint8Array;

const cipherName = 'aes-256-gcm';
const tagBytes = 16;
const nonceBytes = 12;
const saltBytes = 16;

/** 32 MiB and about 0.1 s (RFC 7914 §2): slow for a thief of the file, quick enough for a start. */
const scryptCost: ScryptCost = { n: 32_768, r: 8, p: 1 };
/** A file may ask for no more than this, or it could hold up the start for ever. */
const scryptMemoryBytesMax = 256 * 1024 * 1024;

/** RFC 7914 §2. */
export type ScryptCost = { readonly n: number; readonly r: number; readonly p: number };

type KeyFile = {
  version: 1;
  publicKey: string;
  kdf: { name: 'scrypt'; n: number; r: number; p: number; salt: string };
  cipher: { name: typeof cipherName; nonce: string };
  box: string;
};

/** Makes a key and its file. Throws `key-exists` rather than overwrite one. `beforeWrite` gets the new device. */
export function createKeyFile(
  path: string,
  passphrase: string,
  random: RandomBytes,
  beforeWrite: (device: Uint8Array) => void = () => undefined,
  cost: ScryptCost = scryptCost,
): KeyStore {
  if (existsSync(path)) throw new OperatingError('key-exists', `${path}: a key is there already`, { retry: 'never' });
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const publicKey = publicKeyOf(privateKey);
  const kdf = { name: 'scrypt', ...cost, salt: bytesToHex(random(saltBytes)) } as const;
  const cipher = { name: cipherName, nonce: bytesToHex(random(nonceBytes)) } as const;
  const outside = { version: 1, publicKey: bytesToHex(publicKey), kdf, cipher } as const;
  const sealing = createCipheriv(cipherName, deriveKey(passphrase, kdf), Buffer.from(cipher.nonce, 'hex'));
  sealing.setAAD(Buffer.from(JSON.stringify(outside)));
  const plain = privateKey.export({ type: 'pkcs8', format: 'der' });
  const box = concatBytes(sealing.update(plain), sealing.final(), sealing.getAuthTag());
  plain.fill(0);
  beforeWrite(deviceOf(publicKey));
  writeDurably(path, `${JSON.stringify({ ...outside, box: bytesToHex(box) })}\n`);
  return new FileKeyStore(privateKey, publicKey);
}

export function openKeyFile(path: string, passphrase: string): KeyStore {
  const file = readKeyFile(path);
  const { box: boxHex, ...outside } = file;
  const box = Buffer.from(boxHex, 'hex');
  const opening = createDecipheriv(cipherName, deriveKey(passphrase, file.kdf), Buffer.from(file.cipher.nonce, 'hex'));
  opening.setAAD(Buffer.from(JSON.stringify(outside)));
  opening.setAuthTag(box.subarray(-tagBytes));
  let privateKey: KeyObject;
  try {
    const plain = Buffer.concat([opening.update(box.subarray(0, -tagBytes)), opening.final()]);
    privateKey = createPrivateKey({ key: plain, format: 'der', type: 'pkcs8' });
    plain.fill(0);
  } catch (cause) {
    // GCM cannot tell one from the other, and OpenSSL's own words ("unable to authenticate data") help nobody.
    const message = `${path}: wrong passphrase, or the file was altered`;
    throw new OperatingError('key-passphrase-wrong', message, { retry: 'never', cause });
  }
  const publicKey = publicKeyOf(privateKey);
  if (bytesToHex(publicKey) !== file.publicKey) throw damaged(path, 'publicKey: not that of the key in the box');
  return new FileKeyStore(privateKey, publicKey);
}

/** Of a key's file in either store, without secrets: nothing is secret about it. */
export function readPublicKey(path: string): Uint8Array {
  const parsed = readJson(path);
  const hex = typeof parsed === 'object' && parsed !== null && 'publicKey' in parsed ? parsed.publicKey : undefined;
  const publicKey = typeof hex === 'string' ? parseHex(hex, 64) : undefined;
  if (publicKey === undefined) throw damaged(path, 'publicKey: expected 128 hex digits');
  return publicKey;
}

class FileKeyStore implements KeyStore {
  readonly #privateKey: KeyObject;
  readonly #publicKey: Uint8Array;

  constructor(privateKey: KeyObject, publicKey: Uint8Array) {
    this.#privateKey = privateKey;
    this.#publicKey = publicKey;
  }

  publicKey(): Uint8Array {
    return this.#publicKey;
  }

  device(): Uint8Array {
    return deviceOf(this.#publicKey);
  }

  sign(preimage: Uint8Array): Promise<Uint8Array> {
    const signature = sign('sha256', preimage, { key: this.#privateKey, dsaEncoding: 'ieee-p1363' });
    return Promise.resolve(toLowS(new Uint8Array(signature)));
  }
}

function publicKeyOf(privateKey: KeyObject): Uint8Array {
  const { x, y } = createPublicKey(privateKey).export({ format: 'jwk' });
  return new Uint8Array(Buffer.concat([Buffer.from(x ?? '', 'base64url'), Buffer.from(y ?? '', 'base64url')]));
}

function deriveKey(passphrase: string, { n, r, p, salt }: KeyFile['kdf']): Buffer {
  // NFKC, so that one passphrase typed on two keyboards is one passphrase (RFC 8265 §4.2 has the same reason).
  const typed = Buffer.from(passphrase.normalize('NFKC'));
  return scryptSync(typed, Buffer.from(salt, 'hex'), 32, { N: n, r, p, maxmem: scryptMemoryBytesMax + 1_048_576 });
}

function readKeyFile(path: string): KeyFile {
  const parsed = readJson(path);
  if (!isKeyFile(parsed)) throw damaged(path, 'not the fields of a key file of version 1');
  return parsed;
}

function readJson(path: string): unknown {
  let text: string;
  try {
    const { mode } = statSync(path);
    if ((mode & 0o077) !== 0) {
      const octal = (mode & 0o777).toString(8);
      throw new OperatingError('key-exposed', `${path}: mode: expected 600, got ${octal}`, { retry: 'never' });
    }
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if (cause instanceof OperatingError) throw cause;
    const message = `no key to read: ${describeError(cause)}; make one with keygen`;
    throw new OperatingError('key-missing', message, { retry: 'never', cause });
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw damaged(path, `${text.length} characters that are not JSON`, cause);
  }
}

function isKeyFile(value: unknown): value is KeyFile {
  if (typeof value !== 'object' || value === null) return false;
  const { version, publicKey, kdf, cipher, box } = value as { [Key in keyof KeyFile]?: unknown };
  if (version !== 1 || typeof kdf !== 'object' || kdf === null) return false;
  if (typeof cipher !== 'object' || cipher === null) return false;
  const { name, n, r, p, salt } = kdf as { [Key in keyof KeyFile['kdf']]?: unknown };
  const { name: named, nonce } = cipher as { [Key in keyof KeyFile['cipher']]?: unknown };
  // RFC 7914 §2: n is a power of 2 above 1.
  const isCost = isCount(n) && isCount(r) && isCount(p) && n > 1 && Number.isInteger(Math.log2(n)) && p <= 16;
  return (
    isHex(publicKey, 64) &&
    name === 'scrypt' &&
    isCost &&
    128 * n * r <= scryptMemoryBytesMax &&
    isHex(salt, saltBytes) &&
    named === cipherName &&
    isHex(nonce, nonceBytes) &&
    typeof box === 'string' &&
    box.length > 2 * tagBytes &&
    box.length < 2_048 &&
    isHex(box, box.length / 2)
  );
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 1;
}

function isHex(value: unknown, size: number): boolean {
  return typeof value === 'string' && Number.isInteger(size) && parseHex(value, size) !== undefined;
}

function damaged(path: string, detail: string, cause?: unknown): OperatingError {
  return new OperatingError('key-damaged', `${path}: ${detail}`, { retry: 'never', cause });
}
