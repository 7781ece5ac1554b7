/**
 * A serial port as modbus-serial wants one, between that library and the port itself. The library's own buffered port
 * keeps bytes from one request to the next, so an answer that came late or twice would be taken for the answer to the
 * next question, a wrong value with a right checksum. This one forgets everything at each request.
 */
import { EventEmitter } from 'node:events';
import type { RawPort } from './serial-port.ts';

/** Modbus over Serial Line V1.02 §2.5.1.1: unit, function, two bytes of CRC, and what lies between. */
const exceptionBytes = 5;
const answerBytesMax = 256;

type Callback = (error?: Error | null) => void;

export class ModbusPort extends EventEmitter {
  readonly #serial: RawPort;
  #received = Buffer.alloc(0);
  #awaited: { unit: number; function: number; bytes: number } | undefined;

  constructor(serial: RawPort) {
    super();
    this.#serial = serial;
    this.#serial.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.#serial.on('error', (error) => this.emit('error', error));
    this.#serial.on('close', () => this.emit('close'));
  }

  get isOpen(): boolean {
    return this.#serial.isOpen;
  }

  open(done: Callback): void {
    this.#serial.open(done);
  }

  close(done: Callback): void {
    this.#awaited = undefined;
    if (this.#serial.isOpen) this.#serial.close(done);
    else done();
  }

  /** A read request of function 3 or 4: unit, function, register, count, CRC. */
  write(request: Buffer): void {
    // Discards what the kernel holds from before, too.
    this.#serial.flush((flushError) => {
      if (flushError) return;
      this.#received = Buffer.alloc(0);
      this.#awaited = { unit: request[0]!, function: request[1]!, bytes: exceptionBytes + 2 * request.readUInt16BE(4) };
      this.#serial.write(request);
    });
  }

  #receive(chunk: Buffer): void {
    if (this.#awaited === undefined) return;
    this.#received = Buffer.concat([this.#received, chunk]).subarray(-answerBytesMax);
    const answer = this.#findAnswer(this.#awaited);
    if (answer === undefined) return;
    this.#awaited = undefined;
    // The library checks unit, function, length and CRC, and refuses what is wrong.
    this.emit('data', answer);
  }

  /** Noise before the answer is passed over: a driver that switches the line often makes a byte or two of it. */
  #findAnswer(awaited: { unit: number; function: number; bytes: number }): Buffer | undefined {
    for (let at = 0; at + exceptionBytes <= this.#received.length; at++) {
      if (this.#received[at] !== awaited.unit) continue;
      const code = this.#received[at + 1]!;
      if (code === (awaited.function | 0x80)) return this.#received.subarray(at, at + exceptionBytes);
      // An answer of this function has begun here; the rest of it is on its way.
      if (code === awaited.function)
        return this.#received.subarray(at).length < awaited.bytes
          ? undefined
          : this.#received.subarray(at, at + awaited.bytes);
    }
    return undefined;
  }
}
