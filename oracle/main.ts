/**
 * The oracle as a process.
 *
 *   node oracle/dist/main.js --config FILE          runs until SIGTERM or SIGINT
 *   node oracle/dist/main.js init --config FILE     makes the keys that are absent, prints their public parts
 *   node oracle/dist/main.js check --config FILE    reads the configuration and says what is wrong with it
 *   node oracle/dist/main.js token create|list|revoke --config FILE ...    who may ask the API what (API.md)
 *   node oracle/dist/main.js verify bundle FILE     checks an order's bundle, with nothing but the file; 1 if unsound
 *   node oracle/dist/main.js party-key FILE         makes a party's key where there is none, prints its public part
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bytesToHex, logOf } from '@coldproof/wire';
import { makeAttestationKey, readAttestationAddress } from './attestation-key.ts';
import { recordTokens } from './audit.ts';
import { openChain } from './chain.ts';
import { makeTransmitterKey, readTransmitter } from './chain-account.ts';
import { openSigner } from './chain-signer.ts';
import { realClock, voyageClock } from './clock.ts';
import { partyKeyCommand, partySecret, tokenCommand, verifyCommand } from './command.ts';
import { readConfig, readKeyConfig, type Config, type KeyConfig } from './config.ts';
import { followCandidates } from './cryptlet/follow.ts';
import { openHttp } from './http.ts';
import { makeLogKey, openLogKey, readLogPublicKey } from './log-key.ts';
import { logToStderr } from './log-line.ts';
import { joinNetwork, runTogether, type Joined } from './network/join.ts';
import { opensslCrypto } from './openssl-crypto.ts';
import { OperatingError, describeError } from './operating-error.ts';
import { Oracle } from './oracle.ts';
import { Purse } from './purse.ts';
import { Retention, type RetentionDeps } from './retention.ts';
import { readSecretFile, writeSecretFile } from './secret-file.ts';
import { readStatus } from './status.ts';
import { Store } from './store.ts';
import { TokenFile } from './token-file.ts';
import { Webhooks } from './webhook.ts';

async function init(path: string): Promise<void> {
  const keys = readKeyConfig(path, process.env);
  const { passphrase, logKeyFile, transmitterKeyFile, attestationKeyFile, signer } = keys;
  const logPublicKey = existsSync(logKeyFile) ? readLogPublicKey(logKeyFile) : makeLogKey(logKeyFile, passphrase);
  if (signer === undefined && !existsSync(transmitterKeyFile)) {
    const { json } = await makeTransmitterKey(passphrase);
    writeSecretFile(transmitterKeyFile, `${json}\n`);
  }
  const { address } = await openTransmitter(keys);
  const attestation = attestationKeyFile === undefined ? {} : initAttestation(attestationKeyFile, passphrase);
  const made = { logPublicKey: bytesToHex(logPublicKey), transmitter: address, ...attestation };
  process.stdout.write(`${JSON.stringify(made)}\n`);
}

function initAttestation(path: string, passphrase: string) {
  const address = existsSync(path) ? readAttestationAddress(path) : makeAttestationKey(path, passphrase);
  return { signer: `0x${bytesToHex(address)}` };
}

/** The account that pays: a remote signer's, or a key in a file. */
async function openTransmitter({ signer, transmitterKeyFile, passphrase }: KeyConfig) {
  if (signer !== undefined) return openSigner(signer);
  return readTransmitter(transmitterKeyFile, readSecretFile(transmitterKeyFile), passphrase);
}

type Retained = RetentionDeps & { readonly days: number | undefined; readonly oracle: Oracle };

async function retain({ days, oracle, ...deps }: Retained, signal: AbortSignal): Promise<void> {
  if (days === undefined) return;
  try {
    await new Retention(deps, days).follow(signal);
  } catch (error) {
    oracle.close();
    throw error;
  }
}

async function run(config: Config): Promise<void> {
  const clock = voyageClock(process.env);
  const log = logToStderr(() => clock.nowMs(), { isDebug: process.env['COLDPROOF_DEBUG'] === '1' });
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort());
  const logKey = openLogKey(config.logKeyFile, config.passphrase);
  const transmitter = await openTransmitter(config);
  mkdirSync(config.stateDir, { recursive: true, mode: 0o700 });
  const store = new Store(config.database, config.worker === undefined ? 'exclusive' : 'shared');
  const contracts = { ...config.chain.contracts, ...config.quorum?.contracts };
  const chain = openChain({ ...config.chain, contracts, log });
  const { broker, verify, worker, origin } = config;
  const { fromBlock, pollMs } = config.chain;
  const settings = { broker, verify, worker, origin, fromBlock, pollMs, transmit: config.chain };
  const deps = { clock, pace: realClock, log, store, chain, transmitter, logKey, crashPoint: () => undefined };
  const cryptlets = await followCandidates(deps, join(config.stateDir, 'cryptlets'), pollMs);
  let joined: Joined | undefined;
  const oracle = await Oracle.open({ ...deps, onLogged: () => joined?.network.wake() }, settings);
  if (config.quorum !== undefined) joined = await joinNetwork({ ...deps, oracle }, config.quorum, config.passphrase);
  stop.signal.addEventListener('abort', () => oracle.close());
  if (stop.signal.aborted) oracle.close();
  const purse = new Purse({ ...deps, address: transmitter.address }, config.chain);
  const account = () => ({ ...purse.read(), endpoints: chain.endpoints() });
  const from = { transmitter: transmitter.address, links: () => oracle.links, account, candidates: cryptlets.list };
  const sources = { store, log: oracle.log, chain: config.chain, ...from };
  const isReady = () => oracle.links.isReceiving && oracle.links.chainError === undefined;
  const { announcer } = oracle;
  const tokens = new TokenFile(config.tokenFile, (found) => recordTokens(store, clock.nowMs(), found));
  const source = bytesToHex(logOf(logKey.publicKey));
  const webhooks = new Webhooks({ store, announcer, pace: realClock, log, source }, config.webhooks);
  const http = await openHttp(
    {
      ...{ store, log: oracle.log, crypto: opensslCrypto(), chain: config.chain, clock, announcer, webhooks, isReady },
      ...{ tokens, status: () => ({ ...readStatus(sources), ...joined?.status() }), account, say: log },
      ...joined?.http,
    },
    config.http,
  ).catch(async (error: unknown) => {
    // Ends at once, and closes what was opened.
    oracle.close();
    await oracle.run();
    throw error;
  });
  log('info', 'started', {
    brokerPort: oracle.brokerPort,
    httpPort: http.port,
    size: oracle.log.size,
    logPublicKey: bytesToHex(logKey.publicKey),
    transmitter: transmitter.address,
  });
  const following = cryptlets.run(stop.signal);
  try {
    // Nobody waits for a balance: it never throws, and ends with the next look at the signal.
    void purse.follow(stop.signal);
    const delivering = webhooks.follow(stop.signal).catch((error: unknown) => {
      oracle.close();
      throw error;
    });
    const retaining = retain({ ...deps, days: config.retentionDays, oracle }, stop.signal);
    await Promise.all([runTogether(oracle, joined, stop).finally(() => stop.abort()), delivering, retaining]);
  } finally {
    stop.abort();
    await following;
    await http.close();
    chain.close();
    store.close();
  }
  log('info', 'stopped', { size: oracle.log.size });
}

const usage = `usage: main.js [init | check] --config FILE
       main.js token create --config FILE --scope NAME [--scope NAME] [--label TEXT] [--party ADDRESS]
               [--orders ID,ID] [--channels NAME,NAME] [--days N]
       main.js token list --config FILE
       main.js token revoke --config FILE --id ID
       main.js verify bundle FILE [--log-key HEX] [--device HEX] [--party-key FILE [--out FILE.csv]]
       main.js party-key FILE`;

const text = { type: 'string' } as const;
const options = {
  ...{ config: text, label: text, scope: { type: 'string', multiple: true } as const, party: text, orders: text },
  ...{ channels: text, days: text, id: text, 'log-key': text, device: text },
  ...{ 'party-key': text, out: text },
  help: { type: 'boolean', short: 'h' } as const,
};

function readArguments() {
  try {
    return parseArgs({ options, allowPositionals: true });
  } catch (cause) {
    throw new OperatingError('config-invalid', `${describeError(cause)}\n${usage}`, { retry: 'never' });
  }
}

async function main(): Promise<void> {
  const { values, positionals } = readArguments();
  const [command, verb, file] = positionals;
  const { config, 'log-key': logPublicKey, device, 'party-key': partyKey, out, help, ...tokenOptions } = values;
  if (help === true) {
    process.stdout.write(`${usage}\n`);
    return;
  }
  if (command === 'verify' && verb === 'bundle' && file !== undefined && positionals.length === 3) {
    const trust = {
      ...(logPublicKey === undefined ? {} : { logPublicKey }),
      ...(device === undefined ? {} : { device }),
      ...partySecret(partyKey === undefined ? {} : { partyKey }, process.env),
    };
    const { text, isSound } = verifyCommand(file, trust, out === undefined ? {} : { out });
    process.stdout.write(`${text}\n`);
    process.exitCode = isSound ? 0 : 1;
    return;
  }
  if (command === 'party-key' && verb !== undefined && positionals.length === 2) {
    process.stdout.write(`${partyKeyCommand(verb, process.env)}\n`);
    return;
  }
  if (config === undefined || positionals.length > (command === 'token' ? 2 : 1)) {
    throw new OperatingError('config-invalid', usage, { retry: 'never' });
  }
  if (command === 'token') {
    process.stdout.write(`${tokenCommand(verb, { config, ...tokenOptions }, Date.now())}\n`);
    return;
  }
  if (command === 'init') return init(config);
  if (command === 'check') return void readConfig(config, process.env);
  if (command !== undefined) throw new OperatingError('config-invalid', usage, { retry: 'never' });
  return run(readConfig(config, process.env));
}

try {
  await main();
} catch (error) {
  // An operating fault is told in a sentence; a bug keeps its stack.
  if (!(error instanceof OperatingError)) throw error;
  process.stderr.write(`${describeError(error)}\n`);
  process.exitCode = 1;
}
