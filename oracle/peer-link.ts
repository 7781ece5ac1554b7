/**
 * The line between the nodes of a consortium: one MQTT broker, on which each node publishes under its own name and hears
 * all others. Nothing is believed of it: messages are signed, and whatever gets lost is said again.
 */
import { connect } from 'mqtt';
import {
  bytesToHex,
  formatPeerTopic,
  parsePeerTopic,
  peerMessageBytesMax,
  peerTopicFilter,
  type PeerKind,
} from '@coldproof/wire';
import type { ClientTls } from './config-broker.ts';
import type { Log } from './log-line.ts';
import { describeError } from './operating-error.ts';

export type PeerPacket = { readonly node: Uint8Array; readonly kind: PeerKind; readonly bytes: Uint8Array };

export type LinkReason = 'peer-topic-malformed' | 'peer-message-too-large' | 'peer-queue-full';

export type PeerLink = {
  /** Never fails: what does not get through is said again in a later turn. */
  publish(kind: PeerKind, bytes: Uint8Array): void;
  /** All that has come since, in the order in which it came. */
  take(): PeerPacket[];
  /** Called when something has come. */
  onPacket(wake: () => void): void;
  readonly isConnected: boolean;
  readonly refused: ReadonlyMap<LinkReason, number>;
  close(): Promise<void>;
};

export type PeerLinkSettings = {
  readonly url: string;
  readonly username?: string;
  readonly password?: string;
  readonly tls?: ClientTls | undefined;
  /** This node's name in topics. */
  readonly node: Uint8Array;
  readonly log: Log;
};

/** Of each node: one that floods is cut off alone. */
const queueMax = 256;
const reconnectMs = 500;

/** A broker that is away at the start is no reason not to start: the log and the chain need none. */
export function openPeerLink({ url, username, password, tls, node, log }: PeerLinkSettings): PeerLink {
  const packets: PeerPacket[] = [];
  const waiting = new Map<string, number>();
  const refused = new Map<LinkReason, number>();
  let wake: () => void = () => undefined;
  const refuse = (reason: LinkReason) => refused.set(reason, (refused.get(reason) ?? 0) + 1);
  const client = connect(url, {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    clientId: `coldproof-peer-${bytesToHex(node).slice(0, 32)}`,
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls?.key === undefined ? {} : { key: tls.key }),
    ...(tls?.serverName === undefined ? {} : { servername: tls.serverName }),
    clean: true,
    // A password that is wrong now may be right after the broker's reload.
    reconnectOnConnackError: true,
    reconnectPeriod: reconnectMs,
    // On each connection, below: what the broker answers is looked at every time.
    resubscribe: false,
  });
  client.on('connect', () => {
    client.subscribe(peerTopicFilter, { qos: 1 }, (error, granted) => {
      const isRefused = granted?.some(({ qos }) => qos === 128) === true;
      if (error !== null || isRefused) log('error', 'peer-link-refused', { url, error: describeError(error) });
      else log('info', 'peer-link-connected', { url });
    });
  });
  client.on('message', (topic, payload) => {
    const parsed = parsePeerTopic(topic);
    if (parsed === undefined) return refuse('peer-topic-malformed');
    const from = bytesToHex(parsed.node);
    if (from === bytesToHex(node)) return undefined;
    if (payload.length > peerMessageBytesMax) return refuse('peer-message-too-large');
    const count = waiting.get(from) ?? 0;
    if (count >= queueMax) return refuse('peer-queue-full');
    waiting.set(from, count + 1);
    packets.push({ ...parsed, bytes: Uint8Array.from(payload) });
    wake();
  });
  client.on('error', (error) => log('warn', 'peer-link', { error: error.message }));
  client.on('offline', () => log('warn', 'peer-link-offline'));
  return {
    publish(kind, bytes) {
      // Only while connected: mqtt.js would otherwise keep it in memory without bound.
      if (client.connected) client.publish(formatPeerTopic(node, kind), Buffer.from(bytes), { qos: 1 });
    },
    take() {
      waiting.clear();
      return packets.splice(0);
    },
    onPacket: (call) => void (wake = call),
    get isConnected() {
      return client.connected;
    },
    refused,
    async close() {
      await client.endAsync(true);
    },
  };
}
