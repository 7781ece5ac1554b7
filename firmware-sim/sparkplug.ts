/**
 * An edge node of Sparkplug B (Sparkplug 3.0) with one device, as a pure machine: what it has to say in, messages out.
 *
 *   connect   will NDEATH(bdSeq)      then NBIRTH(bdSeq, seq 0), DBIRTH(seq 1), DDATA(seq 2)... 255, 0, 1...
 *   rebirth   asked by NCMD: NBIRTH, DBIRTH again, with the same bdSeq
 *
 * Metrics have aliases from their birth on, and DATA goes by alias alone (tck-id-payloads-alias-data-cmd-requirement).
 */
import sparkplug from 'sparkplug-payload';
import type { SenmlReading } from './senml.ts';

const { encodePayload, decodePayload } = sparkplug.get('spBv1.0')!;

export type SparkplugMessage = { readonly topic: string; readonly payload: Uint8Array };

export type EdgeNames = { readonly group: string; readonly node: string; readonly device: string };

export class EdgeNode {
  readonly #names: EdgeNames;
  #bdSeq = -1;
  #seq = 0;

  constructor(names: EdgeNames) {
    this.#names = names;
  }

  get commandTopic(): string {
    return this.#topic('NCMD');
  }

  /** For the next connection (tck-id-message-flow-edge-node-birth-publish-will-message-payload-bdSeq). */
  nextWill(nowMs: number): SparkplugMessage {
    this.#bdSeq = (this.#bdSeq + 1) % 256;
    return this.death(nowMs);
  }

  /** Before an orderly end too (tck-id-payloads-ndeath-will-message-publisher). It has no seq. */
  death(nowMs: number): SparkplugMessage {
    return {
      topic: this.#topic('NDEATH'),
      payload: encodePayload({ timestamp: nowMs, metrics: [this.#bdSeqMetric()] }),
    };
  }

  births(unixSec: number, readings: readonly SenmlReading[]): SparkplugMessage[] {
    const timestamp = unixSec * 1_000;
    this.#seq = 255;
    const rebirth = { name: 'Node Control/Rebirth', type: 'Boolean', value: false, timestamp } as const;
    const node = { timestamp, seq: this.#nextSeq(), metrics: [this.#bdSeqMetric(), rebirth] };
    const metrics = readings.map((reading, alias) => ({ name: reading.name, alias, timestamp, ...typed(reading) }));
    const device = { timestamp, seq: this.#nextSeq(), metrics };
    return [
      { topic: this.#topic('NBIRTH'), payload: encodePayload(node) },
      { topic: this.#topic('DBIRTH'), payload: encodePayload(device) },
    ];
  }

  /** `readings` as those of the births, in their order. */
  sample(unixSec: number, readings: readonly SenmlReading[], isHistorical: boolean): SparkplugMessage {
    const timestamp = unixSec * 1_000;
    const metrics = readings.map((reading, alias) => ({ alias, timestamp, isHistorical, ...typed(reading) }));
    const payload = encodePayload({ timestamp, seq: this.#nextSeq(), metrics });
    return { topic: this.#topic('DDATA'), payload };
  }

  #nextSeq(): number {
    this.#seq = (this.#seq + 1) % 256;
    return this.#seq;
  }

  #bdSeqMetric() {
    return { name: 'bdSeq', type: 'Int64', value: this.#bdSeq } as const;
  }

  #topic(kind: string): string {
    const { group, node, device } = this.#names;
    const topic = `spBv1.0/${group}/${kind}/${node}`;
    return kind.startsWith('D') ? `${topic}/${device}` : topic;
  }
}

/** tck-id-operational-behavior-data-commands-ncmd-rebirth-name, -value. Throws for what is no payload. */
export function isRebirthRequest(payload: Uint8Array): boolean {
  const metrics = decodePayload(payload).metrics ?? [];
  return metrics.some(({ name, value }) => name === 'Node Control/Rebirth' && value === true);
}

function typed(reading: SenmlReading) {
  if ('isSet' in reading) return { type: 'Boolean', value: reading.isSet } as const;
  if ('centiC' in reading) return { type: 'Float', value: reading.centiC / 100 } as const;
  return { type: 'Int32', value: reading.value } as const;
}
