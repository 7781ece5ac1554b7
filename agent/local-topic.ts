/**
 * Topics of the local broker under which the agent itself speaks: to Node-RED, a driver's display, a field engineer
 * with mosquitto_sub. State is retained, so that who comes later has it at once; events are not.
 *
 *   agent/channels             state   by device: where a sample of each channel is to be sent, and in which units
 *   agent/refused              state   what was turned away since the start, by reason
 *   agent/journal              state   how full the journal is, and what it has had to drop
 *   agent/clock                state   where the time comes from, and whether it is known to be right
 *   agent/{device}/alarms      state   the link to the oracle, and each channel whose newest reading has a mark
 *   agent/{device}/queue       state   how many readings and batches wait
 *   agent/{device}/warnings    state   how the shipment stands against its terms, of a device that has some
 *   agent/{device}/readings    event   what was journaled just now
 *   agent/{device}/receipts    event   the oracle has stored a batch
 *
 * `{device}` is the name in the configuration. A sensor can publish none of these.
 */
export const localPrefix = 'agent/';
export const channelsTopic = 'agent/channels';
export const refusedTopic = 'agent/refused';
export const journalTopic = 'agent/journal';
export const clockTopic = 'agent/clock';

export const localKinds = ['alarms', 'queue', 'warnings', 'readings', 'receipts'] as const;
export type LocalKind = (typeof localKinds)[number];

export function formatLocalTopic(device: string, kind: LocalKind): string {
  return `${localPrefix}${device}/${kind}`;
}

/** What is no device's own: for everybody who may read at all. */
export const agentWide: readonly string[] = [channelsTopic, refusedTopic, journalTopic, clockTopic];

/** Whether a user who may read these devices may have this subscription. What it brings is asked for each message. */
export function maySubscribe(filter: string, reads: ReadonlySet<string>): boolean {
  if (!filter.startsWith(localPrefix) || reads.size === 0) return false;
  const place = filter.split('/')[1]!;
  return agentWide.includes(filter) || place === '#' || place === '+' || reads.has(place);
}

/** Whether a message of this topic is for such a user. */
export function mayRead(topic: string, reads: ReadonlySet<string>): boolean {
  if (agentWide.includes(topic)) return reads.size > 0;
  return topic.startsWith(localPrefix) && reads.has(topic.split('/')[1]!);
}
