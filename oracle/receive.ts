/**
 * MQTT -> a bounded queue of messages, and receipts back; live ones go past the queue, being no log's business. The
 * only file that imports mqtt. When the queue is full a message is dropped and counted: it gets no receipt, so its
 * device sends it again.
 */
import { connect, type IClientOptions, type MqttClient } from 'mqtt';
import { formatTopic, topicFilter } from '@coldproof/wire';
import type { ClientTls } from './config-broker.ts';
import { inflateEnvelope, type InflateReason } from './inflate.ts';
import type { Log } from './log-line.ts';
import { OperatingError, describeError } from './operating-error.ts';
import { Topics } from './topics.ts';
import type { Incoming } from './verify-pool.ts';

export type ReceiveReason =
  | InflateReason
  /** Not a topic of a device; only an external broker without our access rules lets one through. */
  | 'topic-malformed'
  /** The queue is full: the oracle is slower than its devices just now. */
  | 'queue-full';

export type Receiver = {
  /** Waits for messages, then takes up to `countMax`. None when `signal` has aborted, or `waitMs` have passed. */
  take(countMax: number, signal: AbortSignal, waitMs?: number): Promise<Incoming[]>;
  /** Puts a message before the intake that came another way than by MQTT. False when the queue is full. */
  offer(message: Incoming): boolean;
  /** Never fails: a receipt that does not get through is made again when the device repeats its batch. */
  publishReceipts(receipts: readonly { readonly device: Uint8Array; readonly receipt: Uint8Array }[]): void;
  readonly queued: number;
  readonly isConnected: boolean;
  /** Refused since the start, by reason. Not batches yet, so not in the store's counters. */
  readonly refused: ReadonlyMap<ReceiveReason, number>;
  close(): Promise<void>;
};

/** Beside us in the process, and across a network. */
const reconnectMsEmbedded = 500;
const reconnectMsExternal = 2_000;
const queueBytesMax = 64 * 1024 * 1024;

export type ReceiverSettings = {
  readonly url: string;
  readonly username: string;
  readonly password: string;
  readonly tls?: ClientTls | undefined;
  /** Of its own for each oracle: a broker pushes out the one before with the same. */
  readonly clientId: string;
  /** A broker of others may come later than we do; our own is there, or something is wrong. */
  readonly isExternal: boolean;
  readonly queueMax: number;
  /** The name of a shared subscription: the broker gives each message to one of those who have it. */
  readonly share?: string | undefined;
  /** Must not throw. */
  readonly onLive: (device: Uint8Array, bytes: Uint8Array) => void;
  readonly log: Log;
};

export async function openReceiver(settings: ReceiverSettings): Promise<Receiver> {
  const { url, queueMax, log } = settings;
  const queue = new BoundedQueue(queueMax);
  const refused = new Map<ReceiveReason, number>();
  const refuse = (reason: ReceiveReason) => refused.set(reason, (refused.get(reason) ?? 0) + 1);
  const topics = new Topics();
  const client = connect(url, optionsOf(settings));
  client.on('message', (topic, payload) => {
    const parsed = topics.parse(topic);
    if (parsed?.kind !== 'batch' && parsed?.kind !== 'live') return refuse('topic-malformed');
    const inflated = inflateEnvelope(payload);
    if (!inflated.ok) return refuse(inflated.reason);
    const message = { device: parsed.device, bytes: inflated.value };
    if (parsed.kind === 'live') settings.onLive(message.device, message.bytes);
    else if (!queue.push(message)) return refuse('queue-full');
    return undefined;
  });
  const subscription = new Subscription(client, log, settings.share);
  const cause = settings.isExternal ? undefined : await subscription.outcome;
  if (cause !== undefined) {
    await client.endAsync(true);
    throw new OperatingError('listen-failed', `broker ${url}: ${describeError(cause)}`, { retry: 'later', cause });
  }
  return {
    take: (countMax, signal, waitMs) => queue.take(countMax, signal, waitMs),
    offer: (message) => queue.push(message),
    publishReceipts(receipts) {
      // Only while connected: mqtt.js would otherwise keep it in memory without bound.
      if (!client.connected) return;
      for (const { device, receipt } of receipts) {
        client.publish(formatTopic(device, 'receipt'), Buffer.from(receipt), { qos: 0 });
      }
    },
    get queued() {
      return queue.length;
    },
    get isConnected() {
      return client.connected && subscription.isGranted;
    },
    refused,
    async close() {
      // By force when there is no connection to end in order: mqtt.js would wait for one.
      await client.endAsync(!client.connected);
    },
  };
}

function optionsOf({ username, password, tls, clientId, isExternal }: ReceiverSettings): IClientOptions {
  return {
    username,
    password,
    clientId,
    clean: true,
    reconnectPeriod: isExternal ? reconnectMsExternal : reconnectMsEmbedded,
    // A password that is wrong now may be right after the broker's reload.
    reconnectOnConnackError: true,
    // Subscribed by hand: a refusal must be seen each time.
    resubscribe: false,
    queueQoSZero: false,
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls?.key === undefined ? {} : { key: tls.key }),
    ...(tls?.serverName === undefined ? {} : { servername: tls.serverName }),
  };
}

/** mqtt.js connects again by itself; what is wrong meanwhile is told once, not at each try. */
class Subscription {
  isGranted = false;
  /** Of the first attempt. */
  readonly outcome: Promise<unknown>;
  readonly #client: MqttClient;
  readonly #log: Log;
  readonly #share: string | undefined;
  #told: string | undefined;
  #settle: (fault?: unknown) => void = () => undefined;

  constructor(client: MqttClient, log: Log, share: string | undefined) {
    this.#share = share;
    this.#client = client;
    this.#log = log;
    this.outcome = new Promise((resolve) => {
      this.#settle = resolve;
    });
    client.on('error', (error) => this.#tell(error));
    client.on('offline', () => log('warn', 'receive-offline'));
    client.on('close', () => {
      this.isGranted = false;
    });
    client.on('connect', () => void this.#subscribe());
  }

  async #subscribe(): Promise<void> {
    try {
      // QoS 0: between broker and oracle nothing is promised either way, and a lost message gets no receipt.
      const batches = topicFilter('batch');
      const filters = [this.#share === undefined ? batches : `$share/${this.#share}/${batches}`, topicFilter('live')];
      const granted = await this.#client.subscribeAsync(filters, { qos: 0 });
      if (granted.some(({ qos }) => qos >= 128)) throw new Error('the broker refused the subscription');
      this.isGranted = true;
      this.#told = undefined;
      this.#settle();
    } catch (error) {
      this.#tell(error);
    }
  }

  #tell(error: unknown): void {
    this.#settle(error);
    const words = describeError(error);
    if (words !== this.#told) this.#log('warn', 'receive-link', { error: words });
    this.#told = words;
  }
}

/** First in, first out, with one taker. Bounded by count and by bytes: large messages cannot fill the memory. */
export class BoundedQueue {
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

  async take(countMax: number, signal: AbortSignal, waitMs?: number): Promise<Incoming[]> {
    if (this.#messages.length === 0 && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          signal.removeEventListener('abort', wake);
          this.#wake = undefined;
          resolve();
        };
        const timer = waitMs === undefined ? undefined : setTimeout(wake, waitMs);
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
