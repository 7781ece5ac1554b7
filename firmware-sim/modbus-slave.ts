/**
 * A Modbus RTU slave as a pure machine: bytes and silences in, answers out. It reads registers and nothing else.
 *
 *   request   unit ‖ function (3 or 4) ‖ first register: uint16 ‖ count: uint16 ‖ CRC, low byte first
 *   answer    unit ‖ function ‖ bytes: uint8 ‖ values: uint16 * count ‖ CRC
 *   exception unit ‖ function | 0x80 ‖ code ‖ CRC
 *
 * Modbus Application Protocol V1.1b3 §6.3, §6.4, §7; Modbus over Serial Line V1.02 §2.5.1. Example, unit 1, supply air
 * of 5.0 °C in tenths: 01 04 00 01 00 01 60 0a -> 01 04 02 00 32 38 e5
 */
import { appendCrc16, crc16 } from './crc16.ts';
import { assert } from '@coldproof/wire';

const readHolding = 3;
const readInput = 4;

const illegalFunction = 1;
const illegalAddress = 2;
const illegalValue = 3;

/** Serial Line §2.5.1: the longest frame. */
const frameBytesMax = 256;
const frameBytesMin = 4;
const readRequestBytes = 8;
/** Application Protocol §6.4: an answer of 125 registers fills a frame. */
const registersPerReadMax = 125;

/** What a slave did with a frame, for counting. Only the first two are answered. */
export type FrameOutcome =
  | 'answered'
  | 'exception'
  /** To another unit, or to all: a broadcast read has no answer. */
  | 'not-ours'
  /** CRC wrong, too short or too long: noise. A slave keeps silent and the master asks again. */
  | 'damaged';

export type SlaveOptions = {
  /** 1 to 247. */
  readonly unitId: number;
  /** All registers from 0 on, each -32,768 to 65,535. Asked once per request: its values are of one time. */
  readonly readRegisters: () => readonly number[];
  readonly onFrame?: (outcome: FrameOutcome) => void;
};

export class ModbusSlave {
  readonly #options: SlaveOptions;
  #frame: number[] = [];

  constructor(options: SlaveOptions) {
    const { unitId } = options;
    if (!Number.isInteger(unitId) || unitId < 1 || unitId > 247) {
      throw new RangeError(`unitId: expected 1 <= unitId <= 247, got ${unitId}`);
    }
    this.#options = options;
  }

  /** Bytes off the line. Answers as soon as a read request to this unit is whole, without waiting for silence. */
  receive(bytes: Uint8Array): Uint8Array | undefined {
    for (const byte of bytes) {
      // One over the limit is kept, so that the frame is known to be too long when its silence comes.
      if (this.#frame.length <= frameBytesMax) this.#frame.push(byte);
    }
    const [unit, code] = this.#frame;
    const isOurRead = unit === this.#options.unitId && (code === readHolding || code === readInput);
    const isWhole = this.#frame.length === readRequestBytes && isIntact(Uint8Array.from(this.#frame));
    return isOurRead && isWhole ? this.endFrame() : undefined;
  }

  /** T3.5 of silence: whatever has come is a frame. Returns the answer to send, if there is one. */
  endFrame(): Uint8Array | undefined {
    const frame = Uint8Array.from(this.#frame);
    this.#frame = [];
    if (frame.length === 0) return undefined;
    const { outcome, answer } = this.#answer(frame);
    this.#options.onFrame?.(outcome);
    return answer;
  }

  #answer(frame: Uint8Array): { outcome: FrameOutcome; answer?: Uint8Array } {
    if (frame.length > frameBytesMax || frame.length < frameBytesMin || !isIntact(frame)) return { outcome: 'damaged' };
    if (frame[0] !== this.#options.unitId) return { outcome: 'not-ours' };
    const code = frame[1]!;
    if (code !== readHolding && code !== readInput) return this.#refuse(code, illegalFunction);
    // §7, code 3: "the implied length is incorrect".
    if (frame.length !== readRequestBytes) return this.#refuse(code, illegalValue);
    const view = new DataView(frame.buffer);
    const first = view.getUint16(2);
    const count = view.getUint16(4);
    // The order of the checks is that of the state diagrams in §6.3 and §6.4.
    if (count < 1 || count > registersPerReadMax) return this.#refuse(code, illegalValue);
    const registers = this.#options.readRegisters();
    if (first + count > registers.length) return this.#refuse(code, illegalAddress);
    return { outcome: 'answered', answer: this.#encode(code, registers.slice(first, first + count)) };
  }

  #encode(code: number, values: readonly number[]): Uint8Array {
    const answer = new Uint8Array(3 + 2 * values.length);
    const view = new DataView(answer.buffer);
    answer.set([this.#options.unitId, code, 2 * values.length]);
    values.forEach((value, i) => {
      assert(Number.isInteger(value) && value >= -0x8000 && value <= 0xffff, `register value ${value} has 16 bits`);
      view.setUint16(3 + 2 * i, value & 0xffff);
    });
    return appendCrc16(answer);
  }

  #refuse(code: number, exception: number): { outcome: FrameOutcome; answer: Uint8Array } {
    const answer = appendCrc16(Uint8Array.of(this.#options.unitId, code | 0x80, exception));
    return { outcome: 'exception', answer };
  }
}

function isIntact(frame: Uint8Array): boolean {
  const end = frame.length - 2;
  return crc16(frame.subarray(0, end)) === (frame[end]! | (frame[end + 1]! << 8));
}
