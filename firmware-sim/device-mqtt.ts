/**
 * The device's radio: takes payloads from the outbox, oldest first, one at a time, and lets go of each on its PUBACK.
 *
 *   Outbox -- oldest --> publish, QoS 1 -- PUBACK --> remove          link lost: wait, open another, same oldest again
 *
 * The only door to mqtt.js here. One client per connection, and never a second life for it: its own reconnecting would
 * resend from a store in memory and drop what is published meanwhile, and its publish may never answer when the
 * connection ends first. So the outbox is the truth, a link is used until it closes, and every wait ends.
 *
 * It ends when `signal` is aborted: every wait here ends then, and an unacknowledged message stays in the outbox.
 */
import { connect, type MqttClient } from 'mqtt';
import { backOffMs } from './back-off.ts';
import type { Clock } from './clock.ts';
import type { Log } from './log-line.ts';
import { OperatingError } from './operating-error.ts';
import type { Outbox } from './outbox.ts';
import type { Random } from './random.ts';

export type Link = {
  /** Resolves at the broker's PUBACK, QoS 1. Rejects with OperatingError when the link closes or the ack is late. */
  publish(topic: string, payload: Uint8Array): Promise<void>;
  /** QoS 0: on its way, or not; nobody will say. */
  say(topic: string, payload: Uint8Array): void;
  /** Rejects with OperatingError when the broker refuses, or the link closes before it has answered. */
  subscribe(topic: string): Promise<void>;
  /** Resolves, never rejects, when the connection has ended, whoever ended it. */
  readonly closed: Promise<void>;
  close(): void;
};

export type Broker = {
  /** mqtt://host:port or mqtts://host:port */
  readonly url: string;
  readonly clientId: string;
  readonly username?: string;
  readonly password?: string;
  /** Real milliseconds until a CONNACK or a PUBACK counts as lost; answerMsDefault unless given. */
  readonly answerMsMax?: number;
  /** What the broker says in the device's place when it is gone. */
  readonly will?: { readonly topic: string; readonly payload: Uint8Array };
  readonly onMessage?: (topic: string, payload: Uint8Array) => void;
};

/** A gateway writes each message to disk before its PUBACK; a slow card takes a second, never ten. */
const answerMsDefault = 10_000;
/** Seconds of silence after which mqtt.js pings, to notice a broker that went without a FIN. */
const keepaliveSec = 15;

export type MqttDeviceDeps = {
  /** Real time: links fail and come back in it, however fast the voyage runs. */
  readonly realClock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly openLink: (signal: AbortSignal) => Promise<Link>;
};

export async function runMqttDevice(
  deps: MqttDeviceDeps,
  topic: string,
  outbox: Outbox,
  signal: AbortSignal,
): Promise<void> {
  const jitter = deps.random.fork('mqtt-back-off');
  let failures = 0;
  while (!signal.aborted) {
    try {
      const link = await deps.openLink(signal);
      deps.log('info', 'broker-connected', { queued: outbox.size });
      try {
        // Only an acknowledged message is a success: a broker that accepts and then hangs up is knocked at ever slower.
        await drain(link, { topic, outbox, log: deps.log }, signal, () => (failures = 0));
      } finally {
        link.close();
      }
    } catch (error) {
      if (isAborted(signal)) return;
      if (!(error instanceof OperatingError)) throw error;
      deps.log('warn', error.code, { detail: error.message, queued: outbox.size });
    }
    await deps.realClock.wait(backOffMs(failures++, jitter), signal);
  }
}

/** Returns when the link has closed between two messages; throws OperatingError when one is lost on its way. */
async function drain(
  link: Link,
  { topic, outbox, log }: { topic: string; outbox: Outbox; log: Log },
  signal: AbortSignal,
  onAcknowledged: () => void,
): Promise<void> {
  const closing = new AbortController();
  void link.closed.then(() => closing.abort());
  const stop = AbortSignal.any([signal, closing.signal]);
  while (!stop.aborted) {
    await outbox.until((size) => size > 0, stop);
    const message = outbox.oldest;
    if (message === undefined || isAborted(stop)) continue;
    await link.publish(topic, message.payload);
    outbox.remove(message);
    if (message.sampleSec !== undefined) log('info', 'acknowledged', { sampleSec: message.sampleSec });
    onAcknowledged();
  }
}

/** Asked through a function, since the compiler takes a property for unchanged across an await. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

/** Rejects with OperatingError: 'broker-unreachable' or 'broker-refused'; both may pass, so both retry later. */
export async function openLink(broker: Broker, signal: AbortSignal): Promise<Link> {
  const answerMsMax = broker.answerMsMax ?? answerMsDefault;
  const client = connect(broker.url, {
    clientId: broker.clientId,
    ...(broker.username === undefined ? {} : { username: broker.username }),
    ...(broker.password === undefined ? {} : { password: broker.password }),
    ...(broker.will === undefined ? {} : { will: { ...willOf(broker.will), qos: 1, retain: false } }),
    protocolVersion: 4,
    clean: true,
    keepalive: keepaliveSec,
    connectTimeout: answerMsMax,
    reconnectPeriod: 0,
    queueQoSZero: false,
    resubscribe: false,
  });
  client.on('message', (topic, payload) => broker.onMessage?.(topic, payload));
  const closed = new Promise<void>((resolve) => client.once('close', resolve));
  let lastError: Error | undefined;
  client.on('error', (error: Error) => (lastError = error));
  const stop = () => client.end(true);
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  const isOpen = await Promise.race([
    new Promise<true>((resolve) => client.once('connect', () => resolve(true))),
    closed.then(() => false as const),
  ]);
  if (!isOpen) {
    signal.removeEventListener('abort', stop);
    client.end(true);
    throw connectError(broker.url, lastError);
  }
  void closed.then(() => signal.removeEventListener('abort', stop));
  return {
    closed,
    say: (topic, payload) => void client.publish(topic, Buffer.from(payload), { qos: 0 }),
    subscribe: (topic) => subscribe(client, topic, closed),
    publish: (topic, payload) => publish(client, topic, payload, answerMsMax),
    // Its callback is not waited for: mqtt.js does not call it when the stream has closed already.
    close: () => void client.end(true),
  };
}

function willOf({ topic, payload }: { topic: string; payload: Uint8Array }): { topic: string; payload: Buffer } {
  return { topic, payload: Buffer.from(payload) };
}

async function subscribe(client: MqttClient, topic: string, closed: Promise<void>): Promise<void> {
  const granted = await Promise.race([client.subscribeAsync(topic, { qos: 1 }), closed]);
  if (granted?.every(({ qos }) => qos < 128) === true) return;
  const why = granted === undefined ? 'the link closed before the SUBACK' : `subscription to ${topic}: refused`;
  throw new OperatingError('link-closed', why, { retry: 'later' });
}

function publish(client: MqttClient, topic: string, payload: Uint8Array, answerMsMax: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: OperatingError) => {
      clearTimeout(timer);
      client.removeListener('close', onClose);
      if (error === undefined) resolve();
      else reject(error);
    };
    const lost = (cause?: unknown) => {
      settle(new OperatingError('link-closed', 'the link closed before the PUBACK', { retry: 'later', cause }));
    };
    const onClose = () => lost();
    const timer = setTimeout(() => {
      const message = `PUBACK: expected within ${answerMsMax} ms, got none`;
      settle(new OperatingError('acknowledgement-late', message, { retry: 'later' }));
    }, answerMsMax);
    client.once('close', onClose);
    // mqtt.js would queue it for a connection that never comes.
    if (!client.connected) {
      lost();
      return;
    }
    client.publish(topic, Buffer.from(payload), { qos: 1 }, (error) => {
      if (error) lost(error);
      else settle();
    });
  });
}

function connectError(url: string, cause: Error | undefined): OperatingError {
  // mqtt.js gives the CONNACK's return code (MQTT 3.1.1 §3.2.2.3) as `code`, a number; the socket's codes are text.
  const code = cause !== undefined && 'code' in cause ? cause.code : undefined;
  if (typeof code === 'number') {
    return new OperatingError('broker-refused', `broker ${url} refused the connection: return code ${code}`, {
      retry: 'later',
      cause,
    });
  }
  const why = cause === undefined ? 'no answer' : cause.message === '' ? String(code) : cause.message;
  return new OperatingError('broker-unreachable', `broker ${url}: ${why}`, { retry: 'later', cause });
}
