/** All edge nodes of the configuration, and what this host says to them: its state, and requests to be born again. */
import type { SparkplugSource } from '../config-source.ts';
import type { DeviceConfig } from '../config.ts';
import type { Refuse } from '../refusal.ts';
import type { SensorSample } from './sensor.ts';
import { commandTopic, dataTopic, parseSparkplugTopic, SparkplugNode, stateTopic } from './sparkplug.ts';
import { encodeRebirthRequest } from './sparkplug-payload.ts';
import { coversTopic } from './topic-filter.ts';

export type HostMessage = { readonly topic: string; readonly payload: Uint8Array; readonly retain: boolean };

type Member = { readonly source: SparkplugSource; readonly node: SparkplugNode };

export class SparkplugHost {
  readonly #hostId: string;
  /** By "group/node". */
  readonly #members = new Map<string, Member>();

  constructor(hostId: string, devices: readonly DeviceConfig[], refuse: Refuse) {
    this.#hostId = hostId;
    for (const { source } of devices.flatMap(({ sensors }) => sensors)) {
      if (source.kind !== 'sparkplug') continue;
      const key = `${source.group}/${source.node}`;
      if (!this.#members.has(key)) this.#members.set(key, { source, node: new SparkplugNode(source, devices, refuse) });
    }
  }

  get hasNodes(): boolean {
    return this.#members.size > 0;
  }

  /** Undefined for a topic of no configured edge node. */
  take(
    topic: string,
    bytes: Uint8Array,
    nowMs: number,
  ): { samples: SensorSample[]; request?: HostMessage } | undefined {
    const parsed = parseSparkplugTopic(topic);
    const member = parsed === undefined ? undefined : this.#members.get(`${parsed.group}/${parsed.node}`);
    if (parsed === undefined || member === undefined) return undefined;
    const { samples, isRebirthWanted } = member.node.take(parsed, bytes, nowMs / 1_000);
    if (!isRebirthWanted) return { samples: [...samples] };
    // tck-id-operational-behavior-data-commands-ncmd-rebirth-verb
    const request = { topic: commandTopic(parsed), payload: encodeRebirthRequest(nowMs), retain: false };
    return { samples: [...samples], request };
  }

  /** The death certificate that an edge node leaves with the broker (tck-id-payloads-ndeath-will-message). */
  allowsWill(topic: string, isRetained: boolean): boolean {
    const parsed = parseSparkplugTopic(topic);
    return !isRetained && parsed?.kind === 'NDEATH' && this.#members.has(`${parsed.group}/${parsed.node}`);
  }

  /** An edge node may hear its own commands and this host's state, no more. `allowed`: where it may publish. */
  allowsSubscription(filter: string, allowed: readonly string[]): boolean {
    const own = [...this.#members.values()]
      .filter(({ source }) => allowed.some((each) => coversTopic(each, dataTopic(source))))
      .flatMap(({ source }) => ['NCMD', 'DCMD'].map((kind) => `${commandTopic(source, kind)}/#`));
    const state = own.length > 0 ? [stateTopic(this.#hostId)] : [];
    return [...own, ...state].some((each) => coversTopic(each, filter));
  }

  /** tck-id-host-topic-phid-birth-payload, -retain; and the death that ends it. */
  state(isOnline: boolean, nowMs: number): HostMessage {
    const payload = Buffer.from(JSON.stringify({ online: isOnline, timestamp: Math.floor(nowMs) }));
    return { topic: stateTopic(this.#hostId), payload, retain: true };
  }
}
