/** One node: everything that the configuration asks for is opened, runs, and is closed again in the opposite order. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { bytesToHex, logOf } from '@coldproof/wire';
import { recordTokens } from './audit.ts';
import { openChain } from './chain.ts';
import type { Transmitter } from './chain-account.ts';
import { realClock, voyageClock } from './clock.ts';
import type { Config } from './config.ts';
import { followCandidates } from './cryptlet/follow.ts';
import { openHttp } from './http.ts';
import { openLogKey } from './log-key.ts';
import { logToStderr } from './log-line.ts';
import { joinNetwork, runTogether, type Joined } from './network/join.ts';
import { opensslCrypto } from './openssl-crypto.ts';
import { Oracle } from './oracle.ts';
import { Purse } from './purse.ts';
import { Retention, type RetentionDeps } from './retention.ts';
import { readStatus } from './status.ts';
import { Store } from './store.ts';
import { TokenFile } from './token-file.ts';
import { Webhooks } from './webhook.ts';

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

/** Until SIGTERM or SIGINT. Throws what a supervisor has to know. */
export async function runOracle(config: Config, transmitter: Transmitter): Promise<void> {
  const clock = voyageClock(process.env);
  const log = logToStderr(() => clock.nowMs(), { isDebug: process.env['COLDPROOF_DEBUG'] === '1' });
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort());
  const logKey = openLogKey(config.logKeyFile, config.passphrase);
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
