/**
 * One connection to the agent's local broker, shared by all nodes that name the same agent: its topics come in, samples
 * go out, and it comes back by itself.
 *
 *   node --send--> [waiting] --one SenML pack for all that wait--> agent --PUBACK: on its disk--> node's done()
 *
 * mqtt.js keeps what is not acknowledged in memory and drops part of it while it reconnects (MQTT.js #2015). So a
 * client lives from one connect to the first trouble, and what waits is kept here until its PUBACK.
 */
import { connect, type MqttClient } from 'mqtt';

export type ConnectionState =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'connected' }
  /** `why` in words for a person. */
  | { readonly kind: 'away'; readonly why: string };

/** A channel that takes samples, as the agent's topic `agent/channels` describes it. */
export type Channel = {
  readonly channel: string;
  readonly topic: string;
  /** SenML's resolved name. */
  readonly name: string;
  readonly unit: string;
  readonly units: readonly string[];
};

export type Sample = {
  /** Empty: the only device that the agent has. */
  readonly device: string;
  readonly channel: string;
  /** Null: the sensor has no value, a fault. */
  readonly value: number | boolean | null;
  readonly timeSec: number;
  /** Undefined: the unit that the channel is configured with. */
  readonly unit: string | undefined;
};

export type Listener = {
  /** At once for the present state, then at each change. */
  readonly onState?: (state: ConnectionState) => void;
  /** Topics below `agent/`: state at once, if it is known, and whatever comes. */
  readonly onMessage?: (path: readonly string[], message: unknown) => void;
};

export type Address = {
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
};

type Waiting = {
  readonly sample: Sample;
  readonly resolve: (device: string) => void;
  readonly reject: (error: Error) => void;
};
type Directory = { readonly [device: string]: readonly Channel[] };

/** A quarter of an hour of a sensor each second; beyond it a flow is told, so that it can keep them elsewhere. */
export const waitingMax = 1_000;
/** A pack stays far below the agent's 256 KiB. */
const recordsPerPackMax = 256;
const reconnectMsFirst = 250;
const reconnectMsMax = 10_000;
const connectMsMax = 10_000;
const keepaliveSec = 15;
const prefix = 'agent/';
/** Not kept for who joins later: what happened, not what is. */
const events: readonly (string | undefined)[] = ['readings', 'receipts'];

export class AgentConnection {
  readonly #address: Address;
  readonly #listeners = new Set<Listener>();
  readonly #retained = new Map<string, unknown>();
  #state: ConnectionState = { kind: 'connecting' };
  #client: MqttClient | undefined;
  #waiting: Waiting[] = [];
  #isSending = false;
  #isClosed = false;
  #failures = 0;
  #retry: NodeJS.Timeout | undefined;

  constructor(address: Address) {
    this.#address = address;
    this.#open();
  }

  /** Undefined until the agent has told it. */
  get channels(): Directory | undefined {
    return this.#retained.get('channels') as Directory | undefined;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Gives the way out. */
  join(listener: Listener): () => void {
    this.#listeners.add(listener);
    listener.onState?.(this.#state);
    for (const [path, message] of this.#retained) listener.onMessage?.(path.split('/'), message);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Resolves, with the name of the device, when the agent has the sample on its disk, also if that takes a reconnect.
   * Rejects when the agent has no such channel, when too many wait, and when the connection is closed for good.
   */
  send(sample: Sample): Promise<string> {
    if (this.#isClosed) return Promise.reject(new Error('the connection to the agent is closed'));
    if (this.#waiting.length >= waitingMax) {
      return Promise.reject(new Error(`the agent is away and ${waitingMax} samples wait already`));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ sample, resolve, reject });
      // In the next turn, so that what comes in one turn goes out in one pack.
      setImmediate(() => void this.#flush());
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    this.#listeners.clear();
    for (const { reject } of this.#waiting.splice(0)) reject(new Error('closed before the agent had the sample'));
    const client = this.#client;
    if (client === undefined) return;
    await new Promise<void>((resolve) => {
      client.once('close', () => resolve());
      client.end(true);
    });
  }

  #open(): void {
    const { host, port, username, password } = this.#address;
    const url = `mqtt://${host.includes(':') ? `[${host}]` : host}:${port}`;
    const client = connect(url, {
      username,
      password,
      protocolVersion: 4,
      clean: true,
      keepalive: keepaliveSec,
      connectTimeout: connectMsMax,
      reconnectPeriod: 0,
      queueQoSZero: false,
      resubscribe: false,
    });
    this.#client = client;
    let why = 'connection closed';
    client.on('error', (error) => {
      why = describe(error);
    });
    client.on('message', (topic, payload) => {
      try {
        this.#receive(topic, payload);
      } catch (error) {
        // Another broker than an agent's. A throw from here would end Node-RED as a whole.
        why = `${topic}: not what an agent says: ${describe(error as Error)}`;
        client.end(true);
      }
    });
    client.once('connect', () => {
      client.subscribe(`${prefix}#`, { qos: 1 }, (error) => {
        if (!error) this.#connected();
        else if (client.connected) {
          why = `${username} may not read: give it "reads" in the agent's configuration`;
          client.end(true);
        }
      });
    });
    client.once('close', () => {
      client.end(true);
      this.#client = undefined;
      if (!this.#isClosed) this.#lost(why);
    });
  }

  #connected(): void {
    this.#tell({ kind: 'connected' });
    void this.#flush();
  }

  #lost(why: string): void {
    this.#tell({ kind: 'away', why });
    const backOffMs = Math.min(reconnectMsMax, reconnectMsFirst * 2 ** Math.min(this.#failures, 8));
    this.#failures += 1;
    // Jitter: many flows must not knock in step when a gateway comes back.
    this.#retry = setTimeout(() => this.#open(), backOffMs * (0.5 + Math.random() / 2));
  }

  #tell(state: ConnectionState): void {
    this.#state = state;
    for (const { onState } of this.#listeners) onState?.(state);
  }

  #receive(topic: string, payload: Buffer): void {
    const path = topic.slice(prefix.length);
    const message = JSON.parse(payload.toString()) as unknown;
    const steps = path.split('/');
    if (!events.includes(steps[1])) this.#retained.set(path, message);
    for (const { onMessage } of this.#listeners) onMessage?.(steps, message);
    // Not at the CONNACK: a broker that takes us and then is no agent is knocked at ever slower.
    this.#failures = 0;
    if (path === 'channels') void this.#flush();
  }

  /** One pack at a time: PUBACK, then the next. What waits meanwhile goes together, one fsync of the agent for all. */
  async #flush(): Promise<void> {
    if (this.#isSending) return;
    this.#isSending = true;
    while (this.#client?.connected === true && this.channels !== undefined && this.#waiting.length > 0) {
      const pack = this.#takePack(this.channels);
      if (pack.records.length === 0) continue;
      const isAcknowledged = await publish(this.#client, pack.topic, JSON.stringify(pack.records));
      // After a lost connection they go again; the agent knows a repeated reading.
      if (!isAcknowledged) break;
      const sent = new Set(pack.waiting);
      this.#waiting = this.#waiting.filter((each) => !sent.has(each));
      pack.waiting.forEach(({ resolve }, i) => resolve(pack.devices[i]!));
    }
    this.#isSending = false;
  }

  /** The oldest that go to one topic. Those for a place that the agent does not have are rejected. */
  #takePack(directory: Directory) {
    const pack = { topic: '', records: [] as object[], waiting: [] as Waiting[], devices: [] as string[] };
    const rejected = new Set<Waiting>();
    for (const each of this.#waiting) {
      const placed = place(each.sample, directory);
      if (placed instanceof Error) {
        rejected.add(each);
        each.reject(placed);
        continue;
      }
      if (pack.records.length > 0 && placed.topic !== pack.topic) break;
      pack.topic = placed.topic;
      pack.records.push(placed.record);
      pack.waiting.push(each);
      pack.devices.push(placed.device);
      if (pack.records.length === recordsPerPackMax) break;
    }
    this.#waiting = this.#waiting.filter((each) => !rejected.has(each));
    return pack;
  }
}

/** A sample as a SenML record (RFC 8428), and where to send it. */
function place({ device, channel, value, timeSec, unit }: Sample, directory: Directory) {
  const devices = Object.keys(directory);
  const name = device === '' && devices.length === 1 ? devices[0]! : device;
  if (!devices.includes(name)) return new Error(`device: expected one of ${devices.join(', ')}, got "${device}"`);
  const channels = directory[name]!;
  const found = channels.find((each) => each.channel === channel);
  if (found === undefined) {
    const known = channels.map((each) => each.channel).join(', ');
    return new Error(`channel: expected one of ${known || 'none that takes SenML'}, got "${channel}"`);
  }
  const u = unit ?? found.unit;
  if (!found.units.includes(u)) return new Error(`unit: expected one of ${found.units.join(', ')}, got "${u}"`);
  const record = { n: found.name, t: timeSec, ...(typeof value === 'number' ? { u, v: value } : valueOf(value)) };
  return { topic: found.topic, device: name, record };
}

/** Text where a number belongs is how the agent is told of a fault. */
function valueOf(value: boolean | null): object {
  return value === null ? { vs: 'no value' } : { vb: value };
}

/** Whether the PUBACK came before the connection went. */
function publish(client: MqttClient, topic: string, text: string): Promise<boolean> {
  return new Promise((resolve) => {
    const lost = () => resolve(false);
    client.once('close', lost);
    client.publish(topic, text, { qos: 1 }, (error) => {
      client.removeListener('close', lost);
      resolve(!error);
    });
  });
}

/** A refused connection to several addresses has an empty message and a code. */
function describe(error: Error & { code?: unknown }): string {
  return error.message === '' ? String(error.code) : error.message;
}
