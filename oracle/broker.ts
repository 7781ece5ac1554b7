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
import { bytesToHex, envelopeBytesMax, parseTopic, topicFilter } from '@coldproof/wire';
import type { BrokerCredential, BrokerTls, EmbeddedBroker } from './config-broker.ts';
import type { Log } from './log-line.ts';
import { OperatingError } from './operating-error.ts';

export type Broker = {
  /** The port it listens on, also when 0 was asked for. */
  readonly port: number;
  /** For the oracle's own client; made anew at each start. */
  readonly internal: { readonly url: string; readonly username: string; readonly password: string };
  readonly refused: ReadonlyMap<BrokerReason, number>;
  /** From now on what devices publish for the oracle goes to `take`, in this process and nowhere else. */
  receive(take: Take): void;
  /** To the clients that have subscribed to these topics; nothing is kept for others. */
  publish(messages: readonly Message[]): void;
  close(): Promise<void>;
};

export type Message = { readonly topic: string; readonly payload: Uint8Array };
/** Must not throw. */
export type Take = (topic: Topic, payload: Uint8Array) => void;
type Topic = NonNullable<ReturnType<typeof parseTopic>>;

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

/** An envelope, its topic, and MQTT's own header. */
const packetBytesMax = envelopeBytesMax + 1_024;
/** A status is a few words. */
const statusBytesMax = 1_024;
/** aedes closes a client that does not read for this long, so that it does not hold up the others. */
const drainMsMax = 10_000;
const connectionsMax = 10_000;
const handshakeMsMax = 10_000;
const loopback = '127.0.0.1';

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
  const gate = new Gate(credentials, account);
  const aedes = new DirectAedes(optionsOf(gate, refuse));
  await aedes.listen();
  const readers = new Readers(aedes);
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
  // The oracle's own way in needs no TLS: it ends in this process, and nobody else has its password.
  const inside =
    tls === undefined
      ? undefined
      : createServer((socket) => {
          gate.admitInside(socket);
          handle(socket);
        });
  const closeBroker = () => new Promise<void>((resolve) => aedes.close(() => resolve()));
  let actualPort: number;
  let insideUrl: string;
  try {
    actualPort = await listen(server, host, port);
    // A broker on every address is on this one too.
    const near = host === '0.0.0.0' || host === '::' ? loopback : host;
    const insidePort = inside === undefined ? actualPort : await listen(inside, loopback, 0);
    insideUrl = `mqtt://${inside === undefined ? near : loopback}:${insidePort}`;
  } catch (error) {
    server.close();
    await closeBroker();
    throw error;
  }
  // Out of file descriptors, for one: the connections that stand go on.
  server.on('error', (error) => log('error', 'broker-fault', { error: error.message }));
  return {
    port: actualPort,
    internal: { url: insideUrl, ...account },
    refused,
    receive: (take) => {
      aedes.take = take;
    },
    publish: (messages) => readers.publish(messages),
    async close() {
      const servers = inside === undefined ? [server] : [server, inside];
      const closed = servers.map((each) => new Promise<void>((resolve) => each.close(() => resolve())));
      await closeBroker();
      await Promise.all(closed);
    },
  };
}

/** Through aedes' own routing, a loopback and a client of ours, each batch would cost more than its verification. */
class DirectAedes extends Aedes {
  take: Take | undefined;

  /** aedes calls this for each message that authorizePublish has let through, also for wills. */
  override publish(packet: PublishPacket, ...rest: [callback: (error?: Error) => void]): void {
    const topic = this.take === undefined ? undefined : parseTopic(packet.topic);
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

/** A client that has this much unread is not given more: its receipts are remade when it repeats its batches. */
const unreadBytesMax = 1024 * 1024;

/** Who has subscribed to what: filters here have no wildcard, so they are topics. */
class Readers {
  readonly #clients = new Map<string, Set<Client>>();

  constructor(aedes: Aedes) {
    aedes.on('subscribe', (subscriptions, client) => {
      for (const { topic } of subscriptions) {
        this.#clients.set(topic, (this.#clients.get(topic) ?? new Set()).add(client));
      }
    });
    aedes.on('unsubscribe', (topics, client) => topics.forEach((topic) => this.#forget(topic, client)));
    aedes.on('clientDisconnect', (client) => {
      for (const topic of this.#clients.keys()) this.#forget(topic, client);
    });
  }

  publish(messages: readonly Message[]): void {
    const corked = new Set<Client>();
    for (const { topic, payload } of messages) {
      for (const client of this.#clients.get(topic) ?? []) {
        const { conn } = client;
        if (!('cork' in conn) || conn.writableLength > unreadBytesMax) continue;
        if (!corked.has(client)) conn.cork();
        corked.add(client);
        const packet = {
          cmd: 'publish',
          topic,
          payload: Buffer.from(payload),
          qos: 0,
          dup: false,
          retain: false,
        } as const;
        // What goes wrong here ends the connection, which aedes sees by itself.
        client.publish(packet, () => undefined);
      }
    }
    // aedes writes each in a setImmediate of its own; after the last of them they leave together.
    setImmediate(() => corked.forEach(({ conn }) => conn.uncork()));
  }

  #forget(topic: string, client: Client): void {
    const clients = this.#clients.get(topic);
    clients?.delete(client);
    if (clients?.size === 0) this.#clients.delete(topic);
  }
}

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

/** Who may do what. */
class Gate {
  readonly #secrets = new Map<string, { salt: Buffer; hash: Buffer | undefined; devices: ReadonlySet<string> }>();
  readonly #internal: string;
  readonly #inside = new WeakSet<object>();
  /** Usernames of the connected clients, by client and by client id. */
  readonly #users = new WeakMap<Client, string>();
  readonly #holders = new Map<string, { client: Client; username: string }>();

  constructor(credentials: readonly BrokerCredential[], internal: { username: string; password: string }) {
    this.#internal = internal.username;
    for (const { username, password, devices } of [...credentials, { ...internal, devices: [] }]) {
      const salt = randomBytes(16);
      const hash = password === undefined ? undefined : hashPassword(password, salt);
      this.#secrets.set(username, { salt, hash, devices: new Set(devices) });
    }
  }

  /** For the oracle alone: nobody gets around TLS by a port of the loopback. */
  admitInside(socket: Socket): void {
    this.#inside.add(socket);
  }

  admit(client: Client, username: string | undefined, password: Buffer | undefined): BrokerReason | undefined {
    if (this.#inside.has(client.conn) && username !== this.#internal) return 'credentials-wrong';
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
    const topic = parseTopic(packet.topic);
    if (username === undefined || topic === undefined) return 'publish-forbidden';
    if (username === this.#internal)
      return topic.kind === 'receipt' && !packet.retain ? undefined : 'publish-forbidden';
    if (topic.kind === 'receipt' || !this.#speaksFor(username, topic.device)) return 'publish-forbidden';
    if (topic.kind !== 'status') return packet.retain ? 'retain-forbidden' : undefined;
    return packet.payload.length > statusBytesMax ? 'packet-too-large' : undefined;
  }

  maySubscribe(client: Client, { topic }: Subscription): boolean {
    if (this.#users.get(client) === this.#internal)
      return (['batch', 'live', 'status'] as const).some((kind) => topic === topicFilter(kind));
    return this.mayReceive(client, topic);
  }

  /** A filter with a wildcard is no topic, so it is refused here too. */
  mayReceive(client: Client, topic: string): boolean {
    const username = this.#users.get(client);
    const parsed = parseTopic(topic);
    if (username === undefined || parsed === undefined) return false;
    if (username === this.#internal) return parsed.kind !== 'receipt';
    return parsed.kind === 'receipt' && this.#speaksFor(username, parsed.device);
  }

  #speaksFor(username: string, device: Uint8Array): boolean {
    return this.#secrets.get(username)?.devices.has(bytesToHex(device)) === true;
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

/** Follows MQTT's fixed headers (3.1.1 §2.2): a byte of type, then the length in up to four bytes of 7 bits each. */
class Framing {
  #state: 'type' | 'length' | 'body' = 'type';
  #left = 0;
  #shift = 0;

  admit(chunk: Uint8Array): boolean {
    let at = 0;
    while (at < chunk.length) {
      if (this.#state === 'body') {
        const taken = Math.min(this.#left, chunk.length - at);
        at += taken;
        this.#left -= taken;
        if (this.#left === 0) this.#state = 'type';
      } else if (this.#state === 'type') {
        at += 1;
        this.#left = 0;
        this.#shift = 0;
        this.#state = 'length';
      } else if (!this.#lengthByte(chunk[at++]!)) {
        return false;
      }
    }
    return true;
  }

  #lengthByte(byte: number): boolean {
    this.#left += (byte & 0x7f) << this.#shift;
    this.#shift += 7;
    if (this.#left > packetBytesMax || this.#shift > 28) return false;
    if (byte < 0x80) this.#state = this.#left === 0 ? 'type' : 'body';
    return true;
  }
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
