/** An oracle's process takes part in its consortium: what main.ts needs of the network, and no more. */
import type { Chain } from '../chain.ts';
import type { Signatory, Transmitter } from '../chain-account.ts';
import type { Clock } from '../clock.ts';
import type { QuorumConfig } from '../config-quorum.ts';
import { openCryptletHost } from '../cryptlet/host.ts';
import { readInstalled } from '../cryptlet/installed.ts';
import { peerRoutes, type PeerRoutes } from '../http-peers.ts';
import type { LogKey } from '../log-key.ts';
import type { Log } from '../log-line.ts';
import { opensslCrypto } from '../openssl-crypto.ts';
import type { Oracle } from '../oracle.ts';
import type { Store } from '../store.ts';
import type { NetworkStatus } from './network-status.ts';
import { openNetwork, readAttestationKey, type OpenNetwork } from './open.ts';
import { cryptletReckoner } from './reckoner.ts';

export type JoinDeps = {
  readonly clock: Clock;
  readonly pace: Clock;
  readonly log: Log;
  readonly store: Store;
  readonly chain: Chain;
  readonly transmitter: Transmitter | (Transmitter & Signatory);
  readonly logKey: LogKey;
  readonly oracle: Oracle;
};

export type Joined = {
  readonly network: OpenNetwork['network'];
  /** What the status page and the HTTP server get from it. */
  readonly status: () => { readonly quorum: NetworkStatus };
  readonly http: { readonly extend: PeerRoutes };
  /** Beside the oracle's own loops, until the signal. Closes what it has opened. */
  run(signal: AbortSignal): Promise<void>;
};

export async function joinNetwork(deps: JoinDeps, config: QuorumConfig, passphrase: string): Promise<Joined> {
  const { oracle, transmitter, log } = deps;
  const key = readAttestationKey(config, passphrase, transmitter);
  const cryptlets = readInstalled(config.cryptletsDir);
  const host = await openCryptletHost({ workers: 1 });
  const open = openNetwork(
    {
      ...deps,
      key,
      crypto: opensslCrypto(),
      transparencyLog: oracle.log,
      reckoner: cryptletReckoner(cryptlets, host),
      offer: (message) => oracle.offer(message),
      onAction: () => oracle.wakeChain(),
    },
    config,
  );
  log('info', 'network-joined', { nodes: config.nodes.length, f: config.f, cryptlets: cryptlets.size });
  const { network } = open;
  const nowSec = () => Math.floor(deps.clock.nowMs() / 1_000);
  return {
    network,
    status: () => ({ quorum: open.status() }),
    http: { extend: peerRoutes({ store: deps.store, peers: network.peers, nowSec }) },
    async run(signal) {
      try {
        await network.run(signal);
      } finally {
        await host.close();
      }
    },
  };
}

/** The oracle and, in a consortium, its network: when one ends, for whatever reason, the other does. */
export async function runTogether(oracle: Oracle, joined: Joined | undefined, stop: AbortController): Promise<void> {
  const parts = [oracle.run(), joined?.run(stop.signal)].map(async (part) => {
    try {
      await part;
    } finally {
      if (part !== undefined) {
        stop.abort();
        oracle.close();
      }
    }
  });
  // Both are awaited whatever happens, so that nothing writes to a store that its caller has closed.
  for (const end of await Promise.allSettled(parts)) if (end.status === 'rejected') throw end.reason;
}
