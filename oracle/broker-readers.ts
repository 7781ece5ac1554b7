/** The embedded broker's clients that read, and what is sent to them: past aedes' routing, and in one write each. */
import type { Aedes, Client } from 'aedes';

export type Message = { readonly topic: string; readonly payload: Uint8Array };

/** A client that has this much unread is not given more: its receipts are remade when it repeats its batches. */
const unreadBytesMax = 1024 * 1024;

/** Who has subscribed to what: filters here have no wildcard, so they are topics. */
export class Readers {
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
