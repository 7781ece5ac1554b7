/** From a message of the local broker to raw samples: which sensors its topic belongs to, and what they make of it. */
import { reject, type Verdict } from '@coldproof/wire';
import type { DeviceConfig } from '../config.ts';
import type { Refuse } from '../refusal.ts';
import { decodeSenml, type SenmlRecord } from './senml.ts';
import type { SensorSample } from './sensor.ts';
import { coversTopic, hasWildcard } from './topic-filter.ts';
import { jsonBytesMax, mapJson, parseJson, type MappingReason, type JsonMapping } from './value-mapping.ts';

type Destination = { readonly device: string; readonly channel: number };

/** What belongs to one topic of the configuration. */
type Route = {
  /** By resolved name. */
  readonly senml: Map<string, Destination>;
  readonly json: { readonly destination: Destination; readonly mapping: JsonMapping }[];
};

export class TopicRoutes {
  readonly #refuse: Refuse;
  /** By plain topic. */
  readonly #plain = new Map<string, Route>();
  /** By topic with wildcards. */
  readonly #patterns = new Map<string, Route>();

  constructor(devices: readonly DeviceConfig[], refuse: Refuse) {
    this.#refuse = refuse;
    for (const { name: device, sensors } of devices) {
      for (const { channel, source } of sensors) {
        if (source.kind !== 'senml' && source.kind !== 'json') continue;
        const routes = hasWildcard(source.topic) ? this.#patterns : this.#plain;
        const route: Route = routes.get(source.topic) ?? { senml: new Map(), json: [] };
        routes.set(source.topic, route);
        if (source.kind === 'senml') route.senml.set(source.name, { device, channel });
        else route.json.push({ destination: { device, channel }, mapping: source.mapping });
      }
    }
  }

  /** Undefined for a topic of no sensor. What is wrong with the message is counted. Samples are in order of time. */
  decode(topic: string, bytes: Uint8Array, nowSec: number): SensorSample[] | undefined {
    const routes = this.#find(topic);
    if (routes.length === 0) return undefined;
    const samples: SensorSample[] = [];
    for (const { senml, json } of routes) {
      if (senml.size > 0) this.#takeSenml(topic, senml, bytes, nowSec, samples);
      if (json.length > 0) this.#takeJson(topic, json, bytes, nowSec, samples);
    }
    // RFC 8428 §4.6 asks senders for order in time; one that does not keep it must not lose its older records.
    return samples.sort((a, b) => a.raw.timeSec - b.raw.timeSec);
  }

  #find(topic: string): Route[] {
    const plain = this.#plain.get(topic);
    const matching = [...this.#patterns].filter(([filter]) => coversTopic(filter, topic)).map(([, route]) => route);
    return plain === undefined ? matching : [plain, ...matching];
  }

  #takeSenml(topic: string, names: Route['senml'], bytes: Uint8Array, nowSec: number, samples: SensorSample[]): void {
    const decoded = decodeSenml(bytes, nowSec);
    if (!decoded.ok) this.#refuse(decoded.reason, `${topic}: ${decoded.detail}`);
    else for (const record of decoded.value) this.#takeRecord(topic, names, record, samples);
  }

  #takeRecord(topic: string, names: Route['senml'], record: SenmlRecord, samples: SensorSample[]): void {
    const { name, timeSec, unit, value } = record;
    const destination = names.get(name);
    if (destination === undefined) {
      this.#refuse('sensor-unknown', `${topic}: no sensor is called ${name.slice(0, 80)}`);
      return;
    }
    // A text, or a sum alone, is no measurement of this channel: a sensor without a value, a fault to be shown.
    const measured = typeof value === 'number' || typeof value === 'boolean' ? value : undefined;
    samples.push({ ...destination, raw: { timeSec, value: measured, unit } });
  }

  #takeJson(topic: string, json: Route['json'], bytes: Uint8Array, nowSec: number, samples: SensorSample[]): void {
    const parsed = bytes.length <= jsonBytesMax ? parseJson(bytes) : tooLarge(bytes);
    if (!parsed.ok) {
      this.#refuse(parsed.reason, `${topic}: ${parsed.detail}`);
      return;
    }
    let isKnown = false;
    for (const { destination, mapping } of json) {
      const mapped = mapJson(parsed.value, mapping, nowSec);
      isKnown ||= !mapped.ok || mapped.value !== undefined;
      if (!mapped.ok) this.#refuse(mapped.reason, `${topic}: ${mapped.detail}`);
      else if (mapped.value !== undefined) samples.push({ ...destination, raw: { ...mapped.value, unit: undefined } });
    }
    if (!isKnown) this.#refuse('sensor-unknown', `${topic}: none of its values is in the message`);
  }
}

function tooLarge(bytes: Uint8Array): Verdict<never, MappingReason> {
  return reject('json-too-large', `expected <= ${jsonBytesMax} bytes, got ${bytes.length}`);
}
