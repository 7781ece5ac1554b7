import t from 'tap';
import { channels, marks } from '@coldproof/wire';
import {
  clockSetSec,
  gapBefore,
  isClockTrusted,
  sample,
  type RawSample,
  type SamplerState,
  type SamplerTerms,
} from '@coldproof/agent/sample';
import { readValue } from '@coldproof/agent/sensors/value-mapping';
import { toChannelInteger } from '@coldproof/agent/unit';
import { seeded } from '../helpers/seed.ts';
import { voyageStartSec } from './fixture.ts';

const probe: SamplerTerms = {
  channel: channels.cargoProbe1,
  unit: 'Cel',
  range: { least: -4_000, most: 7_000 },
  invalid: [-12_700, 8_500],
  stuckSamples: 10,
  spikeCentiCPerMin: 500,
  gapSecMax: 150,
};

const now = { sec: voyageStartSec + 86_400, isTrusted: true };

function take(raw: Partial<RawSample>, state?: SamplerState, terms = probe) {
  return sample({ timeSec: voyageStartSec, value: 4, unit: undefined, ...raw }, terms, state, now);
}

t.test('units become the integer of the channel, rounded half away from zero', (t) => {
  const rows: readonly [channel: number, unit: string, value: number, expected: number | undefined][] = [
    [1, 'Cel', 4.25, 425],
    [1, 'Cel', -0.0625, -6],
    [1, 'Cel', 4.235, 424],
    [1, 'Cel', -4.235, -424],
    [1, 'Cel', 1.005, 101],
    [1, 'Cel', -0.004, 0],
    [1, 'Cel', 5.3, 530],
    [1, 'Cel', 53 * 0.1, 530],
    [1, 'K', 277.4, 425],
    [1, 'K', 273.15, 0],
    [1, 'Far', 39.65, 425],
    [1, 'Far', 32, 0],
    [1, 'Far', -40, -4_000],
    [1, '%RH', 4, undefined],
    [1, 'toString', 4, undefined],
    [1, '', 4, undefined],
    [channels.humidity, '%RH', 61.05, 611],
    [channels.humidity, '/', 0.61, 610],
    [channels.door, '/', 1, 1],
    [channels.battery, 'V', 12.6, 12_600],
    [channels.battery, 'mV', 12_600, 12_600],
    [channels.unitMode, '/', 3, 3],
    [channels.latitude, 'lat', 60.07965, 60_079_650],
    [channels.longitude, 'lon', -24.30621, -24_306_210],
    [channels.odometer, 'km', 12.3456, 12_346],
    [channels.odometer, 'm', 12, 12],
  ];
  for (const [channel, unit, value, expected] of rows) {
    t.equal(toChannelInteger(channel, unit, value), expected, `${value} ${unit}`);
  }
  t.end();
});

t.test('marks never drop a sample: each fault value and each limit', (t) => {
  const rows: readonly [what: string, value: number | boolean | undefined, expected: number, mark: number][] = [
    ['good', 4, 400, 0],
    ['85 °C at power-on', 85, -0x8000, marks.invalidValue],
    ['-127 °C unplugged', -127, -0x8000, marks.invalidValue],
    ['no value', undefined, -0x8000, marks.invalidValue],
    ['NaN', Number.NaN, -0x8000, marks.invalidValue],
    ['infinite', Number.POSITIVE_INFINITY, -0x8000, marks.invalidValue | marks.outOfRange],
    ['over 16 bits', 327.68, -0x8000, marks.invalidValue | marks.outOfRange],
    ['exactly the fault value', -327.68, -0x8000, marks.invalidValue | marks.outOfRange],
    ['the widest value', 327.67, 0x7fff, marks.outOfRange],
    ['the lowest value', -327.67, -0x7fff, marks.outOfRange],
    ['at the range', 70, 7_000, 0],
    ['over the range', 70.01, 7_001, marks.outOfRange],
    ['under the range', -40.01, -4_001, marks.outOfRange],
  ];
  for (const [what, value, expected, mark] of rows) {
    const taken = take({ value });
    t.match(taken, { ok: true, value: { reading: { value: expected, marks: mark, timeSec: voyageStartSec } } }, what);
  }
  t.match(take({ value: true, unit: 'Cel' }), { ok: false, reason: 'unit-unknown' }, 'a boolean is no temperature');
  t.match(take({ value: 4, unit: '%RH' }), { ok: false, reason: 'unit-unknown' });
  t.end();
});

t.test('time: strictly increasing, not in the future, not before the clock was made', (t) => {
  const first = take({});
  const state = first.ok ? first.value.state : undefined;
  t.match(take({ timeSec: voyageStartSec }, state), { ok: false, reason: 'reading-repeated' });
  t.match(take({ timeSec: voyageStartSec + 0.9 }, state), { ok: false, reason: 'reading-repeated' }, 'the same second');
  t.match(take({ timeSec: voyageStartSec - 1 }, state), { ok: false, reason: 'reading-late' });
  t.match(take({ timeSec: voyageStartSec + 1 }, state), { ok: true });
  t.match(take({ timeSec: now.sec + 120 }), { ok: true });
  t.match(take({ timeSec: now.sec + 121 }), { ok: false, reason: 'reading-in-future' });
  t.match(take({ timeSec: 1_000 }), { ok: false, reason: 'reading-time-invalid' }, '1970');
  for (const timeSec of [Number.NaN, -1, 2 ** 32, Number.POSITIVE_INFINITY]) {
    t.match(take({ timeSec }), { ok: false, reason: 'reading-time-invalid' }, `${timeSec}`);
  }
  const unset = { sec: 5_000, isTrusted: false };
  const raw = { timeSec: 1_000, value: 4, unit: undefined };
  t.match(sample(raw, probe, undefined, unset), { ok: true, value: { reading: { isClockTrusted: false } } });
  t.equal(isClockTrusted(clockSetSec, undefined), true);
  t.equal(isClockTrusted(clockSetSec - 1, undefined), false);
  t.equal(isClockTrusted(voyageStartSec - 120, voyageStartSec), true);
  t.equal(isClockTrusted(voyageStartSec - 121, voyageStartSec), false, 'behind what it has dated itself');
  t.end();
});

t.test('stuck and spike, against a plain restatement, over seeded series', (t) => {
  const random = seeded(t, 14);
  const counts = { stuck: 0, spike: 0 };
  for (let series = 0; series < 200; series++) {
    const taken: { timeSec: number; value: number }[] = [];
    let state: SamplerState | undefined;
    let timeSec = voyageStartSec;
    let celsius = 4;
    for (let i = 0; i < 60; i++) {
      timeSec += random.pick([1, 30, 60, 60, 60, 3_600]);
      if (random.next() < 0.15) celsius += random.integer(-700, 700) / 100;
      const isFault = random.next() < 0.1;
      const verdict = sample({ timeSec, value: isFault ? undefined : celsius, unit: 'Cel' }, probe, state, now);
      if (!verdict.ok) return t.fail(verdict.detail);
      state = verdict.value.state;
      const { reading } = verdict.value;
      if (isFault) {
        t.equal(reading.marks, marks.invalidValue);
        continue;
      }
      const before = taken.at(-1);
      taken.push({ timeSec, value: reading.value });
      const row = taken.slice(-10);
      const isStuck = row.length === 10 && row.every(({ value }) => value === reading.value);
      const stepCentiC = before === undefined ? 0 : Math.abs(reading.value - before.value);
      const isSpike = before !== undefined && (60 * stepCentiC) / (timeSec - before.timeSec) > 500;
      const isOut = reading.value < -4_000 || reading.value > 7_000;
      const expected = (isStuck ? marks.stuck : 0) | (isSpike ? marks.spike : 0) | (isOut ? marks.outOfRange : 0);
      if (reading.marks !== expected) t.equal(reading.marks, expected);
      counts.stuck += isStuck ? 1 : 0;
      counts.spike += isSpike ? 1 : 0;
    }
  }
  t.ok(counts.stuck > 100 && counts.spike > 100, JSON.stringify(counts));
  t.end();
});

t.test('a gap is told and leaves no mark: what came after it is as good as before', (t) => {
  const first = take({});
  const state = first.ok ? first.value.state : undefined;
  t.match(first, { value: { gapSec: undefined } }, 'before the first reading there is none');
  t.match(take({ timeSec: voyageStartSec + 150 }, state), { value: { gapSec: undefined, reading: { marks: 0 } } });
  t.match(take({ timeSec: voyageStartSec + 151 }, state), { value: { gapSec: 151, reading: { marks: 0 } } });
  const terms = { ...probe, gapSecMax: undefined };
  t.match(take({ timeSec: voyageStartSec + 9_999 }, state, terms), { value: { gapSec: undefined } });
  t.equal(gapBefore(voyageStartSec + 151, probe, state), 151, 'and while it lasts');
  t.end();
});

t.test("every way of a sensor to say that it has not measured ends as the channel's fault value, marked", (t) => {
  const scaling = { scale: 1, offset: 0, words: new Map<string, number>() };
  const said: readonly [what: string, value: number | boolean | undefined][] = [
    ['a text over MQTT or a serial line', readValue('ERROR', scaling)],
    ['JSON null', readValue(null, scaling)],
    ['an empty text', readValue('', scaling)],
    ['NaN of CBOR, of a float register or of Sparkplug', readValue(Number.NaN, scaling)],
    ['the power-on value of a DS18B20', readValue('85.0', scaling)],
    ['its absence', readValue('-127', scaling)],
    ['the power-on value in tenths', readValue('850', { ...scaling, scale: 0.1 })],
  ];
  for (const [what, value] of said) {
    t.match(take({ value }), { value: { reading: { value: -0x8000, marks: marks.invalidValue } } }, what);
  }
  const neighbour = take({ value: 84.99 });
  t.match(neighbour, { value: { reading: { value: 8_499, marks: marks.outOfRange } } }, 'a degree beside is measured');
  t.end();
});
