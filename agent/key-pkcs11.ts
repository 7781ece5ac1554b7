/**
 * A key store behind PKCS #11: secure elements, TPMs (tpm2-pkcs11), smart cards. The key is made in the token and never
 * leaves it; on the disk is only which public key it has:
 *
 *   {"version":1, "store":"pkcs11", "publicKey":x‖y in hex}
 *
 * So the agent starts, samples and journals without the token, and what another token signs is refused. The token's own
 * process (pkcs11-token.ts) comes with the first signature and goes when there is nothing to sign.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bytesToHex, deviceOf, parseHex, toLowS } from '@coldproof/wire';
import { writeDurably } from './durable-file.ts';
import type { KeyStore } from './key-store.ts';
import { describeError, OperatingError } from './operating-error.ts';

export type TokenTerms = {
  readonly module: string;
  readonly token: string;
  readonly label: string;
  readonly pin: string;
  /** A person looks on, as at keygen: only then may a PIN be tried after a wrong one. */
  readonly isAttended: boolean;
};

export type TokenRequest = { readonly terms: TokenTerms } & (
  | { readonly ask: 'make' }
  | { readonly ask: 'sign'; readonly device: string; readonly digest: string }
);

export type TokenReason = 'away' | 'pin-wrong';

/** `bytes` in hex: the public key x ‖ y of what was made, or the signature r ‖ s. */
export type TokenAnswer =
  | { readonly ok: true; readonly bytes: string }
  | { readonly ok: false; readonly reason: TokenReason; readonly detail: string };

/** A TPM makes a key in seconds and a signature in a tenth of one. */
const answerMsMax = 20_000;

/** Makes a key in the token and notes it in `path`. Throws `key-exists` rather than lose sight of one. */
export async function createTokenKey(
  path: string,
  terms: TokenTerms,
  beforeWrite: (device: Uint8Array) => void = () => undefined,
): Promise<KeyStore> {
  if (existsSync(path)) throw new OperatingError('key-exists', `${path}: a key is there already`, { retry: 'never' });
  const publicKey = await new TokenProcess(terms).ask({ terms, ask: 'make' });
  beforeWrite(deviceOf(publicKey));
  const record = { version: 1, store: 'pkcs11', publicKey: bytesToHex(publicKey) };
  writeDurably(path, `${JSON.stringify(record)}\n`);
  return new TokenKeyStore(publicKey, terms);
}

/** Does not ask the token. Throws `key-missing` or `key-damaged`, of the note on the disk. */
export function openTokenKey(path: string, terms: TokenTerms): KeyStore {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const message = `no key to read: ${describeError(cause)}; make one with keygen`;
    throw new OperatingError('key-missing', message, { retry: 'never', cause });
  }
  const [, hex = ''] = /^\{"version":1,"store":"pkcs11","publicKey":"([0-9a-f]{128})"\}\s*$/.exec(text) ?? [];
  const publicKey = parseHex(hex, 64);
  if (publicKey !== undefined) return new TokenKeyStore(publicKey, terms);
  throw new OperatingError('key-damaged', `${path}: not the note of a key in a token, version 1`, { retry: 'never' });
}

class TokenKeyStore implements KeyStore {
  readonly #publicKey: Uint8Array;
  readonly #terms: TokenTerms;
  readonly #process: TokenProcess;
  /** After a wrong PIN nothing more is asked: some tokens lock at the third. */
  #wrongPin: OperatingError | undefined;

  constructor(publicKey: Uint8Array, terms: TokenTerms) {
    this.#publicKey = publicKey;
    this.#terms = terms;
    this.#process = new TokenProcess(terms);
  }

  publicKey(): Uint8Array {
    return this.#publicKey;
  }

  device(): Uint8Array {
    return deviceOf(this.#publicKey);
  }

  async sign(preimage: Uint8Array): Promise<Uint8Array> {
    if (this.#wrongPin !== undefined) throw this.#wrongPin;
    const digest = createHash('sha256').update(preimage).digest('hex');
    try {
      const signature = await this.#process.ask({
        terms: this.#terms,
        ask: 'sign',
        device: bytesToHex(this.device()),
        digest,
      });
      if (signature.length === 64) return toLowS(signature);
      throw away(this.#terms, `signature: expected 64 bytes, got ${signature.length}`);
    } catch (error) {
      if (error instanceof OperatingError && error.code === 'key-pin-wrong') this.#wrongPin = error;
      throw error;
    }
  }
}

/** One question at a time; the process is started when there is none, and killed when it is late. */
class TokenProcess {
  readonly #terms: TokenTerms;
  #child: ChildProcess | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(terms: TokenTerms) {
    this.#terms = terms;
  }

  ask(request: TokenRequest): Promise<Uint8Array> {
    const answer = this.#last.then(() => this.#askNow(request));
    this.#last = answer.catch(() => undefined);
    return answer;
  }

  async #askNow(request: TokenRequest): Promise<Uint8Array> {
    const child = (this.#child ??= this.#start());
    const answer = await new Promise<TokenAnswer>((resolve) => {
      const settle = (words: TokenAnswer) => {
        clearTimeout(timer);
        child.removeAllListeners('message');
        child.removeListener('exit', onExit);
        resolve(words);
      };
      const failed = (detail: string) => settle({ ok: false, reason: 'away', detail });
      const onExit = (code: number | null, signal: string | null) => {
        failed(`the module's process ended (${signal ?? `exit code ${code ?? 0}`})`);
      };
      const timer = setTimeout(() => {
        child.kill('SIGKILL');
        failed(`answer: expected within ${answerMsMax} ms, got none`);
      }, answerMsMax);
      child.once('exit', onExit);
      child.once('message', (words: TokenAnswer) => settle(words));
      child.send(request, (error) => {
        if (error !== null) failed(error.message);
      });
    });
    // A process that has met trouble is not asked again: the module's state is whatever the trouble made it.
    if (!answer.ok) this.#forget(child);
    if (!answer.ok && answer.reason === 'away') throw away(this.#terms, answer.detail);
    if (!answer.ok) throw new OperatingError('key-pin-wrong', answer.detail, { retry: 'never' });
    return new Uint8Array(Buffer.from(answer.bytes, 'hex'));
  }

  #start(): ChildProcess {
    const file = fileURLToPath(new URL('./pkcs11-token.js', import.meta.url));
    // Modules print what they like; the agent's stderr is JSON lines.
    const child = fork(file, [], { execArgv: [], stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    child.on('error', () => this.#forget(child));
    child.once('exit', () => this.#forget(child));
    // A process that waits for nothing else may end.
    child.unref();
    child.channel?.unref();
    return child;
  }

  #forget(child: ChildProcess): void {
    if (this.#child === child) this.#child = undefined;
  }
}

function away({ token, module }: TokenTerms, detail: string): OperatingError {
  return new OperatingError('key-away', `token "${token}" behind ${module}: ${detail}`, { retry: 'later' });
}
