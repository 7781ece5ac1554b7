/** Stage 5 over a link that the test holds in its hand, with a timer that it moves. */
import t from 'tap';
import { formatTopic } from '@coldproof/wire';
import { Bell } from '@coldproof/agent/bell';
import { runForward, type ForwardDeps, type ForwardTerms } from '@coldproof/agent/forward';
import type { PendingEnvelope, ReceiptEntry, Settlement } from '@coldproof/agent/journal-receipts';
import type { Link, LinkOptions, LinkSession } from '@coldproof/agent/link';
import { LogKeys } from '@coldproof/agent/log-key';
import { OperatingError } from '@coldproof/agent/operating-error';
import { makeLogKey, until } from './fixture.ts';

const device = new Uint8Array(32).fill(7);
const logKey = makeLogKey();

class MemoryJournal {
  readonly envelopes = new Map<number, PendingEnvelope>();

  constructor(count: number) {
    for (let sequence = 0; sequence < count; sequence++) {
      const digest = new Uint8Array(32).fill(sequence);
      this.envelopes.set(sequence, { sequence, digest, bytes: Uint8Array.of(sequence) });
    }
  }

  pending(_device: Uint8Array, _log: Uint8Array, sequence: number, limit: number): PendingEnvelope[] {
    return [...this.envelopes.values()].filter((each) => each.sequence >= sequence).slice(0, limit);
  }

  settle(_device: Uint8Array, entries: readonly ReceiptEntry[]) {
    const settlements = entries.map(({ sequence }): Settlement => {
      return this.envelopes.delete(sequence) ? 'settled' : 'not-awaited';
    });
    return { settlements, released: settlements.filter((each) => each === 'settled').length };
  }
}

class HandLink implements Link {
  readonly published: number[] = [];
  readonly live: number[] = [];
  inFlightMax = 65_535;
  /** False: no publish is ever acknowledged, as on a half-open connection. */
  isAcknowledging = true;
  readonly #unacknowledged: (() => void)[] = [];
  opened = 0;
  isRefusing = false;
  #options: LinkOptions | undefined;

  open(options: LinkOptions): Promise<LinkSession> {
    this.opened += 1;
    if (this.isRefusing) return Promise.reject(new OperatingError('link-failed', 'refused', { retry: 'later' }));
    this.#options = options;
    return Promise.resolve({
      inFlightMax: this.inFlightMax,
      publish: (topic, payload) => {
        if (typeof payload === 'string') return Promise.resolve();
        if (topic === formatTopic(device, 'batch')) this.published.push(payload[0]!);
        if (topic === formatTopic(device, 'live')) this.live.push(payload[0]!);
        if (this.isAcknowledging) return Promise.resolve();
        return new Promise((resolve) => this.#unacknowledged.push(resolve));
      },
      subscribe: () => Promise.resolve(),
      close: () => Promise.resolve(),
      abandon: () => undefined,
    });
  }

  receipt(sequence: number): void {
    const digest = new Uint8Array(32).fill(sequence);
    this.say(formatTopic(device, 'receipt'), logKey.sign({ index: sequence, device, sequence, digest }));
  }

  say(topic: string, payload: Uint8Array): void {
    this.#options?.onMessage(topic, payload);
  }

  acknowledge(): void {
    for (const resolve of this.#unacknowledged.splice(0)) resolve();
  }

  drop(): void {
    this.#options?.onClosed();
  }
}

function setUp(
  count: number,
  deps: Partial<ForwardDeps> = {},
  link = new HandLink(),
  terms: Partial<ForwardTerms> = {},
) {
  const journal = new MemoryJournal(count);
  const timer = { ms: 0, waits: [] as number[] };
  const bell = new Bell();
  const stopping = new AbortController();
  const refused: string[] = [];
  const running = runForward(
    {
      journal,
      link,
      bell,
      timer: {
        nowMs: () => timer.ms,
        // Back-off takes no time here, but a turn of the event loop, so that the test can look.
        wait: (ms) => {
          timer.waits.push(ms);
          return new Promise((resolve) => {
            setImmediate(resolve);
          });
        },
      },
      random: () => 0.999,
      log: () => undefined,
      refuse: (reason) => refused.push(reason),
      standing: () => ({ nextSequence: count, queued: journal.envelopes.size }),
      onConnected: () => undefined,
      onReceipts: () => undefined,
      onWindows: () => undefined,
      ...deps,
    },
    {
      name: 'TRUCK-7',
      device,
      uplink: 'oracle',
      logKeys: new LogKeys([logKey.publicKey]),
      order: 'in-order',
      compress: false,
      version: '0',
      windowBatches: 4,
      resendMs: 10_000,
      reconnectMsMax: 30_000,
      ...terms,
    },
    stopping.signal,
  );
  const stop = async () => {
    stopping.abort();
    await running;
  };
  return { journal, link, timer, bell, refused, running, stop };
}

t.test('the window: never more without receipt than it holds, oldest first', async (t) => {
  const { link, journal, stop } = setUp(10);
  await until(() => link.published.length === 4, 'a full window');
  t.same(link.published, [0, 1, 2, 3]);
  link.receipt(1);
  await until(() => link.published.length === 5, 'one more');
  t.same(link.published, [0, 1, 2, 3, 4]);
  for (const sequence of [0, 2, 3, 4]) link.receipt(sequence);
  await until(() => link.published.length === 9, 'four more');
  for (const sequence of [5, 6, 7, 8]) link.receipt(sequence);
  await until(() => link.published.length === 10, 'the last');
  link.receipt(9);
  await until(() => journal.envelopes.size === 0, 'all settled');
  await stop();
});

t.test('resend: from the oldest, only after resendMs without a receipt', async (t) => {
  const { link, timer, bell, stop } = setUp(6);
  await until(() => link.published.length === 4, 'a full window');
  timer.ms = 9_999;
  bell.ring();
  await new Promise(setImmediate);
  t.equal(link.published.length, 4);
  link.receipt(0);
  await until(() => link.published.length === 5, 'a receipt is progress');
  timer.ms = 19_998;
  bell.ring();
  await new Promise(setImmediate);
  t.equal(link.published.length, 5, 'so the wait began anew');
  timer.ms = 19_999;
  bell.ring();
  await until(() => link.published.length === 9, 'sent again');
  t.same(link.published.slice(5), [1, 2, 3, 4]);
  await stop();
});

t.test('a new connection sends from the oldest again', async (t) => {
  const { link, stop } = setUp(3);
  await until(() => link.published.length === 3, 'sent');
  link.receipt(1);
  link.drop();
  await until(() => link.published.length === 5, 'sent again: the receipt came before the end');
  t.same(link.published, [0, 1, 2, 0, 2]);
  t.equal(link.opened, 2);
  await stop();
});

t.test('an hour without a broker: waits grow to the maximum, so a fleet does not storm it', async (t) => {
  const link = new HandLink();
  link.isRefusing = true;
  const { timer, stop } = setUp(1, {}, link);
  await until(() => timer.waits.reduce((sum, ms) => sum + ms, 0) > 3_600_000, 'an hour of waits');
  let waitedMs = 0;
  const attempts = timer.waits.findIndex((ms) => (waitedMs += ms) > 3_600_000);
  t.ok(attempts <= 130, `${attempts} attempts in an hour`);
  t.ok(timer.waits.every((ms) => ms <= 30_000));
  t.ok(timer.waits.slice(0, 5).every((ms, i, all) => i === 0 || ms > all[i - 1]!));
  link.isRefusing = false;
  await until(() => link.published.length > 0, 'sent when it is back');
  let before = timer.waits.length;
  link.drop();
  await until(() => timer.waits.length > before, 'the next wait');
  t.ok(timer.waits[before]! > 20_000, 'a connection that breaks at once is no success');
  await until(() => link.published.length > 1, 'sent again');
  timer.ms += 10_000;
  before = timer.waits.length;
  link.drop();
  await until(() => timer.waits.length > before, 'the next wait');
  t.ok(timer.waits[before]! <= 200, 'one that has lasted starts the back-off anew');
  await stop();
});

t.test('a journal that fails while a receipt comes in ends the run', async (t) => {
  const failure = new OperatingError('journal-write-failed', 'no', { retry: 'never' });
  const journal = {
    pending: () => [{ sequence: 0, digest: new Uint8Array(32), bytes: Uint8Array.of(0) }],
    settle: () => {
      throw failure;
    },
  };
  const { link, running } = setUp(1, { journal });
  const outcome = running.then(
    () => 'ended',
    (error: unknown) => error,
  );
  await until(() => link.published.length > 0, 'sent');
  link.receipt(0);
  t.equal(await outcome, failure);
});

t.test('a receipt of one device on the topic of another is not taken', async (t) => {
  const { link, journal, refused, stop } = setUp(1);
  await until(() => link.published.length === 1, 'sent');
  const foreign = { index: 0, device: new Uint8Array(32).fill(8), sequence: 0, digest: new Uint8Array(32) };
  link.say(formatTopic(device, 'receipt'), logKey.sign(foreign));
  link.say(formatTopic(foreign.device, 'receipt'), logKey.sign({ ...foreign, device }));
  await until(() => refused.length > 0, 'refused');
  t.same(refused, ['receipt-of-another-device']);
  t.equal(journal.envelopes.size, 1);
  await stop();
});

t.test('half-open: no PUBACK for 20 s ends the connection, and a new one sends from the oldest', async (t) => {
  const link = new HandLink();
  link.isAcknowledging = false;
  const down: (string | undefined)[] = [];
  const onConnected = (isConnected: boolean, why?: string) => {
    if (!isConnected) down.push(why);
  };
  const { timer, bell, stop } = setUp(3, { onConnected }, link, { resendMs: 60_000 });
  await until(() => link.published.length === 3, 'sent');
  timer.ms = 19_999;
  bell.ring();
  await new Promise(setImmediate);
  t.same(down, []);
  link.isAcknowledging = true;
  timer.ms = 20_000;
  bell.ring();
  await until(() => link.published.length === 6, 'sent again');
  t.same(down, ['no PUBACK for 20 s']);
  t.equal(link.opened, 2);
  await stop();
});

t.test("the broker's Receive Maximum is kept, whatever the window", async (t) => {
  const link = new HandLink();
  link.isAcknowledging = false;
  link.inFlightMax = 2;
  const { stop } = setUp(4, {}, link);
  await until(() => link.published.length === 2, 'two');
  link.receipt(0);
  link.receipt(1);
  await new Promise(setImmediate);
  await new Promise(setImmediate);
  t.equal(link.published.length, 2, 'receipts make no room for packets');
  link.acknowledge();
  await until(() => link.published.length === 4, 'PUBACKs do');
  link.acknowledge();
  await stop();
});

t.test('a dead log is asked less and less, by one envelope', async (t) => {
  const { link, timer, bell, stop } = setUp(9);
  await until(() => link.published.length === 4, 'a full window');
  const sentAt = async (ms: number) => {
    const before = link.published.length;
    timer.ms = ms;
    bell.ring();
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    return link.published.slice(before);
  };
  t.same(await sentAt(10_000), [0, 1, 2, 3], 'perhaps they were lost');
  t.same(await sentAt(29_999), []);
  t.same(await sentAt(30_000), [0], 'after twice the time, one');
  t.same(await sentAt(69_999), []);
  t.same(await sentAt(70_000), [0]);
  t.same(await sentAt(130_000), [0], 'never more than a minute apart');
  link.receipt(0);
  await until(() => link.published.at(-1) === 4, 'it is back: the whole window');
  t.same(link.published.slice(-4), [1, 2, 3, 4]);
  await stop();
});

t.test('live: the newest of a backlog at once, and no more than one in five seconds', async (t) => {
  const standing = { nextSequence: 9, queued: 9 };
  const { link, journal, timer, bell, stop } = setUp(9, { standing: () => standing }, new HandLink(), {
    order: 'live-first',
  });
  await until(() => link.live.length === 1, 'told');
  t.same(link.live, [8]);
  const add = () => {
    const sequence = standing.nextSequence++;
    const digest = new Uint8Array(32).fill(sequence);
    journal.envelopes.set(sequence, { sequence, digest, bytes: Uint8Array.of(sequence) });
    bell.ring();
  };
  add();
  await new Promise(setImmediate);
  add();
  await new Promise(setImmediate);
  t.same(link.live, [8]);
  timer.ms = 5_000;
  bell.ring();
  await until(() => link.live.length === 2, 'the newest then');
  t.same(link.live, [8, 10]);
  t.same(link.published, [0, 1, 2, 3], 'and the window is as it was');
  await stop();
});
