/**
 * Stands before the local broker and measures each MQTT packet by its fixed header (MQTT 3.1.1 §2.2), because aedes'
 * parser would gather up to 256 MB of one packet before anybody could look at it.
 */
import { Duplex, Transform, pipeline, type TransformCallback } from 'node:stream';
import type { Socket } from 'node:net';

/** MQTT 3.1.1 §2.2.3: the remaining length has four bytes at most. */
const lengthBytesMax = 4;

export class PacketGate extends Transform {
  readonly #packetBytesMax: number;
  /** Bytes of the current packet's body that are still to come. */
  #bodyLeft = 0;
  /** Undefined between packets; else the bytes of the remaining length so far. */
  #length: { value: number; count: number } | undefined;

  constructor(packetBytesMax: number) {
    super();
    this.#packetBytesMax = packetBytesMax;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#bodyLeft > 0) {
        const taken = Math.min(this.#bodyLeft, chunk.length - at);
        this.#bodyLeft -= taken;
        at += taken;
        continue;
      }
      const byte = chunk[at++]!;
      if (this.#length === undefined) {
        this.#length = { value: 0, count: 0 };
        continue;
      }
      this.#length.value += (byte & 0x7f) * 128 ** this.#length.count;
      this.#length.count += 1;
      if (this.#length.value > this.#packetBytesMax || this.#length.count > lengthBytesMax) {
        const got = `${this.#length.value} or more`;
        done(new PacketTooLarge(`packet: expected <= ${this.#packetBytesMax} bytes, got ${got}`));
        return;
      }
      if ((byte & 0x80) === 0) {
        this.#bodyLeft = this.#length.value;
        this.#length = undefined;
      }
    }
    done(null, chunk);
  }
}

export class PacketTooLarge extends Error {}

/** The socket as the broker may have it. `onTooLarge` is told before the connection is dropped. */
export function gateSocket(socket: Socket, packetBytesMax: number, onTooLarge: (detail: string) => void): Duplex {
  const gate = new PacketGate(packetBytesMax);
  // Errors of the socket itself end in the broker's own clientError; here only the gate's verdict is of interest.
  pipeline(socket, gate, (error) => {
    if (error instanceof PacketTooLarge) onTooLarge(error.message);
  });
  return Duplex.from({ readable: gate, writable: socket });
}
