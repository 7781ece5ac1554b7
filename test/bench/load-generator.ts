/**
 * The load of the throughput benchmark, as a process of its own: gateways that speak MQTT 3.1.1 by hand, so that little
 * of the machine goes into making the load. Each sends its devices' batches at QoS 1, in order, and has at most a
 * window of them without a receipt, as an agent does. The first WARM_UP batches are not counted: everybody's code is
 * compiled then. Prints 'ready', 'warm', and one JSON line when every receipt has come; a line on stdin after the first
 * two goes on.
 *
 *   node load-generator.js PORT LOAD_FILE WINDOW WARM_UP
 *   node load-generator.js PORT LOAD_FILE WINDOW RATE/s      so many a second after the first line, until it is killed
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { gatewayPassword, readLoad, type LoadBatch } from './load-file.ts';

/** Remaining length, MQTT 3.1.1 §2.2.3. */
function remainingLength(length: number): number[] {
  const digits: number[] = [];
  for (let left = length; ;) {
    const digit = left % 128;
    left = Math.floor(left / 128);
    digits.push(left > 0 ? digit | 0x80 : digit);
    if (left === 0) return digits;
  }
}

function packet(head: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([head, ...remainingLength(body.length)]), body]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  const size = Buffer.alloc(2);
  size.writeUInt16BE(bytes.length);
  return Buffer.concat([size, bytes]);
}

const paceMs = 10;

const protocol = Buffer.concat([text('MQTT'), Buffer.from([4, 0xc2, 0, 0])]);

/** Counts the packets of a kind that come in; everything else is skipped by its length. */
class Incoming {
  #left: Buffer = Buffer.alloc(0);

  count(chunk: Buffer, head: number): number {
    const bytes = this.#left.length === 0 ? chunk : Buffer.concat([this.#left, chunk]);
    let found = 0;
    let at = 0;
    for (;;) {
      let length = 0;
      let digits = 0;
      for (; at + 1 + digits < bytes.length; digits++) {
        const digit = bytes[at + 1 + digits]!;
        length += (digit & 0x7f) << (7 * digits);
        if (digit < 0x80) break;
      }
      const end = at + 2 + digits + length;
      if (at + 1 + digits >= bytes.length || end > bytes.length) break;
      if ((bytes[at]! & 0xf0) === head) found += 1;
      at = end;
    }
    this.#left = bytes.subarray(at);
    return found;
  }
}

class Gateway {
  readonly #socket: Socket;
  readonly #batches: readonly LoadBatch[];
  readonly #window: number;
  readonly #incoming = new Incoming();
  #sent = 0;
  #answered = 0;
  /** So many are to be sent for now. */
  #until = 0;
  #onDone: (() => void) | undefined;

  private constructor(socket: Socket, batches: readonly LoadBatch[], window: number) {
    this.#socket = socket;
    this.#batches = batches;
    this.#window = window;
  }

  static async open(port: number, username: string, devices: readonly string[], batches: LoadBatch[], window: number) {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    const gateway = new Gateway(socket, batches, window);
    socket.write(packet(0x10, protocol, text(username), text(username), text(gatewayPassword)));
    await gateway.#acknowledged(0x20);
    const filters = devices.map((device) => Buffer.concat([text(`coldproof/v1/${device}/receipt`), Buffer.from([0])]));
    socket.write(packet(0x82, Buffer.from([0, 1]), ...filters));
    await gateway.#acknowledged(0x90);
    socket.on('data', (chunk: Buffer) => gateway.#onData(chunk));
    socket.on('close', () => {
      if (gateway.#answered < batches.length) throw new Error(`${username}: the connection ended`);
    });
    return gateway;
  }

  async #acknowledged(head: number): Promise<void> {
    for (let count = 0; count === 0;) {
      const [chunk] = (await once(this.#socket, 'data')) as [Buffer];
      count = this.#incoming.count(chunk, head);
    }
  }

  /** The first `share` of the batches, until their receipts have come. */
  async run(share: number): Promise<void> {
    this.#until = Math.round(share * this.#batches.length);
    const done = new Promise<void>((resolve) => (this.#onDone = resolve));
    this.#fill();
    await done;
  }

  /** As time goes on. */
  pace(perSec: number): void {
    const startMs = performance.now();
    setInterval(() => {
      const due = Math.floor(((performance.now() - startMs) * perSec) / 1_000);
      this.#until = Math.min(due, this.#batches.length);
      this.#fill();
    }, paceMs);
  }

  end(): void {
    this.#socket.end(packet(0xe0));
  }

  #onData(chunk: Buffer): void {
    this.#answered += this.#incoming.count(chunk, 0x30);
    if (this.#answered >= this.#until) this.#onDone?.();
    else this.#fill();
  }

  #fill(): void {
    const end = Math.min(this.#answered + this.#window, this.#until);
    if (this.#sent >= end) return;
    const packets: Buffer[] = [];
    for (; this.#sent < end; this.#sent++) {
      const { device, bytes } = this.#batches[this.#sent]!;
      const id = Buffer.alloc(2);
      id.writeUInt16BE(1 + (this.#sent % 65_535));
      packets.push(packet(0x32, text(`coldproof/v1/${device}/batch`), id, bytes));
    }
    this.#socket.write(Buffer.concat(packets));
  }
}

const [port, file] = [Number(process.argv[2]), process.argv[3]!];
const [window, warmUp] = [Number(process.argv[4]), Number.parseInt(process.argv[5]!, 10)];
const isPaced = process.argv[5]!.endsWith('/s');
const { gateways, batches } = readLoad(readFileSync(file));
const open = await Promise.all(
  gateways.map(({ username, devices }) => {
    const own = new Set(devices);
    const sent = batches.filter(({ device }) => own.has(device));
    return Gateway.open(port, username, devices, sent, Math.ceil(window / gateways.length));
  }),
);
process.stdout.write('ready\n');
await once(process.stdin, 'data');
if (isPaced) {
  for (const gateway of open) gateway.pace(warmUp / open.length);
  await once(process.stdin, 'end');
}
await Promise.all(open.map((gateway) => gateway.run(warmUp / batches.length)));
process.stdout.write('warm\n');
await once(process.stdin, 'data');
const before = process.cpuUsage();
const startMs = performance.now();
await Promise.all(open.map((gateway) => gateway.run(1)));
const seconds = (performance.now() - startMs) / 1_000;
const { user, system } = process.cpuUsage(before);
for (const gateway of open) gateway.end();
const measured = batches.length - warmUp;
process.stdout.write(`${JSON.stringify({ batches: measured, seconds, cpuSec: (user + system) / 1e6 })}\n`);
process.exit(0);
