/**
 * The owner's side, as commands: `owner-keygen`, `sign-config`, `sign-command`. They need no agent and no network: what
 * they make is a file to publish (retained, QoS 1) with any MQTT client.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import {
  bytesToHex,
  commandLifeSecMax,
  commandNames,
  encodeOwnerCommand,
  encodeOwnerConfig,
  encodeOwnerMessage,
  formatTopic,
  ownerConfigBytesMax,
  ownerPreimage,
  parseHex,
  verifyOwnerCommand,
  verifyOwnerConfig,
  type OwnerMessage,
} from '@coldproof/wire';
import { parse } from 'yaml';
import { amendWith } from './config-remote.ts';
import { parseConfig } from './config.ts';
import { createKeyFile, openKeyFile, type KeyStore } from './key-store.ts';
import { describeError, OperatingError } from './operating-error.ts';

/** Of parseArgs. */
export const ownerOptions = {
  key: { type: 'string' },
  number: { type: 'string' },
  settings: { type: 'string' },
  name: { type: 'string' },
  command: { type: 'string' },
  argument: { type: 'string' },
  id: { type: 'string' },
  'expires-sec': { type: 'string' },
  out: { type: 'string' },
} as const;

type OptionName = keyof typeof ownerOptions | 'config' | 'device';
export type OwnerOptions = { readonly [name in OptionName]?: string | undefined };

const passphraseVariable = 'COLDPROOF_OWNER_PASSPHRASE';
const expiresSecUsual = 86_400;

export const ownerCommands: {
  readonly [name: string]: (options: OwnerOptions, environment: NodeJS.ProcessEnv, nowSec: number) => Promise<object>;
} = {
  'owner-keygen': (options, environment) => Promise.resolve(keygen(options, environment)),
  'sign-config': signConfig,
  'sign-command': signCommand,
};

/** P-256, encrypted as device keys are; prints what goes into `owner: { publicKey }` of the gateways. */
function keygen(options: OwnerOptions, environment: NodeJS.ProcessEnv): object {
  const keyStore = createKeyFile(required(options, 'key'), passphraseOf(environment), randomBytes);
  return { publicKey: bytesToHex(keyStore.publicKey()) };
}

/** With --config and --name, the whole is checked before it is signed, as the gateway will check it. */
async function signConfig(options: OwnerOptions, environment: NodeJS.ProcessEnv): Promise<object> {
  const device = deviceOf(options);
  const number = integerOf(options, 'number', 1, Number.MAX_SAFE_INTEGER);
  const settings = readSettings(required(options, 'settings'));
  if (options.config !== undefined) checkWith(options.config, required(options, 'name'), settings);
  const keyStore = open(options, environment);
  const body = encodeOwnerConfig({ device, number, settings });
  const message = await signed('config', body, keyStore);
  const verdict = verifyOwnerConfig(message, keyStore.publicKey(), device);
  if (!verdict.ok) throw invalid(`--settings: ${verdict.detail} (at most ${ownerConfigBytesMax} bytes in all)`);
  return written(options, message, { number, topic: formatTopic(device, 'config') });
}

async function signCommand(options: OwnerOptions, environment: NodeJS.ProcessEnv, nowSec: number): Promise<object> {
  const device = deviceOf(options);
  const name = commandNames.find((each) => each === options.command);
  if (name === undefined) {
    throw invalid(`--command: expected one of ${commandNames.join(', ')}, got "${options.command ?? ''}"`);
  }
  const argument = integerOf(options, 'argument', 0, Number.MAX_SAFE_INTEGER);
  const lifeSec = integerOf(options, 'expires-sec', 1, commandLifeSecMax, expiresSecUsual);
  const id = options.id === undefined ? new Uint8Array(randomBytes(16)) : parseHex(options.id, 16);
  if (id === undefined) throw invalid(`--id: expected 32 lower-case hex digits, got "${options.id ?? ''}"`);
  const keyStore = open(options, environment);
  const command = { device, id, expiresSec: nowSec + lifeSec, name, argument };
  const message = await signed('command', encodeOwnerCommand(command), keyStore);
  const verdict = verifyOwnerCommand(message, keyStore.publicKey(), device);
  if (!verdict.ok) throw invalid(verdict.detail);
  const { expiresSec } = command;
  return written(options, message, {
    id: bytesToHex(id),
    name,
    argument,
    expiresSec,
    topic: formatTopic(device, 'command'),
  });
}

async function signed(kind: OwnerMessage, body: Uint8Array, keyStore: KeyStore): Promise<Uint8Array> {
  const publicKey = keyStore.publicKey();
  return encodeOwnerMessage(body, publicKey, await keyStore.sign(ownerPreimage(kind, publicKey, body)));
}

function written(options: OwnerOptions, message: Uint8Array, answer: object): object {
  const out = required(options, 'out');
  try {
    writeFileSync(out, message);
  } catch (cause) {
    throw invalid(`--out: ${describeError(cause)}`);
  }
  return { ...answer, out, bytes: message.length };
}

/** YAML or JSON, as JSON without white space. */
function readSettings(path: string): string {
  let settings: unknown;
  try {
    settings = parse(readFileSync(path, 'utf8'), { maxAliasCount: 0 });
  } catch (cause) {
    throw invalid(`--settings: ${describeError(cause)}`);
  }
  return JSON.stringify(settings ?? {});
}

function checkWith(path: string, name: string, settings: string): void {
  let yaml: string;
  try {
    yaml = readFileSync(path, 'utf8');
  } catch (cause) {
    throw invalid(`--config: ${describeError(cause)}`);
  }
  const checked = parseConfig(yaml, amendWith(new Map([[name, { number: 1, settings }]])));
  if (!checked.ok) throw invalid(`${path} with these settings:\n${checked.detail}`);
  if (checked.value.devices.every((each) => each.name !== name)) {
    throw invalid(`--name: expected a device of ${path}, got "${name}"`);
  }
}

function open(options: OwnerOptions, environment: NodeJS.ProcessEnv): KeyStore {
  return openKeyFile(required(options, 'key'), passphraseOf(environment));
}

function passphraseOf(environment: NodeJS.ProcessEnv): string {
  const passphrase = environment[passphraseVariable];
  if (passphrase !== undefined && passphrase !== '') return passphrase;
  throw new OperatingError('secret-missing', `expected a passphrase in $${passphraseVariable}, got nothing`, {
    retry: 'never',
  });
}

function deviceOf(options: OwnerOptions): Uint8Array {
  const device = parseHex(options.device ?? '', 32);
  if (device !== undefined) return device;
  throw invalid(`--device: expected 64 lower-case hex digits, got "${options.device ?? ''}"`);
}

function integerOf(options: OwnerOptions, name: OptionName, least: number, most: number, fallback?: number): number {
  const text = options[name] ?? (fallback === undefined ? '' : String(fallback));
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
  throw invalid(`--${name}: expected an integer, ${least} <= n <= ${most}, got "${text}"`);
}

function required(options: OwnerOptions, name: OptionName): string {
  const value = options[name];
  if (value !== undefined && value !== '') return value;
  throw invalid(`--${name}: expected a value, got nothing`);
}

function invalid(message: string): OperatingError {
  return new OperatingError('config-invalid', message, { retry: 'never' });
}
