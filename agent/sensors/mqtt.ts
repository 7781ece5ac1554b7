/**
 * The broker for sensors in and around the truck: aedes, embedded. A sensor's PUBLISH is decoded, sampled and journaled
 * inside `authorizePublish`, which aedes awaits before it sends PUBACK (its own store comes after the PUBACK). So an
 * acknowledged reading is an fsynced one.
 *
 * What is wrong with a message is counted by reason, and the message is acknowledged all the same: MQTT 3.1.1 has no
 * refusal, and a sensor would send an unacknowledged one again for ever. Nobody can subscribe here, so a message that
 * was not taken goes nowhere. Only for topics that steer, `$SYS` the broker and NCMD an edge node, is the connection
 * closed. A Sparkplug edge node may listen to its own commands, which are this agent's.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Aedes, type AedesOptions, type Client, type PublishPacket } from 'aedes';
import type { BrokerConfig, DeviceConfig } from '../config.ts';
import { asError, describeError, OperatingError } from '../operating-error.ts';
import { gateSocket } from './packet-gate.ts';
import { senmlBytesMax } from './senml.ts';
import type { SensorDeps, SensorSample, SensorSource } from './sensor.ts';
import { isSparkplugCommand } from './sparkplug.ts';
import { SparkplugHost, type HostMessage } from './sparkplug-host.ts';
import { coversTopic } from './topic-filter.ts';
import { TopicRoutes } from './topic-route.ts';

/** The pack, its topic, and the packet's own head. */
const packetBytesMax = senmlBytesMax + 1_024;
/** More local sensors than any truck has. */
const connectionsMax = 64;

export type SensorBroker = SensorSource & { readonly port: number };

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
    // A broker that nobody subscribes to has nothing to keep; QoS 2 handshakes are what could pile up.
    maxInflightInbound: 64,
    connectTimeout: 10_000,
  });
  intake.speakThrough(broker);
  for (const event of ['clientError', 'connectionError'] as const) {
    broker.on(event, (client: Client, error: Error) => {
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

type Login = { readonly digest: Buffer; readonly topics: readonly string[] };

class Intake {
  readonly #logins: ReadonlyMap<string, Login>;
  readonly #routes: TopicRoutes;
  readonly #sparkplug: SparkplugHost;
  #broker: Aedes | undefined;
  readonly #users = new WeakMap<Client, Login>();
  readonly #deps: SensorDeps;
  readonly #underWay = new Set<Promise<void>>();

  constructor(
    { credentials, sparkplugHost }: BrokerConfig,
    devices: readonly DeviceConfig[],
    passwords: ReadonlyMap<string, string>,
    deps: SensorDeps,
  ) {
    this.#deps = deps;
    this.#logins = new Map(
      credentials.map(({ username, topics }) => {
        return [username, { digest: digestOf(passwords.get(username) ?? ''), topics }];
      }),
    );
    this.#routes = new TopicRoutes(devices, deps.refuse);
    this.#sparkplug = new SparkplugHost(sparkplugHost, devices, deps.refuse);
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

  #say({ topic, payload, retain }: HostMessage): Promise<void> {
    const packet = { cmd: 'publish', topic, payload: Buffer.from(payload), qos: 0, retain, dup: false } as const;
    return new Promise((resolve) => {
      this.#broker?.publish(packet, (error) => {
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
        const allowed = this.#users.get(client)?.topics ?? [];
        if (this.#sparkplug.allowsSubscription(topic, allowed)) {
          done(null, subscription);
          return;
        }
        this.#deps.refuse('subscription-not-allowed', `subscription to ${topic.slice(0, 80)}`);
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
      // Nobody but this host publishes where an edge node may listen.
      authorizeForward: (_client, packet) => (isSparkplugCommand(packet.topic) ? packet : null),
    };
  }

  /** Returns when the message may be acknowledged: journaled, or turned away and counted. */
  async #take(client: Client | null, packet: PublishPacket): Promise<void> {
    if (packet.topic.startsWith('$') || isSparkplugCommand(packet.topic)) {
      this.#deps.refuse('topic-reserved', `topic: got ${packet.topic.slice(0, 80)}`);
      throw new Error('topics under $ and of Sparkplug commands are reserved');
    }
    // A message that was turned away delivers nothing, in its turn: PUBACKs go out in order (MQTT 3.1.1 §4.6).
    await this.#deps.deliver(this.#open(client, packet) ?? []);
  }

  #open(client: Client | null, packet: PublishPacket): SensorSample[] | undefined {
    const { refuse, clock } = this.#deps;
    const { topic, retain, payload } = packet;
    if (retain) {
      packet.retain = false;
      refuse('publish-retained', `retain on ${topic.slice(0, 80)}`);
      return undefined;
    }
    const isAllowed = client !== null && this.#users.get(client)?.topics.some((filter) => coversTopic(filter, topic));
    const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
    const samples = isAllowed === true ? this.#decode(topic, bytes, clock.nowMs()) : undefined;
    if (samples === undefined) refuse('topic-not-allowed', `topic: got ${topic.slice(0, 80)}`);
    return samples;
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
