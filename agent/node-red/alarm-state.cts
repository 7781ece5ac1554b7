/**
 * What stands and what has changed, from the agent's retained state. By level, not by edge: what came and went while
 * Node-RED was away is seen as the difference, and nothing is told twice.
 */
export type Alarm = {
  /**
   * sensor: a channel's newest reading has a mark. terms: a channel against its shipment's terms. link: to the oracle.
   * agent: from here. refused: turned away.
   */
  readonly kind: 'sensor' | 'terms' | 'link' | 'agent' | 'refused';
  readonly device?: string;
  readonly channel?: string;
  /** The mark, `warning`, `excursion` or `no-data` of terms, `link-down`, `agent-away`, or the reason of a refusal. */
  readonly name: string;
  readonly raised: boolean;
  /** How many more were refused. */
  readonly count?: number;
  /** Of terms. */
  readonly orderId?: string;
  /** Of a warning, when it was raised: until the terms are broken if it goes on. */
  readonly leftSec?: number;
};

type AlarmsMessage = {
  readonly link: { readonly connected: boolean };
  readonly sensors: { readonly [channel: string]: string };
};

type WarningsMessage = {
  readonly orderId: string;
  readonly channels: { readonly [channel: string]: { readonly state: string; readonly leftSec?: number } };
};

export class AlarmState {
  /** By what it is about: the alarm that stands. */
  readonly #standing = new Map<string, Alarm>();
  #refused: ReadonlyMap<string, number> | undefined;

  /** `path` below `agent/`. */
  update([device, kind]: readonly string[], message: unknown): Alarm[] {
    if (device === 'refused' && kind === undefined) return this.#count(message as object);
    if (kind === 'warnings') return this.#warn(device!, message as WarningsMessage);
    if (kind !== 'alarms') return [];
    const { link, sensors } = message as AlarmsMessage;
    const now = Object.entries(sensors).map(
      ([channel, name]) => ({ kind: 'sensor', device: device!, channel, name, raised: true }) as const,
    );
    const down = link.connected ? [] : [{ kind: 'link', device: device!, name: 'link-down', raised: true } as const];
    return this.#change(`${device!}/`, [...now, ...down]);
  }

  agent(isConnected: boolean): Alarm[] {
    return this.#change('#agent', isConnected ? [] : [{ kind: 'agent', name: 'agent-away', raised: true }]);
  }

  #warn(device: string, { orderId, channels }: WarningsMessage): Alarm[] {
    const now = Object.entries(channels).flatMap(([channel, { state: name, leftSec }]) => {
      if (name === 'ok') return [];
      const left = leftSec === undefined ? {} : { leftSec };
      return [{ kind: 'terms', device, channel, name, raised: true, orderId, ...left } as const];
    });
    return this.#change(`${device}!`, now);
  }

  /** Of all that stands about `scope`, now `alarms` and nothing else. */
  #change(scope: string, alarms: readonly Alarm[]): Alarm[] {
    const changes: Alarm[] = [];
    const next = new Map(alarms.map((alarm) => [keyOf(alarm), alarm]));
    for (const [key, alarm] of this.#standing) {
      if (!key.startsWith(scope) || next.get(key)?.name === alarm.name) continue;
      this.#standing.delete(key);
      changes.push({ ...alarm, raised: false });
    }
    for (const [key, alarm] of next) {
      if (this.#standing.has(key)) continue;
      this.#standing.set(key, alarm);
      changes.push(alarm);
    }
    return changes;
  }

  /** The first counts are where we came in. An agent that has started anew counts from 0. */
  #count(message: object): Alarm[] {
    const counts = new Map(Object.entries(message) as [string, number][]);
    const before = this.#refused;
    this.#refused = counts;
    if (before === undefined) return [];
    return [...counts].flatMap(([name, count]) => {
      const known = before.get(name) ?? 0;
      const more = count < known ? count : count - known;
      return more === 0 ? [] : [{ kind: 'refused', name, raised: true, count: more } as const];
    });
  }
}

function keyOf({ kind, device, channel }: Alarm): string {
  if (kind === 'agent') return '#agent';
  return kind === 'terms' ? `${device!}!${channel!}` : `${device!}/${channel ?? '#link'}`;
}
