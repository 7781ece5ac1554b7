/**
 * A secret key at rest: scrypt (RFC 7914) and AES-256-GCM, in a JSON file that its owner alone can read. The public name
 * of the key stands beside it in the clear and is bound in, so that a file cannot be told to be another key's.
 */
import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from 'node:crypto';
import { bytesToHex, parseHex } from '@coldproof/wire';
import { OperatingError } from './operating-error.ts';
import { readSecretFile, writeSecretFile } from './secret-file.ts';

/** 2^15 and r = 8 take 32 MiB and about 0.1 s, paid once at start. */
const scryptCost = { N: 1 << 15, r: 8, p: 1, maxmem: 64 * 1024 * 1024 } as const;
const keyFileVersion = 1;

/** What kind of key it is, for messages; under which name the public part stands, and how many bytes that has. */
export type KeyForm = { readonly what: string; readonly publicField: string; readonly publicBytes: number };

export function sealKey(path: string, form: KeyForm, named: Uint8Array, secret: Uint8Array, passphrase: string): void {
  const salt = randomBytes(16);
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', scryptSync(passphrase, salt, 32, scryptCost), iv);
  cipher.setAAD(named);
  const sealed = Buffer.concat([cipher.update(secret), cipher.final()]);
  const file = {
    version: keyFileVersion,
    [form.publicField]: bytesToHex(named),
    salt: salt.toString('hex'),
    iv: iv.toString('hex'),
    sealed: sealed.toString('hex'),
    tag: cipher.getAuthTag().toString('hex'),
  };
  writeSecretFile(path, `${JSON.stringify(file, null, 2)}\n`);
}

/** Only the public part, which needs no passphrase. */
export function readKeyName(path: string, form: KeyForm): Uint8Array {
  return parseKeyFile(path, form).named;
}

/** `read` makes the key of its bytes; what it throws means that they are none. */
export function openSealedKey<Key>(
  path: string,
  form: KeyForm,
  passphrase: string,
  read: (secret: Uint8Array) => Key,
): { readonly named: Uint8Array; readonly key: Key } {
  const { named, salt, iv, sealed, tag } = parseKeyFile(path, form);
  const decipher = createDecipheriv('aes-256-gcm', scryptSync(passphrase, salt, 32, scryptCost), iv);
  decipher.setAAD(named);
  decipher.setAuthTag(tag);
  try {
    return { named, key: read(Buffer.concat([decipher.update(sealed), decipher.final()])) };
  } catch (cause) {
    throw unusable(form, path, 'wrong passphrase, or the file was changed', cause);
  }
}

function parseKeyFile(path: string, form: KeyForm) {
  const text = readSecretFile(path);
  let file: Partial<Record<string, unknown>> | null;
  try {
    // Every field is checked below.
    file = JSON.parse(text) as Partial<Record<string, unknown>> | null;
  } catch (cause) {
    throw unusable(form, path, 'not JSON', cause);
  }
  if (file?.['version'] !== keyFileVersion) throw unusable(form, path, `version: expected ${keyFileVersion}`);
  const field = (name: string, size?: number): Uint8Array => {
    const value = file[name];
    const bytes = typeof value === 'string' ? parseHex(value, size ?? value.length / 2) : undefined;
    if (bytes === undefined) throw unusable(form, path, `${name}: expected ${size ?? 'some'} bytes in hex`);
    return bytes;
  };
  return {
    named: field(form.publicField, form.publicBytes),
    salt: field('salt', 16),
    iv: field('iv', 12),
    sealed: field('sealed'),
    tag: field('tag', 16),
  };
}

function unusable({ what }: KeyForm, path: string, why: string, cause?: unknown): OperatingError {
  return new OperatingError('key-unusable', `${what} ${path}: ${why}`, { retry: 'never', cause });
}
