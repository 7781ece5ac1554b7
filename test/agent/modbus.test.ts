/** A Modbus RTU line over a real pty pair, with modbus-serial's own server as the slave: somebody else's code. */
import { once } from 'node:events';
import { ServerSerial } from 'modbus-serial';
import { SerialPort } from 'serialport';
import t, { type Test } from 'tap';
import { realClock, type Clock } from '@coldproof/agent/clock';
import type { DeviceConfig } from '@coldproof/agent/config';
import type { ModbusLineConfig } from '@coldproof/agent/config-line';
import type { ModbusSource } from '@coldproof/agent/config-source';
import { Refusals } from '@coldproof/agent/refusal';
import { decodeRegister, startModbusLine } from '@coldproof/agent/sensors/modbus';
import type { SensorSample } from '@coldproof/agent/sensors/sensor';
import { seeded } from '../helpers/seed.ts';
import { skipWithoutVectors, vectorJson } from '../helpers/vectors.ts';
import { SerialPair, skipWithoutSocat as skip } from '../firmware-sim/serial-pair.ts';
import { until } from './fixture.ts';

/** The line polls once in each second of this. */
function clockAt(speed: number): Clock {
  return {
    nowMs: () => Date.now() * speed,
    wait: (ms, signal) => realClock.wait(ms / speed, signal),
  };
}

function lineAt(path: string): ModbusLineConfig {
  const port = { name: 'unit', path, baud: 19_200, parity: 'none', stopBits: 1 } as const;
  return { ...port, protocol: 'modbus', unitId: 1, pollSec: 1, timeoutMs: 60 };
}

function source(register: number, rest: Partial<ModbusSource> = {}): ModbusSource {
  return {
    kind: 'modbus',
    line: 'unit',
    unitId: undefined,
    function: 4,
    register,
    type: 'int16',
    wordOrder: 'high-first',
    scale: 0.1,
    offset: 0,
    invalid: [0x7fff, 0x8000],
    ...rest,
  };
}

function truckWith(sources: readonly (readonly [channel: number, source: ModbusSource])[]): DeviceConfig[] {
  const sensors = sources.map(([channel, source]) => ({
    channel,
    unit: 'Cel',
    source,
    range: undefined,
    invalid: [],
    stuckSamples: undefined,
    spikeCentiCPerMin: undefined,
    gapSecMax: undefined,
  }));
  return [
    {
      name: 'TRUCK-7',
      key: { kind: 'file' },
      sealSamplesMax: 15,
      sealAgeSecMax: 900,
      heartbeatSec: undefined,
      sensors,
    },
  ];
}

async function startSlave(path: string, registers: ReadonlyMap<number, number>): Promise<ServerSerial> {
  const readRegister = (register: number, unitId: number): number => {
    const value = registers.get(register);
    if (unitId !== 1) throw Object.assign(new Error('not here'), { modbusErrorCode: 11 });
    if (value === undefined) throw Object.assign(new Error('no such register'), { modbusErrorCode: 2 });
    return value;
  };
  const slave = new ServerSerial(
    { getInputRegister: readRegister, getHoldingRegister: readRegister },
    { path, baudRate: 19_200, unitID: 1 },
  );
  slave.on('error', () => undefined);
  await once(slave, 'initialized');
  return slave;
}

async function closeSlave(slave: ServerSerial): Promise<void> {
  await new Promise<void>((resolve) => {
    slave.close(() => resolve());
  });
}

function startLine(t: Test, line: ModbusLineConfig, devices: DeviceConfig[], speed = 10) {
  const refusals = new Refusals(() => undefined);
  const delivered: SensorSample[] = [];
  const events: string[] = [];
  const source = startModbusLine(line, devices, {
    clock: clockAt(speed),
    log: (_level, event) => events.push(event),
    refuse: (reason, detail) => refusals.refuse(reason, detail),
    deliver: (samples) => {
      delivered.push(...samples);
      return Promise.resolve();
    },
  });
  t.teardown(() => source.stop());
  return { delivered, events, counts: () => refusals.counts(), stop: () => source.stop() };
}

t.test('registers of each type, blocks, sentinels and exceptions', { skip }, async (t) => {
  const pair = new SerialPair();
  await pair.plug();
  t.teardown(() => pair.remove());
  const float = Buffer.alloc(4);
  float.writeFloatBE(4.25);
  const slave = await startSlave(
    pair.device,
    new Map([
      [0, 50],
      [1, 0xffce],
      [2, 0x7fff],
      [3, 0x8000],
      [10, 0xffff],
      [11, 0xfe0c],
      [12, float.readUInt16BE(2)],
      [13, float.readUInt16BE(0)],
    ]),
  );
  const line = startLine(
    t,
    { ...lineAt(pair.gateway), timeoutMs: 2_000 },
    truckWith([
      [3, source(0)],
      [1, source(1)],
      [2, source(2)],
      [4, source(3)],
      [16, source(10, { type: 'int32' })],
      [17, source(12, { type: 'float32', wordOrder: 'low-first', scale: 1 })],
      [18, source(1, { function: 3, offset: 1 })],
      [19, source(99)],
    ]),
  );
  await until(() => line.delivered.length >= 14, 'two polls');
  await line.stop();
  await closeSlave(slave);
  const first = new Map(line.delivered.slice(0, 7).map(({ channel, raw }) => [channel, raw.value]));
  t.match(
    [...first].sort((a, b) => a[0] - b[0]),
    [
      [1, -5],
      [2, undefined],
      [3, 5],
      [4, undefined],
      [16, -50],
      [17, 4.25],
      [18, -4],
    ],
  );
  t.ok(line.counts()['poll-exception']! >= 2, 'an exception loses its own block only');
  t.same(Object.keys(line.counts()), ['poll-exception']);
  t.same(line.events, ['line-up']);
  const times = line.delivered.filter(({ channel }) => channel === 3).map(({ raw }) => raw.timeSec);
  t.same(times, [...new Set(times)], 'one reading in a period');
});

t.test('two slaves on one line, each asked by its own address', { skip }, async (t) => {
  const pair = new SerialPair();
  await pair.plug();
  t.teardown(() => pair.remove());
  const wire = new SerialPort({ path: pair.device, baudRate: 19_200 });
  t.teardown(() => wire.close());
  // Unit 1 has 41 in its register, unit 9 has 49; nobody else is there.
  wire.on('data', (request: Buffer) => {
    const unit = request[0]!;
    if (unit === 1 || unit === 9) wire.write(answerOf(unit, 4, 40 + unit));
  });
  const own = source(5, { scale: 1 });
  const line = startLine(
    t,
    { ...lineAt(pair.gateway), timeoutMs: 2_000 },
    truckWith([
      [1, own],
      [2, { ...own, unitId: 9 }],
    ]),
  );
  await until(() => line.delivered.length >= 2, 'one poll');
  await line.stop();
  t.same(
    line.delivered.slice(0, 2).map(({ channel, raw }) => [channel, raw.value]),
    [
      [1, 41],
      [2, 49],
    ],
  );
  t.same(line.counts(), {});
});

t.test('unplug and replug: readings come again by themselves, within 5 s', { skip, timeout: 60_000 }, async (t) => {
  const pair = new SerialPair();
  t.teardown(() => pair.remove());
  // Long enough for a busy machine: each miss doubles the wait for the next try.
  const patient = { ...lineAt(pair.gateway), timeoutMs: 1_000 };
  const line = startLine(t, patient, truckWith([[1, source(1)]]));
  await until(() => (line.counts()['poll-line-down'] ?? 0) > 0, 'a line that is not there is counted');
  const recoveriesMs: number[] = [];
  for (let cycle = 0; cycle < 6; cycle++) {
    await pair.plug();
    const slave = await startSlave(pair.device, new Map([[1, 40 + cycle]]));
    // A slave that a failure leaves open reads its dead line for ever.
    t.teardown(() => closeSlave(slave));
    const pluggedMs = performance.now();
    const downs = () => line.events.filter((event) => event === 'line-down').length;
    const before = line.delivered.length;
    await until(() => line.delivered.length > before, 'a reading', 5_000);
    recoveriesMs.push(Math.round(performance.now() - pluggedMs));
    t.equal(line.delivered.at(-1)!.raw.value, (40 + cycle) * 0.1);
    const downsBefore = downs();
    // Half of the time the slave dies first, as a unit that is switched off; else the plug is pulled.
    if (cycle % 2 === 0) await closeSlave(slave);
    await pair.unplug();
    if (cycle % 2 === 1) await closeSlave(slave);
    await until(() => downs() > downsBefore, 'the line is down');
  }
  t.comment(`recovered after ${recoveriesMs.join(', ')} ms`);
  t.equal(recoveriesMs.length, 6);
});

t.test('modbus CRC vectors: the answers below are made with the right one', { skip: skipWithoutVectors }, (t) => {
  const { vectors } = vectorJson('modbus/crc16.json') as { vectors: { hex: string; crc16: string }[] };
  for (const { hex, crc16: expected } of vectors) {
    t.equal(crc16(Buffer.from(hex, 'hex')).toString(16).padStart(4, '0'), expected);
  }
  t.equal(vectors.length, 6);
  t.end();
});

t.test('broken, late, doubled and foreign answers: no wrong value is taken', { skip, timeout: 60_000 }, async (t) => {
  const random = seeded(t, 485);
  const pair = new SerialPair();
  await pair.plug();
  t.teardown(() => pair.remove());
  const wire = new SerialPort({ path: pair.device, baudRate: 19_200 });
  t.teardown(() => wire.close());
  let asked = 0;
  let value = 0;
  const truth = new Set<number>();
  wire.on('data', () => {
    asked += 1;
    value = (value + 1) % 0x7000;
    const good = answerOf(1, 4, value);
    const kind = random.integer(0, 7);
    // Late: after the question was given up, while the line waits for quiet.
    if (kind === 0) setTimeout(() => wire.write(good), 80);
    else if (kind === 1) wire.write(flipBit(good, random));
    else if (kind === 2) wire.write(answerOf(2, 4, value + 0x1000));
    else if (kind === 3) wire.write(good.subarray(0, random.integer(1, good.length - 1)));
    else if (kind === 4) wire.write(Buffer.concat([random.bytes(1), good]));
    else if (kind === 5) wire.write(Buffer.concat([good, good]));
    else {
      const split = random.integer(1, good.length);
      wire.write(good.subarray(0, split));
      wire.write(good.subarray(split));
    }
    truth.add(value);
  });
  const line = startLine(t, lineAt(pair.gateway), truckWith([[1, source(1, { scale: 1 })]]), 100);
  await until(() => asked >= 40, '40 questions', 40_000);
  await line.stop();
  const values = line.delivered.map(({ raw }) => Number(raw.value));
  t.ok(values.length > 10, `${values.length} of ${asked} answers were taken`);
  t.ok(
    values.every((each) => truth.has(each)),
    'each was a true answer',
  );
  t.same(
    values,
    [...values].sort((a, b) => a - b),
    'and the answer to its own question: none came again',
  );
  t.equal(new Set(values).size, values.length);
});

t.test('register types and word orders', (t) => {
  const bytes = Buffer.from('40880000', 'hex');
  const decode = (type: ModbusSource['type'], wordOrder: ModbusSource['wordOrder'] = 'high-first') =>
    decodeRegister({ type, wordOrder }, bytes);
  t.equal(decode('float32'), 4.25);
  t.equal(decode('uint16'), 0x4088);
  t.equal(decode('uint32'), 0x40880000);
  t.equal(decode('uint32', 'low-first'), 0x4088);
  t.equal(decodeRegister({ type: 'int32', wordOrder: 'low-first' }, Buffer.from('fffeffff', 'hex')), -2);
  t.equal(decodeRegister({ type: 'int16', wordOrder: 'high-first' }, Buffer.from('ffce', 'hex')), -50);
  t.end();
});

/** The answer of a slave to a question for one register, made by hand. */
function answerOf(unit: number, code: number, value: number): Buffer {
  const frame = Buffer.from([unit, code, 2, value >> 8, value & 0xff, 0, 0]);
  frame.writeUInt16LE(crc16(frame.subarray(0, -2)), 5);
  return frame;
}

function flipBit(frame: Buffer, random: { integer(least: number, most: number): number }): Buffer {
  const flipped = Buffer.from(frame);
  flipped[random.integer(0, flipped.length - 1)]! ^= 1 << random.integer(0, 7);
  return flipped;
}

/** CRC-16/MODBUS: polynomial 0xA001 reflected, from 0xFFFF. */
function crc16(bytes: Uint8Array): number {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >> 1 : (crc >> 1) ^ 0xa001;
  }
  return crc;
}
