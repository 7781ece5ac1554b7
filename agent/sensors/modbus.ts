/**
 * A Modbus RTU line: asks its slave for the configured registers at each period. The line may go away at any time (a
 * USB plug, a unit that is switched off); the poll goes on trying and says so, and readings come again by themselves.
 *
 * Periods lie on the agent's clock (pollSec 60: each full minute), and a reading's time is when its register was asked
 * for. A period that could not be polled has no reading: nothing is made up.
 */
import modbusSerial from 'modbus-serial';
import { monotonicClock } from '../clock.ts';
import type { ModbusLineConfig } from '../config-line.ts';
import type { ModbusSource } from '../config-source.ts';
import type { DeviceConfig } from '../config.ts';
import { describeError, OperatingError } from '../operating-error.ts';
import { ModbusPort } from './modbus-port.ts';
import type { SensorDeps, SensorSample, SensorSource } from './sensor.ts';
import { lineError, makePort, reopenMs } from './serial-port.ts';

/** Modbus Application Protocol V1.1b3 §6.3: registers in one request. */
const registersMax = 125;
const waitStepMs = 60_000;

/** CommonJS with a `default` of its own: what the module's types call the default export is one step further in. */
const ModbusClient = modbusSerial.default;
type ModbusClient = InstanceType<typeof ModbusClient>;

type Register = {
  readonly device: string;
  readonly channel: number;
  readonly unit: string;
  readonly source: ModbusSource;
};

/** Registers that one request reads. */
type Block = {
  readonly unitId: number;
  readonly function: 3 | 4;
  readonly first: number;
  readonly count: number;
  readonly registers: readonly Register[];
};

export function startModbusLine(
  line: ModbusLineConfig,
  devices: readonly DeviceConfig[],
  deps: SensorDeps,
): SensorSource {
  const stopping = new AbortController();
  const blocks = blocksOf(line, devices);
  const running = new LinePoll(line, blocks, deps).run(stopping.signal);
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

class LinePoll {
  readonly #line: ModbusLineConfig;
  readonly #blocks: readonly Block[];
  readonly #deps: SensorDeps;
  #client: ModbusClient | undefined;
  /** Aborted when the port of `#client` closes, and at a stop. */
  #closed = new AbortController();
  /** Begin of the last period that was polled: none is polled twice. */
  #polledSec = -1;
  /** Begin of the last period that the line was found away in; still polled if the line comes back in it. */
  #missedSec = -1;
  /** Undefined before the first poll. */
  #isUp: boolean | undefined;

  constructor(line: ModbusLineConfig, blocks: readonly Block[], deps: SensorDeps) {
    this.#line = line;
    this.#blocks = blocks;
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    // One listener for the whole run: AbortSignal.any at each wait would leave one behind at each wait.
    signal.addEventListener('abort', () => this.#closed.abort());
    while (!signal.aborted) {
      try {
        this.#client ??= await this.#open();
        if (!(await this.#isDue())) continue;
        await this.#pollOnce(this.#client);
        this.#tell(true, `after ${failures} failures`);
        failures = 0;
      } catch (error) {
        // Anything else is the loop's: the journal failed, or the agent stops.
        if (!(error instanceof OperatingError)) throw error;
        // Counted; the next period may find room.
        if (error.code === 'journal-full') continue;
        if (error.code !== 'line-failed') break;
        this.#tell(false, error.message);
        if (this.#client === undefined) this.#countMissed(error.message);
        failures += 1;
        await this.#close();
        await monotonicClock.wait(reopenMs(failures), signal);
      }
    }
    await this.#close();
  }

  /** One line for each change. */
  #tell(isUp: boolean, why: string): void {
    if (this.#isUp === isUp) return;
    this.#isUp = isUp;
    this.#deps.log(isUp ? 'info' : 'warn', isUp ? 'line-up' : 'line-down', { line: this.#line.name, why });
  }

  /** Begin of the present period, Unix seconds. */
  #periodSec(): number {
    const nowSec = Math.floor(this.#deps.clock.nowMs() / 1_000);
    return nowSec - (nowSec % this.#line.pollSec);
  }

  #countMissed(why: string): void {
    const periodSec = this.#periodSec();
    if (periodSec === this.#polledSec || periodSec === this.#missedSec) return;
    this.#missedSec = periodSec;
    this.#deps.refuse('poll-line-down', why);
  }

  /** Takes a period that was not polled, or waits a step towards it. Throws `line-failed` when the port has closed. */
  async #isDue(): Promise<boolean> {
    const { clock } = this.#deps;
    if (this.#closed.signal.aborted) throw lineError(this.#line, 'closed');
    const periodSec = this.#periodSec();
    if (periodSec !== this.#polledSec) {
      this.#polledSec = periodSec;
      return true;
    }
    const periodMs = this.#line.pollSec * 1_000;
    // A clock that is set does not stop a long wait: look again now and then.
    const leftMs = Math.min(periodMs - (clock.nowMs() % periodMs), waitStepMs);
    await clock.wait(leftMs, this.#closed.signal);
    return false;
  }

  /** One round over the blocks. What was read before a failure counts; the rest of the round is given up. */
  async #pollOnce(client: ModbusClient): Promise<void> {
    const timeSec = Math.floor(this.#deps.clock.nowMs() / 1_000);
    const samples: SensorSample[] = [];
    let failure: unknown;
    for (const block of this.#blocks) {
      try {
        const { buffer } = await readBlock(client, block);
        samples.push(...block.registers.map((register) => sampleOf(register, block, buffer, timeSec)));
      } catch (error) {
        if (this.#refuseAnswer(error)) continue;
        failure = error;
        break;
      }
    }
    await this.#deps.deliver(samples);
    if (failure === undefined) return;
    // Whatever is still on its way must not be taken for the answer to the next question: let it run out, begin anew.
    await monotonicClock.wait(this.#line.timeoutMs);
    throw lineError(this.#line, failure);
  }

  /** Counts a failed request. True when the slave itself answered, so that the line is in order. */
  #refuseAnswer(error: unknown): boolean {
    const { refuse } = this.#deps;
    const detail = `${this.#line.name}: ${describeError(error)}`;
    if (typeof error === 'object' && error !== null && 'modbusCode' in error) {
      refuse('poll-exception', detail);
      return true;
    }
    const isTimeout = typeof error === 'object' && error !== null && 'errno' in error && error.errno === 'ETIMEDOUT';
    refuse(isTimeout ? 'poll-timeout' : 'poll-answer-invalid', detail);
    return false;
  }

  async #open(): Promise<ModbusClient> {
    const port = new ModbusPort(makePort(this.#line));
    const client = new ModbusClient(port);
    // An 'error' without a listener ends the process, and the client's own is gone once it is closed. What the error
    // means is seen at the next poll.
    port.on('error', () => undefined);
    client.on('error', () => undefined);
    const closed = new AbortController();
    port.once('close', () => closed.abort());
    this.#closed = closed;
    client.setTimeout(this.#line.timeoutMs);
    await new Promise<void>((resolve, reject) => {
      client.open((error: Error | null | undefined) => {
        if (error) reject(lineError(this.#line, error));
        else resolve();
      });
    });
    return client;
  }

  async #close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    if (client === undefined) return;
    await new Promise<void>((resolve) => {
      client.close(() => resolve());
    });
  }
}

/** Registers that lie side by side are read together: one question a block, not one a sensor. */
function blocksOf(line: ModbusLineConfig, devices: readonly DeviceConfig[]): Block[] {
  const registers = devices.flatMap(({ name: device, sensors }) =>
    sensors.flatMap(({ channel, unit, source }): Register[] =>
      source.kind === 'modbus' && source.line === line.name ? [{ device, channel, unit, source }] : [],
    ),
  );
  const unitOf = ({ source }: Register) => source.unitId ?? line.unitId;
  registers.sort(
    (a, b) => unitOf(a) - unitOf(b) || a.source.function - b.source.function || a.source.register - b.source.register,
  );
  const blocks: { unitId: number; function: 3 | 4; first: number; count: number; registers: Register[] }[] = [];
  for (const register of registers) {
    const { function: code, register: first, type } = register.source;
    const unitId = unitOf(register);
    const end = first + registerCount(type);
    const block = blocks.at(-1);
    const isOfSame = block?.unitId === unitId && block.function === code;
    if (!isOfSame || first > block.first + block.count || end - block.first > registersMax) {
      blocks.push({ unitId, function: code, first, count: end - first, registers: [register] });
      continue;
    }
    block.count = Math.max(block.count, end - block.first);
    block.registers.push(register);
  }
  return blocks;
}

function readBlock(client: ModbusClient, block: Block): Promise<{ buffer: Buffer }> {
  const { unitId, function: code, first, count } = block;
  client.setID(unitId);
  return code === 3 ? client.readHoldingRegisters(first, count) : client.readInputRegisters(first, count);
}

function sampleOf(register: Register, block: Block, buffer: Buffer, timeSec: number): SensorSample {
  const { device, channel, unit, source } = register;
  const raw = decodeRegister(source, buffer.subarray(2 * (source.register - block.first)));
  // The registers' width is read as unsigned for the comparison, so that 0x8000 and -32768 name the same word.
  const modulus = registerCount(source.type) === 1 ? 0x1_0000 : 0x1_0000_0000;
  const isInvalid = source.invalid.some((each) => each === raw || each === (raw + modulus) % modulus);
  const value = isInvalid ? undefined : raw * source.scale + source.offset;
  return { device, channel, raw: { timeSec, value, unit } };
}

/** Modbus is big-endian within a register; for two registers, makers differ in which one comes first. */
export function decodeRegister({ type, wordOrder }: Pick<ModbusSource, 'type' | 'wordOrder'>, bytes: Buffer): number {
  if (type === 'int16') return bytes.readInt16BE();
  if (type === 'uint16') return bytes.readUInt16BE();
  const [high, low] = wordOrder === 'high-first' ? [0, 2] : [2, 0];
  const word = Buffer.concat([bytes.subarray(high, high + 2), bytes.subarray(low, low + 2)]);
  if (type === 'int32') return word.readInt32BE();
  return type === 'uint32' ? word.readUInt32BE() : word.readFloatBE();
}

function registerCount(type: ModbusSource['type']): number {
  return type === 'int16' || type === 'uint16' ? 1 : 2;
}
