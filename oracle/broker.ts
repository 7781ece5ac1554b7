/**
 * The embedded MQTT 3.1.1 broker, and the only file that imports aedes. Devices publish their batches and status here,
 * over TLS when it has a certificate, and read their receipts, each under its own credential; nobody sees or writes
 * anything else. It keeps no sessions and promises nothing: aedes acknowledges QoS 1 before it stores, so a receipt is
 * the only promise.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, TLSSocket } from 'node:tls';
import { randomBytes, randomUUID, scryptSync, timingSafeEqual } from 'node:crypto';
import { Aedes, type AedesOptions, type Client, type PublishPacket, type Subscription } from 'aedes';
import { topicFilter } from '@coldproof/wire';
import { bytesMaxOf, heardByDevice, heardByOwner, saidByDevice, saidByOwner } from './broker-kinds.ts';
import { Readers, type Message } from './broker-readers.ts';
import type { BrokerCredential, BrokerTls, EmbeddedBroker } from './config-broker.ts';
import type { Log } from './log-line.ts';
import { OperatingError } from './operating-error.ts';
import { Framing } from './packet-framing.ts';
import { Topics, type Topic } from './topics.ts';

export type Broker = {
  /** The port it listens on, also when 0 was asked for. */
  readonly port: number;
  /** For the oracle's own client; made anew at each start. */
  readonly internal: { readonly username: string; readonly password: string };
  readonly refused: ReadonlyMap<BrokerReason, number>;
  /** From now on what devices publish for the oracle goes to `take`, in this process and nowhere else. */
  receive(take: Take): void;
  /** To the clients that have subscribed to these topics; nothing is kept for others. */
  publish(messages: readonly Message[]): void;
  close(): Promise<void>;
};

/** Must not throw. */
export type Take = (topic: Topic, payload: Uint8Array) => void;

export type BrokerReason =
  | 'credentials-wrong'
  /** TLS did not come about: no client certificate, or one of another CA, expired, revoked; or no TLS at all. */
  | 'tls-refused'
  /** The client certificate is of another username. */
  | 'certificate-of-another'
  /** Another username is connected under this client id; MQTT would let the newcomer push it out. */
  | 'client-id-taken'
  | 'packet-too-large'
  | 'publish-forbidden'
  | 'subscribe-forbidden'
  /** A retained batch would be given to later subscribers as if it were new. */
  | 'retain-forbidden';

/** aedes closes a client that does not read for this long, so that it does not hold up the others. */
const drainMsMax = 10_000;
const connectionsMax = 10_000;
const handshakeMsMax = 10_000;

export type BrokerSettings = EmbeddedBroker & { readonly log: Log };

type Refuse = (reason: BrokerReason, fields: Readonly<Record<string, unknown>>) => Error;

export async function openBroker({ host, port, credentials, tls, log }: BrokerSettings): Promise<Broker> {
  const account = { username: `oracle-${randomUUID()}`, password: randomBytes(24).toString('hex') };
  const refused = new Map<BrokerReason, number>();
  const refuse: Refuse = (reason, fields) => {
    refused.set(reason, (refused.get(reason) ?? 0) + 1);
    log('warn', 'broker-refused', { reason, ...fields });
    return new Error(reason);
  };
  const topics = new Topics();
  const gate = new Gate(credentials, account, topics);
  const aedes = new DirectAedes(optionsOf(gate, refuse), topics);
  await aedes.listen();
  const readers = new Readers(aedes, (client, topic) => gate.mayReceive(client, topic));
  aedes.on('clientDisconnect', (client) => gate.release(client));
  aedes.on('clientError', (client, error) =>
    log('debug', 'broker-client', { client: client.id, error: error.message }),
  );
  aedes.on('connectionError', (_client, error) => log('debug', 'broker-connection', { error: error.message }));
  const handle = (socket: Socket) => {
    limitPackets(socket, () => refuse('packet-too-large', { from: socket.remoteAddress }));
    aedes.handle(socket);
  };
  const server = tls === undefined ? createServer(handle) : tlsServer(tls, handle, refuse);
  server.maxConnections = connectionsMax;
  const closeBroker = () => new Promise<void>((resolve) => aedes.close(() => resolve()));
  const actualPort = await listen(server, host, port).catch(async (error: unknown) => {
    await closeBroker();
    throw error;
  });
  // Out of file descriptors, for one: the connections that stand go on.
  server.on('error', (error) => log('error', 'broker-fault', { error: error.message }));
  return {
    port: actualPort,
    internal: account,
    refused,
    receive: (take) => {
      aedes.take = take;
    },
    publish: (messages) => readers.publish(messages),
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await closeBroker();
      await closed;
    },
  };
}

/** Through aedes' own routing, a loopback and a client of ours, each batch would cost more than its verification. */
class DirectAedes extends Aedes {
  take: Take | undefined;
  readonly #topics: Topics;

  constructor(options: AedesOptions, topics: Topics) {
    super(options);
    this.#topics = topics;
  }

  /** aedes calls this for each message that authorizePublish has let through, also for wills. */
  override publish(packet: PublishPacket, ...rest: [callback: (error?: Error) => void]): void {
    const topic = this.take === undefined ? undefined : this.#topics.parse(packet.topic);
    if (this.take === undefined || topic === undefined || !forOracle.has(topic.kind)) {
      super.publish(packet, ...rest);
      return;
    }
    if (typeof packet.payload !== 'string') this.take(topic, packet.payload);
    // (packet, callback) or, where it has one, (packet, client, callback).
    rest.at(-1)?.();
  }
}

const forOracle: ReadonlySet<string> = new Set(['batch', 'live']);

/** RFC 8996: TLS 1.2 or later, Node's own minimum. With a client CA, OpenSSL refuses who has no certificate of it. */
function tlsServer({ cert, key, clientCa }: BrokerTls, handle: (socket: Socket) => void, refuse: Refuse): Server {
  const isMutual = clientCa !== undefined;
  const options = { cert, key, handshakeTimeout: handshakeMsMax, requestCert: isMutual, rejectUnauthorized: isMutual };
  const server = createTlsServer({ ...options, ...(isMutual ? { ca: clientCa } : {}) }, handle);
  server.on('tlsClientError', (error, socket) =>
    refuse('tls-refused', { from: socket.remoteAddress, error: error.message }),
  );
  return server;
}

/** Undefined without one. */
function certificateName({ conn }: Client): string | undefined {
  if (!(conn instanceof TLSSocket) || !conn.authorized) return undefined;
  const { CN: name } = conn.getPeerCertificate().subject;
  return typeof name === 'string' ? name : '';
}

/** How aedes asks, and what the gate answers. */
function optionsOf(gate: Gate, refuse: Refuse): AedesOptions {
  return {
    drainTimeout: drainMsMax,
    maxInflightInbound: 64,
    preConnect(_client, packet, done) {
      // No session outlives its connection: nothing queues up for a device that is away, and receipts are remade.
      packet.clean = true;
      done(null, true);
    },
    authenticate(client, username, password, done) {
      const reason = gate.admit(client, username, password);
      if (reason === undefined) {
        done(null, true);
        return;
      }
      refuse(reason, { client: client.id, username });
      done(null, false);
    },
    authorizePublish(client, packet, done) {
      const reason = gate.judgePublish(client, packet);
      if (reason === undefined) {
        done();
        return;
      }
      done(refuse(reason, { client: client?.id, topic: packet.topic.slice(0, 100) }));
    },
    authorizeSubscribe(client, subscription, done) {
      if (gate.maySubscribe(client, subscription)) {
        done(null, subscription);
        return;
      }
      refuse('subscribe-forbidden', { client: client.id, topic: subscription.topic.slice(0, 100) });
      // Null answers 128 for this one subscription (MQTT 3.1.1 §3.9.3) and leaves the client connected.
      done(null, null);
    },
    authorizeForward: (client, packet) => (gate.mayReceive(client, packet.topic) ? packet : null),
  };
}

type Secret = {
  readonly salt: Buffer;
  readonly hash: Buffer | undefined;
  readonly devices: ReadonlySet<string>;
  readonly owns: ReadonlySet<string>;
};

/** Who may do what. */
class Gate {
  readonly #secrets = new Map<string, Secret>();
  readonly #internal: string;
  readonly #topics: Topics;
  /** Usernames of the connected clients, by client and by client id. */
  readonly #users = new WeakMap<Client, string>();
  readonly #holders = new Map<string, { client: Client; username: string }>();

  constructor(
    credentials: readonly BrokerCredential[],
    internal: { username: string; password: string },
    topics: Topics,
  ) {
    this.#topics = topics;
    this.#internal = internal.username;
    const all: readonly BrokerCredential[] = [...credentials, { ...internal, devices: [] }];
    for (const { username, password, devices, owns = [] } of all) {
      const salt = randomBytes(16);
      const hash = password === undefined ? undefined : hashPassword(password, salt);
      this.#secrets.set(username, { salt, hash, devices: new Set(devices), owns: new Set(owns) });
    }
  }

  admit(client: Client, username: string | undefined, password: Buffer | undefined): BrokerReason | undefined {
    const certified = certificateName(client);
    if (certified !== undefined && username !== undefined && certified !== username) return 'certificate-of-another';
    return this.#admit(client, username ?? certified, password, certified !== undefined);
  }

  #admit(
    client: Client,
    username: string | undefined,
    password: Buffer | undefined,
    isCertified: boolean,
  ): BrokerReason | undefined {
    const secret = this.#secrets.get(username ?? '');
    // An unknown username costs as much time as a wrong password.
    const salt = secret?.salt ?? Buffer.alloc(16);
    const isSame = timingSafeEqual(hashPassword(password ?? '', salt), secret?.hash ?? Buffer.alloc(hashBytes));
    // Without a password in the configuration the certificate is all, and is not to be done without.
    const isRight = secret?.hash === undefined ? isCertified : isSame;
    if (username === undefined || secret === undefined || !isRight) return 'credentials-wrong';
    const holder = this.#holders.get(client.id);
    if (holder !== undefined && !holder.client.closed && holder.username !== username) return 'client-id-taken';
    this.#users.set(client, username);
    this.#holders.set(client.id, { client, username });
    return undefined;
  }

  release(client: Client): void {
    if (this.#holders.get(client.id)?.client === client) this.#holders.delete(client.id);
  }

  /** Also asked for wills, when the connection breaks. Without a client it is the broker's own, or a will left over. */
  judgePublish(client: Client | null, packet: PublishPacket): BrokerReason | undefined {
    if (client === null) return 'publish-forbidden';
    const username = this.#users.get(client);
    const topic = this.#topics.parse(packet.topic);
    if (username === undefined || topic === undefined) return 'publish-forbidden';
    const { kind, name } = topic;
    if (username === this.#internal) return kind === 'receipt' && !packet.retain ? undefined : 'publish-forbidden';
    const isDevices = saidByDevice.has(kind) && this.#speaksFor(username, name);
    const isOwners = saidByOwner.has(kind) && this.#owns(username, name);
    if (!isDevices && !isOwners) return 'publish-forbidden';
    if (kind === 'batch' || kind === 'live') return packet.retain ? 'retain-forbidden' : undefined;
    return packet.payload.length > bytesMaxOf(kind) ? 'packet-too-large' : undefined;
  }

  maySubscribe(client: Client, { topic }: Subscription): boolean {
    if (this.#users.get(client) === this.#internal)
      return (['batch', 'live', 'status'] as const).some((kind) => topic === topicFilter(kind));
    return this.mayReceive(client, topic);
  }

  /** A filter with a wildcard is no topic, so it is refused here too. */
  mayReceive(client: Client, topic: string): boolean {
    const username = this.#users.get(client);
    const parsed = this.#topics.parse(topic);
    if (username === undefined || parsed === undefined) return false;
    const { kind, name } = parsed;
    if (username === this.#internal) return kind === 'batch' || kind === 'live' || kind === 'status';
    if (heardByDevice.has(kind) && this.#speaksFor(username, name)) return true;
    return heardByOwner.has(kind) && this.#owns(username, name);
  }

  #owns(username: string, device: string): boolean {
    return this.#secrets.get(username)?.owns.has(device) === true;
  }

  #speaksFor(username: string, device: string): boolean {
    return this.#secrets.get(username)?.devices.has(device) === true;
  }
}

const hashBytes = 32;

/** Modest on purpose: each connection pays it on the loop's thread, and the passwords are long and random. */
function hashPassword(password: string | Buffer, salt: Buffer): Buffer {
  return scryptSync(password, salt, hashBytes, { N: 1 << 10, r: 8, p: 1 });
}

/**
 * Ends a connection at the header of a packet that is too large. aedes would collect up to 256 MiB of it first, and
 * offers no limit; it takes what it parses from `read`, so that is where the lengths are watched.
 */
function limitPackets(socket: Socket, onExcess: () => Error): void {
  const read = socket.read.bind(socket);
  const framing = new Framing();
  socket.read = (size?: number): unknown => {
    const chunk: unknown = read(size);
    if (!(chunk instanceof Uint8Array) || framing.admit(chunk)) return chunk;
    socket.destroy(onExcess());
    return null;
  };
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const fail = (cause: Error) => {
      const message = `broker: cannot listen on ${host}:${port}`;
      reject(new OperatingError('listen-failed', message, { retry: 'later', cause }));
    };
    server.once('error', fail);
    server.listen(port, host, () => {
      server.off('error', fail);
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}
