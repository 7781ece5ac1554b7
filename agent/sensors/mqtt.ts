/**
 * The broker for sensors in and around the truck: aedes, embedded. A sensor's PUBLISH is decoded, sampled and journaled
 * inside `authorizePublish`, which aedes awaits before it sends PUBACK (its own store comes after the PUBACK). So an
 * acknowledged reading is an fsynced one.
 *
 * What is wrong with a message is counted by reason, and the message is acknowledged all the same: MQTT 3.1.1 has no
 * refusal, and a sensor would send an unacknowledged one again for ever. Nothing that a sensor sent is forwarded to
 * anybody, so a message that was not taken goes nowhere. Only for topics that steer, `$SYS` the broker and NCMD an edge
 * node, is the connection closed.
 *
 * Who has `reads` may subscribe to the agent's own topics (local-topic.ts), a Sparkplug edge node to its commands,
 * which are this agent's; nobody to anything else.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Aedes, type AedesOptions, type AedesPublishPacket, type Client, type PublishPacket } from 'aedes';
import { envelopeBytesMax } from '@coldproof/wire';
import type { BrokerConfig, DeviceConfig } from '../config.ts';
import type { LocalPublish } from '../local-feed.ts';
import { mayRead, maySubscribe } from '../local-topic.ts';
import { asError, describeError, OperatingError } from '../operating-error.ts';
import { gateSocket, PacketTooLarge } from './packet-gate.ts';
import { senmlBytesMax } from './senml.ts';
import type { SensorDeps, SensorSample, SensorSource } from './sensor.ts';
import { isSparkplugCommand } from './sparkplug.ts';
import { SparkplugHost, type HostMessage } from './sparkplug-host.ts';
import { coversTopic } from './topic-filter.ts';
import { TopicRoutes } from './topic-route.ts';

/** The pack, its topic, and the packet's own head. */
const packetBytesMax = Math.max(senmlBytesMax, envelopeBytesMax) + 1_024;
/** More local sensors than any truck has. */
const connectionsMax = 64;
/** While a reader's socket is full, each message to it holds one of the broker's 100 places; so not for long. */
const drainMsMax = 2_000;

export type SensorBroker = SensorSource & { readonly port: number; readonly publish: LocalPublish };

/** Throws `port-unavailable`. `passwords` by username. */
export async function openSensorBroker(
  config: BrokerConfig,
  devices: readonly DeviceConfig[],
  passwords: ReadonlyMap<string, string>,
  deps: SensorDeps,
): Promise<SensorBroker> {
  const intake = new Intake(config, devices, passwords, deps);
  const broker = await Aedes.createBroker({
    ...intake.options(),
    maxTopicLevels: 16,
    // Sessions end with their connection, so nothing is kept for them; QoS 2 handshakes are what could pile up.
    maxInflightInbound: 64,
    connectTimeout: 10_000,
    drainTimeout: drainMsMax,
  });
  intake.speakThrough(broker);
  for (const event of ['clientError', 'connectionError'] as const) {
    broker.on(event, (client: Client, error: Error) => {
      // Of a packet in several pieces aedes may say several things; the connection has ended at the first.
      if (isProtocolError(error)) deps.refuse('packet-invalid', error.message);
      deps.log('info', 'sensor-connection-ended', { client: client.id, why: error.message });
    });
  }
  const sockets = new Set<Socket>();
  // Behind the gate aedes cannot cork its writes; with Nagle's algorithm each PUBACK would wait 40 ms for an ACK.
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    broker.handle(gateSocket(socket, packetBytesMax, (detail) => deps.refuse('packet-too-large', detail)));
  });
  server.maxConnections = connectionsMax;
  const port = await listen(server, config.host, config.port);
  return {
    port,
    publish(topic, message, { retain }) {
      const payload = intake.own(Buffer.from(message));
      // A state must arrive, and is QoS 1; an event that a full socket loses is counted.
      broker.publish({ cmd: 'publish', topic, payload, qos: retain ? 1 : 0, retain, dup: false }, (error) => {
        if (error && !broker.closed) deps.log('warn', 'feed-failed', { topic, why: error.message });
      });
    },
    async stop() {
      await intake.takeLeave();
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      await new Promise<void>((resolve) => {
        broker.close(() => resolve());
      });
      for (const socket of sockets) socket.destroy();
      await closed;
      await intake.idle();
    },
  };
}

/** Not what a network does (it has a code), a wrong password (an errorCode), silence, or our own word. */
function isProtocolError(error: Error): boolean {
  const isTold = error instanceof OperatingError || error instanceof PacketTooLarge;
  if ('code' in error || 'errorCode' in error || isTold) return false;
  return !/in time|timeout|reserved|premature/i.test(error.message);
}

type Login = { readonly digest: Buffer; readonly topics: readonly string[]; readonly reads: ReadonlySet<string> };

class Intake {
  readonly #logins: ReadonlyMap<string, Login>;
  readonly #routes: TopicRoutes;
  readonly #sparkplug: SparkplugHost;
  #broker: Aedes | undefined;
  readonly #users = new WeakMap<Client, Login>();
  readonly #deps: SensorDeps;
  readonly #underWay = new Set<Promise<void>>();
  /** Payloads of the agent itself: known by being these very buffers, so no message of a client can pass for one. */
  readonly #own = new WeakSet<object>();

  constructor(
    { credentials, sparkplugHost }: BrokerConfig,
    devices: readonly DeviceConfig[],
    passwords: ReadonlyMap<string, string>,
    deps: SensorDeps,
  ) {
    this.#deps = deps;
    this.#logins = new Map(
      credentials.map(({ username, topics, reads }) => {
        const digest = digestOf(passwords.get(username) ?? '');
        return [username, { digest, topics, reads: new Set(reads) }];
      }),
    );
    this.#routes = new TopicRoutes(devices, deps.refuse);
    this.#sparkplug = new SparkplugHost(sparkplugHost, devices, deps.refuse);
  }

  own(payload: Buffer): Buffer {
    this.#own.add(payload);
    return payload;
  }

  /** From now on edge nodes are answered; they wait for the host's state (tck-id-host-topic-phid-birth-required). */
  speakThrough(broker: Aedes): void {
    this.#broker = broker;
    if (this.#sparkplug.hasNodes) void this.#say(this.#sparkplug.state(true, this.#deps.clock.nowMs()));
  }

  /** tck-id-host-topic-phid-death-required */
  async takeLeave(): Promise<void> {
    if (this.#sparkplug.hasNodes) await this.#say(this.#sparkplug.state(false, this.#deps.clock.nowMs()));
  }

  #say({ topic, payload: bytes, retain }: HostMessage): Promise<void> {
    const payload = this.own(Buffer.from(bytes));
    return new Promise((resolve) => {
      this.#broker?.publish({ cmd: 'publish', topic, payload, qos: 0, retain, dup: false }, (error) => {
        if (error) this.#deps.log('warn', 'sparkplug-unsaid', { topic, why: error.message });
        resolve();
      });
    });
  }

  /** Resolves when every message that came in has been answered. */
  async idle(): Promise<void> {
    await Promise.allSettled(this.#underWay);
  }

  options(): AedesOptions {
    return {
      preConnect: (_client, packet, done) => {
        // A will is no reading; only an edge node's death certificate says something (and comes through #take).
        const { will } = packet;
        if (will !== undefined && !this.#sparkplug.allowsWill(will.topic, will.retain === true)) {
          this.#deps.refuse('will-not-allowed', `will: expected none, got one on ${will.topic.slice(0, 80)}`);
          delete packet.will;
        }
        done(null, true);
      },
      authenticate: (client, username, password, done) => {
        const login = this.#logins.get(username ?? '');
        const given = digestOf(password ?? '');
        // The comparison takes place for an unknown name too: the time of the answer tells nothing about names.
        const isRight = timingSafeEqual(given, login?.digest ?? nobodysDigest) && login !== undefined;
        if (isRight) {
          this.#users.set(client, login);
          done(null, true);
          return;
        }
        this.#deps.refuse('sensor-credentials-wrong', `username: got "${(username ?? '').slice(0, 64)}"`);
        done(null, false);
      },
      authorizeSubscribe: (client, subscription, done) => {
        const { topic } = subscription;
        // For a session that outlives its connection the broker would gather messages in memory.
        if (client.clean && this.#maySubscribe(client, topic)) {
          done(null, subscription);
          return;
        }
        const session = client.clean ? '' : ', of a session that is not clean';
        this.#deps.refuse('subscription-not-allowed', `subscription to ${topic.slice(0, 80)}${session}`);
        // A null subscription is answered with the failure code of SUBACK (MQTT 3.1.1 §3.9.3).
        done(null, null);
      },
      authorizePublish: (client, packet, done) => {
        const taken = this.#take(client, packet).then(
          () => done(),
          // Not journaled, so not acknowledged: the connection is closed and the sensor sends again.
          (error: unknown) => done(asError(error)),
        );
        this.#underWay.add(taken);
        void taken.finally(() => this.#underWay.delete(taken));
      },
      authorizeForward: (client, packet) => this.#forward(client, packet),
    };
  }

  /** The agent's own topics, and what a Sparkplug edge node must hear. */
  #maySubscribe(client: Client, filter: string): boolean {
    const login = this.#users.get(client);
    const { reads = nothing, topics = [] } = login ?? {};
    return maySubscribe(filter, reads) || this.#sparkplug.allowsSubscription(filter, topics);
  }

  #forward(client: Client, packet: AedesPublishPacket): AedesPublishPacket | null {
    if (!this.#own.has(Object(packet.payload) as object)) return null;
    const isCommand = isSparkplugCommand(packet.topic);
    if (!isCommand && !mayRead(packet.topic, this.#users.get(client)?.reads ?? nothing)) return null;
    if (packet.qos > 0 || !client.conn.writableNeedDrain) return packet;
    this.#deps.refuse('reader-slow', `${client.id.slice(0, 64)}: ${packet.topic}`);
    return null;
  }

  /** Returns when the message may be acknowledged: journaled, or turned away and counted. */
  async #take(client: Client | null, packet: PublishPacket): Promise<void> {
    if (packet.topic.startsWith('$') || isSparkplugCommand(packet.topic)) {
      this.#deps.refuse('topic-reserved', `topic: got ${packet.topic.slice(0, 80)}`);
      throw new Error('topics under $ and of Sparkplug commands are reserved');
    }
    const bytes = this.#admit(client, packet);
    const signed = this.#deps.signed?.get(packet.topic);
    if (bytes !== undefined && signed !== undefined) {
      await signed(bytes);
      return;
    }
    const samples = bytes === undefined ? [] : this.#decode(packet.topic, bytes, this.#deps.clock.nowMs());
    if (samples === undefined) this.#deps.refuse('topic-not-allowed', `topic: got ${packet.topic.slice(0, 80)}`);
    // A message that was turned away delivers nothing, in its turn: PUBACKs go out in order (MQTT 3.1.1 §4.6).
    await this.#deps.deliver(samples ?? []);
  }

  /** The payload of a message that its sender may send here. */
  #admit(client: Client | null, packet: PublishPacket): Uint8Array | undefined {
    const { refuse } = this.#deps;
    const { topic, retain, payload } = packet;
    if (retain) {
      packet.retain = false;
      refuse('publish-retained', `retain on ${topic.slice(0, 80)}`);
      return undefined;
    }
    if (client !== null && this.#users.get(client)?.topics.some((filter) => coversTopic(filter, topic)) === true) {
      return typeof payload === 'string' ? Buffer.from(payload) : payload;
    }
    refuse('topic-not-allowed', `topic: got ${topic.slice(0, 80)}`);
    return undefined;
  }

  #decode(topic: string, bytes: Uint8Array, nowMs: number): SensorSample[] | undefined {
    const taken = this.#sparkplug.take(topic, bytes, nowMs);
    if (taken === undefined) return this.#routes.decode(topic, bytes, nowMs / 1_000);
    if (taken.request !== undefined) void this.#say(taken.request);
    return taken.samples;
  }
}

function digestOf(secret: string | Uint8Array): Buffer {
  return createHash('sha256').update(secret).digest();
}

const nobodysDigest = Buffer.alloc(32);
const nothing: ReadonlySet<string> = new Set();

async function listen(server: Server, host: string, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const message = `sensorBroker ${host}:${port}: ${describeError(cause)}`;
      reject(new OperatingError('port-unavailable', message, { retry: 'later', cause }));
    });
    server.listen(port, host, resolve);
  });
  // A server that listens on TCP has an address of this form.
  return (server.address() as AddressInfo).port;
}
