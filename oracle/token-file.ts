/**
 * The file of API tokens: who may ask what. A token is shown once, when it is made, and kept as a digest only: it has
 * 256 random bits, so that a plain SHA-256 hides it. The commands write the file, a running oracle reads it again when
 * it has changed; it is apart from the store, which a running oracle has to itself.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { statSync } from 'node:fs';
import { bytesToHex, parseHex, readShape, shapes, type Json, type ValueOf } from '@coldproof/wire';
import { opensslSha256 as sha256 } from './openssl-crypto.ts';
import { OperatingError, describeError } from './operating-error.ts';
import { readSecretFile, writeSecretFile } from './secret-file.ts';

export const scopes = ['shipments', 'readings', 'exports', 'events', 'audit', 'metrics', 'webhooks'] as const;
export type Scope = (typeof scopes)[number];

const { struct, list, integer, text, nullable, literal, oneOf } = shapes;

const idShape = text(/^[0-9a-f]{12}$/, '12 hex digits');
const timeMs = integer(0, Number.MAX_SAFE_INTEGER);

const tokenShape = struct({
  id: idShape,
  label: text(/^[ -~]{1,64}$/, 'up to 64 plain characters'),
  digest: text(/^[0-9a-f]{64}$/, '64 hex digits'),
  scopes: list(oneOf(scopes), 1, scopes.length),
  /** Sees the orders of this party only: buyer, supplier, carrier or consignee. Null: of all. */
  party: nullable(text(/^0x[0-9a-f]{40}$/, '0x and 40 lower-case hex digits')),
  /** Of those, these only. Null: all. */
  orders: nullable(list(text(/^[1-9][0-9]{0,77}$/, 'an order'), 1, 10_000)),
  /** Samples of these channels only. Null: of all. */
  channels: nullable(list(integer(0, 255), 1, 256)),
  createdMs: timeMs,
  expiresMs: nullable(timeMs),
});
const fileShape = struct({ version: literal(1), tokens: list(tokenShape, 0, 10_000) });

export type Token = ValueOf<typeof tokenShape>;
export type TokenSpec = Omit<Token, 'id' | 'digest'>;

const prefix = 'coldproof';

/** Makes a token and gives its text, which nobody can show again. */
export function createToken(path: string, spec: TokenSpec): { readonly id: string; readonly token: string } {
  const id = bytesToHex(randomBytes(6));
  const secret = randomBytes(32);
  const token = { ...spec, id, digest: bytesToHex(sha256(secret)) };
  const checked = readShape(tokenShape, token as Json, 'token');
  if (!checked.ok) throw new OperatingError('config-invalid', checked.detail, { retry: 'never' });
  writeTokens(path, [...readTokens(path), checked.value]);
  return { id, token: `${prefix}_${id}_${bytesToHex(secret)}` };
}

/** Says whether there was such a token. */
export function revokeToken(path: string, id: string): boolean {
  const tokens = readTokens(path);
  const left = tokens.filter((token) => token.id !== id);
  if (left.length < tokens.length) writeTokens(path, left);
  return left.length < tokens.length;
}

/** None when there is no file. */
export function readTokens(path: string): readonly Token[] {
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return [];
  const shaped = readShape(fileShape, parse(path, readSecretFile(path)), path);
  if (!shaped.ok) throw new OperatingError('key-unusable', shaped.detail, { retry: 'never' });
  return shaped.value.tokens;
}

function writeTokens(path: string, tokens: readonly Token[]): void {
  writeSecretFile(path, `${JSON.stringify({ version: 1, tokens }, undefined, 2)}\n`);
}

function parse(path: string, content: string): Json {
  try {
    return JSON.parse(content) as Json;
  } catch (cause) {
    throw new OperatingError('key-unusable', `${path}: ${describeError(cause)}`, { retry: 'never', cause });
  }
}

/** The tokens as they are now. */
export class TokenFile {
  readonly #path: string;
  #stamp = 'never read';
  #tokens: readonly Token[] = [];
  readonly #onChange: (tokens: readonly Token[]) => void;

  /** `onChange` is told what is read, the first time and after each change. */
  constructor(path: string, onChange: (tokens: readonly Token[]) => void = () => undefined) {
    this.#path = path;
    this.#onChange = onChange;
  }

  /** Throws 'key-unusable' for a file that cannot be used: nobody is let in by mistake. */
  all(): readonly Token[] {
    const found = statSync(this.#path, { throwIfNoEntry: false });
    const stamp = found === undefined ? 'absent' : `${found.mtimeMs}:${found.size}:${found.ino}`;
    if (stamp !== this.#stamp) {
      this.#tokens = readTokens(this.#path);
      this.#stamp = stamp;
      this.#onChange(this.#tokens);
    }
    return this.#tokens;
  }

  /** The token that a text is, when it is one and has not expired. */
  find(textOf: string, nowMs: number): Token | undefined {
    const [, id, secretHex = ''] = /^coldproof_([0-9a-f]{12})_([0-9a-f]{64})$/.exec(textOf) ?? [];
    const token = this.all().find((each) => each.id === id);
    const secret = parseHex(secretHex, 32);
    if (token === undefined || secret === undefined) return undefined;
    const isRight = timingSafeEqual(sha256(secret), Buffer.from(token.digest, 'hex'));
    return isRight && (token.expiresMs === null || nowMs < token.expiresMs) ? token : undefined;
  }
}
