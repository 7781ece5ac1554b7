/** The gateway's judgement against the oracle's on the same samples, and against a restatement that shares no code. */
import t, { type Test } from 'tap';
import {
  cargoProbe,
  channels,
  decodeEnvelope,
  encodeEnvelope,
  evaluate,
  faultValue,
  initialState,
  marks,
  noPrevious,
  openEnvelope,
  type EvaluationState,
  type Finding,
  type OpenEnvelope,
  type OrderUnderWatch,
} from '@coldproof/wire';
import {
  judgeBatch,
  judgeUnsealed,
  startJudging,
  warningsOf,
  type ChannelWarning,
  type Judged,
  type JudgeState,
} from '@coldproof/agent/judge';
import type { Reading, SamplerState } from '@coldproof/agent/sample';
import { cutReadings, gatherSeries, sealReadings, type Unsealed } from '@coldproof/agent/seal';
import { seeded, type Random } from '../helpers/seed.ts';

const startSec = 1_767_225_600;
const [probe, air, door] = [cargoProbe(1), channels.returnAir, channels.door];
const gapSec = 150;
const limitOf = (channel: number, excursionSecMin: number, cumulativeSecMin: number) => {
  return {
    channel,
    lowerLimitCentiC: 200,
    upperLimitCentiC: 800,
    excursionSecMin,
    cumulativeSecMin,
    sampleGapSecMax: gapSec,
  };
};
const order: OrderUnderWatch = {
  orderId: '7',
  judgedFromSec: startSec,
  deliveredAtSec: 0,
  limits: [limitOf(probe, 900, 1_500), limitOf(air, 600, 0)],
};
const sealTerms = { sealSamplesMax: 8, sealAgeSecMax: 900 };

/** The gateway: readings one by one, sealed as the loop does, its state through JSON as at a restart. */
class Gateway {
  readonly unsealed = new Map<number, Reading[]>();
  readonly sampled = new Map<number, SamplerState>();
  readonly envelopes: Uint8Array[] = [];
  sealed: JudgeState = startJudging(order, 0);
  #previous = noPrevious;

  take(reading: Reading): void {
    this.unsealed.set(reading.channel, [...(this.unsealed.get(reading.channel) ?? []), reading]);
    const { timeSec, value, marks } = reading;
    this.sampled.set(reading.channel, { newestSec: timeSec, marks, lastValid: { timeSec, value, equalCount: 1 } });
  }

  seal(): void {
    const readings = cutReadings(this.unsealed, sealTerms);
    if (readings === undefined) return;
    const sequence = this.envelopes.length;
    const sealed = sealReadings(
      readings,
      { device: new Uint8Array(32), sequence, previous: this.#previous },
      undefined,
    );
    this.#previous = sealed.digest;
    const signature = new Uint8Array(64);
    this.envelopes.push(encodeEnvelope({ batch: sealed.encoded, signature, series: sealed.series }));
    this.sealed = judgeBatch(order, this.sealed, { batch: sealed.batch, series: gatherSeries(readings) });
    for (const { channel } of readings) this.unsealed.get(channel)!.shift();
  }

  restart(): void {
    this.sealed = JSON.parse(JSON.stringify(this.sealed)) as JudgeState;
  }

  current(): Judged {
    return judgeUnsealed(order, this.sealed, this.unsealed, sealTerms);
  }
}

/** The oracle: only the bytes that were sent. */
function open(bytes: Uint8Array): OpenEnvelope {
  const decoded = decodeEnvelope(bytes);
  const opened = decoded.ok ? openEnvelope(decoded.value) : decoded;
  if (!opened.ok) throw new Error(opened.detail);
  return opened.value;
}

function* voyage(random: Random): Generator<Reading> {
  let timeSec = startSec - random.integer(0, 600);
  const centiC = new Map([probe, air].map((channel) => [channel, 500]));
  const isCalm = random.integer(0, 3) === 0;
  for (let left = random.integer(10, 60); left > 0; left--) {
    timeSec += random.integer(0, 40) === 0 ? random.integer(100, 1_200) : 60;
    const isClockTrusted = random.integer(0, 150) !== 0;
    for (const channel of [door, probe, air]) {
      if (random.integer(0, 80) === 0) continue;
      if (random.integer(0, isCalm ? 60 : 12) === 0) {
        centiC.set(channel, random.pick([199, 200, 201, 500, 799, 800, 801, 950, -300]));
      }
      const isFault = random.integer(0, 200) === 0;
      const value = channel === door ? 0 : isFault ? faultValue(channel) : centiC.get(channel)!;
      const marked = isFault ? marks.invalidValue : random.integer(0, 120) === 0 ? marks.spike : 0;
      yield { channel, timeSec, value, marks: channel === door ? 0 : marked, isClockTrusted };
    }
  }
}

type Stretch = { side: 'warm' | 'cold'; fromSec: number; toSec: number };

/** What the terms say, stated anew, of batches of readings: all stretches outside, and the one that is still open. */
function restate(channel: number, batches: readonly (readonly Reading[])[]) {
  const all: Stretch[] = [];
  let running: Stretch | undefined;
  for (const batch of batches) {
    const mine = batch.filter((each) => each.channel === channel);
    const isUsable =
      mine.length > 0 && mine.every((each) => each.marks === 0) && batch.every((each) => each.isClockTrusted);
    if (!isUsable) running = undefined;
    for (const { timeSec, value } of isUsable ? mine : []) {
      const side = value >= 800 ? 'warm' : value <= 200 ? 'cold' : undefined;
      const isNear = running !== undefined && timeSec - running.toSec <= gapSec;
      if (side === undefined || timeSec < startSec) running = undefined;
      else if (running?.side === side && isNear) running.toSec = timeSec;
      else all.push((running = { side, fromSec: timeSec, toSec: timeSec }));
    }
  }
  return { all, running };
}

const spanSec = ({ fromSec, toSec }: Stretch) => toSec - fromSec;

/** Checks one moment; gives the two channels' warnings. */
function moment(t: Test, gateway: Gateway, sealedReadings: readonly (readonly Reading[])[]): ChannelWarning[] {
  const nowSec = Math.max(...[...gateway.sampled.values()].map(({ newestSec }) => newestSec));
  const { channels: told } = warningsOf(order, gateway.current(), gateway.sampled, nowSec);
  // All is sealed that is due, so what waits is no full batch; marks that change in it still cut it in pieces.
  const pieces: (readonly Reading[])[] = [];
  for (let rest: Unsealed = gateway.unsealed; ;) {
    const piece = cutReadings(rest, sealTerms, { isLast: true });
    if (piece === undefined) break;
    pieces.push(piece);
    rest = new Map([...rest].map(([channel, all]) => [channel, all.filter((each) => !piece.includes(each))]));
  }
  return order.limits.map(({ channel, excursionSecMin, cumulativeSecMin }) => {
    const warning = told[channel === probe ? 'cargo-probe-1' : 'return-air']!;
    const heard = pieces.filter((piece) => piece.some((each) => each.channel === channel));
    const { all, running } = restate(channel, [...sealedReadings, ...heard]);
    const totalSec = all.reduce((sum, each) => sum + spanSec(each), 0);
    const isLong = all.some((each) => spanSec(each) >= excursionSecMin);
    const isBroken = isLong || (cumulativeSecMin > 0 && totalSec >= cumulativeSecMin);
    const expected = isBroken ? 'excursion' : warning.why !== undefined ? 'no-data' : running ? 'warning' : 'ok';
    if (warning.state !== expected) t.equal(warning.state, expected, JSON.stringify(warning));
    if (warning.state === 'warning') {
      const leftSec = [excursionSecMin - spanSec(running!), ...(cumulativeSecMin ? [cumulativeSecMin - totalSec] : [])];
      if (warning.leftSec !== Math.min(...leftSec)) t.equal(warning.leftSec, Math.min(...leftSec), 'time left');
      if (Date.parse(warning.since!) / 1_000 !== running!.fromSec) t.equal(warning.since, running!.fromSec);
    }
    return warning;
  });
}

t.test('2,000 random series: the oracle finds what the gateway warned of, batch by batch and at each moment', (t) => {
  const random = seeded(t, 2_008);
  const seen = { warning: 0, excursion: 0, 'no-data': 0, ok: 0 };
  let [batches, found] = [0, 0];
  for (let i = 0; i < 2_000 && t.passing(); i++) {
    const gateway = new Gateway();
    const sealedReadings: (readonly Reading[])[] = [];
    let oracle: EvaluationState = initialState(order);
    const findings: Finding[] = [];
    for (const reading of voyage(random)) {
      gateway.take(reading);
      if (random.integer(0, 30) === 0) gateway.restart();
      for (let due = cutReadings(gateway.unsealed, sealTerms); due; due = cutReadings(gateway.unsealed, sealTerms)) {
        sealedReadings.push(due);
        const ahead = gateway.current();
        gateway.seal();
        const step = evaluate(order, oracle, open(gateway.envelopes.at(-1)!));
        oracle = step.state;
        findings.push(...step.findings);
        batches += 1;
        if (!same(gateway.sealed.evaluation, oracle))
          return void t.same(gateway.sealed.evaluation, oracle, `series ${i}`);
        const isNothingElse = [...gateway.unsealed.values()].every((rest) => rest.length === 0);
        if (isNothingElse && !same(ahead.state.evaluation, oracle)) {
          return void t.same(ahead.state.evaluation, oracle, 'ahead');
        }
      }
      if (random.integer(0, 4) === 0) for (const { state } of moment(t, gateway, sealedReadings)) seen[state] += 1;
    }
    const first = (list: readonly Finding[]) =>
      [...new Set(list.map(({ rule, channel }) => `${rule} ${channel}`))].sort();
    const proved = first(findings.filter(({ runs }) => runs !== undefined));
    if (!same(first(gateway.sealed.found), proved)) t.same(first(gateway.sealed.found), proved, `series ${i}`);
    found += proved.length;
  }
  t.comment(`${batches} batches, ${found} findings, ${JSON.stringify(seen)}`);
  t.ok(found > 300 && Object.values(seen).every((count) => count > 500), 'every state was met');
  t.end();
});

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

t.test('to the second: warned from the first sample outside on, broken when the time of the terms is reached', (t) => {
  const gateway = new Gateway();
  const at = (minute: number, centiC: number) => {
    const timeSec = startSec + 60 * minute;
    gateway.take({ channel: probe, timeSec, value: centiC, marks: 0, isClockTrusted: true });
    gateway.seal();
    return warningsOf(order, gateway.current(), gateway.sampled, timeSec).channels['cargo-probe-1']!;
  };
  t.match(at(0, 799), { state: 'ok', value: 7.99, cumulatedSec: 0 });
  t.match(at(1, 800), { state: 'warning', since: '2026-01-01T00:01:00.000Z', leftSec: 900 });
  for (let minute = 2; minute < 15; minute++) at(minute, 900);
  t.match(at(15, 900), { state: 'warning', dueAt: '2026-01-01T00:16:00.000Z', leftSec: 60 });
  t.match(at(16, 900), { state: 'excursion', found: [{ rule: 'excursion', durationSec: 900 }] });
  t.match(at(17, 500), { state: 'excursion', found: [{ durationSec: 900 }] }, 'it stands, though all is well again');
  for (let minute = 18; minute < 27; minute++) at(minute, 500);
  t.match(at(27, 900), { state: 'excursion', cumulatedSec: 900 });
  t.end();
});

t.test('no data: never, a gap to the second, a fault, a mark that spoils its batch, a clock not to be trusted', (t) => {
  const gateway = new Gateway();
  const whyAt = (sec: number) => warningsOf(order, gateway.current(), gateway.sampled, sec).channels['cargo-probe-1']!;
  const take = (timeSec: number, more: Partial<Reading> = {}) => {
    gateway.take({ channel: probe, timeSec, value: 900, marks: 0, isClockTrusted: true, ...more });
  };
  t.match(whyAt(startSec), { state: 'no-data', why: 'never', value: null, at: undefined });
  take(startSec);
  t.match(whyAt(startSec + gapSec), { state: 'warning' });
  t.match(whyAt(startSec + gapSec + 1), { state: 'no-data', why: 'gap' });
  take(startSec + 60, { marks: marks.stuck });
  t.match(whyAt(startSec + 60), { state: 'no-data', why: 'stuck' });
  take(startSec + 120);
  t.match(whyAt(startSec + 120), { state: 'warning', leftSec: 900 }, 'where marks change, a batch ends');
  for (const at of [180, 240, 300, 360]) take(startSec + at, { marks: at % 120 === 0 ? 0 : marks.spike });
  t.match(whyAt(startSec + 360), { state: 'no-data', why: 'marked' }, 'flickering, and in one batch with its marks');
  const other = new Gateway();
  other.take({ channel: probe, timeSec: startSec, value: 900, marks: 0, isClockTrusted: false });
  t.match(warningsOf(order, other.current(), other.sampled, startSec).channels['cargo-probe-1'], { why: 'clock' });
  t.end();
});
