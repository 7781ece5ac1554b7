/** Oracles as an agent meets them on somebody's broker: each with its log, its own pace, and its own bad days. */
import { connect, type MqttClient } from 'mqtt';
import type { Journal } from '@coldproof/agent/journal';
import type { KeyStore } from '@coldproof/agent/key-store';
import { sealReadings } from '@coldproof/agent/seal';
import { signBatch } from '@coldproof/agent/sign';
import { bytesEqual, bytesToHex, decodeEnvelope, formatTopic, openEnvelope, parseTopic } from '@coldproof/wire';
import { makeLogKey, voyageStartSec, type LogKey } from './fixture.ts';

export class RemoteOracle {
  readonly logKey: LogKey;
  /** Digests of the device's batches, by sequence. */
  readonly stored: Uint8Array[] = [];
  readonly live: number[] = [];
  readonly statuses: string[] = [];
  /** Messages on the batch topic. */
  received = 0;
  /** When false, nothing is taken and nothing answered. */
  isAwake = true;
  /** What is sent for a batch; more, less or other than it should be. */
  answer: (receipt: Uint8Array, sequence: number) => readonly Uint8Array[] = (receipt) => [receipt];
  readonly client: MqttClient;
  readonly #device: Uint8Array;
  #index = 0;

  private constructor(client: MqttClient, device: Uint8Array, logKey: LogKey) {
    this.client = client;
    this.#device = device;
    this.logKey = logKey;
    client.on('message', (topic, payload) => this.#take(topic, payload));
    client.on('error', () => undefined);
  }

  static async connect(port: number, device: Uint8Array, logKey = makeLogKey()): Promise<RemoteOracle> {
    const client = connect(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 50, clean: true });
    const oracle = new RemoteOracle(client, device, logKey);
    await new Promise<void>((resolve) => client.once('connect', () => resolve()));
    const filters = (['batch', 'live', 'status'] as const).map((kind) => formatTopic(device, kind));
    await client.subscribeAsync(filters, { qos: 1 });
    return oracle;
  }

  send(receipt: Uint8Array): void {
    this.client.publish(formatTopic(this.#device, 'receipt'), Buffer.from(receipt), { qos: 1 });
  }

  async close(): Promise<void> {
    await this.client.endAsync(true);
  }

  receiptOf(sequence: number, digest = this.stored[sequence]!): Uint8Array {
    return this.logKey.sign({ index: sequence, device: this.#device, sequence, digest });
  }

  #take(topic: string, payload: Uint8Array): void {
    const kind = parseTopic(topic)?.kind;
    if (kind === 'status') {
      this.statuses.push(Buffer.from(payload).toString());
      return;
    }
    if (kind === 'batch') this.received += 1;
    const decoded = decodeEnvelope(new Uint8Array(payload));
    const opened = decoded.ok ? openEnvelope(decoded.value) : decoded;
    if (!opened.ok) throw new Error(opened.detail);
    const { batch, digest } = opened.value;
    if (kind === 'live') {
      this.live.push(batch.sequence);
      return;
    }
    if (!this.isAwake || batch.sequence > this.stored.length) return;
    const before = this.stored[batch.sequence];
    if (before !== undefined && !bytesEqual(before, digest)) throw new Error(`equivocation at ${batch.sequence}`);
    this.stored[batch.sequence] = digest;
    this.#index += 1;
    for (const receipt of this.answer(this.receiptOf(batch.sequence), batch.sequence)) this.send(receipt);
  }
}

/** Seals and appends so many batches of one reading each, as a truck that had no link has them. */
export async function fillJournal(journal: Journal, keyStore: KeyStore, count: number): Promise<void> {
  const device = keyStore.device();
  for (let i = 0; i < count; i++) {
    const { sequence, previous } = journal.head(device);
    const timeSec = voyageStartSec + 60 * sequence;
    const reading = { channel: 16, timeSec, value: 400, marks: 0, isClockTrusted: true };
    const sealed = sealReadings([reading], { device, sequence, previous }, undefined);
    const bytes = await signBatch(sealed, keyStore);
    journal.append({ device, sequence, digest: sealed.digest, bytes, readings: [] });
  }
}

/** One truck without sensors to speak of, and these uplinks. */
export function uplinksYaml(stateDir: string, uplinks: readonly object[], rest: object = {}): string {
  const device = { name: 'TRUCK-7', sensors: [{ channel: 'cargo-probe-1', mqtt: { topic: 'a', name: 'b' } }] };
  const credentials = [{ username: 'TRUCK-7', passwordEnv: 'P', topics: ['a'] }];
  const base = { stateDir, passphraseEnv: 'P', devices: [device], sensorBroker: { port: 0, credentials } };
  return JSON.stringify({ ...base, http: { port: 0 }, uplinks, ...rest });
}

export function keysOf(oracles: readonly RemoteOracle[]): string[] {
  return oracles.map(({ logKey }) => bytesToHex(logKey.publicKey));
}
