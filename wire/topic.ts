/**
 * MQTT topics, coldproof/v1/{device}/KIND: between agent and oracle batch, live, receipt and status; between owner and
 * agent config, command, config-report and reply. coldproof/v1/oracle/{node}/KIND is between the oracles of a
 * consortium.
 */
import { bytesToHex, parseHex } from './bytes.ts';

const prefix = 'coldproof/v1';

export const topicKinds = [
  ...(['batch', 'live', 'receipt', 'status'] as const),
  ...(['config', 'command', 'config-report', 'reply'] as const),
] as const;
export type TopicKind = (typeof topicKinds)[number];

export function formatTopic(device: Uint8Array, kind: TopicKind): string {
  return `${prefix}/${bytesToHex(device)}/${kind}`;
}

/** The subscription for one kind of every device. */
export function topicFilter(kind: TopicKind): string {
  return `${prefix}/+/${kind}`;
}

export function parseTopic(topic: string): { device: Uint8Array; kind: TopicKind } | undefined {
  const parts = topic.split('/');
  if (parts.length !== 4 || `${parts[0]}/${parts[1]}` !== prefix) return undefined;
  const device = parseHex(parts[2]!, 32);
  const kind = topicKinds.find((each) => each === parts[3]);
  return device === undefined || kind === undefined ? undefined : { device, kind };
}

export const peerKinds = ['proposal', 'attestation', 'checkpoint', 'cosignature', 'accusation'] as const;
export type PeerKind = (typeof peerKinds)[number];

/** `node` is logOf the node's log key, which signs its messages. */
export function formatPeerTopic(node: Uint8Array, kind: PeerKind): string {
  return `${prefix}/oracle/${bytesToHex(node)}/${kind}`;
}

/** The subscription for everything that nodes tell one another. */
export const peerTopicFilter = `${prefix}/oracle/+/+`;

export function parsePeerTopic(topic: string): { node: Uint8Array; kind: PeerKind } | undefined {
  const parts = topic.split('/');
  if (parts.length !== 5 || `${parts[0]}/${parts[1]}/${parts[2]}` !== `${prefix}/oracle`) return undefined;
  const node = parseHex(parts[3]!, 32);
  const kind = peerKinds.find((each) => each === parts[4]);
  return node === undefined || kind === undefined ? undefined : { node, kind };
}
