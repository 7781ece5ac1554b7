/** The embedded broker's clients that read, and what is sent to them: past aedes' routing, and in one write each. */
import type { Aedes, Client } from 'aedes';

export type Message = { readonly topic: string; readonly payload: Uint8Array };

/** A client that has this much unread is not given more: its receipts are remade when it repeats its batches. */
const unreadBytesMax = 1024 * 1024;

/** Who has subscribed to what: filters here have no wildcard, so they are topics. */
export class Readers {
  readonly #clients = new Map<string, Set<Client>>();
  readonly #mayReceive: (client: Client, topic: string) => boolean;

  constructor(aedes: Aedes, mayReceive: (client: Client, topic: string) => boolean) {
    this.#mayReceive = mayReceive;
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
    const packets = new Map<Client, Message[]>();
    for (const message of messages) {
      for (const client of this.#clients.get(message.topic) ?? []) {
        if (!this.#mayReceive(client, message.topic)) continue;
        const found = packets.get(client);
        if (found === undefined) packets.set(client, [message]);
        else found.push(message);
      }
    }
    for (const [{ conn }, found] of packets) {
      // What goes wrong here ends the connection, which aedes sees by itself.
      if (conn.writable && conn.writableLength <= unreadBytesMax) conn.write(encodePublish(found));
    }
  }

  #forget(topic: string, client: Client): void {
    const clients = this.#clients.get(topic);
    clients?.delete(client);
    if (clients?.size === 0) this.#clients.delete(topic);
  }
}

/**
 * PUBLISH packets of QoS 0 (MQTT 3.1.1 §3.3), one after the other. aedes would make each a packet, a task and several
 * writes of its own, which together cost more than the receipt's signature.
 */
function encodePublish(messages: readonly Message[]): Buffer {
  const lengths = messages.map(({ topic, payload }) => 2 + topic.length + payload.length);
  const bytes = Buffer.allocUnsafe(lengths.reduce((size, length) => size + 1 + lengthBytesMax + length, 0));
  let at = 0;
  messages.forEach(({ topic, payload }, i) => {
    bytes[at++] = 0x30;
    // §2.2.3: seven bits a byte, the lowest first.
    let left = lengths[i]!;
    for (; left > 0x7f; left >>>= 7) bytes[at++] = (left & 0x7f) | 0x80;
    bytes[at++] = left;
    at = bytes.writeUInt16BE(topic.length, at);
    // Our topics are ASCII.
    at += bytes.write(topic, at, 'latin1');
    bytes.set(payload, at);
    at += payload.length;
  });
  return bytes.subarray(0, at);
}

const lengthBytesMax = 4;
