/**
 * The embedded MQTT 3.1.1 broker, and the only file that imports aedes. Devices publish their batches and status here
 * and read their receipts, each under its own credential; nobody sees or writes anything else. It keeps no sessions and
 * promises nothing: aedes acknowledges QoS 1 before it stores, so a receipt is the only promise.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { randomBytes, randomUUID, scryptSync, timingSafeEqual } from 'node:crypto';
import { Aedes, type AedesOptions, type Client, type PublishPacket, type Subscription } from 'aedes';
import {
  bytesToHex,
  envelopeBytesMax,
  ownerCommandBytesMax,
  ownerConfigBytesMax,
  parseTopic,
  topicFilter,
  type TopicKind,
} from '@coldproof/wire';
import type { Log } from './log-line.ts';
import { OperatingError } from './operating-error.ts';

export type BrokerCredential = {
  readonly username: string;
  readonly password: string;
  /** Devices in hex that this username may speak for. */
  readonly devices: readonly string[];
  /** Devices in hex that this username may send configurations and commands to, and hear about. */
  readonly owns?: readonly string[];
};

export type Broker = {
  /** The port it listens on, also when 0 was asked for. */
  readonly port: number;
  /** For the oracle's own client; made anew at each start. */
  readonly internal: { readonly username: string; readonly password: string };
  readonly refused: ReadonlyMap<BrokerReason, number>;
  close(): Promise<void>;
};

export type BrokerReason =
  | 'credentials-wrong'
  /** Another username is connected under this client id; MQTT would let the newcomer push it out. */
  | 'client-id-taken'
  | 'packet-too-large'
  | 'publish-forbidden'
  | 'subscribe-forbidden'
  /** A retained batch would be given to later subscribers as if it were new. */
  | 'retain-forbidden';

/** An envelope, its topic, and MQTT's own header. */
const packetBytesMax = envelopeBytesMax + 1_024;
/** A status is a few words, and so is an answer to the owner. */
const statusBytesMax = 1_024;
const answerBytesMax = 4_096;

/** Who says what of a device. A kind that is not here is the oracle's own. */
const saidByDevice = new Set(['batch', 'status', 'config-report', 'reply']);
const saidByOwner = new Set(['config', 'command']);
const heardByDevice = new Set(['receipt', 'config', 'command']);
const heardByOwner = new Set(['status', 'config', 'command', 'config-report', 'reply']);
/** aedes closes a client that does not read for this long, so that it does not hold up the others. */
const drainMsMax = 10_000;
const connectionsMax = 10_000;

export type BrokerSettings = {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
  readonly credentials: readonly BrokerCredential[];
  readonly log: Log;
};

type Refuse = (reason: BrokerReason, fields: Readonly<Record<string, unknown>>) => Error;

export async function openBroker({ host, port, credentials, log }: BrokerSettings): Promise<Broker> {
  const internal = { username: `oracle-${randomUUID()}`, password: randomBytes(24).toString('hex') };
  const refused = new Map<BrokerReason, number>();
  const refuse: Refuse = (reason, fields) => {
    refused.set(reason, (refused.get(reason) ?? 0) + 1);
    log('warn', 'broker-refused', { reason, ...fields });
    return new Error(reason);
  };
  const gate = new Gate(credentials, internal);
  const aedes = await Aedes.createBroker(optionsOf(gate, refuse));
  aedes.on('clientDisconnect', (client) => gate.release(client));
  aedes.on('clientError', (client, error) =>
    log('debug', 'broker-client', { client: client.id, error: error.message }),
  );
  aedes.on('connectionError', (_client, error) => log('debug', 'broker-connection', { error: error.message }));
  const server = createServer((socket) => {
    limitPackets(socket, () => refuse('packet-too-large', { from: socket.remoteAddress }));
    aedes.handle(socket);
  });
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
    internal,
    refused,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await closeBroker();
      await closed;
    },
  };
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
  readonly hash: Buffer;
  readonly devices: ReadonlySet<string>;
  readonly owns: ReadonlySet<string>;
};

function bytesMaxOf(kind: TopicKind): number {
  if (kind === 'config') return ownerConfigBytesMax;
  if (kind === 'command') return ownerCommandBytesMax;
  return kind === 'status' ? statusBytesMax : answerBytesMax;
}

/** Who may do what. */
class Gate {
  readonly #secrets = new Map<string, Secret>();
  readonly #internal: string;
  /** Usernames of the connected clients, by client and by client id. */
  readonly #users = new WeakMap<Client, string>();
  readonly #holders = new Map<string, { client: Client; username: string }>();

  constructor(credentials: readonly BrokerCredential[], internal: { username: string; password: string }) {
    this.#internal = internal.username;
    const all: readonly BrokerCredential[] = [...credentials, { ...internal, devices: [] }];
    for (const { username, password, devices, owns = [] } of all) {
      const salt = randomBytes(16);
      this.#secrets.set(username, {
        salt,
        hash: hashPassword(password, salt),
        devices: new Set(devices),
        owns: new Set(owns),
      });
    }
  }

  admit(client: Client, username: string | undefined, password: Buffer | undefined): BrokerReason | undefined {
    const secret = this.#secrets.get(username ?? '');
    // An unknown username costs as much time as a wrong password.
    const salt = secret?.salt ?? Buffer.alloc(16);
    const isRight = timingSafeEqual(hashPassword(password ?? '', salt), secret?.hash ?? Buffer.alloc(hashBytes));
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
    const { kind, device } = topic;
    if (username === this.#internal) return kind === 'receipt' && !packet.retain ? undefined : 'publish-forbidden';
    const isDevices = saidByDevice.has(kind) && this.#speaksFor(username, device);
    const isOwners = saidByOwner.has(kind) && this.#owns(username, device);
    if (!isDevices && !isOwners) return 'publish-forbidden';
    if (kind === 'batch') return packet.retain ? 'retain-forbidden' : undefined;
    return packet.payload.length > bytesMaxOf(kind) ? 'packet-too-large' : undefined;
  }

  maySubscribe(client: Client, { topic }: Subscription): boolean {
    if (this.#users.get(client) === this.#internal)
      return topic === topicFilter('batch') || topic === topicFilter('status');
    return this.mayReceive(client, topic);
  }

  /** A filter with a wildcard is no topic, so it is refused here too. */
  mayReceive(client: Client, topic: string): boolean {
    const username = this.#users.get(client);
    const parsed = parseTopic(topic);
    if (username === undefined || parsed === undefined) return false;
    const { kind, device } = parsed;
    if (username === this.#internal) return kind === 'batch' || kind === 'status';
    if (heardByDevice.has(kind) && this.#speaksFor(username, device)) return true;
    return heardByOwner.has(kind) && this.#owns(username, device);
  }

  #owns(username: string, device: Uint8Array): boolean {
    return this.#secrets.get(username)?.owns.has(bytesToHex(device)) === true;
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
