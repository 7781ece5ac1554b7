/** Lines and sentences of sensors that speak by themselves: the standard's examples, and what receivers really send. */
import t from 'tap';
import { utf8ToBytes } from '@coldproof/wire';
import { NmeaReader } from '@coldproof/agent/sensors/nmea';
import { LineSplitter, openTextLine, textLineBytesMax } from '@coldproof/agent/sensors/text-line';
import { formatGga, formatRmc } from '@coldproof/firmware-sim/nmea';
import { positionAt } from '@coldproof/firmware-sim/route';
import { withCrc16, withXor } from '@coldproof/firmware-sim/text-line';
import { seeded } from '../helpers/seed.ts';
import { voyageStartSec } from './fixture.ts';

const rmc = 'GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W';
const gga = 'GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,';
/** 1994-03-23T12:35:19Z */
const rmcSec = 764_426_119;

t.test('checksums: NMEA 0183 examples, CRC-16, and lines without a right one', (t) => {
  const open = (line: string, checksum: 'none' | 'xor' | 'crc16') => {
    const opened = openTextLine(utf8ToBytes(line), checksum);
    return opened.ok ? opened.value : opened.reason;
  };
  t.equal(open(`$${rmc}*6A`, 'xor'), rmc);
  t.equal(open(`$${gga}*47`, 'xor'), gga);
  t.equal(open(`!${rmc}*6a`, 'xor'), rmc, 'lower case');
  t.equal(open(`${rmc}*6A`, 'xor'), rmc, 'a line of a logger has no $');
  t.equal(open(withXor('T=4.25 °C').trim(), 'xor'), 'T=4.25 °C');
  // The CRC catalogue's check value of CRC-16/MODBUS.
  t.equal(open('123456789*4B37', 'crc16'), '123456789');
  t.equal(open(withCrc16('a*b*c').trim(), 'crc16'), 'a*b*c', 'the last star counts');
  for (const line of [`$${rmc}*6B`, `$${rmc}`, `$${rmc}*6`, `$${rmc}*6A `, '*00x', '*', '', `$${rmc}*+A`, '4B37*']) {
    t.equal(open(line, 'xor'), 'line-checksum-wrong', line);
  }
  for (const line of ['123456789*4B38', '123456789*374B', '123456789', '4B37', '*4B3']) {
    t.equal(open(line, 'crc16'), 'line-checksum-wrong', line);
  }
  t.equal(open('T\t1', 'none'), 'T\t1');
  t.equal(open('T\u0000 1', 'none'), 'line-not-text');
  t.match(openTextLine(Uint8Array.of(0x54, 0xff), 'none'), { ok: false, reason: 'line-not-text' });
  t.end();
});

t.test('lines end at CR, LF or both; half a line is none; one without end is told once', (t) => {
  const split = (isWhole: boolean, ...chunks: string[]) => {
    const splitter = new LineSplitter(isWhole);
    const lines = chunks.flatMap((chunk) => splitter.push(Buffer.from(chunk)));
    return lines.map((line) => (line === undefined ? 'too long' : Buffer.from(line).toString()));
  };
  t.same(split(true, 'a\r\nb\nc\rd'), ['a', 'b', 'c']);
  t.same(split(true, 'a\r', '\n', 'b', 'c', '\n\n\r\n'), ['a', 'bc']);
  t.same(split(false, '.5\r\n12.5\r\n'), ['12.5'], '"12.5" heard from its middle on is not 0.5');
  const endless = 'x'.repeat(textLineBytesMax + 1);
  t.same(split(true, endless, endless, `${endless}\nb\n`), ['too long', 'b']);
  t.same(split(true, `${endless}\nb\n`), ['too long', 'b']);
  t.same(split(true, `${endless.slice(1)}\nb\n`), [endless.slice(1), 'b'], 'just as long as it may be');
  t.end();
});

t.test('positions: the examples of the standard, dated by RMC and not by today', (t) => {
  const reader = new NmeaReader();
  t.match(reader.read(gga, 0), { ok: false, reason: 'position-without-date' });
  const place = { latitude: 48.1173, longitude: 11.516666666666667 };
  t.same(reader.read(rmc, 0), { ok: true, value: { timeSec: rmcSec, place } });
  t.same(reader.read(gga, 0), { ok: true, value: { timeSec: rmcSec, place } });
  t.match(reader.read(gga, 3_601), { ok: false, reason: 'position-without-date' }, 'an hour later it may be tomorrow');
  const near = (timeOfDay: string) => {
    const read = reader.read(gga.replace('123519', timeOfDay), 1);
    return read.ok ? read.value!.timeSec - rmcSec : read.reason;
  };
  t.equal(near('123520.00'), 1);
  t.equal(near('123518'), -1);
  reader.read(rmc.replace('123519', '235959'), 0);
  t.equal(near('000000'), 86_400 - 45_319, 'across midnight: the next day');
  t.end();
});

t.test('no fix is a receiver without a value; another sentence is none of ours', (t) => {
  const reader = new NmeaReader();
  const noFix = { ok: true, value: { timeSec: 77, place: undefined } };
  t.same(reader.read('GPRMC,123519,V,,,,,,,230394,,', 77), noFix);
  t.same(reader.read('GPRMC,,V,,,,,,,,,,N', 77), noFix, 'before it knows the time');
  for (const mode of ['N', 'E', 'M', 'S']) t.same(reader.read(`${rmc},${mode}`, 77), noFix, `mode ${mode}`);
  for (const mode of ['A', 'D', 'R']) t.match(reader.read(`${rmc},${mode}`, 77), { value: { timeSec: rmcSec } }, mode);
  for (const quality of ['0', '6', '7', '8']) t.same(reader.read(gga.replace('E,1', `E,${quality}`), 77), noFix);
  t.match(reader.read(formatRmc(voyageStartSec, undefined).trim().slice(1, -3), 77), noFix);
  t.match(reader.read(formatGga(voyageStartSec, undefined).trim().slice(1, -3), 77), noFix);
  for (const other of ['GPGSV,3,1,11', 'PRMC', 'PGRMC,A', 'GPRMCX', 'HEHDT,1.0,T', '', ',,,', 'gprmc']) {
    t.same(reader.read(other, 77), { ok: true, value: undefined }, other);
  }
  t.end();
});

t.test('fields that are no position: the null island and other traps', (t) => {
  const rows: readonly [from: string, to: string][] = [
    ['4807.038,N', ','],
    ['4807.038', ''],
    ['4807.038', '4807'],
    ['4807.038', '807.038'],
    ['4807.038', '4867.038'],
    ['4807.038', '9007.038'],
    [',N,', ',,'],
    [',N,', ',E,'],
    ['01131.000', '1131.000'],
    ['01131.000', '18131.000'],
    [',E,', ',W ,'],
    ['123519', '243519'],
    ['123519', '126019'],
    ['123519', ''],
    ['123519', '1235'],
  ];
  for (const [from, to] of rows) {
    const reader = new NmeaReader();
    t.match(reader.read(rmc.replace(from, to), 0), { ok: false, reason: 'position-malformed' }, `RMC ${to}`);
    reader.read(rmc, 0);
    t.match(reader.read(gga.replace(from, to), 0), { ok: false, reason: 'position-malformed' }, `GGA ${to}`);
  }
  for (const day of ['', '000394', '320394', '231394', '2303']) {
    const reader = new NmeaReader();
    t.match(reader.read(rmc.replace('230394', day), 0), { ok: false, reason: 'position-malformed' }, day);
  }
  for (const body of ['GPRMC', 'GPGGA', 'GPRMC,', 'GPRMC,123519,A']) {
    t.match(new NmeaReader().read(body, 0), { ok: false, reason: 'position-malformed' }, body);
  }
  t.end();
});

t.test("the simulator's sentences come back as the place they were made of, in every corner of the world", (t) => {
  const random = seeded(t, 61_162);
  for (let round = 0; round < 2_000; round++) {
    const place = { latitude: random.integer(-90e6, 90e6) / 1e6, longitude: random.integer(-180e6, 180e6) / 1e6 };
    const unixSec = voyageStartSec + random.integer(0, 3e8);
    const reader = new NmeaReader();
    for (const sentence of [formatRmc(unixSec, place), formatGga(unixSec, place)]) {
      const opened = openTextLine(utf8ToBytes(sentence.trim()), 'xor');
      const read = opened.ok ? reader.read(opened.value, voyageStartSec) : opened;
      if (!read.ok || read.value === undefined) return t.fail(sentence);
      const { latitude, longitude } = read.value.place!;
      const errorDegrees = Math.max(Math.abs(latitude - place.latitude), Math.abs(longitude - place.longitude));
      if (errorDegrees > 1e-6 || read.value.timeSec !== unixSec) t.fail(`${sentence}: off by ${errorDegrees}`);
    }
  }
  t.match(positionAt(28_800), { latitude: 48.1372 });
  t.end();
});
