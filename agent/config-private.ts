/** Which channels of a device are encrypted, and to whom: wire's private series. */
import { channelName, isHpkePublicKey, parseHex, privateChannelsMax, privatePartiesMax } from '@coldproof/wire';
import { described, list, name, record, type Field, type Place } from './config-field.ts';
import { channel } from './config-sensor.ts';

export type PartyConfig = {
  /** For people alone: in the batch it is known by its key. */
  readonly party: string;
  /** X25519. */
  readonly key: Uint8Array;
};

/** One leaf of each batch: who can read one of its channels can read all. */
export type PrivateConfig = { readonly channels: readonly number[]; readonly to: readonly PartyConfig[] };

const groupsMax = 16;

const key: Field<Uint8Array> = described({ type: 'string', pattern: '^[0-9a-f]{64}$' }, (value, place) => {
  const bytes = typeof value === 'string' ? parseHex(value, 32) : undefined;
  if (bytes !== undefined && isHpkePublicKey(bytes)) return bytes;
  return place.problem(value, '64 lower-case hex digits, in quotes: an X25519 key, as `party-key` prints it');
});

const group: Field<PrivateConfig> = record(
  {
    channels: list(channel, 1, privateChannelsMax),
    to: list(record({ party: name, key }), 1, privatePartiesMax),
  },
  ({ channels, to }, place) => {
    if (channels === null || to === null) return null;
    const isTold = (field: 'party' | 'key', i: number) =>
      to.findIndex((each) => String(each[field]) === String(to[i]![field])) < i;
    to.forEach(({ party }, i) => {
      const at = place.key('to').key(i);
      if (isTold('party', i)) at.key('party').problem(party, 'a name that no other party of the list has');
      if (isTold('key', i)) at.key('key').problem(party, 'a key that no other party of the list has');
    });
    return { channels, to };
  },
);

export const privateGroups: Field<readonly PrivateConfig[]> = list(group, 1, groupsMax);

/**
 * A private series is no evidence and no rule can look at it, so that a channel of the terms must stay open: a truck
 * that hides what was agreed to be judged gets no benefit of the doubt.
 */
export function checkPrivate(
  groups: readonly PrivateConfig[],
  { sensed, limited }: { readonly sensed: readonly number[]; readonly limited: readonly number[] },
  place: Place,
): void {
  const seen = new Set<number>();
  for (const [i, { channels }] of groups.entries()) {
    for (const [j, channel] of channels.entries()) {
      const at = place.key(i).key('channels').key(j);
      if (!sensed.includes(channel)) at.problem(channelName(channel), 'a channel of one of sensors');
      if (seen.has(channel)) at.problem(channelName(channel), 'a channel that is not private already');
      if (limited.includes(channel)) at.problem(channelName(channel), 'a channel that the terms do not limit');
      seen.add(channel);
    }
  }
}

/** What a private leaf has over its series: heads, channels, commitment and tag; and the key for each party. */
export function privateLeafBytes(parties: number): number {
  return 112 + 94 * parties;
}
