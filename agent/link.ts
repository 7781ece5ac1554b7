/**
 * The way to the oracle as a port, and its MQTT adapter: the only place of the uplink that knows mqtt.js. A session
 * lives from one connect to the first trouble; nothing is queued, resent or reconnected behind the forwarder's back,
 * because mqtt.js keeps its queue in memory and drops part of it while it reconnects (MQTT.js #2015).
 */
import { connect, type IClientOptions, type MqttClient } from 'mqtt';
import { describeError, OperatingError } from './operating-error.ts';

export type LinkOptions = {
  readonly clientId: string;
  /** Published by the broker, retained, when this session ends without `close`. */
  readonly will: { readonly topic: string; readonly payload: string };
  /** Must not throw. `payload` comes from the network. */
  readonly onMessage: (topic: string, payload: Uint8Array) => void;
  /** Once, when the session is over for any reason. */
  readonly onClosed: () => void;
};

export type Link = {
  /** Throws `link-failed` (retry later) when there is no connection within the adapter's time limit. */
  open(options: LinkOptions, signal: AbortSignal): Promise<LinkSession>;
};

export type LinkSession = {
  /** QoS 1, in the order of the calls. Resolves at the broker's PUBACK, which promises nothing about the oracle. */
  publish(topic: string, payload: Uint8Array | string, options: { readonly retain: boolean }): Promise<void>;
  /** Throws `link-failed` when the broker refuses. */
  subscribe(topic: string): Promise<void>;
  /** A clean end: the will is not published. */
  close(): Promise<void>;
  /** Drops the connection as it is: for a session that has gone wrong. */
  abandon(): void;
};

export type LinkAddress = {
  readonly url: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
};

const connectMsMax = 10_000;
const keepaliveSec = 30;

export function mqttLink({ url, username, password }: LinkAddress): Link {
  return {
    async open({ clientId, will, onMessage, onClosed }, signal) {
      const options: IClientOptions = {
        clientId,
        protocolVersion: 4,
        clean: true,
        keepalive: keepaliveSec,
        connectTimeout: connectMsMax,
        reconnectPeriod: 0,
        queueQoSZero: false,
        resubscribe: false,
        will: { topic: will.topic, payload: Buffer.from(will.payload), qos: 1, retain: true },
        ...(username === undefined ? {} : { username }),
        ...(password === undefined ? {} : { password }),
      };
      const client = connect(url, options);
      // Before the handshake is done: a receipt may follow on the heels of the SUBACK.
      client.on('message', (topic, payload) => onMessage(topic, payload));
      await handshake(client, url, signal);
      client.once('close', () => {
        // Without this, what waits for a PUBACK would wait for ever: mqtt.js keeps it for a reconnect.
        client.end(true);
        onClosed();
      });
      return sessionOf(client);
    },
  };
}

async function handshake(client: MqttClient, url: string, signal: AbortSignal): Promise<void> {
  let cause: unknown;
  // Stays for the client's life: an EventEmitter's 'error' without a listener ends the process. 'close' follows it.
  client.on('error', (error) => {
    cause ??= error;
  });
  const abort = () => client.end(true);
  signal.addEventListener('abort', abort, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      const fail = () => {
        const why = signal.aborted ? 'stopped' : describeError(cause ?? 'closed before CONNACK');
        reject(new OperatingError('link-failed', `${url}: ${why}`, { retry: 'later', cause }));
      };
      client.once('connect', () => {
        client.off('close', fail);
        resolve();
      });
      client.once('close', fail);
      if (signal.aborted) client.end(true);
    });
  } catch (error) {
    client.end(true);
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function sessionOf(client: MqttClient): LinkSession {
  return {
    async publish(topic, payload, { retain }) {
      // mqtt.js would keep this for later; later is the forwarder's business.
      if (!client.connected) throw new OperatingError('link-failed', 'not connected', { retry: 'later' });
      const bytes = typeof payload === 'string' ? payload : Buffer.from(payload);
      await linkWork(`publish to ${topic}`, client.publishAsync(topic, bytes, { qos: 1, retain }));
    },
    async subscribe(topic) {
      const granted = await linkWork(`subscription to ${topic}`, client.subscribeAsync(topic, { qos: 1 }));
      if (granted.some(({ qos }) => qos === 128)) {
        throw new OperatingError('link-failed', `subscription to ${topic}: refused by the broker`, { retry: 'later' });
      }
    },
    async close() {
      await client.endAsync(false);
    },
    abandon() {
      client.end(true);
    },
  };
}

/** mqtt.js rejects with plain errors. */
async function linkWork<Result>(what: string, work: Promise<Result>): Promise<Result> {
  try {
    return await work;
  } catch (cause) {
    throw new OperatingError('link-failed', `${what}: ${describeError(cause)}`, { retry: 'later', cause });
  }
}
