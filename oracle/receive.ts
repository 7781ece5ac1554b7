/**
 * MQTT -> a bounded queue of messages, and receipts back. The only file that imports mqtt. When the queue is full a
 * message is dropped and counted: it gets no receipt, so its device sends it again.
 */
import { connectAsync, type MqttClient } from 'mqtt';
import { envelopeBytesMax, formatTopic, parseTopic, topicFilter } from '@coldproof/wire';
import type { Log } from './log-line.ts';
import { OperatingError, describeError } from './operating-error.ts';
import type { Incoming } from './verify-pool.ts';

export type ReceiveReason =
  | 'envelope-too-large'
  /** Not a topic of a device; only an external broker without our access rules lets one through. */
  | 'topic-malformed'
  /** The queue is full: the oracle is slower than its devices just now. */
  | 'queue-full';

export type Receiver = {
  /** Waits for messages, then takes up to `countMax`. An empty list means `signal` has aborted. */
  take(countMax: number, signal: AbortSignal): Promise<Incoming[]>;
  /** Never fails: a receipt that does not get through is made again when the device repeats its batch. */
  publishReceipt(device: Uint8Array, receipt: Uint8Array): void;
  readonly queued: number;
  readonly isConnected: boolean;
  /** Refused since the start, by reason. Not batches yet, so not in the store's counters. */
  readonly refused: ReadonlyMap<ReceiveReason, number>;
  close(): Promise<void>;
};

const reconnectMs = 500;
const queueBytesMax = 64 * 1024 * 1024;

export async function openReceiver({
  url,
  username,
  password,
  queueMax,
  log,
}: {
  url: string;
  username: string;
  password: string;
  queueMax: number;
  log: Log;
}): Promise<Receiver> {
  const queue = new BoundedQueue(queueMax);
  const refused = new Map<ReceiveReason, number>();
  const refuse = (reason: ReceiveReason) => refused.set(reason, (refused.get(reason) ?? 0) + 1);
  const client = await connect(url, { username, password });
  client.on('message', (topic, payload) => {
    const parsed = parseTopic(topic);
    if (parsed?.kind !== 'batch') return refuse('topic-malformed');
    if (payload.length > envelopeBytesMax) return refuse('envelope-too-large');
    if (!queue.push({ device: parsed.device, bytes: payload })) return refuse('queue-full');
    return undefined;
  });
  client.on('error', (error) => log('warn', 'receive-link', { error: error.message }));
  client.on('offline', () => log('warn', 'receive-offline'));
  try {
    // QoS 0: between broker and oracle nothing is promised either way, and a lost message gets no receipt.
    const granted = await client.subscribeAsync(topicFilter('batch'), { qos: 0 });
    if (granted.some(({ qos }) => qos === 128)) throw new Error('the broker refused the subscription');
  } catch (cause) {
    await client.endAsync(true);
    throw new OperatingError('listen-failed', `subscribe at ${url}: ${describeError(cause)}`, {
      retry: 'later',
      cause,
    });
  }
  return {
    take: (countMax, signal) => queue.take(countMax, signal),
    publishReceipt(device, receipt) {
      // Only while connected: mqtt.js would otherwise keep it in memory without bound.
      if (client.connected) client.publish(formatTopic(device, 'receipt'), Buffer.from(receipt), { qos: 0 });
    },
    get queued() {
      return queue.length;
    },
    get isConnected() {
      return client.connected;
    },
    refused,
    async close() {
      await client.endAsync();
    },
  };
}

async function connect(url: string, credential: { username: string; password: string }): Promise<MqttClient> {
  try {
    return await connectAsync(url, {
      ...credential,
      clientId: credential.username,
      clean: true,
      reconnectPeriod: reconnectMs,
      queueQoSZero: false,
    });
  } catch (cause) {
    throw new OperatingError('listen-failed', `broker ${url}: ${describeError(cause)}`, { retry: 'later', cause });
  }
}

/** First in, first out, with one taker. Bounded by count and by bytes: large messages cannot fill the memory. */
class BoundedQueue {
  readonly #countMax: number;
  #bytes = 0;
  #messages: Incoming[] = [];
  #wake: (() => void) | undefined;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  get length(): number {
    return this.#messages.length;
  }

  push(message: Incoming): boolean {
    const bytes = this.#bytes + message.bytes.length;
    if (this.#messages.length >= this.#countMax || bytes > queueBytesMax) return false;
    this.#messages.push(message);
    this.#bytes = bytes;
    this.#wake?.();
    return true;
  }

  async take(countMax: number, signal: AbortSignal): Promise<Incoming[]> {
    while (this.#messages.length === 0 && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          signal.removeEventListener('abort', wake);
          this.#wake = undefined;
          resolve();
        };
        this.#wake = wake;
        signal.addEventListener('abort', wake, { once: true });
      });
    }
    if (signal.aborted) return [];
    const taken = this.#messages.splice(0, countMax);
    for (const { bytes } of taken) this.#bytes -= bytes.length;
    return taken;
  }
}
