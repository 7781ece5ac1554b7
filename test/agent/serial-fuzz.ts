/**
 * What noise does to a serial line, tried out in full: every split of every frame, and every single bit of it flipped.
 * A split changes nothing; of a flipped frame either nothing is taken, or what it said before.
 */
import { EventEmitter } from 'node:events';
import modbusSerial from 'modbus-serial';
import type { PushLineConfig } from '@coldproof/agent/config-line';
import { ModbusPort } from '@coldproof/agent/sensors/modbus-port';
import { PushDecoder } from '@coldproof/agent/sensors/push-line';
import type { RawPort } from '@coldproof/agent/sensors/serial-port';
import { appendCrc16 } from '@coldproof/firmware-sim/crc16';
import { formatGga, formatRmc } from '@coldproof/firmware-sim/nmea';
import { withCrc16, withXor } from '@coldproof/firmware-sim/text-line';
import type { Random } from '../helpers/seed.ts';
import { mustParse, voyageStartSec } from './fixture.ts';

export type FuzzCount = {
  readonly frames: number;
  splits: number;
  flips: number;
  /** Of flipped frames: taken with the right value, as when the flip was in the case of a hex digit. */
  harmless: number;
  /** What must stay empty. */
  readonly wrong: string[];
};

const yaml = `
stateDir: /s
passphraseEnv: P
devices:
  - name: T
    sensors:
      - channel: cargo-probe-1
        text: { line: xor, pattern: 'P1=(?<value>-?\\d+\\.\\d\\d);P2=-?\\d+\\.\\d\\d' }
      - channel: cargo-probe-2
        text: { line: xor, pattern: 'P1=-?\\d+\\.\\d\\d;P2=(?<value>-?\\d+\\.\\d\\d)' }
      - { channel: cargo-probe-3, text: { line: crc16, value: /p, time: /t } }
      - { channel: latitude, nmea: { line: gps } }
      - { channel: longitude, nmea: { line: gps } }
lines:
  - { name: xor, path: /dev/a, protocol: text, checksum: xor }
  - { name: crc16, path: /dev/b, protocol: text, checksum: crc16 }
  - { name: gps, path: /dev/c, protocol: nmea }
uplink: { url: 'mqtt://o:1', logPublicKey: '${'ab'.repeat(32)}' }
`;
const { devices, lines } = mustParse(yaml);

type Frame = { readonly before?: Uint8Array; readonly bytes: Uint8Array };

/** Each frame is one of the three kinds in turn. */
export function fuzzPushLines(random: Random, frames: number): FuzzCount {
  const count: FuzzCount = { frames, splits: 0, flips: 0, harmless: 0, wrong: [] };
  for (let i = 0; i < frames; i++) {
    const [line, frame] = makeFrame(i % lines.length, random);
    const truth = read(line, frame, [frame.bytes]);
    if (truth === '[]') count.wrong.push(`frame ${i} is not taken: ${Buffer.from(frame.bytes).toString()}`);
    for (let at = 1; at < frame.bytes.length; at++) {
      count.splits += 1;
      const said = read(line, frame, [frame.bytes.subarray(0, at), frame.bytes.subarray(at)]);
      if (said !== truth) count.wrong.push(`frame ${i} split at ${at}: ${said}, not ${truth}`);
    }
    for (let bit = 0; bit < 8 * frame.bytes.length; bit++) {
      count.flips += 1;
      const said = read(line, frame, [flip(frame.bytes, bit)]);
      if (said === truth) count.harmless += 1;
      else if (said !== '[]') count.wrong.push(`frame ${i} with bit ${bit} flipped: ${said}, not ${truth}`);
    }
  }
  return count;
}

function makeFrame(kind: number, random: Random): [PushLineConfig, Frame] {
  const line = lines[kind] as PushLineConfig;
  const centiC = () => (random.integer(-5_000, 9_000) / 100).toFixed(2);
  if (kind === 0) return [line, { bytes: Buffer.from(withXor(`P1=${centiC()};P2=${centiC()}`)) }];
  const unixSec = voyageStartSec + random.integer(0, 3e7);
  if (kind === 1) return [line, { bytes: Buffer.from(withCrc16(JSON.stringify({ p: Number(centiC()), t: unixSec }))) }];
  const place = { latitude: random.integer(-90e6, 90e6) / 1e6, longitude: random.integer(-180e6, 180e6) / 1e6 };
  if (random.next() < 0.5) return [line, { bytes: Buffer.from(formatRmc(unixSec, place)) }];
  // The RMC that dates it is of the second before, so that its own sample counts.
  return [line, { before: Buffer.from(formatRmc(unixSec - 1, place)), bytes: Buffer.from(formatGga(unixSec, place)) }];
}

/** All that a fresh decoder takes of these chunks and an end of line behind them, as the next frame would bring. */
function read(line: PushLineConfig, { before }: Frame, chunks: readonly Uint8Array[]): string {
  const decoder = new PushDecoder(line, devices, { refuse: () => undefined });
  if (before !== undefined) decoder.push(before, voyageStartSec);
  const taken = [...chunks, Buffer.from('\n')].flatMap((chunk) => decoder.push(chunk, voyageStartSec));
  return JSON.stringify(taken.map(({ channel, raw }) => [channel, raw.timeSec, raw.value]));
}

function flip(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = Uint8Array.from(bytes);
  flipped[bit >> 3]! ^= 1 << (bit & 7);
  return flipped;
}

/** A port whose other end answers each request at once. */
class AnsweringPort extends EventEmitter implements Partial<RawPort> {
  isOpen = true;
  pauses = 0;
  chunks: readonly Uint8Array[] = [];

  write(): void {
    for (const chunk of this.chunks) this.emit('data', Buffer.from(chunk));
  }

  flush(done: () => void): void {
    done();
  }

  open(done: () => void): void {
    done();
  }

  close(done: () => void): void {
    done();
  }

  pause(): void {
    this.pauses += 1;
  }

  resume(): void {
    this.pauses -= 1;
  }
}

/** Answers to questions for registers, through the agent's port and modbus-serial. */
export async function fuzzModbus(random: Random, frames: number): Promise<FuzzCount> {
  const count: FuzzCount = { frames, splits: 0, flips: 0, harmless: 0, wrong: [] };
  const trials = makeTrials(random, frames);
  // Each has its own line: an answer that never comes costs all of them one timeout, not each its own.
  const masters = Array.from({ length: 256 }, () => new Master());
  await Promise.all(
    masters.map(async (master) => {
      await master.open();
      for (let trial = trials.next(); trial.done !== true; trial = trials.next()) {
        const { frame, bit, chunks, words } = trial.value;
        const said = await master.ask(words.length, chunks);
        if (bit === undefined) count.splits += 1;
        else count.flips += 1;
        const isRight = said === words.join();
        if (bit !== undefined && isRight) count.harmless += 1;
        const isWrong = bit === undefined ? !isRight : said !== undefined && !isRight;
        if (isWrong) count.wrong.push(`frame ${frame}, bit ${String(bit)}: ${String(said)}, not ${words.join()}`);
      }
    }),
  );
  return count;
}

type Trial = { frame: number; bit: number | undefined; chunks: Uint8Array[]; words: number[] };

function* makeTrials(random: Random, frames: number): Generator<Trial, undefined> {
  for (let frame = 0; frame < frames; frame++) {
    const words = Array.from({ length: random.integer(1, 3) }, () => random.integer(0, 0xffff));
    const bytes = words.flatMap((word) => [word >> 8, word & 0xff]);
    const answer = appendCrc16(Uint8Array.of(unitId, readInput, bytes.length, ...bytes));
    for (let at = 0; at < answer.length; at++) {
      yield { frame, bit: undefined, chunks: [answer.subarray(0, at), answer.subarray(at)], words };
    }
    for (let bit = 0; bit < 8 * answer.length; bit++) yield { frame, bit, chunks: [flip(answer, bit)], words };
  }
  return undefined;
}

const unitId = 1;
const readInput = 4;

class Master {
  readonly #port = new AnsweringPort();
  readonly #client = new modbusSerial.default(new ModbusPort(this.#port));

  constructor() {
    this.#client.setID(unitId);
    this.#client.setTimeout(1);
    this.#client.on('error', () => undefined);
  }

  /** modbus-serial listens to its port from here on. */
  async open(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#client.open(() => resolve());
    });
  }

  /** Undefined when the answer is refused or none comes. */
  async ask(count: number, chunks: readonly Uint8Array[]): Promise<string | undefined> {
    this.#port.chunks = chunks;
    return this.#client.readInputRegisters(0, count).then(
      ({ data }) => data.join(),
      () => undefined,
    );
  }
}
