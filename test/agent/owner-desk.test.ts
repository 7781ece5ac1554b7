/** What comes in the owner's name: attacks on every rule of WIRE.md, and a crash after every write. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { concatBytes, formatTopic, ownerConfigBytesMax } from '@coldproof/wire';
import { p256 } from '@noble/curves/nist.js';
import { parseConfig, type AgentConfig } from '@coldproof/agent/config';
import type { Amend } from '@coldproof/agent/config-remote';
import { OperatingError } from '@coldproof/agent/operating-error';
import { OwnerDesk, type OwnerPort, type ReplayAnswer } from '@coldproof/agent/owner-desk';
import type { ConfigReport, RemoteState, Reply } from '@coldproof/agent/remote-state';
import { startProven } from '@coldproof/agent/trial';
import { seeded } from '../helpers/seed.ts';
import { HandClock, temporaryFolder, truckYaml, voyageStartSec } from './fixture.ts';
import { TestOwner } from './owner.ts';

const device = new Uint8Array(32).fill(7);
const owner = new TestOwner('p256');
const bare = truckYaml('/s', { oraclePort: 1, logPublicKey: new Uint8Array(32) });
const lined = bare
  .replace('sensorBroker:', 'lines: [{ name: unit, path: /dev/ttyUSB0, unitId: 1, pollSec: 60 }]\nsensorBroker:')
  .replace(
    '      - { channel: door,',
    `      - channel: supply-air
        modbus: { line: unit, function: 4, register: 1, type: int16 }
      - { channel: door,`,
  );

class Crash extends Error {}

/** A gateway's process: what it has on the disk outlives it. */
class Gateway {
  readonly clock = new HandClock();
  readonly refused: string[] = [];
  readonly replayed: number[] = [];
  readonly reports: ConfigReport[] = [];
  readonly replies: Reply[] = [];
  readonly folder: string;
  yaml: string;
  publicKey = owner.publicKey;
  restarts = 0;
  crashAt = '';
  replay: ReplayAnswer = { ok: true, fromSequence: 3 };
  desk: OwnerDesk;
  #leave: () => void = () => undefined;
  port: OwnerPort;
  config: AgentConfig;

  constructor(t: Test, yaml = bare) {
    this.folder = temporaryFolder(t);
    this.yaml = yaml;
    this.desk = this.#open();
    this.config = this.desk.next().config;
    this.port = this.#connect();
  }

  #open(): OwnerDesk {
    return new OwnerDesk(this.folder, {
      clock: this.clock,
      log: () => undefined,
      check: (amend) => this.check(amend),
      onRestart: () => (this.restarts += 1),
      crashPoint: (name) => {
        if (name === this.crashAt) throw new Crash(name);
      },
    });
  }

  check(amend?: Amend): AgentConfig {
    const checked = parseConfig(this.yaml, amend);
    if (checked.ok) return checked.value;
    throw new OperatingError('config-invalid', checked.detail, { retry: 'never' });
  }

  #connect(): OwnerPort {
    const port = this.desk.portOf(
      {
        ...{ name: 'TRUCK-7', id: device },
        newestSec: () => undefined,
        refuse: (_reason, detail) => this.refused.push(detail),
        replay: (from) => {
          this.replayed.push(from);
          return this.replay;
        },
      },
      this.publicKey,
    );
    this.#leave();
    this.#leave = port.attach((topic, payload) => {
      if (topic === formatTopic(device, 'config-report')) this.reports.push(JSON.parse(payload) as ConfigReport);
      else this.replies.push(JSON.parse(payload) as Reply);
    });
    return port;
  }

  say(kind: 'config' | 'command', message: Uint8Array): void {
    this.port.take(formatTopic(device, kind), message);
  }

  /** As run.ts does it, with an agent that starts as `start` says. */
  async restart(start: () => Promise<Agent> = () => Promise.resolve(agent()), stopping = new AbortController().signal) {
    const proven = await startProven(this.desk, start, { timer, stopping, times: { startMsMax: 50, provenMs: 5 } });
    this.config = proven.config;
    this.port = this.#connect();
  }

  /** kill -9 and a new process. */
  async reboot(): Promise<void> {
    this.crashAt = '';
    this.desk = this.#open();
    await this.restart();
  }

  state(): RemoteState {
    return JSON.parse(readFileSync(join(this.folder, 'remote.json'), 'utf8')) as RemoteState;
  }
}

type Agent = { isReady: boolean; finished: Promise<void> };
const agent = (isReady = true, finished: Promise<void> = new Promise(() => undefined)): Agent => ({
  isReady,
  finished,
});

/** Real milliseconds, few of them. */
const timer = {
  nowMs: () => performance.now(),
  wait: (ms: number, signal?: AbortSignal) =>
    new Promise<void>((resolve) => {
      const timeout = setTimeout(resolve, ms);
      signal?.addEventListener('abort', () => {
        clearTimeout(timeout);
        resolve();
      });
    }),
};

const sealOf = ({ devices }: AgentConfig) => devices[0]!.sealSamplesMax;

t.test('the owner alone: wrong key, device, domain, twin, size and every flipped bit are no word of it', (t) => {
  const random = seeded(t, 77);
  for (const kind of ['p256', 'ed25519'] as const) {
    const own = new TestOwner(kind);
    const gateway = new Gateway(t);
    gateway.publicKey = own.publicKey;
    gateway.port = gateway.desk.portOf(
      {
        ...{ name: 'TRUCK-7', id: device, newestSec: () => undefined },
        refuse: (_reason, detail) => gateway.refused.push(detail),
        replay: () => gateway.replay,
      },
      own.publicKey,
    );
    const good = own.config(device, 1, { sealSamplesMax: 9 });
    const refusals: [Uint8Array, RegExp][] = [
      [new TestOwner(kind, 2).config(device, 1, {}), /owner-signature-invalid/],
      [new TestOwner(kind === 'p256' ? 'ed25519' : 'p256').config(device, 1, {}), /owner-message-malformed/],
      [own.config(new Uint8Array(32).fill(8), 1, {}), /of-another-device/],
      [own.command(device, 1, { name: 'request-replay', argument: 0, expiresSec: 1 }), /owner-signature-invalid/],
      [own.config(device, 1, { terms: 'x'.repeat(ownerConfigBytesMax) }), /owner-message-too-large/],
      [own.config(device, 0, {}), /number: expected 1/],
      [concatBytes(good, Uint8Array.of(0)), /owner-message-malformed/],
      ...Array.from({ length: 100 }, () => {
        const flipped = Uint8Array.from(good);
        const at = random.integer(0, good.length - 1);
        flipped[at] = flipped[at]! ^ (1 << random.integer(0, 7));
        return [flipped, /owner-/] as [Uint8Array, RegExp];
      }),
    ];
    if (kind === 'p256') refusals.push([highTwin(good), /owner-signature-not-low-s/]);
    for (const [message, why] of refusals) {
      gateway.say('config', message);
      if (!why.test(gateway.refused.at(-1) ?? '')) t.match(gateway.refused.at(-1), why);
    }
    t.equal(gateway.refused.length, refusals.length, `${kind}: each refused`);
    t.same([gateway.restarts, gateway.reports], [0, []], 'and nobody answers a stranger');
    gateway.say('config', good);
    t.equal(gateway.restarts, 1, 'the untouched one is taken');
  }
  t.end();
});

/** The same message with (r, n - s). */
function highTwin(message: Uint8Array): Uint8Array {
  const twin = Uint8Array.from(message);
  const s = p256.Point.Fn.fromBytes(twin.subarray(-32));
  twin.set(p256.Point.Fn.toBytes(p256.Point.Fn.ORDER - s), twin.length - 32);
  return twin;
}

t.test('forward only: an older number, other words under a number, a repeat', async (t) => {
  const gateway = new Gateway(t);
  const five = owner.config(device, 5, { sealSamplesMax: 9 });
  gateway.say('config', five);
  await gateway.restart();
  t.match(gateway.reports.at(-1), { number: 5, state: 'applied', inForce: 5 });
  t.equal(sealOf(gateway.config), 9);
  gateway.say('config', owner.config(device, 4, { sealSamplesMax: 3 }));
  gateway.say('config', owner.config(device, 5, { sealSamplesMax: 3 }));
  t.match(gateway.refused, [/number: expected > 5, got 4/, /number: expected > 5, got 5/]);
  const told = gateway.reports.length;
  gateway.say('config', five);
  t.same([gateway.reports.length, gateway.restarts], [told + 1, 1], 'a repeat is told again and not tried again');
  gateway.say('config', new Uint8Array());
  gateway.say('config', owner.config(device, 6, {}));
  await gateway.restart();
  t.equal(sealOf(gateway.config), 5, 'a configuration is whole: what it does not set is the file again');
});

t.test('a valid signature over what may not be set, or is not in order as a whole: refused, said why, used up', (t) => {
  const rows: readonly [object | string, RegExp][] = [
    ['{', /settings of TRUCK-7: expected a mapping/],
    ['[]', /expected a mapping/],
    [{ uplink: { url: 'mqtt://evil' } }, /uplink: expected one of terms, sealSamplesMax/],
    [{ owner: { publicKey: '00' } }, /owner: expected one of/],
    [{ stateDir: '/' }, /stateDir: expected one of/],
    [{ sensorBroker: {} }, /sensorBroker: expected one of/],
    [{ name: 'X' }, /name: expected one of/],
    ['{"__proto__": {"sealSamplesMax": 3}}', /__proto__: expected one of/],
    [{ warn: { on: ['warning'] } }, /warn: expected nothing: the file has no warn/],
    [{ sensors: { 'cargo-probe-1': { mqtt: { topic: 'x' } } } }, /mqtt: expected one of range/],
    [{ sensors: { 'cargo-probe-2': { range: [0, 1] } } }, /cargo-probe-2: expected a channel of its sensors/],
    [{ sensors: { 'cargo-probe-1': { range: [1, 0] } } }, /range: expected \[least, most\]/],
    [{ lines: { unit: { pollSec: 1 } } }, /unit: expected a line of its sensors alone/],
    [{ sealSamplesMax: 0 }, /sealSamplesMax: expected an integer/],
    [{ terms: null }, /terms: expected a mapping/],
    [{ terms: { orderId: '1', sampleGapSecMax: 150, limits: [] } }, /limits: expected a list of 1 to 4/],
  ];
  const gateway = new Gateway(t);
  rows.forEach(([settings, why], i) => {
    gateway.say('config', owner.config(device, i + 1, settings));
    t.match(gateway.reports.at(-1), { number: i + 1, state: 'refused', detail: why, inForce: 0 }, String(why));
  });
  t.equal(gateway.restarts, 0);
  const warned = new Gateway(t, bare.replace('http:', 'warn: { command: [/bin/true] }\nhttp:'));
  warned.say('config', owner.config(device, 1, { warn: { command: ['/bin/sh'] } }));
  t.match(warned.reports.at(-1), { state: 'refused', detail: /command: expected one of on, got/ }, 'no remote shell');
  warned.say('config', owner.config(device, 2, { warn: { on: ['no-data'] } }));
  t.equal(warned.restarts, 1);
  t.end();
});

t.test(
  'commands: expired, too long, unknown clock, many, busy; a repeat gets the first outcome, done once',
  async (t) => {
    const gateway = new Gateway(t, lined);
    const say = (
      id: number,
      of: Partial<{ argument: number; expiresSec: number; name: 'set-sampling-period' }> = {},
    ) => {
      const command = { name: 'request-replay' as const, argument: 3, expiresSec: voyageStartSec + 60, ...of };
      gateway.say('command', owner.command(device, id, command));
      return gateway.replies.at(-1)!;
    };
    t.match(say(1), { outcome: 'done', detail: 'from sequence 3 on' });
    gateway.replay = { ok: false, detail: 'fromSequence: expected less' };
    t.match(say(1), { outcome: 'done' }, 'the first outcome');
    t.same(gateway.replayed, [3], 'done once');
    t.match(say(2), { outcome: 'refused', reason: 'command-impossible', detail: /expected less/ });
    t.match(say(3, { expiresSec: voyageStartSec }), { outcome: 'refused', reason: 'command-expired' });
    t.match(say(4, { expiresSec: voyageStartSec + 604_801 }), { reason: 'command-life-too-long' });
    gateway.clock.ms += 61_000;
    t.match(say(5, { expiresSec: voyageStartSec + 120 }), { reason: 'command-impossible' });
    gateway.clock.ms -= 61_000;
    t.match(say(1), { reason: 'command-expired' }, 'replayed after it was forgotten, with the clock set back');
    const { ms } = gateway.clock;
    gateway.clock.ms = 1_000;
    t.match(say(6, { expiresSec: 60 }), { reason: 'clock-not-trusted' });
    gateway.clock.ms = ms;
    const period = { name: 'set-sampling-period', expiresSec: voyageStartSec + 600 } as const;
    t.match(say(7, { ...period, argument: 0 }), {
      reason: 'command-impossible',
      detail: /pollSec: expected an integer/,
    });
    t.match(say(8, { ...period, argument: 20 }), { outcome: 'trying' });
    t.match(say(9, { ...period, argument: 30 }), { outcome: 'refused', reason: 'busy' });
    await gateway.restart();
    t.match(gateway.replies.at(-1), { outcome: 'done', id: '08'.repeat(16) });
    t.match(gateway.config.lines, [{ pollSec: 20 }]);
    t.match(say(8, { ...period, argument: 20 }), { outcome: 'done' });
    await gateway.reboot();
    t.match(gateway.config.lines, [{ pollSec: 20 }], 'for good');
    t.match(say(8, { ...period, argument: 20 }), { outcome: 'done' }, 'remembered over a restart');
    for (let id = 10; gateway.replies.at(-1)!.reason !== 'too-many-commands'; id++) {
      say(id, { expiresSec: voyageStartSec + 3_600 });
      if (id > 200) throw new Error('no bound');
    }
    t.end();
  },
);

t.test('a trial: not started, not ready, ended early, hanging; each rolls back and says why', async (t) => {
  const fault = (why: string) => Promise.reject(new OperatingError('port-unavailable', why, { retry: 'later' }));
  const fails = (first: () => Promise<Agent>) => {
    let isFirst = true;
    return () => {
      const chosen = isFirst ? first() : Promise.resolve(agent());
      isFirst = false;
      return chosen;
    };
  };
  const rows: readonly [() => Promise<Agent>, RegExp][] = [
    [() => fault('taken'), /port-unavailable: taken/],
    [() => Promise.resolve(agent(false)), /not-ready/],
    [() => Promise.resolve(agent(true, fault('later'))), /port-unavailable: later/],
    [() => Promise.resolve(agent(true, Promise.resolve())), /not-ready/],
  ];
  const gateway = new Gateway(t);
  for (const [i, [first, why]] of rows.entries()) {
    gateway.say('config', owner.config(device, i + 1, { sealSamplesMax: 9 }));
    await gateway.restart(fails(first));
    t.match(gateway.reports.at(-1), { number: i + 1, state: 'rolled-back', detail: why, inForce: 0 });
    t.equal(sealOf(gateway.config), 5);
  }
  gateway.say('config', owner.config(device, 9, { sealSamplesMax: 9 }));
  await t.rejects(
    gateway.restart(() => new Promise(() => undefined)),
    { code: 'start-hangs' },
  );
  await gateway.reboot();
  t.match(gateway.reports.at(-1), { number: 9, state: 'rolled-back', detail: /start-hangs/ });
  gateway.say('config', owner.config(device, 10, { sealSamplesMax: 9 }));
  const stop = new AbortController();
  stop.abort();
  await gateway.restart(undefined, stop.signal);
  t.match(gateway.reports.at(-1), { state: 'trying' }, 'a stop in between is no failure');
  await gateway.reboot();
  t.match(gateway.reports.at(-1), { number: 10, state: 'applied', inForce: 10 });
  const newer = () => {
    gateway.say('config', owner.config(device, 12, { sealSamplesMax: 4 }));
    return Promise.resolve(agent());
  };
  gateway.say('config', owner.config(device, 11, { sealSamplesMax: 3 }));
  await gateway.restart(newer);
  t.equal(sealOf(gateway.config), 3);
  await gateway.restart();
  t.equal(sealOf(gateway.config), 4, 'a newer one that came while one was tried is tried next');
});

t.test(
  'kill -9 after every write, and in every start: the old or the new, whole, and the owner is told which',
  async (t) => {
    // What becomes of it, by the write that the crash comes after.
    const rows = [
      ['taken', 'applied', 9],
      ['trial-begun', 'rolled-back', 6],
      ['in the start', 'rolled-back', 6],
      ['while it is proven', 'rolled-back', 6],
      ['committed', 'applied', 9],
      ['rolled-back', 'rolled-back', 6],
    ] as const;
    for (const [at, state, seal] of rows) {
      const gateway = new Gateway(t);
      gateway.say('config', owner.config(device, 1, { sealSamplesMax: 6 }));
      await gateway.restart();
      gateway.crashAt = at;
      const crash = async () => {
        gateway.say('config', owner.config(device, 2, { sealSamplesMax: 9 }));
        await gateway.restart(() => {
          if (at === 'in the start') throw new Crash(at);
          if (at === 'while it is proven') return Promise.resolve(agent(true, Promise.reject(new Crash(at))));
          return at === 'rolled-back' ? Promise.resolve(agent(false)) : Promise.resolve(agent());
        });
      };
      await t.rejects(crash(), { message: at });
      await gateway.reboot();
      t.match(gateway.reports.at(-1), { number: 2, state, inForce: seal === 9 ? 2 : 1 }, at);
      t.equal(sealOf(gateway.config), seal, at);
      t.equal(gateway.state().trial, null);
      await gateway.reboot();
      t.equal(sealOf(gateway.config), seal, `${at}: and stays so`);
    }
  },
);

t.test('the file changes under what was set: set aside and told, taken up again when they go together', async (t) => {
  const gateway = new Gateway(t);
  gateway.say('config', owner.config(device, 1, { sensors: { door: { gapSecMax: 60 } }, sealSamplesMax: 9 }));
  await gateway.restart();
  gateway.yaml = bare.replace(/ *- \{ channel: door.*\n/, '');
  await gateway.reboot();
  t.match(gateway.reports.at(-1), { number: 1, state: 'set-aside', inForce: 0, detail: /door: expected a channel/ });
  t.equal(sealOf(gateway.config), 5, 'the file alone');
  gateway.yaml = bare;
  await gateway.reboot();
  t.match(gateway.reports.at(-1), { number: 1, state: 'applied', inForce: 1 });
  t.equal(sealOf(gateway.config), 9);
});
