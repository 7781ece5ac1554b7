/**
 * The oracle's configuration: one YAML file, checked as a whole. All problems are reported together, each with its
 * path, its value and what was expected. Secrets never stand in the file, only the names of the variables with them.
 */
import { statSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { checkBroker, type EmbeddedBroker, type ExternalBroker } from './config-broker.ts';
import { checkChain, checkSigner, type ChainConfig, type SignerConfig } from './config-chain.ts';
import { checkAttestationKey, checkQuorum, type QuorumConfig } from './config-quorum.ts';
import { readSections, type Section } from './config-section.ts';
import { checkWebhooks } from './config-webhook.ts';
import { isServerUrl } from './store-database.ts';
import { defaultWorkers } from './verify-pool.ts';
import type { WebhookSettings } from './webhook.ts';

export type KeyConfig = {
  readonly stateDir: string;
  readonly passphrase: string;
  readonly logKeyFile: string;
  readonly transmitterKeyFile: string;
  /** Signs in place of that file's key, which is then not read. */
  readonly signer: SignerConfig | undefined;
  /** Of API tokens, absent while there are none. */
  readonly tokenFile: string;
  /** Only in a consortium, and only when the account that pays does not attest, too. */
  readonly attestationKeyFile: string | undefined;
};

export type OracleWorker = {
  /** Of its own for each process. */
  readonly name: string;
  /** Another takes over from one that is silent for so long. */
  readonly leaseMs: number;
};

export type Config = KeyConfig & {
  readonly broker: EmbeddedBroker | ExternalBroker;
  /** A file, or the URL of a PostgreSQL database, which may hold a password. */
  readonly database: string;
  /** Present when this process is one of several on one database. */
  readonly worker?: OracleWorker | undefined;
  readonly verify: { readonly workers: number; readonly queueMax: number };
  readonly origin: string;
  /** Envelopes that were logged longer ago are removed; undefined keeps all. */
  readonly retentionDays: number | undefined;
  readonly chain: ChainConfig;
  readonly http: { readonly host: string; readonly port: number; readonly requestsPerMinMax: number };
  readonly webhooks: readonly WebhookSettings[];
  /** Undefined for an oracle that stands alone. */
  readonly quorum: QuorumConfig | undefined;
};

const loopback = '127.0.0.1';
const portMax = 65_535;

/** Throws OperatingError 'config-invalid' with every problem on a line of its own. */
export function readConfig(path: string, environment: NodeJS.ProcessEnv): Config {
  return readSections(path, environment, (root) => {
    const keys = checkKeys(root);
    const database = checkDatabase(root, keys.stateDir, environment);
    const rest = checkRest(root);
    const worker = checkWorker(root, { database, broker: rest.broker });
    return { ...keys, database, worker, ...rest, quorum: checkQuorum(root, keys) };
  });
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
  const signer = checkSigner(root);
  const tokenFile = root.section('http').text('tokenFile', join(stateDir, 'tokens.json'));
  const attestationKeyFile = checkAttestationKey(root, stateDir);
  return { stateDir, passphrase, logKeyFile, transmitterKeyFile, signer, tokenFile, attestationKeyFile };
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

/** Any number of processes are one oracle over one PostgreSQL database and one broker of others. */
function checkWorker(root: Section, { database, broker }: Pick<Config, 'database' | 'broker'>): Config['worker'] {
  if (!root.has('worker')) return undefined;
  const worker = root.section('worker');
  if (!isServerUrl(database)) root.problem('worker', 'a file as database', 'database.urlEnv with a postgres:// URL');
  if (!('url' in broker)) root.problem('worker', 'the embedded broker', 'broker.url, which the workers share');
  if (root.has('quorum')) root.problem('worker', 'a consortium', 'no quorum: a node of a consortium is one process');
  const name = worker.text('name', `${hostname()}-${process.pid}`);
  if (!/^[A-Za-z0-9._-]{1,80}$/.test(name)) worker.problem('name', name, 'up to 80 letters, digits, dots or dashes');
  return { name, leaseMs: worker.integer('leaseSec', { least: 1, most: 600, fallback: 10 }) * 1_000 };
}

function checkRest(root: Section): Omit<Config, keyof KeyConfig | 'database' | 'worker' | 'quorum'> {
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
    retentionDays: log.has('retentionDays') ? log.integer('retentionDays', { least: 1, most: 36_500 }) : undefined,
    chain: checkChain(root.section('chain')),
    http: {
      host: http.text('host', loopback),
      port: http.integer('port', { least: 0, most: portMax, fallback: 8080 }),
      requestsPerMinMax: http.integer('requestsPerMinMax', { least: 1, most: 1_000_000, fallback: 600 }),
    },
    webhooks: checkWebhooks(root),
  };
}

/** It is made at start when it is absent. */
function mayBeFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() !== false;
}
