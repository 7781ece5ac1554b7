/** Puts a node's network together from its configuration and from the parts of its oracle. */
import { assert, bytesEqual, bytesToHex, type Crypto } from '@coldproof/wire';
import { attestationKeyOf, openAttestationKey, type AttestationKey } from '../attestation-key.ts';
import type { Chain } from '../chain.ts';
import type { Signatory, Transmitter } from '../chain-account.ts';
import { openQuorumChain } from '../chain-report.ts';
import type { Clock } from '../clock.ts';
import type { QuorumConfig } from '../config-quorum.ts';
import type { LogKey } from '../log-key.ts';
import type { Log } from '../log-line.ts';
import type { Log as TransparencyLog } from '../log.ts';
import { OperatingError } from '../operating-error.ts';
import { openPeerLink, type PeerLink } from '../peer-link.ts';
import type { Store } from '../store.ts';
import type { Incoming } from '../verify-pool.ts';
import { readNetworkStatus, type NetworkStatus } from './network-status.ts';
import { Network } from './network.ts';
import { openPeerApi } from './peer-api.ts';
import { Peers } from './peers.ts';
import type { Reckoner } from './reckon.ts';

export type OpenNetworkDeps = {
  readonly clock: Clock;
  readonly pace: Clock;
  readonly log: Log;
  readonly store: Store;
  readonly transparencyLog: TransparencyLog;
  readonly logKey: LogKey;
  readonly key: AttestationKey;
  readonly chain: Chain;
  readonly reckoner: Reckoner;
  readonly crypto: Crypto;
  readonly offer: (message: Incoming) => boolean;
  readonly onAction: () => void;
  readonly openLink?: typeof openPeerLink;
};

export type OpenNetwork = {
  readonly network: Network;
  readonly status: () => NetworkStatus;
};

export function openNetwork(deps: OpenNetworkDeps, config: QuorumConfig): OpenNetwork {
  const { store, pace, logKey, key, clock, log } = deps;
  const self = config.nodes.find(({ logPublicKey }) => bytesEqual(logPublicKey, logKey.publicKey));
  if (self === undefined) throw isNoNode(`logPublicKey: expected ${bytesToHex(logKey.publicKey)} in one`);
  if (!bytesEqual(self.address, key.address)) {
    throw isNoNode(`address of ${self.name}: expected 0x${bytesToHex(key.address)}, got 0x${bytesToHex(self.address)}`);
  }
  const peers = new Peers(config.nodes, logKey.log);
  const { url, username, password, tls } = config.broker;
  const link: PeerLink = (deps.openLink ?? openPeerLink)({ url, username, password, tls, node: peers.self.node, log });
  const nowSec = () => Math.floor(clock.nowMs() / 1_000);
  const api = openPeerApi({ logKey, self: peers.self, nowSec, fetch });
  const network = new Network({ ...deps, chain: openQuorumChain(deps.chain), link, api, peers }, config);
  const isConnected = () => link.isConnected;
  return { network, status: () => readNetworkStatus(network, { store, pace, ...config, isConnected }) };
}

/** The key of a file of its own, or the account that pays. */
export function readAttestationKey(
  { attestationKeyFile }: QuorumConfig,
  passphrase: string,
  transmitter: Transmitter | (Transmitter & Signatory),
): AttestationKey {
  if (attestationKeyFile === undefined) {
    assert('signDigest' in transmitter, 'the configuration lets no remote signer attest');
    return attestationKeyOf(transmitter);
  }
  return openAttestationKey(attestationKeyFile, passphrase);
}

function isNoNode(detail: string): OperatingError {
  return new OperatingError('config-invalid', `quorum.nodes: ${detail}`, { retry: 'never' });
}
