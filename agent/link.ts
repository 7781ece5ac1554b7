/**
 * The way to the oracle as a port, and its MQTT adapter: the only place of the uplink that knows mqtt.js. A session
 * lives from one connect to the first trouble; nothing is queued, resent or reconnected behind the forwarder's back,
 * because mqtt.js keeps its queue in memory and drops part of it while it reconnects (MQTT.js #2015).
 */
import { connect, type IClientOptions, type IConnackPacket, type MqttClient } from 'mqtt';
import { describeLinkFault } from './link-fault.ts';
import type { LinkTls } from './link-tls.ts';
import { OperatingError } from './operating-error.ts';

export type LinkOptions = {
  readonly clientId: string;
  /** Published by the broker, retained, when this session ends without `close`. */
  readonly will: { readonly topic: string; readonly payload: string };
  /** Must not throw. `payload` comes from the network. */
  readonly onMessage: (topic: string, payload: Uint8Array) => void;
  /** Once, when the session is over for any reason; with the reason, if the broker gave one. */
  readonly onClosed: (why?: string) => void;
};

export type Link = {
  /** Throws `link-failed` (retry later) when there is no connection within the adapter's time limit. */
  open(options: LinkOptions, signal: AbortSignal): Promise<LinkSession>;
};

export type LinkSession = {
  /** Publishes that may be without a PUBACK at a time (MQTT 5 §3.2.2.3.3, Receive Maximum); 65,535 in 3.1.1. */
  readonly inFlightMax: number;
  /**
   * QoS 1, in the order of the calls. Resolves at the broker's PUBACK, which promises nothing about the oracle.
   * After `expirySec` the broker may drop it (MQTT 5 §3.3.2.3.3; nothing in 3.1.1, so nothing may depend on it).
   */
  publish(topic: string, payload: Uint8Array | string, options: PublishOptions): Promise<void>;
  /** Throws `link-failed` when the broker refuses. */
  subscribe(topic: string): Promise<void>;
  /** A clean end: the will is not published. */
  close(): Promise<void>;
  /** Drops the connection as it is: for a session that has gone wrong. */
  abandon(): void;
};

export type PublishOptions = { readonly retain: boolean; readonly expirySec?: number | undefined };

export type LinkAddress = {
  readonly url: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** 3.1.1 unless it says otherwise. */
  readonly mqtt?: '3.1.1' | 5;
  /** For mqtts: the system's CAs without it. */
  readonly tls?: LinkTls | undefined;
};

const connectMsMax = 10_000;
const keepaliveSec = 30;
/** MQTT 5 §3.2.2.3.3: what holds when the broker says nothing; and the packet identifiers of 3.1.1. */
const receiveMaximumDefault = 65_535;

export function mqttLink({ url, username, password, mqtt = '3.1.1', tls }: LinkAddress): Link {
  return {
    async open({ clientId, will, onMessage, onClosed }, signal) {
      const options: IClientOptions = {
        clientId,
        protocolVersion: mqtt === 5 ? 5 : 4,
        clean: true,
        keepalive: keepaliveSec,
        connectTimeout: connectMsMax,
        reconnectPeriod: 0,
        queueQoSZero: false,
        resubscribe: false,
        will: { topic: will.topic, payload: Buffer.from(will.payload), qos: 1, retain: true },
        ...(username === undefined ? {} : { username }),
        ...(password === undefined ? {} : { password }),
        ...(tls === undefined ? {} : tlsOptions(tls)),
      };
      const client = connect(url, options);
      // Before the handshake is done: a receipt may follow on the heels of the SUBACK.
      client.on('message', (topic, payload) => onMessage(topic, payload));
      let why: string | undefined;
      // MQTT 5 §3.14: the broker says why it ends the connection.
      client.on('disconnect', ({ reasonCode, properties }) => {
        why = `the broker ended it: ${properties?.reasonString ?? 'no words'} (reason code ${reasonCode ?? 0})`;
      });
      const { properties } = await handshake(client, url, signal);
      client.on('error', (error) => {
        why ??= describeLinkFault(error);
      });
      client.once('close', () => {
        // Without this, what waits for a PUBACK would wait for ever: mqtt.js keeps it for a reconnect.
        client.end(true);
        onClosed(why);
      });
      return sessionOf(client, properties?.receiveMaximum ?? receiveMaximumDefault);
    },
  };
}

function tlsOptions({ ca, cert, key, serverName }: LinkTls): IClientOptions {
  return {
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
}

async function handshake(client: MqttClient, url: string, signal: AbortSignal): Promise<IConnackPacket> {
  let cause: unknown;
  // Stays for the client's life: an EventEmitter's 'error' without a listener ends the process. 'close' follows it.
  client.on('error', (error) => {
    cause ??= error;
  });
  const abort = () => client.end(true);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await new Promise<IConnackPacket>((resolve, reject) => {
      const fail = () => {
        const why = signal.aborted ? 'stopped' : describeLinkFault(cause ?? 'closed before CONNACK');
        reject(new OperatingError('link-failed', `${url}: ${why}`, { retry: 'later', cause }));
      };
      client.once('connect', (connack) => {
        client.off('close', fail);
        resolve(connack);
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

function sessionOf(client: MqttClient, inFlightMax: number): LinkSession {
  return {
    inFlightMax,
    async publish(topic, payload, { retain, expirySec }) {
      // mqtt.js would keep this for later; later is the forwarder's business.
      if (!client.connected) throw new OperatingError('link-failed', 'not connected', { retry: 'later' });
      const bytes = typeof payload === 'string' ? payload : Buffer.from(payload);
      const properties = expirySec === undefined ? {} : { properties: { messageExpiryInterval: expirySec } };
      await linkWork(`publish to ${topic}`, client.publishAsync(topic, bytes, { qos: 1, retain, ...properties }));
    },
    async subscribe(topic) {
      const granted = await linkWork(`subscription to ${topic}`, client.subscribeAsync(topic, { qos: 1 }));
      if (granted.some(({ qos }) => qos >= 128)) {
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
    throw new OperatingError('link-failed', `${what}: ${describeLinkFault(cause)}`, { retry: 'later', cause });
  }
}
