/** From the terms and the log to runs: when a cryptlet is due, what it gets, and what the status shows of it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { bytesToHex, encodeEnvelope, faultValue, flags, marks, openEnvelope, type Series } from '@coldproof/wire';
import { Candidates, describeCandidate } from '@coldproof/oracle/cryptlet/candidates';
import { encodePackage, type Cryptlet } from '@coldproof/oracle/cryptlet/cryptlet';
import { dueRuns, inputOf, isDue, latestRuns, type AttestedOrder } from '@coldproof/oracle/cryptlet/due';
import { openCryptletHost } from '@coldproof/oracle/cryptlet/host';
import { formatInput } from '@coldproof/oracle/cryptlet/input';
import { readInstalled } from '@coldproof/oracle/cryptlet/installed';
import type { Trigger } from '@coldproof/oracle/cryptlet/manifest';
import { Log } from '@coldproof/oracle/log';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import { Store } from '@coldproof/oracle/store';
import type { Order } from '@coldproof/oracle/store-chain';
import { regularSeries, VoyageDevice } from '../helpers/voyage-device.ts';
import { terms } from './anvil.ts';
import { terms as agreedTerms } from './api-fixture.ts';
import { cryptlet, manifest, sign } from './cryptlet-fixture.ts';
import { dispatchedAtSec, open, UnsignedDevice } from './hostile-voyage.ts';
import { logKeyIn, makeFolder } from './oracle-fixture.ts';

const probe = 16;
const program = `function evaluate({ channels, nowSec }) {
  const values = channels[0].series.flatMap(({ samples }) => samples.map(([, value]) => value));
  return { report: [values.length], breach: values.length > 30 };
}`;

const counting = cryptlet(program);
const installedOf = (...all: readonly Cryptlet[]) => new Map(all.map((each) => [bytesToHex(each.digest), each]));

const order: AttestedOrder = {
  orderId: '7',
  judgedFromSec: dispatchedAtSec,
  deliveredAtSec: 0,
  limits: [terms],
  device: 'ab'.repeat(32),
  cryptlets: [bytesToHex(counting.digest)],
};

/** The rest of an order, of no account here. */
const storedOrder = {
  state: 'InTransit',
  cause: 'None',
  agreementId: '1',
  buyer: '0x',
  supplier: '0x',
  truck: '0x',
  dispatchedAtSec,
  replacementId: '0',
  replacementOf: '0',
  ticketId: '0',
  evidenceDigest: '0x',
  price: '1',
  disputes: '0x',
} as const;

/** Fifteen minutes of samples each, from `fromSec` after the dispatch on. */
function batchesAt(...fromSec: readonly number[]) {
  const device = new UnsignedDevice(1);
  return fromSec.map((sec) => {
    const values = Array.from({ length: 15 }, (_, i) => 500 + i);
    return open(device, [
      regularSeries(probe, dispatchedAtSec + sec, values),
      regularSeries(1, dispatchedAtSec + sec, [1]),
    ]);
  });
}

const dueAt = (trigger: Trigger, deliveredAtSec: number, ...fromSec: readonly number[]): number[] => {
  const batches = batchesAt(...fromSec);
  const delivered = deliveredAtSec === 0 ? 0 : dispatchedAtSec + deliveredAtSec;
  return fromSec.filter((_, i) =>
    isDue({ ...manifest, trigger }, { ...order, deliveredAtSec: delivered }, batches.slice(0, i + 1)),
  );
};

t.test('each batch, until the delivery', (t) => {
  t.same(dueAt({ on: 'batch' }, 0, -300, 600, 1_500), [-300, 600, 1_500]);
  t.same(dueAt({ on: 'batch' }, 1_499, -300, 600, 1_500), [-300, 600]);
  t.end();
});

t.test('every so many seconds of device time, by whichever batch gets there', (t) => {
  const hourly: Trigger = { on: 'interval', everySec: 3_600 };
  t.same(
    dueAt(hourly, 0, 0, 900, 1_800, 2_700, 3_600, 4_500),
    [2_700 + 900],
    'a batch ends 14 minutes after its start',
  );
  t.same(dueAt(hourly, 0, 0, 2_800, 3_700), [2_800]);
  t.same(dueAt(hourly, 0, 0, 20_000, 20_900, 21_800), [20_000, 20_900], 'once for hours of silence, and at the sixth');
  // A clock that was set back is in no new period.
  t.same(dueAt(hourly, 0, 3_600, 0, 3_700, 7_200), [3_600, 7_200]);
  t.end();
});

t.test('at delivery: once, with the batch that says that there is nothing more from before', (t) => {
  t.same(dueAt({ on: 'delivery' }, 0, 0, 900), []);
  t.same(dueAt({ on: 'delivery' }, 1_000, 0, 900, 1_800), [900]);
  t.same(dueAt({ on: 'delivery' }, 1_790, 0, 900, 1_800, 2_700), [1_800]);
  t.same(dueAt({ on: 'delivery' }, 100, 0, 900), [0]);
  t.end();
});

t.test('its input is what the log has, in the window, until the delivery', (t) => {
  const batches = batchesAt(-300, 600, 300, 1_500);
  const input = inputOf({ ...manifest, channels: [probe, 17] }, order, batches);
  t.same(input.range, { firstSequence: 0, lastSequence: 3, lastDigest: bytesToHex(batches[3]!.digest) });
  t.equal(input.nowSec, dispatchedAtSec + 1_500 + 14 * 60);
  t.equal(input.fromSec, dispatchedAtSec);
  t.same(input.channels[1], { channel: 17, series: [] }, 'a channel without samples is there');
  const samples = input.channels[0]!.series.flatMap((each) => each.samples);
  const times = samples.map(([timeSec]) => timeSec);
  t.equal(times[0], dispatchedAtSec, 'from the dispatch on');
  t.ok(
    times.every((timeSec, i) => i === 0 || timeSec > times[i - 1]!),
    'ascending, whatever the clock did',
  );
  const windowed = inputOf({ ...manifest, windowSec: 600 }, order, batches);
  t.equal(windowed.fromSec, input.nowSec - 599);
  t.equal(windowed.channels[0]!.series[0]!.samples.length, 10, 'ten minutes of a sample a minute');
  const delivered = inputOf(manifest, { ...order, deliveredAtSec: dispatchedAtSec + 1_520 }, batches);
  t.equal(delivered.nowSec, dispatchedAtSec + 1_520);
  t.same(delivered.channels[0]!.series.at(-1)!.samples, [[dispatchedAtSec + 1_500, 500]]);
  t.equal(formatInput(input), formatInput(JSON.parse(formatInput(input)) as typeof input), 'one text');
  t.end();
});

t.test('faults are null; flags and marks are told', (t) => {
  const device = new UnsignedDevice(1);
  const series: Series = { ...regularSeries(probe, dispatchedAtSec, [500, faultValue(probe)]), marks: marks.stuck };
  const input = inputOf(manifest, order, [open(device, [series], flags.clockUnsynchronised)]);
  const samples = [
    [dispatchedAtSec, 500],
    [dispatchedAtSec + 60, null],
  ];
  t.same(input.channels[0]!.series, [{ sequence: 0, flags: 0x0100, marks: marks.stuck, samples }]);
  t.end();
});

t.test('only what the terms name and the node has is run, in the order of the terms', (t) => {
  const [hourly, foreign] = [
    cryptlet(program, { trigger: { on: 'interval', everySec: 3_600 } }),
    cryptlet(`${program}\n`),
  ];
  const digests = [hourly, counting, foreign].map(({ digest }) => bytesToHex(digest));
  const named = { ...order, cryptlets: digests };
  const batches = batchesAt(0, 900, 1_800, 2_700, 3_600, 4_500);
  const installed = installedOf(counting, hourly);
  const at = (count: number) => dueRuns(named, batches.slice(0, count), installed).map((each) => each.cryptlet.digest);
  t.same(at(1), [counting.digest]);
  t.same(at(5), [hourly.digest, counting.digest]);
  t.same(at(6), [counting.digest]);
  t.same(dueRuns({ ...order, cryptlets: [] }, batches, installed), []);
  const latest = latestRuns(named, batches, installed).map(({ input }) => input.range.lastSequence);
  t.same(latest, [4, 5], 'the hourly one as of the batch at which it was due');
  t.end();
});

t.test('the status has attested candidates, from the log and the chain as they are', async (t) => {
  const folder = makeFolder(t);
  const store = new Store(':memory:');
  t.teardown(() => store.close());
  const log = new Log({ store, key: logKeyIn(folder), origin: 'candidates' });
  const device = new VoyageDevice(1);
  const throwing = cryptlet('function evaluate() { throw new Error("no"); }');
  const shelf = join(folder, 'cryptlets');
  mkdirSync(shelf);
  for (const [i, each] of [counting, throwing].entries()) {
    writeFileSync(join(shelf, `${i}.cryptlet`), encodePackage(each, sign(each)));
  }
  const installed = readInstalled(shelf);
  t.same([...installed.values()], [counting, throwing]);
  const bound: Order = {
    ...storedOrder,
    ...order,
    device: bytesToHex(device.device),
    cryptlets: [...installed.keys()],
    terms: agreedTerms,
  };
  store.transaction(() => store.chain.setOrder(bound, 1));
  const host = await openCryptletHost({ workers: 2 });
  t.teardown(() => host.close());
  const lines: string[] = [];
  const say = (_level: string, event: string): void => void lines.push(event);
  const candidates = new Candidates({ store, host, installed, crypto: opensslCrypto(), log: say });
  await candidates.run();
  t.same(candidates.list(), [], 'the device has said nothing yet');
  const append = (fromSec: number): void => {
    const values = new Array<number>(15).fill(500);
    const envelope = device.seal([regularSeries(probe, dispatchedAtSec + fromSec, values)]);
    const opened = openEnvelope(envelope, opensslCrypto());
    if (!opened.ok) throw new Error(opened.detail);
    const { batch, digest } = opened.value;
    log.append([{ ...batch, digest, envelope: encodeEnvelope(envelope) }], 0);
  };
  const shown = () => candidates.list().map(describeCandidate);
  append(0);
  await candidates.run();
  t.match(shown(), [
    { fact: 'attested-candidate', orderId: '7', report: null, refused: 'threw', lastSequence: 0 },
    { name: 'probe', report: [15], breach: false, refused: null, at: dispatchedAtSec + 14 * 60 },
  ]);
  append(900);
  append(1_800);
  await candidates.run();
  t.match(shown()[1], { report: [45], breach: true, lastSequence: 2 });
  const refusals = lines.length;
  await candidates.run();
  t.equal(lines.length, refusals, 'nothing new, nothing run');
  // The chain takes the dispatch back: what was found under it goes, too.
  store.transaction(() => store.chain.setOrder({ ...bound, state: 'Accepted' }, 2));
  await candidates.run();
  t.same(candidates.list(), []);
  writeFileSync(join(shelf, '2.cryptlet'), 'no package');
  t.throws(() => readInstalled(shelf), { code: 'config-invalid', message: /2\.cryptlet: package-malformed/ });
});
