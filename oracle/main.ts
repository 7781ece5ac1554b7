/**
 * The oracle as a process.
 *
 *   node oracle/dist/main.js --config FILE          runs until SIGTERM or SIGINT
 *   node oracle/dist/main.js init --config FILE     makes the keys that are absent, prints their public parts
 *   node oracle/dist/main.js check --config FILE    reads the configuration and says what is wrong with it
 *   node oracle/dist/main.js token create|list|revoke --config FILE ...    who may ask the API what (API.md)
 *   node oracle/dist/main.js verify bundle FILE     checks an order's bundle, with nothing but the file; 1 if unsound
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bytesToHex, logOf } from '@coldproof/wire';
import { makeAttestationKey, readAttestationAddress } from './attestation-key.ts';
import { recordTokens } from './audit.ts';
import { openChain, type Chain } from './chain.ts';
import { makeTransmitterKey, readTransmitter, type Transmitter } from './chain-account.ts';
import { realClock, voyageClock } from './clock.ts';
import { tokenCommand, verifyCommand } from './command.ts';
import { readConfig, readKeyConfig, type Config } from './config.ts';
import { followCandidates } from './cryptlet/follow.ts';
import { openHttp } from './http.ts';
import { makeLogKey, openLogKey, readLogPublicKey } from './log-key.ts';
import { logToStderr } from './log-line.ts';
import { joinNetwork, runTogether, type Joined } from './network/join.ts';
import { opensslCrypto } from './openssl-crypto.ts';
import { OperatingError, describeError } from './operating-error.ts';
import { Oracle } from './oracle.ts';
import { Retention, type RetentionDeps } from './retention.ts';
import { readSecretFile, writeSecretFile } from './secret-file.ts';
import { readStatus } from './status.ts';
import { Store } from './store.ts';
import { TokenFile } from './token-file.ts';
import { Webhooks } from './webhook.ts';

/** The balance is for people to look at. */
const balanceMs = 15_000;

async function init(path: string): Promise<void> {
  const { passphrase, logKeyFile, transmitterKeyFile, attestationKeyFile } = readKeyConfig(path, process.env);
  const logPublicKey = existsSync(logKeyFile) ? readLogPublicKey(logKeyFile) : makeLogKey(logKeyFile, passphrase);
  if (!existsSync(transmitterKeyFile)) {
    const { json } = await makeTransmitterKey(passphrase);
    writeSecretFile(transmitterKeyFile, `${json}\n`);
  }
  const { address } = await readTransmitter(transmitterKeyFile, readSecretFile(transmitterKeyFile), passphrase);
  const attestation = attestationKeyFile === undefined ? {} : initAttestation(attestationKeyFile, passphrase);
  const made = { logPublicKey: bytesToHex(logPublicKey), transmitter: address, ...attestation };
  process.stdout.write(`${JSON.stringify(made)}\n`);
}

function initAttestation(path: string, passphrase: string) {
  const address = existsSync(path) ? readAttestationAddress(path) : makeAttestationKey(path, passphrase);
  return { signer: `0x${bytesToHex(address)}` };
}

async function watchBalance(
  chain: Chain,
  { address }: Transmitter,
  onBalance: (wei: bigint | undefined) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    onBalance(await chain.balanceWei(address).catch(() => undefined));
    await realClock.wait(balanceMs, signal);
  }
}

async function retain({ days, ...deps }: RetentionDeps & { days: number | undefined }, signal: AbortSignal) {
  if (days !== undefined) await new Retention(deps, days).follow(signal);
}

async function run(config: Config): Promise<void> {
  const clock = voyageClock(process.env);
  const log = logToStderr(() => clock.nowMs(), { isDebug: process.env['COLDPROOF_DEBUG'] === '1' });
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort());
  const logKey = openLogKey(config.logKeyFile, config.passphrase);
  const keyText = readSecretFile(config.transmitterKeyFile);
  const transmitter = await readTransmitter(config.transmitterKeyFile, keyText, config.passphrase);
  mkdirSync(config.stateDir, { recursive: true, mode: 0o700 });
  const store = new Store(config.database, config.worker === undefined ? 'exclusive' : 'shared');
  const contracts = { ...config.chain.contracts, ...config.quorum?.contracts };
  const chain = openChain({ ...config.chain, contracts });
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
  let balanceWei: bigint | undefined;
  const links = () => ({ ...oracle.links, balanceWei });
  const from = { transmitter: transmitter.address, links, candidates: cryptlets.list };
  const sources = { store, log: oracle.log, chain: config.chain, ...from };
  const isReady = () => oracle.links.isReceiving && oracle.links.chainError === undefined;
  const { announcer } = oracle;
  const tokens = new TokenFile(config.tokenFile, (found) => recordTokens(store, clock.nowMs(), found));
  const source = bytesToHex(logOf(logKey.publicKey));
  const webhooks = new Webhooks({ store, announcer, pace: realClock, log, source }, config.webhooks);
  const http = await openHttp(
    {
      ...{ store, log: oracle.log, crypto: opensslCrypto(), chain: config.chain, clock, announcer, webhooks, isReady },
      ...{ tokens, status: () => ({ ...readStatus(sources), ...joined?.status() }), say: log },
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
    void watchBalance(chain, transmitter, (wei) => (balanceWei = wei), stop.signal);
    const delivering = webhooks.follow(stop.signal).catch((error: unknown) => {
      oracle.close();
      throw error;
    });
    const retaining = retain({ ...deps, days: config.retentionDays }, stop.signal).catch((error: unknown) => {
      oracle.close();
      throw error;
    });
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

const usage = `usage: main.js [init | check | token create|list|revoke] --config FILE
       main.js verify bundle FILE [--log-key HEX] [--device HEX]`;

const text = { type: 'string' } as const;
const options = {
  ...{ config: text, label: text, scope: { type: 'string', multiple: true } as const, party: text, orders: text },
  ...{ channels: text, days: text, id: text, 'log-key': text, device: text },
};

function readArguments() {
  try {
    return parseArgs({ options, allowPositionals: true });
  } catch (cause) {
    throw new OperatingError('config-invalid', usage, { retry: 'never', cause });
  }
}

async function main(): Promise<void> {
  const { values, positionals } = readArguments();
  const [command, verb, file] = positionals;
  const { config, 'log-key': logPublicKey, device, ...tokenOptions } = values;
  if (command === 'verify' && verb === 'bundle' && file !== undefined && positionals.length === 3) {
    const trust = {
      ...(logPublicKey === undefined ? {} : { logPublicKey }),
      ...(device === undefined ? {} : { device }),
    };
    const { text, isSound } = verifyCommand(file, trust);
    process.stdout.write(`${text}\n`);
    process.exitCode = isSound ? 0 : 1;
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
