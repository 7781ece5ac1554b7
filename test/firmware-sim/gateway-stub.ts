/** A gateway's local broker that can be told to misbehave. It notes each PUBLISH when it comes, acknowledged or not. */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { Aedes } from 'aedes';
import { freePort } from '@coldproof/oracle/demonstration/free-ports';

/** What it does with a PUBLISH. */
export type Answer =
  | 'acknowledge'
  /** Closes the connection with the PUBACK owing. */
  | 'hang-up'
  /** Never answers, and keeps the connection. */
  | 'mute';

export class GatewayStub {
  readonly received: string[] = [];
  readonly acknowledged: string[] = [];
  connections = 0;
  #answer: (payload: string) => Answer;
  #password: string | undefined;
  #port = 0;
  #server: Server | undefined;
  #aedes: Aedes | undefined;
  readonly #sockets = new Set<Socket>();
  readonly #waiting = new Set<() => void>();

  constructor(options: { answer?: (payload: string) => Answer; password?: string } = {}) {
    this.#answer = options.answer ?? (() => 'acknowledge');
    this.#password = options.password;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.#port}`;
  }

  setPassword(password: string): void {
    this.#password = password;
  }

  /** Listens on any free port the first time, on the same one later. */
  async start(): Promise<void> {
    const aedes = await Aedes.createBroker({
      authenticate: (_client, _username, password, done) => {
        const isRight = this.#password === undefined || password?.toString() === this.#password;
        done(null, isRight);
      },
      authorizePublish: (client, packet, done) => {
        const payload = packet.payload.toString();
        this.received.push(payload);
        const answer = this.#answer(payload);
        if (answer === 'acknowledge') {
          this.acknowledged.push(payload);
          done(null);
        }
        if (answer === 'hang-up') client?.conn.destroy();
        this.#changed();
      },
    });
    const server = createServer((socket) => {
      this.#sockets.add(socket);
      this.connections += 1;
      socket.once('close', () => this.#sockets.delete(socket));
      aedes.handle(socket);
      this.#changed();
    });
    // Where nobody else comes to listen while it is stopped.
    if (this.#port === 0) this.#port = await freePort();
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#server = server;
    this.#aedes = aedes;
  }

  /** Hangs up on everybody and frees the port. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = once(server, 'close');
    server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
    await new Promise<void>((resolve) => this.#aedes?.close(() => resolve()));
  }

  /** Resolves when `isMet`, asked at each connection and each PUBLISH. The test's own timeout is its deadline. */
  until(isMet: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const ask = () => {
        if (!isMet()) return;
        this.#waiting.delete(ask);
        resolve();
      };
      this.#waiting.add(ask);
      ask();
    });
  }

  #changed(): void {
    for (const ask of [...this.#waiting]) ask();
  }
}
