/** Lines that speak by themselves, over a real pty from the simulator; and one that goes and comes back. */
import { EventEmitter } from 'node:events';
import t from 'tap';
import { OperatingError } from '@coldproof/agent/operating-error';
import { Refusals } from '@coldproof/agent/refusal';
import { PushDecoder, startPushLine } from '@coldproof/agent/sensors/push-line';
import type { PushLineConfig } from '@coldproof/agent/config-line';
import { scenarios } from '@coldproof/firmware-sim/scenario';
import { readingsOf } from '@coldproof/firmware-sim/message';
import { formatTextLine, withXor } from '@coldproof/firmware-sim/text-line';
import { Voyage } from '@coldproof/firmware-sim/voyage';
import { skipWithoutSocat } from '../firmware-sim/serial-pair.ts';
import { HandClock, mustParse, until, voyageStartSec } from './fixture.ts';
import { lineKinds, replug } from './serial-replug.ts';

for (const kind of lineKinds) {
  t.test(`a ${kind} line, unplugged and replugged, recovers by itself`, { skip: skipWithoutSocat }, async (t) => {
    const recoveriesMs = await replug(kind, 4);
    t.comment(`after ${recoveriesMs.join(', ')} ms`);
    t.equal(recoveriesMs.length, 4);
  });
}

function linesOf(sensors: string, line: string) {
  const config = mustParse(`
stateDir: /s
passphraseEnv: P
devices: [{ name: T, sensors: [${sensors}] }]
lines: [{ name: l, path: /dev/l, ${line} }]
uplink: { url: 'mqtt://o:1', logPublicKey: '${'ab'.repeat(32)}' }
`);
  return { devices: config.devices, line: config.lines[0] as PushLineConfig };
}

function decoderOf(sensors: string, line: string) {
  const refusals = new Refusals(() => undefined);
  const parsed = linesOf(sensors, line);
  const decoder = new PushDecoder(parsed.line, parsed.devices, {
    refuse: (reason, detail) => refusals.refuse(reason, detail),
  });
  const take = (text: string, nowSec = voyageStartSec) =>
    decoder
      .push(Buffer.from(text), nowSec)
      .map(({ channel, raw }) => [channel, raw.timeSec - voyageStartSec, raw.value]);
  return { decoder, take, counts: () => refusals.counts() };
}

const probe = (value: string) => `{ channel: cargo-probe-1, text: { line: l, ${value} } }`;

t.test("the simulator's logger, each minute of a voyage", (t) => {
  const pattern = "pattern: '(.*;)?cargo-probe-1=(?<value>-?[0-9.]+)(;.*)?'";
  const { take, counts } = decoderOf(probe(pattern), 'protocol: text, checksum: xor');
  const voyage = new Voyage(scenarios['compressor-failure'], 5);
  for (let atSec = 60; atSec <= 28_800; atSec += 60) {
    const sample = voyage.sampleAt(atSec);
    const expected = [[16, atSec, sample.cargoProbe1CentiC / 100]];
    t.same(take(formatTextLine(readingsOf(sample, false)), voyageStartSec + atSec), expected);
  }
  t.same(counts(), {});
  t.end();
});

t.test('JSON lines, times of their own, words; banners and damage are counted', (t) => {
  const door = "{ channel: door, text: { line: l, pattern: 'DOOR (?<value>.*)', words: { open: 1, shut: 0 } } }";
  const json = probe('value: /t/0, time: /at, scale: 0.1');
  const { take, counts } = decoderOf(`${json}, ${door}`, 'protocol: text');
  t.same(take('half a line\n'), []);
  t.same(take(`{"t":[42],"at":${voyageStartSec - 5}}\r\n`), [[16, -5, 4.2]]);
  t.same(take('DOOR open\nDOOR ajar\n'), [[6, 0, 1]], 'one value in a period');
  t.same(take('DOOR ajar\n', voyageStartSec + 1), [[6, 1, undefined]], 'a word that is none: a sensor without a value');
  t.same(take('Logger v1.2 (c) 1998\n{"x":1}\n{"t":[{}],"at":1}\n{"t":[1]}\n\u0001\n'), []);
  t.same(counts(), {
    'line-unmatched': 2,
    'json-value-malformed': 1,
    'time-malformed': 1,
    'line-not-text': 1,
  });
  t.end();
});

t.test('one value in a period, and before it one fault: a receiver speaks each second', (t) => {
  const gps = '{ channel: latitude, nmea: { line: l } }, { channel: longitude, nmea: { line: l } }';
  const { take } = decoderOf(gps, 'protocol: nmea, sampleSec: 60');
  const rmc = (second: string, status: string) =>
    `$${withXor(`GPRMC,0000${second},${status},4807.038,N,01131.000,E,022.4,084.4,010126,003.1,W`)}`;
  const said = ['V', 'V', 'A', 'A', 'V'].map((status, i) => rmc(`0${i}`, status)).join('');
  t.same(take(said), [
    [128, 0, undefined],
    [129, 0, undefined],
    [128, 2, 48.1173],
    [129, 2, 11.516666666666667],
  ]);
  t.same(take(rmc('59', 'A')), []);
  t.end();
});

/** A port in memory. */
class MemoryPort extends EventEmitter {
  isOpen = false;
  isPaused = false;

  open(done: () => void): void {
    this.isOpen = true;
    done();
  }

  close(done: () => void): void {
    this.isOpen = false;
    this.emit('close');
    done();
  }

  flush(done: () => void): void {
    done();
  }

  write(): void {
    throw new Error('a line that speaks by itself is not written to');
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }
}

t.test(
  'the port waits while samples are on their way to the journal, and a failing journal ends the line',
  async (t) => {
    const { devices, line } = linesOf(probe("pattern: '(?<value>.*)'"), 'protocol: text, checksum: xor');
    const port = new MemoryPort();
    let finish: (error?: Error) => void = () => undefined;
    let delivered = 0;
    const deliver = () =>
      new Promise<void>((resolve, reject) => {
        delivered += 1;
        finish = (error) => {
          if (error === undefined) resolve();
          else reject(error);
        };
      });
    const deps = { clock: new HandClock(), log: () => undefined, refuse: () => undefined, deliver };
    const source = startPushLine(line, devices, deps, () => port);
    await until(() => port.listenerCount('data') === 1, 'the line is listened to');
    port.emit('data', Buffer.from(withXor('4.25')));
    t.equal(port.isPaused, true);
    finish();
    await until(() => !port.isPaused, 'journaled');
    deps.clock.ms += 1_000;
    port.emit('data', Buffer.from(withXor('4.26')));
    finish(new OperatingError('journal-write-failed', 'no', { retry: 'never' }));
    await until(() => !port.isOpen, 'the port is closed');
    t.equal(delivered, 2);
    await source.stop();
    t.equal(port.isPaused, true, 'what was not journaled is not followed by more');
  },
);
