/** What `main.js` does besides running: tokens of the API, party keys, and checking a bundle without anything else. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import {
  bytesToHex,
  flags,
  parseChannel,
  partyOf,
  verifyBundle,
  type BundleReport,
  type BundleTrust,
} from '@coldproof/wire';
import { readTokenPath } from './config.ts';
import { csvHead, csvRow } from './exports/csv.ts';
import { opensslCrypto } from './openssl-crypto.ts';
import { OperatingError, describeError } from './operating-error.ts';
import { makePartyKey, openPartyKey, readPartyPublicKey } from './party-key.ts';
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

type Environment = { readonly [name: string]: string | undefined };

const passphraseName = 'COLDPROOF_PARTY_PASSPHRASE';

/** Makes the key where there is none. Gives the line to print: the key for the agent's file, and its name in leaves. */
export function partyKeyCommand(path: string, environment: Environment): string {
  const publicKey = existsSync(path) ? readPartyPublicKey(path) : makePartyKey(path, partyPassphrase(environment));
  return JSON.stringify({ publicKey: bytesToHex(publicKey), party: bytesToHex(partyOf(publicKey)) });
}

function partyPassphrase(environment: Environment): string {
  const passphrase = environment[passphraseName] ?? '';
  if (passphrase !== '') return passphrase;
  throw new OperatingError('config-invalid', `${passphraseName}: expected a passphrase, got none`, { retry: 'never' });
}

/** What a party adds to the check of a bundle: its key's file, and where to write what the key has opened. */
export type PartyOptions = { readonly partyKey?: string; readonly out?: string };

export function partySecret({ partyKey }: PartyOptions, environment: Environment): { partySecret?: Uint8Array } {
  return partyKey === undefined ? {} : { partySecret: openPartyKey(partyKey, partyPassphrase(environment)) };
}

/** Each check with its verdict, and whether the bundle is sound. Nothing but the file is read. */
export function verifyCommand(
  path: string,
  trust: BundleTrust,
  { out }: PartyOptions = {},
): { readonly text: string; readonly isSound: boolean } {
  if (out !== undefined && trust.partySecret === undefined) throw invalid('party-key', 'nothing', 'it beside --out');
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new OperatingError('config-invalid', `${path}: ${describeError(cause)}`, { retry: 'never', cause });
  }
  // An editor puts a newline at the end; the text that was signed has none.
  const report = verifyBundle(content.replace(/\n$/, ''), opensslCrypto(), trust);
  const { checks, isSound } = report;
  const lines = checks.map(({ name, verdict }) => {
    const said = verdict.ok ? `ok      ${verdict.value}` : `REFUSED ${verdict.reason}: ${verdict.detail}`;
    return `${name.padEnd(10)} ${said}`;
  });
  if (out !== undefined) writeOpened(out, report);
  const end = isSound ? 'sound: every check passed' : 'NOT sound';
  return { text: [...lines, end].join('\n'), isSound };
}

/** As the API's CSV has readings; of an order whose supplier the bundle does not tell. */
function writeOpened(path: string, { open, opened, isSound }: BundleReport): void {
  if (open === undefined || !isSound) throw invalid('out', path, 'a sound bundle to take readings from');
  const { order, terms, device } = open.bundle;
  const { orderId, agreementId, device: id } = order;
  const subject = { orderId, agreementId, supplier: '', carrier: terms.carrier, consignee: terms.consignee };
  const bits = new Map(open.batches.map(({ batch }) => [batch.sequence, batch.flags]));
  const rows = opened.flatMap(({ sequence, series }) =>
    series.flatMap(({ channel, marks, samples }) =>
      samples.map(({ timeSec, value }) => {
        const isSensorSigned = (bits.get(sequence)! & flags.sensorSigned) !== 0;
        const reading = { channel, timeSec, value, marks, isSensorSigned, sequence };
        return csvRow({ ...subject, asset: device.asset, device: id }, reading);
      }),
    ),
  );
  try {
    writeFileSync(path, [csvHead, ...rows].join(''), { mode: 0o600 });
  } catch (cause) {
    throw new OperatingError('config-invalid', `--out ${path}: ${describeError(cause)}`, { retry: 'never', cause });
  }
}

function invalid(option: string, value: string, expected: string): OperatingError {
  return new OperatingError('config-invalid', `--${option}: expected ${expected}, got ${value}`, { retry: 'never' });
}
