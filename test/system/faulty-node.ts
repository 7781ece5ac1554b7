/**
 * An oracle of a consortium that does not do what it should, for tests alone: made of the product's parts, with one of
 * them replaced. `node faulty-node.js CONFIG warmer|equivocator`
 */
import {
  encodePeerBody,
  encodePeerMessage,
  peerPreimage,
  verifyPeerMessage,
  type OpenEnvelope,
  type PeerContent,
} from '@coldproof/wire';
import { openChain } from '@coldproof/oracle/chain';
import { readTransmitter } from '@coldproof/oracle/chain-account';
import { realClock } from '@coldproof/oracle/clock';
import { readConfig } from '@coldproof/oracle/config';
import { openCryptletHost } from '@coldproof/oracle/cryptlet/host';
import { openLogKey, type LogKey } from '@coldproof/oracle/log-key';
import { logToStderr } from '@coldproof/oracle/log-line';
import { openNetwork, readAttestationKey } from '@coldproof/oracle/network/open';
import type { Reckoner } from '@coldproof/oracle/network/reckon';
import { readInstalled } from '@coldproof/oracle/cryptlet/installed';
import { cryptletReckoner } from '@coldproof/oracle/network/reckoner';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import { Oracle } from '@coldproof/oracle/oracle';
import { openPeerLink, type PeerLink } from '@coldproof/oracle/peer-link';
import { readSecretFile } from '@coldproof/oracle/secret-file';
import { Store } from '@coldproof/oracle/store';

/** Reads every probe 40 °C too warm. */
function warmer(reckoner: Reckoner): Reckoner {
  const heat = (batch: OpenEnvelope): OpenEnvelope => ({
    ...batch,
    series: batch.series.map((series) => ({
      ...series,
      samples: series.samples.map(({ timeSec, value }) => ({ timeSec, value: value + 4_000 })),
    })),
  });
  return { ...reckoner, run: (cryptlet, order, batches) => reckoner.run(cryptlet, order, batches.map(heat)) };
}

/** Makes each of its proposals twice, with another result, and votes for both. */
function equivocating(link: PeerLink, key: LogKey): PeerLink {
  const twin = (content: PeerContent): PeerContent | undefined => {
    if (content.kind === 'proposal') return { ...content, report: { ...content.report, payload: new Uint8Array(32) } };
    return content.kind === 'attestation' ? { ...content, digest: new Uint8Array(32).fill(1) } : undefined;
  };
  return {
    ...link,
    publish(kind, bytes) {
      link.publish(kind, bytes);
      const message = verifyPeerMessage(bytes, () => key.publicKey);
      const other = message.ok ? twin(message.value.content) : undefined;
      if (!message.ok || other === undefined) return;
      const body = encodePeerBody({ ...message.value, content: other });
      link.publish(kind, encodePeerMessage(body, key.sign(peerPreimage(body))));
    },
  };
}

const [configFile, fault] = process.argv.slice(2);
const config = readConfig(configFile!, process.env);
const { quorum, passphrase } = config;
if (quorum === undefined) throw new Error('a node of a consortium has a quorum section');
const log = logToStderr(() => Date.now(), { isDebug: false });
const stop = new AbortController();
for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort());
const logKey = openLogKey(config.logKeyFile, passphrase);
const path = config.transmitterKeyFile;
const transmitter = await readTransmitter(path, readSecretFile(path), passphrase);
const store = new Store(config.database);
const chain = openChain({ ...config.chain, contracts: { ...config.chain.contracts, ...quorum.contracts } });
const { broker, verify, origin } = config;
const { fromBlock, pollMs } = config.chain;
const deps = { clock: realClock, pace: realClock, log, store, chain, transmitter, logKey, crashPoint: () => undefined };
const settings = { broker, verify, origin, fromBlock, pollMs, transmit: config.chain };
const oracle = await Oracle.open(deps, settings);
const reckoner = cryptletReckoner(readInstalled(quorum.cryptletsDir), await openCryptletHost({ workers: 1 }));
const link = openPeerLink({ ...quorum.broker, node: logKey.log, log });
const { network } = openNetwork(
  {
    ...deps,
    key: readAttestationKey(quorum, passphrase, transmitter),
    crypto: opensslCrypto(),
    transparencyLog: oracle.log,
    reckoner: fault === 'warmer' ? warmer(reckoner) : reckoner,
    offer: (message) => oracle.offer(message),
    onAction: () => oracle.wakeChain(),
    openLink: () => (fault === 'equivocator' ? equivocating(link, logKey) : link),
  },
  quorum,
);
log('info', 'faulty-node', { fault });
await Promise.all([oracle.run(), network.run(stop.signal)]);
