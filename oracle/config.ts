/**
 * The oracle's configuration: one YAML file, checked as a whole. All problems are reported together, each with its
 * path, its value and what was expected. Secrets never stand in the file, only the names of the variables with them.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { parseHex } from '@coldproof/wire';
import { readSections, type Section } from './config-section.ts';
import { checkWebhooks } from './config-webhook.ts';
import { defaultWorkers } from './verify-pool.ts';
import type { WebhookSettings } from './webhook.ts';

export type KeyConfig = {
  readonly stateDir: string;
  readonly passphrase: string;
  readonly logKeyFile: string;
  readonly transmitterKeyFile: string;
  /** Of API tokens, absent while there are none. */
  readonly tokenFile: string;
};

export type Config = KeyConfig & {
  readonly broker: {
    readonly host: string;
    readonly port: number;
    readonly credentials: readonly {
      readonly username: string;
      readonly password: string;
      readonly devices: readonly string[];
    }[];
  };
  readonly verify: { readonly workers: number; readonly queueMax: number };
  readonly origin: string;
  readonly chain: {
    readonly rpcUrl: string;
    readonly chainId: number;
    readonly contracts: Readonly<Record<'DeviceRegistry' | 'Agreements' | 'Shipments' | 'Fleet', string>>;
    readonly fromBlock: number;
    readonly pollMs: number;
    readonly feeWeiMax: bigint;
    readonly resendMs: number;
    readonly bumpMs: number;
    readonly retryMs: number;
  };
  readonly http: { readonly host: string; readonly port: number; readonly requestsPerMinMax: number };
  readonly webhooks: readonly WebhookSettings[];
};

const loopback = '127.0.0.1';
const portMax = 65_535;

/** Throws OperatingError 'config-invalid' with every problem on a line of its own. */
export function readConfig(path: string, environment: NodeJS.ProcessEnv): Config {
  return readSections(path, environment, (root) => ({ ...checkKeys(root), ...checkRest(root) }));
}

/** Only what `init` needs: the contracts may not be deployed yet. */
export function readKeyConfig(path: string, environment: NodeJS.ProcessEnv): KeyConfig {
  return readSections(path, environment, (root) => {
    root.ignoreUnread();
    return checkKeys(root);
  });
}

/** Only where the tokens stand: whoever makes one needs no passphrase. */
export function readTokenPath(path: string): string {
  return readSections(path, {}, (root) => {
    root.ignoreUnread();
    return root.section('http').text('tokenFile', join(root.text('stateDir'), 'tokens.json'));
  });
}

function checkKeys(root: Section): KeyConfig {
  const stateDir = root.text('stateDir');
  if (stateDir !== '' && !mayBeFolder(stateDir)) root.problem('stateDir', stateDir, 'a folder');
  const passphrase = root.section('chain').secret('passphraseEnv', 'COLDPROOF_PASSPHRASE');
  const logKeyFile = root.section('log').text('keyFile', join(stateDir, 'log-key.json'));
  const transmitterKeyFile = root.section('chain').text('transmitterKeyFile', join(stateDir, 'transmitter-key.json'));
  const tokenFile = root.section('http').text('tokenFile', join(stateDir, 'tokens.json'));
  return { stateDir, passphrase, logKeyFile, transmitterKeyFile, tokenFile };
}

function checkRest(root: Section): Omit<Config, keyof KeyConfig> {
  const broker = root.section('broker');
  const verify = root.section('verify');
  const log = root.section('log');
  const http = root.section('http');
  const origin = log.text('origin', 'coldproof.local/log');
  // c2sp.org/tlog-checkpoint: a schema-less URL, no spaces and no plus signs.
  if (!/^[a-z0-9.-]+(\/[A-Za-z0-9._~/-]*)?$/.test(origin)) log.problem('origin', origin, 'a URL without its schema');
  return {
    broker: {
      host: broker.text('host', loopback),
      port: broker.integer('port', { least: 0, most: portMax, fallback: 1883 }),
      credentials: checkCredentials(broker),
    },
    verify: {
      workers: verify.integer('workers', { least: 1, most: 256, fallback: defaultWorkers }),
      queueMax: verify.integer('queueMax', { least: 1, most: 1_000_000, fallback: 8_192 }),
    },
    origin,
    chain: checkChain(root.section('chain')),
    http: {
      host: http.text('host', loopback),
      port: http.integer('port', { least: 0, most: portMax, fallback: 8080 }),
      requestsPerMinMax: http.integer('requestsPerMinMax', { least: 1, most: 1_000_000, fallback: 600 }),
    },
    webhooks: checkWebhooks(root),
  };
}

function checkCredentials(broker: Section): Config['broker']['credentials'] {
  const usernames = new Set<string>();
  const holders = new Map<string, string>();
  return broker.list('credentials').map((entry) => {
    const username = entry.text('username');
    if (usernames.has(username)) entry.problem('username', username, 'a name that no other entry has');
    usernames.add(username);
    const devices = entry.texts('devices');
    for (const device of devices) {
      if (parseHex(device, 32) === undefined) entry.problem('devices', device, '64 lower-case hex digits');
      const holder = holders.get(device);
      if (holder !== undefined) entry.problem('devices', device, `a device that ${holder} does not have`);
      holders.set(device, username);
    }
    return { username, password: entry.secret('passwordEnv'), devices };
  });
}

function checkChain(chain: Section): Config['chain'] {
  const rpcUrl = chain.text('rpcUrl');
  if (rpcUrl !== '' && !/^https?:$/.test(urlOf(rpcUrl)?.protocol ?? ''))
    chain.problem('rpcUrl', rpcUrl, 'an http(s) URL');
  const contracts = chain.section('contracts');
  const address = (name: string): string => {
    const text = contracts.text(name);
    if (text !== '' && !/^0x[0-9a-fA-F]{40}$/.test(text)) contracts.problem(name, text, '0x and 40 hex digits');
    return text;
  };
  const seconds = (key: string, fallback: number) => chain.integer(key, { least: 1, most: 86_400, fallback }) * 1_000;
  return {
    rpcUrl,
    chainId: chain.integer('chainId', { least: 1, most: Number.MAX_SAFE_INTEGER }),
    contracts: {
      DeviceRegistry: address('DeviceRegistry'),
      Agreements: address('Agreements'),
      Shipments: address('Shipments'),
      Fleet: address('Fleet'),
    },
    fromBlock: chain.integer('fromBlock', { least: 0, most: Number.MAX_SAFE_INTEGER, fallback: 0 }),
    pollMs: chain.integer('pollMs', { least: 10, most: 3_600_000, fallback: 4_000 }),
    feeWeiMax: BigInt(chain.integer('feeCapGwei', { least: 1, most: 1_000_000, fallback: 200 })) * 1_000_000_000n,
    resendMs: seconds('resendSec', 30),
    bumpMs: seconds('bumpSec', 60),
    retryMs: seconds('retrySec', 5),
  };
}

function urlOf(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}

/** It is made at start when it is absent. */
function mayBeFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() !== false;
}
