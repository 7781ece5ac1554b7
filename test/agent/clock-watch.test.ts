/** The clock's steps, forward and back, an unset start, and a receiver's time; heartbeats by it. */
import t from 'tap';
import { channels, droppedIn, droppedSeries, findDropped } from '@coldproof/wire';
import { ClockWatch, type ClockAnswer } from '@coldproof/agent/clock-watch';
import type { ClockConfig } from '@coldproof/agent/config-clock';
import { HandClock, voyageStartSec, type LogLine } from './fixture.ts';
import { open, UnsignedDevice } from '../oracle/hostile-voyage.ts';

function watchOf(config: ClockConfig, startSec = voyageStartSec) {
  const clock = new HandClock(startSec);
  const timer = new HandClock(0);
  const log: LogLine[] = [];
  let answer: ClockAnswer = { isSynchronised: false, why: 'test' };
  const watch = new ClockWatch(config, {
    clock,
    timer,
    askSystem: () => Promise.resolve(answer),
    log: (level, event, fields = {}) => log.push({ level, event, ...fields }),
  });
  const pass = (sec: number) => {
    clock.ms += 1_000 * sec;
    timer.ms += 1_000 * sec;
  };
  const say = async (isSynchronised: boolean) => {
    answer = { isSynchronised, why: 'test' };
    await watch.ask();
  };
  const nowSec = () => Math.round(watch.nowMs() / 1_000) - voyageStartSec;
  return { watch, clock, pass, say, nowSec, steps: () => log.filter(({ event }) => event === 'clock-step') };
}

t.test('system: unsynchronised, no step is followed; synchronised, the system is', async (t) => {
  const { watch, clock, pass, say, nowSec, steps } = watchOf({ source: 'system' });
  await say(true);
  pass(60);
  t.equal(nowSec(), 60);
  t.equal(watch.isTrusted, true);
  await say(false);
  t.equal(watch.isTrusted, false);
  for (const bySec of [10 * 365 * 86_400, -86_400, 3_600]) {
    const before = nowSec();
    clock.ms += 1_000 * bySec;
    pass(10);
    t.equal(nowSec(), before + 10, `a step of ${bySec} s`);
  }
  t.equal(steps().length, 0);
  clock.ms = (voyageStartSec + 500) * 1_000;
  await say(true);
  t.equal(nowSec(), 500, 'right again');
  t.match(steps(), [{ byMs: 410_000 }]);
  t.match(watch.status(), { source: 'system', synchronised: true, steps: 1 });
});

t.test('system: a start in 1970, set later', async (t) => {
  const { watch, clock, pass, say } = watchOf({ source: 'system' }, 0);
  await say(false);
  pass(30);
  t.equal(watch.nowMs(), 30_000);
  t.equal(watch.isTrusted, false);
  clock.ms = voyageStartSec * 1_000;
  await say(true);
  t.equal(watch.nowMs(), voyageStartSec * 1_000);
  t.equal(watch.isTrusted, true);
});

t.test("gps: the receiver's time, whatever the system says, and on from it", (t) => {
  const { watch, clock, pass, nowSec } = watchOf({ source: 'gps', line: 'gps' }, 0);
  t.match(watch.status(), { synchronised: false, why: 'no fix yet' });
  watch.noteTime('other', voyageStartSec);
  watch.noteTime('gps', voyageStartSec - 1_024 * 7 * 86_400);
  t.equal(watch.isTrusted, false, 'neither another line, nor a receiver that has lost its epoch');
  watch.noteTime('gps', voyageStartSec);
  pass(100);
  clock.ms -= 5_000_000;
  t.equal(nowSec(), 100);
  t.equal(watch.isTrusted, true);
  pass(86_400);
  t.equal(watch.isTrusted, false, 'a day without a fix');
  t.end();
});

t.test('none: the clock as it is, and nobody asked', async (t) => {
  const { watch, say, nowSec, clock } = watchOf({ source: 'none' });
  await say(false);
  clock.ms += 7_000;
  t.equal(nowSec(), 7);
  t.match(watch.status(), { synchronised: undefined });
  t.equal(watch.isTrusted, true);
});

t.test('readings dropped: a finding of its own, dated by the statement', (t) => {
  const dropped = { firstSec: voyageStartSec, lastSec: voyageStartSec + 600, count: 61 };
  const batch = open(new UnsignedDevice(1), [droppedSeries(dropped)]);
  t.same(droppedIn(batch.series), dropped);
  t.match(findDropped({ judgedFromSec: voyageStartSec }, batch), [
    {
      rule: 'readings-dropped',
      channel: channels.readingsDropped,
      openedAtSec: dropped.firstSec,
      closedAtSec: dropped.lastSec,
      detail: { readings: 61 },
    },
  ]);
  t.same(findDropped({ judgedFromSec: dropped.lastSec + 1 }, batch), [], 'before the transit it is nobody’s concern');
  const heartbeat = open(new UnsignedDevice(1), []);
  t.same(findDropped({ judgedFromSec: 0 }, heartbeat), []);
  t.end();
});
