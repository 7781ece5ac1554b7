/**
 * Says on the local broker what the agent knows (local-topic.ts has the topics). A view, and never in the way: a
 * reading is journaled and acknowledged whether or not anybody listens.
 */
import { bytesToHex, channelName, type Receipt } from '@coldproof/wire';
import { Bell } from './bell.ts';
import { monotonicClock } from './clock.ts';
import type { DeviceConfig } from './config.ts';
import { channelsTopic, clockTopic, formatLocalTopic, journalTopic, refusedTopic } from './local-topic.ts';
import type { Reading } from './sample.ts';
import { markNames, type AgentStatus } from './status.ts';
import { hasWildcard } from './sensors/topic-filter.ts';
import { fromChannelInteger, unitsOf } from './unit.ts';

export type LocalPublish = (topic: string, message: string, options: { readonly retain: boolean }) => void;

/** State changes with every reading; a person, or a flow that acts on it, needs it no more often than this. */
const statePeriodMs = 200;
/** A late sensor may hand over thousands at once. */
const readingsPerMessageMax = 256;

export class LocalFeed {
  readonly #devices: readonly DeviceConfig[];
  readonly #status: () => AgentStatus;
  readonly #publish: LocalPublish;
  readonly #bell = new Bell();

  constructor(devices: readonly DeviceConfig[], status: () => AgentStatus, publish: LocalPublish) {
    this.#devices = devices;
    this.#status = status;
    this.#publish = publish;
  }

  /** Something of the status is not as it was. */
  changed(): void {
    this.#bell.ring();
  }

  tellReadings(device: string, readings: readonly Reading[]): void {
    for (let at = 0; at < readings.length; at += readingsPerMessageMax) {
      const told = readings.slice(at, at + readingsPerMessageMax).map((reading) => readingOf(reading));
      this.#say(formatLocalTopic(device, 'readings'), told, false);
    }
  }

  tellReceipt(device: string, { log, sequence, index, digest }: Omit<Receipt, 'device'>): void {
    const told = { sequence, index, digest: bytesToHex(digest), log: bytesToHex(log) };
    this.#say(formatLocalTopic(device, 'receipts'), told, false);
  }

  /** Tells each state that has changed, until `signal` is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const channels = this.#devices.map(({ name, sensors }) => [name, sensors.flatMap(channelOf)] as const);
    this.#say(channelsTopic, Object.fromEntries(channels), true);
    const told = new Map<string, string>();
    while (!signal.aborted) {
      for (const [topic, state] of this.#states()) {
        const message = JSON.stringify(state);
        if (told.get(topic) === message) continue;
        told.set(topic, message);
        this.#publish(topic, message, { retain: true });
      }
      await this.#bell.heard(signal);
      await monotonicClock.wait(statePeriodMs, signal);
    }
  }

  *#states(): Generator<readonly [topic: string, state: object]> {
    const { devices, refused, journal, clock } = this.#status();
    yield [refusedTopic, refused];
    const { state, onFull, usedBytes, usedBytesMax } = journal;
    const dropped = Object.fromEntries(devices.map((device) => [device.name, device.dropped]));
    yield [journalTopic, { state, onFull, usedPercent: Math.floor((100 * usedBytes) / usedBytesMax), dropped }];
    const { source, synchronised = null, steps } = clock;
    yield [clockTopic, { source, synchronised, steps }];
    for (const { name, link, links, faults, unsealed, queued, sealed, receipts, terms } of devices) {
      const logs = links.flatMap((each) => each.logs.map(({ log, next, lag }) => ({ log, next, lag })));
      yield [formatLocalTopic(name, 'alarms'), { link, sensors: faults }];
      yield [formatLocalTopic(name, 'queue'), { unsealed, queued, sealed, receipts, logs }];
      if (terms !== undefined) yield [formatLocalTopic(name, 'warnings'), terms];
    }
  }

  #say(topic: string, message: object, retain: boolean): void {
    this.#publish(topic, JSON.stringify(message), { retain });
  }
}

/** A fault has no value: null, as NaN is not in JSON. */
function readingOf({ channel, timeSec, value, marks }: Reading): object {
  return {
    channel: channelName(channel),
    time: timeSec,
    ...fromChannelInteger(channel, value),
    marks: markNames(marks),
  };
}

/** Channels that take SenML over MQTT: only to these can a sample be sent. */
function channelOf({ channel, unit, source }: DeviceConfig['sensors'][number]): object[] {
  // A sensor's topic with wildcards is no topic to send to.
  if (source.kind !== 'senml' || hasWildcard(source.topic)) return [];
  const { topic, name } = source;
  return [{ channel: channelName(channel), topic, name, unit, units: unitsOf(channel) }];
}
