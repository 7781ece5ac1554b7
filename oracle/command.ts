/** What `main.js` does besides running: tokens of the API, and checking a bundle without anything else. */
import { readFileSync } from 'node:fs';
import { parseChannel, verifyBundle, type BundleTrust } from '@coldproof/wire';
import { readTokenPath } from './config.ts';
import { opensslCrypto } from './openssl-crypto.ts';
import { OperatingError, describeError } from './operating-error.ts';
import { createToken, readTokens, revokeToken, scopes, type Scope, type TokenSpec } from './token-file.ts';

export type TokenOptions = {
  readonly config: string;
  readonly label?: string;
  readonly scope?: readonly string[];
  readonly party?: string;
  readonly orders?: string;
  readonly channels?: string;
  readonly days?: string;
  readonly id?: string;
};

/** create | list | revoke. Gives the line to print. */
export function tokenCommand(verb: string | undefined, options: TokenOptions, nowMs: number): string {
  const path = readTokenPath(options.config);
  if (verb === 'create') return JSON.stringify(createToken(path, specOf(options, nowMs)));
  if (verb === 'list') {
    const shown = readTokens(path).map((token) => ({ ...token, digest: undefined }));
    return JSON.stringify(shown);
  }
  if (verb === 'revoke' && options.id !== undefined) {
    if (!revokeToken(path, options.id)) throw invalid('id', options.id, 'the id of a token');
    return JSON.stringify({ revoked: options.id });
  }
  throw invalid('token', verb ?? 'nothing', 'create, list, or revoke with --id');
}

const dayMs = 86_400_000;

function specOf({ label, scope = [], party, orders, channels, days }: TokenOptions, nowMs: number): TokenSpec {
  const names = scope.flatMap((each) => each.split(','));
  if (names.length === 0) throw invalid('scope', 'nothing', `some of ${scopes.join(', ')}`);
  const channelNumbers = channels?.split(',').map((name) => {
    const channel = parseChannel(name);
    if (channel === undefined) throw invalid('channels', name, 'a channel of wire/WIRE.md');
    return channel;
  });
  const dayCount = days === undefined ? undefined : Number(days);
  if (dayCount !== undefined && !(dayCount > 0 && dayCount <= 3_650)) throw invalid('days', days!, 'up to 3650');
  return {
    label: label ?? names.join(' '),
    // What is no scope is refused by the file's own check, with its name.
    scopes: names as Scope[],
    party: party?.toLowerCase() ?? null,
    orders: orders?.split(',') ?? null,
    channels: channelNumbers ?? null,
    createdMs: nowMs,
    expiresMs: dayCount === undefined ? null : nowMs + dayCount * dayMs,
  };
}

/** Each check with its verdict, and whether the bundle is sound. Nothing but the file is read. */
export function verifyCommand(path: string, trust: BundleTrust): { readonly text: string; readonly isSound: boolean } {
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new OperatingError('config-invalid', `${path}: ${describeError(cause)}`, { retry: 'never', cause });
  }
  // An editor puts a newline at the end; the text that was signed has none.
  const { checks, isSound } = verifyBundle(content.replace(/\n$/, ''), opensslCrypto(), trust);
  const lines = checks.map(({ name, verdict }) => {
    const said = verdict.ok ? `ok      ${verdict.value}` : `REFUSED ${verdict.reason}: ${verdict.detail}`;
    return `${name.padEnd(10)} ${said}`;
  });
  const end = isSound ? 'sound: every check passed' : 'NOT sound';
  return { text: [...lines, end].join('\n'), isSound };
}

function invalid(option: string, value: string, expected: string): OperatingError {
  return new OperatingError('config-invalid', `--${option}: expected ${expected}, got ${value}`, { retry: 'never' });
}
