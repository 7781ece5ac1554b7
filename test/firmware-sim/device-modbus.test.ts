/** The slave on a real serial line, asked by modbus-serial: a master that shares no code with it. */
import t from 'tap';
import modbusSerial from 'modbus-serial';
import { SerialPort } from 'serialport';
import { appendCrc16 } from '@coldproof/firmware-sim/crc16';
import { realClock } from '@coldproof/firmware-sim/clock';
import { registersOf, runModbusDevice } from '@coldproof/firmware-sim/device-modbus';
import { Random } from '@coldproof/firmware-sim/random';
import { openLine } from '@coldproof/firmware-sim/serial-line';
import { scenarios } from '@coldproof/firmware-sim/scenario';
import { Voyage } from '@coldproof/firmware-sim/voyage';
import { seeded } from '../helpers/seed.ts';
import { SerialPair, skipWithoutSocat } from './serial-pair.ts';

// The CommonJS package's own default, as nodenext sees it.
const Master = modbusSerial.default;
type Master = InstanceType<typeof Master>;

const baud = 19_200;
const sample = new Voyage(scenarios['compressor-failure'], 1).sampleAt(9_000);

/** A device on one end; resolves `opened` each time it has the line. */
function startDevice(path: string) {
  const stop = new AbortController();
  const events: string[] = [];
  let wake: (() => void) | undefined;
  const log = (_level: string, event: string): void => {
    events.push(event);
    wake?.();
  };
  const until = async (event: string, count: number): Promise<void> => {
    while (events.filter((each) => each === event).length < count) {
      await new Promise<void>((resolve) => (wake = resolve));
    }
  };
  const running = runModbusDevice(
    { realClock, random: Random.fromSeed(1), log, openLine: () => openLine(path, baud) },
    { unitId: 1, baud, sample: () => sample },
    stop.signal,
  );
  const end = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  return { until, end, events };
}

async function connectMaster(path: string, unitId = 1): Promise<Master> {
  const master = new Master();
  await master.connectRTUBuffered(path, { baudRate: baud });
  master.setID(unitId);
  master.setTimeout(2_000);
  return master;
}

const closeMaster = (master: Master): Promise<void> => new Promise((resolve) => master.close(() => resolve()));

const errorOf = (asked: Promise<unknown>): Promise<unknown> =>
  asked.then(
    () => 'answered',
    (error: unknown) => error,
  );

t.test('an independent master reads the map, and gets the exceptions', { skip: skipWithoutSocat }, async (t) => {
  const pair = new SerialPair();
  t.teardown(() => pair.remove());
  await pair.plug();
  const device = startDevice(pair.device);
  t.teardown(device.end);
  await device.until('line-opened', 1);
  const master = await connectMaster(pair.gateway);

  const expected = registersOf(sample).map((value) => value & 0xffff);
  for (let i = 0; i < 10; i++) {
    t.same((await master.readInputRegisters(0, 7)).data, expected);
    t.same((await master.readHoldingRegisters(i % 7, 1)).data, [expected[i % 7]]);
  }
  t.match(await errorOf(master.readInputRegisters(7, 1)), { modbusCode: 2 });
  t.match(await errorOf(master.readInputRegisters(0, 126)), { modbusCode: 3 });
  t.match(await errorOf(master.writeRegister(0, 1)), { modbusCode: 1 });
  master.setID(2);
  master.setTimeout(150);
  t.match(await errorOf(master.readInputRegisters(0, 1)), { errno: 'ETIMEDOUT' }, 'another unit is not answered for');
  await closeMaster(master);
  await device.end();
  t.equal(device.events.at(-2), 'line-frames');
});

t.test('the line is pulled out and put back: the same device answers again', { skip: skipWithoutSocat }, async (t) => {
  const pair = new SerialPair();
  t.teardown(() => pair.remove());
  const device = startDevice(pair.device);
  t.teardown(device.end);
  await device.until('line-unavailable', 1);
  for (let round = 1; round <= 3; round++) {
    await pair.plug();
    await device.until('line-opened', round);
    const master = await connectMaster(pair.gateway);
    t.equal((await master.readInputRegisters(0, 1)).data[0], 50, `round ${round}`);
    await closeMaster(master);
    await pair.unplug();
    await device.until('line-closed', round);
  }
  await device.end();
});

t.test(
  'requests split at random over the line, with noise and silences between',
  { skip: skipWithoutSocat },
  async (t) => {
    const random = seeded(t, 21);
    const pair = new SerialPair();
    t.teardown(() => pair.remove());
    await pair.plug();
    const device = startDevice(pair.device);
    t.teardown(device.end);
    await device.until('line-opened', 1);
    const port = new SerialPort({ path: pair.gateway, baudRate: baud, autoOpen: false });
    await new Promise<void>((resolve, reject) => port.open((error) => (error === null ? resolve() : reject(error))));
    t.teardown(() => new Promise<void>((resolve) => port.close(() => resolve())));

    const request = appendCrc16(Uint8Array.of(1, 4, 0, 0, 0, 7));
    const expected = Buffer.from(
      appendCrc16(
        Uint8Array.of(1, 4, 14, ...registersOf(sample).flatMap((value) => [(value >> 8) & 0xff, value & 0xff])),
      ),
    );
    let heard = Buffer.alloc(0);
    let onBytes: (() => void) | undefined;
    port.on('data', (chunk: Buffer) => {
      heard = Buffer.concat([heard, chunk]);
      onBytes?.();
    });
    const write = (bytes: Uint8Array): Promise<void> =>
      new Promise((resolve) => port.write(Buffer.from(bytes), () => port.drain(() => resolve())));
    let retries = 0;
    for (let round = 0; round < 25; round++) {
      heard = Buffer.alloc(0);
      if (round % 3 === 0) {
        // Time is the delimiter of this protocol: a silence on the line is the input here, not a wait for a result.
        await write(random.bytes(random.integer(1, 30)));
        await realClock.wait(60);
      }
      const at = random.integer(1, request.length - 1);
      await write(request.subarray(0, at));
      await write(request.subarray(at));
      while (heard.length < expected.length && retries < 100) {
        const isLate = await Promise.race([
          new Promise<false>((resolve) => (onBytes = () => resolve(false))),
          realClock.wait(300).then(() => true),
        ]);
        if (!isLate) continue;
        // On a busy machine the pause between the halves became a silence that ends a frame: ask again, as masters do.
        retries += 1;
        await write(request);
      }
      t.same(heard, expected, `round ${round}, split at ${at}`);
    }
  },
);
