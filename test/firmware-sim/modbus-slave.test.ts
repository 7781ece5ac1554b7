/**
 * Modbus over Serial Line V1.02 and Application Protocol V1.1b3: frames, exceptions, and nothing wrong ever answered.
 */
import t from 'tap';
import { appendCrc16, crc16 } from '@coldproof/firmware-sim/crc16';
import { frameSilenceMs, registerFault, registersOf } from '@coldproof/firmware-sim/device-modbus';
import { ModbusSlave, type FrameOutcome } from '@coldproof/firmware-sim/modbus-slave';
import { scenarios } from '@coldproof/firmware-sim/scenario';
import { Voyage } from '@coldproof/firmware-sim/voyage';
import { seeded } from '../helpers/seed.ts';
import { skipWithoutVectors, vectorJson } from '../helpers/vectors.ts';

const registers = [50, 50, 55, 240, 1, 0, -543];

function slaveOf(unitId = 1): { slave: ModbusSlave; outcomes: FrameOutcome[] } {
  const outcomes: FrameOutcome[] = [];
  const onFrame = (outcome: FrameOutcome) => outcomes.push(outcome);
  return { slave: new ModbusSlave({ unitId, readRegisters: () => registers, onFrame }), outcomes };
}

const hex = (bytes: Uint8Array | undefined): string => (bytes === undefined ? '' : Buffer.from(bytes).toString('hex'));
const request = (...bytes: number[]): Uint8Array => appendCrc16(Uint8Array.from(bytes));
const answer = (...bytes: number[]): string => hex(appendCrc16(Uint8Array.from(bytes)));

/** What the slave says to a whole frame followed by silence. */
function ask(slave: ModbusSlave, frame: Uint8Array): string {
  return hex(slave.receive(frame)) + hex(slave.endFrame());
}

t.test('CRC-16/MODBUS vectors', { skip: skipWithoutVectors }, (t) => {
  const { vectors } = vectorJson('modbus/crc16.json') as { vectors: { hex: string; crc16: string }[] };
  t.equal(vectors.length, 6);
  for (const { hex: text, crc16: expected } of vectors) {
    const bytes = Buffer.from(text, 'hex');
    t.equal(crc16(bytes), parseInt(expected, 16), text);
    t.equal(crc16(appendCrc16(bytes)), 0, 'over itself the CRC is zero');
  }
  t.end();
});

t.test('the worked example', (t) => {
  t.equal(ask(slaveOf().slave, Buffer.from('010400010001600a', 'hex')), '010402003238e5');
  t.end();
});

t.test('functions 3 and 4 read any span of the map', (t) => {
  const { slave } = slaveOf();
  for (const code of [3, 4]) {
    for (let first = 0; first < registers.length; first++) {
      for (let count = 1; first + count <= registers.length; count++) {
        const values = registers.slice(first, first + count).flatMap((value) => [(value >> 8) & 0xff, value & 0xff]);
        t.equal(ask(slave, request(1, code, 0, first, 0, count)), answer(1, code, 2 * count, ...values));
      }
    }
  }
  t.end();
});

t.test('exceptions 1, 2 and 3, in the order of the state diagrams', (t) => {
  const { slave, outcomes } = slaveOf();
  for (const code of [0, 1, 2, 5, 6, 7, 8, 15, 16, 22, 23, 43, 0x7f]) {
    t.equal(ask(slave, request(1, code, 0, 0, 0, 1)), answer(1, code | 0x80, 1), `function ${code}`);
  }
  t.equal(ask(slave, request(1, 16, 0, 0, 0, 1, 2, 0, 5)), answer(1, 0x90, 1), 'a longer request, ended by silence');
  t.equal(ask(slave, request(1, 4, 0, 7, 0, 1)), answer(1, 0x84, 2), 'one past the map');
  t.equal(ask(slave, request(1, 4, 0, 0, 0, 8)), answer(1, 0x84, 2), 'a span past the map');
  t.equal(ask(slave, request(1, 3, 0xff, 0xff, 0, 125)), answer(1, 0x83, 2));
  t.equal(ask(slave, request(1, 4, 0xff, 0xff, 0, 0)), answer(1, 0x84, 3), 'count before address');
  t.equal(ask(slave, request(1, 4, 0, 0, 0, 126)), answer(1, 0x84, 3));
  t.equal(ask(slave, request(1, 4, 0, 0, 0)), answer(1, 0x84, 3), 'a length that the function does not have');
  t.equal(ask(slave, request(1, 4, 0, 0, 0, 1, 0)), answer(1, 0x84, 3));
  t.ok(outcomes.every((outcome) => outcome === 'exception'));
  t.end();
});

t.test('frames to others, broadcasts and what others answer get no word', (t) => {
  const { slave, outcomes } = slaveOf(17);
  for (const unit of [0, 1, 16, 18, 247, 255]) t.equal(ask(slave, request(unit, 4, 0, 0, 0, 1)), '', `unit ${unit}`);
  t.equal(ask(slave, request(1, 4, 2, 0, 50)), '', 'an answer on a shared line');
  t.same(new Set(outcomes), new Set(['not-ours']));
  t.not(ask(slave, request(17, 4, 0, 0, 0, 1)), '');
  for (const unitId of [0, 248, 1.5]) {
    t.throws(() => slaveOf(unitId), { message: `unitId: expected 1 <= unitId <= 247, got ${unitId}` });
  }
  t.end();
});

t.test('each split point: joined it is answered once, torn by silence never, and the next request is', (t) => {
  const frames = [request(1, 4, 0, 1, 0, 2), request(1, 3, 0, 0, 0, 7), request(1, 4, 0, 9, 0, 1)];
  for (const frame of frames) {
    const whole = ask(slaveOf().slave, frame);
    for (let mask = 0; mask < 2 ** (frame.length - 1); mask++) {
      const { slave } = slaveOf();
      const said = pieces(frame, mask).map((piece) => hex(slave.receive(piece)));
      if (said.join('') + hex(slave.endFrame()) !== whole) t.fail(`joined, split ${mask.toString(2)}: ${said.join()}`);
      if (mask === 0) continue;
      const torn = slaveOf().slave;
      const heard = pieces(frame, mask).map((piece) => hex(torn.receive(piece)) + hex(torn.endFrame()));
      if (heard.join('') !== '') t.fail(`torn, split ${mask.toString(2)}: ${heard.join()}`);
      if (ask(torn, frame) !== whole) t.fail(`after the torn frame, split ${mask.toString(2)}`);
    }
  }
  t.end();
});

t.test('each flip of one or two bits is met with silence', (t) => {
  for (const frame of [request(1, 4, 0, 1, 0, 2), request(1, 3, 0, 0, 0, 7), request(1, 6, 0, 0, 0, 1)]) {
    const { slave, outcomes } = slaveOf();
    for (let i = 0; i < frame.length * 8; i++) {
      for (let j = i; j < frame.length * 8; j++) {
        const damaged = Uint8Array.from(frame);
        damaged[i >> 3]! ^= 1 << (i & 7);
        if (j !== i) damaged[j >> 3]! ^= 1 << (j & 7);
        const said = ask(slave, damaged);
        if (said !== '') t.fail(`bits ${i} and ${j}: ${said}`);
      }
    }
    t.same(new Set(outcomes), new Set(['damaged']));
    t.equal(outcomes.length, (64 * 65) / 2);
  }
  t.end();
});

t.test('noise of any length, joined frames and floods are damaged frames, after which it hears again', (t) => {
  const random = seeded(t, 4_711);
  const { slave, outcomes } = slaveOf();
  const good = request(1, 4, 0, 1, 0, 1);
  let byChance = 0;
  for (let i = 0; i < 20_000; i++) {
    const noise = random.bytes(random.integer(1, i % 100 === 0 ? 600 : 24));
    const said = ask(slave, noise);
    if (said !== '') byChance += 1;
  }
  t.ok(byChance < 5, `${byChance} of 20,000 random frames passed unit and CRC`);
  outcomes.length = 0;
  t.equal(ask(slave, Uint8Array.from([...good, ...good])), '', 'two requests without silence are no request');
  t.equal(ask(slave, Uint8Array.from([0xff, ...good])), '', 'a stray byte before it');
  t.equal(ask(slave, request(1, 4, ...new Array<number>(253).fill(0))), '', '257 bytes, CRC right');
  t.equal(ask(slave, new Uint8Array(1_000_000)), '');
  t.same(outcomes, ['damaged', 'damaged', 'damaged', 'damaged']);
  t.equal(ask(slave, good), answer(1, 4, 2, 0, 50));
  t.end();
});

t.test('the register map', (t) => {
  const voyage = new Voyage(scenarios['sensor-disconnected'], 1);
  const sample = voyage.sampleAt(3_600);
  t.same(registersOf({ ...sample, supplyAirCentiC: 495, returnAirCentiC: -495, ambientCentiC: 2_404 }), [
    50,
    50,
    -50,
    240,
    1,
    0,
    sample.cargoProbe1CentiC,
  ]);
  t.equal(registersOf(voyage.sampleAt(7_200)).at(6), registerFault, 'a disconnected probe');
  t.same([frameSilenceMs(300), frameSilenceMs(9_600), frameSilenceMs(115_200)], [129, 20, 20]);
  t.end();
});

function pieces(frame: Uint8Array, mask: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  let from = 0;
  for (let at = 1; at <= frame.length; at++) {
    if (at === frame.length || (mask >> (at - 1)) & 1) {
      found.push(frame.subarray(from, at));
      from = at;
    }
  }
  return found;
}
