/** The whole simulator in one process on a clock that a test moves: what is due is sent, once, with its own time. */
import t, { type Test } from 'tap';
import type { Clock } from '@coldproof/firmware-sim/clock';
import type { Link } from '@coldproof/firmware-sim/device-mqtt';
import { outboxMax } from '@coldproof/firmware-sim/outbox';
import { samplePeriodSec, scenarioNames, scenarios, voyageSec } from '@coldproof/firmware-sim/scenario';
import { formatSenml } from '@coldproof/firmware-sim/senml';
import { readingsOf } from '@coldproof/firmware-sim/message';
import { runSimulator, type SimulatorOptions } from '@coldproof/firmware-sim/simulator';
import { Voyage } from '@coldproof/firmware-sim/voyage';
import { seeded } from '../helpers/seed.ts';

const startSec = 1_767_225_600;
const sampleCount = voyageSec / samplePeriodSec;

const optionsFor = (changes: Partial<SimulatorOptions> = {}): SimulatorOptions => ({
  scenario: 'compressor-failure',
  seed: 1,
  voyageStartSec: startSec,
  truck: 'TRUCK-7',
  topic: 'sensors/TRUCK-7',
  format: 'senml-json',
  catchUpSec: 300,
  faults: {},
  ...changes,
});

/** Time stands still until somebody waits for it; `untilSec` of the voyage is never passed. */
class WaitedClock implements Clock {
  #nowMs: number;
  readonly #untilMs: number;
  readonly #onEnd: () => void;

  constructor(fromSec: number, untilSec: number, onEnd: () => void) {
    this.#nowMs = (startSec + fromSec) * 1_000;
    this.#untilMs = (startSec + untilSec) * 1_000;
    this.#onEnd = onEnd;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wait(ms: number, signal?: AbortSignal): Promise<void> {
    if (ms <= 0 || signal?.aborted === true) return Promise.resolve();
    if (this.#nowMs + ms <= this.#untilMs) {
      this.#nowMs += ms;
      return Promise.resolve();
    }
    this.#onEnd();
    return aborted(signal);
  }
}

function aborted(signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve();
  return new Promise((resolve) => signal?.addEventListener('abort', () => resolve()));
}

/** Runs from one second of the voyage to another and gives all that the gateway acknowledged, and the log. */
async function sail(t: Test, options: SimulatorOptions, fromSec: number, untilSec: number) {
  const received: string[] = [];
  const events: Record<string, unknown>[] = [];
  const stop = new AbortController();
  const link: Link = {
    publish: (topic, payload) => {
      if (topic !== options.topic) t.fail(`published to ${topic}`);
      received.push(Buffer.from(payload).toString());
      return Promise.resolve();
    },
    say: () => undefined,
    subscribe: () => Promise.resolve(),
    closed: new Promise<void>(() => undefined),
    close: () => undefined,
  };
  const clock = new WaitedClock(fromSec, untilSec, () => stop.abort());
  const log = (level: string, event: string, fields = {}): void => {
    events.push({ level, event, ...fields });
    if (event === 'voyage-ended') stop.abort();
  };
  await runSimulator(
    {
      clock,
      realClock: { nowMs: () => 0, wait: (_ms, signal) => aborted(signal) },
      log,
      openLink: () => Promise.resolve(link),
      openLine: () => Promise.reject(new Error('no serial line here')),
    },
    options,
    stop.signal,
  );
  return { received, events };
}

function expected(options: SimulatorOptions): string[] {
  const voyage = new Voyage(scenarios[options.scenario], options.seed);
  return Array.from({ length: sampleCount }, (_, i) => {
    const atSec = (i + 1) * samplePeriodSec;
    return formatSenml(options.truck, startSec + atSec, readingsOf(voyage.sampleAt(atSec), false));
  });
}

t.test('a whole voyage of each scenario: every minute once, in order, and then the end', async (t) => {
  for (const scenario of scenarioNames) {
    const options = optionsFor({ scenario, seed: 42 });
    const { received, events } = await sail(t, options, 0, voyageSec);
    t.same(received, expected(options), scenario);
    const told = events.map(({ event }) => event);
    const acknowledged = events.filter(({ event }) => event === 'acknowledged').map(({ sampleSec }) => sampleSec);
    t.equal(new Set(acknowledged).size, sampleCount, 'every sample was acknowledged, each by its time');
    t.same(
      told.filter((event) => event !== 'broker-connected' && event !== 'acknowledged'),
      ['voyage-started', ...scenarios[scenario].events.map(({ event }) => event), 'voyage-ended', 'simulator-stopped'],
    );
    t.match(events.at(-1), { unsent: 0 });
  }
});

t.test('killed and started again anywhere: the same bytes, the last minutes twice, what is older missed', async (t) => {
  const random = seeded(t, 8);
  for (let round = 0; round < 12; round++) {
    const options = optionsFor({ scenario: random.pick(scenarioNames), seed: random.integer(0, 1e9) });
    const all = expected(options);
    const killedSec = random.integer(0, voyageSec);
    const startedSec = Math.min(voyageSec, killedSec + random.integer(0, 1_200));
    const before = await sail(t, options, 0, killedSec);
    t.same(before.received, all.slice(0, Math.floor(killedSec / samplePeriodSec)), `until ${killedSec}`);
    const after = await sail(t, options, startedSec, voyageSec);
    const missed = Math.max(0, Math.floor((startedSec - options.catchUpSec) / samplePeriodSec));
    t.same(after.received, all.slice(missed), `from ${startedSec}`);
    const said = after.events.find(({ event }) => event === 'samples-missed');
    t.match(said ?? { count: 0 }, { count: missed });
  }
});

t.test('started before the voyage it waits for it; started after it, it has nothing to say', async (t) => {
  const options = optionsFor();
  t.same((await sail(t, options, -3_600, 0)).received, []);
  t.same((await sail(t, options, -3_600, 60)).received, expected(options).slice(0, 1));
  t.same((await sail(t, options, voyageSec + 86_400, voyageSec + 86_400)).received, []);
  t.same((await sail(t, optionsFor({ catchUpSec: 86_400 }), voyageSec, voyageSec)).received, expected(options));
  t.ok(outboxMax > sampleCount, 'a whole voyage fits the outbox');
});

t.test('faults change what is sent and are told', async (t) => {
  const options = optionsFor({ faults: { drop: 0.1, repeat: 0.1 } });
  const { received, events } = await sail(t, options, 0, voyageSec);
  const made = events.filter(({ event }) => event === 'fault-made');
  const dropped = new Set(made.filter(({ fault }) => fault === 'drop').map(({ atSec }) => atSec));
  t.equal(new Set(received).size, sampleCount - dropped.size);
  t.ok(made.length > 60, `${made.length} faults`);
});

t.test('a bug in one part stops the others and comes out', async (t) => {
  const serial = { path: 'none', baud: 9_600, unitId: 1 };
  await t.rejects(sail(t, optionsFor({ serial }), 0, voyageSec), { message: 'no serial line here' });
});
