/** MQTT topics between agent and oracle: coldproof/v1/{device}/{batch|live|receipt|status}. */
import { bytesToHex, parseHex } from './bytes.ts';

const prefix = 'coldproof/v1';

export const topicKinds = ['batch', 'live', 'receipt', 'status'] as const;
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
