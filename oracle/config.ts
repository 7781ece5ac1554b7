/**
 * The oracle's configuration: one YAML file, checked as a whole. All problems are reported together, each with its
 * path, its value and what was expected. Secrets never stand in the file, only the names of the variables with them.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { checkBroker, type EmbeddedBroker, type ExternalBroker } from './config-broker.ts';
import { readSections, type Section } from './config-section.ts';
import { isServerUrl } from './store-database.ts';
import { defaultWorkers } from './verify-pool.ts';

export type KeyConfig = {
  readonly stateDir: string;
  readonly passphrase: string;
  readonly logKeyFile: string;
  readonly transmitterKeyFile: string;
};

export type Config = KeyConfig & {
  readonly broker: EmbeddedBroker | ExternalBroker;
  /** A file, or the URL of a PostgreSQL database, which may hold a password. */
  readonly database: string;
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
  readonly http: { readonly host: string; readonly port: number };
};

const loopback = '127.0.0.1';
const portMax = 65_535;

/** Throws OperatingError 'config-invalid' with every problem on a line of its own. */
export function readConfig(path: string, environment: NodeJS.ProcessEnv): Config {
  return readSections(path, environment, (root) => {
    const keys = checkKeys(root);
    return { ...keys, database: checkDatabase(root, keys.stateDir, environment), ...checkRest(root) };
  });
}

/** Only what `init` needs: the contracts may not be deployed yet. */
export function readKeyConfig(path: string, environment: NodeJS.ProcessEnv): KeyConfig {
  return readSections(path, environment, (root) => {
    root.ignoreUnread();
    return checkKeys(root);
  });
}

function checkKeys(root: Section): KeyConfig {
  const stateDir = root.text('stateDir');
  if (stateDir !== '' && !mayBeFolder(stateDir)) root.problem('stateDir', stateDir, 'a folder');
  const passphrase = root.section('chain').secret('passphraseEnv', 'COLDPROOF_PASSPHRASE');
  const logKeyFile = root.section('log').text('keyFile', join(stateDir, 'log-key.json'));
  const transmitterKeyFile = root.section('chain').text('transmitterKeyFile', join(stateDir, 'transmitter-key.json'));
  return { stateDir, passphrase, logKeyFile, transmitterKeyFile };
}

/** `database.urlEnv` names the variable; DATABASE_URL counts also without it. Else it is a file in the state folder. */
function checkDatabase(root: Section, stateDir: string, environment: NodeJS.ProcessEnv): string {
  const database = root.section('database');
  const isNamed = database.has('urlEnv') || environment['DATABASE_URL'] !== undefined;
  if (!isNamed) return join(stateDir, 'oracle.db');
  const url = database.secret('urlEnv', 'DATABASE_URL');
  if (url !== '' && !isServerUrl(url))
    database.problem('urlEnv', database.text('urlEnv', 'DATABASE_URL'), 'a variable with a postgres:// URL');
  return url;
}

function checkRest(root: Section): Omit<Config, keyof KeyConfig | 'database'> {
  const broker = root.section('broker');
  const verify = root.section('verify');
  const log = root.section('log');
  const http = root.section('http');
  const origin = log.text('origin', 'coldproof.local/log');
  // c2sp.org/tlog-checkpoint: a schema-less URL, no spaces and no plus signs.
  if (!/^[a-z0-9.-]+(\/[A-Za-z0-9._~/-]*)?$/.test(origin)) log.problem('origin', origin, 'a URL without its schema');
  return {
    broker: checkBroker(broker, loopback),
    verify: {
      workers: verify.integer('workers', { least: 1, most: 256, fallback: defaultWorkers }),
      queueMax: verify.integer('queueMax', { least: 1, most: 1_000_000, fallback: 8_192 }),
    },
    origin,
    chain: checkChain(root.section('chain')),
    http: {
      host: http.text('host', loopback),
      port: http.integer('port', { least: 0, most: portMax, fallback: 8080 }),
    },
  };
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
