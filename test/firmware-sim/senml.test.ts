/** RFC 8428 §4 and §5, read back by rules restated here. */
import t from 'tap';
import { readingsOf } from '@coldproof/firmware-sim/message';
import { formatSenml } from '@coldproof/firmware-sim/senml';
import { scenarios } from '@coldproof/firmware-sim/scenario';
import { Voyage } from '@coldproof/firmware-sim/voyage';

const startSec = 1_767_225_600;
const sample = new Voyage(scenarios['compressor-failure'], 1).sampleAt(60);

t.test('one pack holds all channels of one time, under one base name', (t) => {
  const text = formatSenml('TRUCK-7', startSec + 60, readingsOf(sample, false));
  t.equal(
    text,
    '[{"bn":"TRUCK-7/","bt":1767225660,"n":"supply-air","u":"Cel","v":5.01},' +
      '{"n":"return-air","u":"Cel","v":5.51},{"n":"cargo-probe-1","u":"Cel","v":5.43},{"n":"door","vb":false},' +
      '{"n":"setpoint","u":"Cel","v":5},{"n":"unit-mode","v":1}]',
  );
  t.equal(
    formatSenml('TRUCK-7', startSec + 60, readingsOf(sample, true)),
    '[{"bn":"TRUCK-7/","bt":1767225660,"n":"cargo-probe-1","u":"Cel","v":5.43},{"n":"door","vb":false}]',
    'with the unit on a serial line, only what is not the unit',
  );
  t.end();
});

t.test('every centi-degree prints as its two decimals and reads back as itself', (t) => {
  for (let centiC = -0x8000; centiC < 0x8000; centiC++) {
    const text = formatSenml('T', startSec, [{ name: 'a', centiC }]);
    const printed = /"v":(-?[^}]+)\}/.exec(text)?.[1] ?? '';
    if (!/^-?\d+(\.\d{1,2})?$/.test(printed) || Math.round(Number(printed) * 100) !== centiC) {
      t.fail(`${centiC} printed as ${printed}`);
    }
  }
  t.match(formatSenml('T', startSec, [{ name: 'a', centiC: -12_700 }]), '"v":-127}', 'the disconnected DS18B20');
  t.end();
});

t.test('what SenML cannot carry is refused', (t) => {
  const one = [{ name: 'a', value: 1 }];
  for (const device of ['', ' ', '-x', 'a b', 'ä', 'a"b', 'a\n', '/x']) {
    t.throws(() => formatSenml(device, startSec, one), { message: /^name: expected/ }, JSON.stringify(device));
  }
  for (const sec of [0, 2 ** 28 - 1, NaN, startSec + 0.5, -startSec]) {
    t.throws(() => formatSenml('T', sec, one), { message: /^unixSec: expected/ }, String(sec));
  }
  t.throws(() => formatSenml('T', startSec, []), { message: 'readings: expected at least 1, got 0' });
  t.end();
});
