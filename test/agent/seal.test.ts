import t from 'tap';
import {
  bytesToHex,
  decodeEnvelope,
  encodeEnvelope,
  envelopeBytesMax,
  flags,
  marks,
  noPrevious,
  openEnvelope,
} from '@coldproof/wire';
import type { Reading } from '@coldproof/agent/sample';
import { cutReadings, sealReadings } from '@coldproof/agent/seal';
import { seeded, type Random } from '../helpers/seed.ts';
import { voyageStartSec } from './fixture.ts';

const device = new Uint8Array(32).fill(7);
const first = { device, sequence: 0, previous: noPrevious };
const terms = { sealSamplesMax: 15, sealAgeSecMax: 900 };

function reading(channel: number, timeSec: number, rest: Partial<Reading> = {}): Reading {
  return { channel, timeSec, value: 400, marks: 0, isClockTrusted: true, ...rest };
}

function every(channel: number, count: number, periodSec = 60, startSec = voyageStartSec): Reading[] {
  return Array.from({ length: count }, (_, i) => reading(channel, startSec + i * periodSec));
}

t.test('due by count: at the 15th of a channel, all channels cut at its time', (t) => {
  t.equal(cutReadings(new Map(), terms), undefined);
  t.equal(cutReadings(new Map([[16, []]]), terms), undefined);
  t.equal(cutReadings(new Map([[16, every(16, 14)]]), terms), undefined);
  const cut = cutReadings(
    new Map([
      [16, every(16, 17)],
      [1, every(1, 3, 420)],
    ]),
    terms,
  );
  t.same(
    cut?.map(({ channel, timeSec }) => [channel, (timeSec - voyageStartSec) / 60]),
    [[1, 0], [1, 7], [1, 14], ...Array.from({ length: 15 }, (_, i) => [16, i])],
  );
  t.end();
});

t.test("due by age, by the readings' own times", (t) => {
  t.equal(cutReadings(new Map([[16, [reading(16, 1_000), reading(16, 1_899)]]]), terms), undefined);
  t.same(cutReadings(new Map([[16, [reading(16, 1_000), reading(16, 1_900)]]]), terms)?.length, 2);
  t.same(cutReadings(new Map([[16, [reading(16, 1_000), reading(16, 1_901)]]]), terms)?.length, 1);
  t.same(
    cutReadings(
      new Map([
        [16, every(16, 15)],
        [6, [reading(6, voyageStartSec - 86_400)]],
      ]),
      terms,
    )?.map(({ channel }) => channel),
    [6],
    'a reading of yesterday goes first and alone: a batch spans no more than its age',
  );
  t.end();
});

t.test('marks and clock of any reading are those of its series and its batch', (t) => {
  const readings = [
    reading(1, voyageStartSec, { marks: marks.spike }),
    reading(1, voyageStartSec + 60, { marks: marks.stuck }),
    reading(16, voyageStartSec + 30),
  ];
  const sealed = sealReadings(readings, first, undefined);
  t.equal(sealed.batch.flags, 0);
  const opened = openEnvelope({ batch: sealed.encoded, signature: new Uint8Array(64), series: sealed.series });
  t.same(opened.ok && opened.value.series.map((each) => each.marks), [marks.spike | marks.stuck, 0]);
  const untrusted = sealReadings(
    [...readings, reading(16, voyageStartSec + 90, { isClockTrusted: false })],
    first,
    undefined,
  );
  t.equal(untrusted.batch.flags, flags.clockUnsynchronised);
  t.end();
});

/** Every channel's readings of a voyage with gaps, bursts and silent channels. */
function voyage(random: Random): Reading[] {
  const all: Reading[] = [];
  for (const channel of [1, 2, 6, 16, 128]) {
    let timeSec = voyageStartSec + random.integer(0, 100_000);
    for (let i = random.integer(0, 80); i > 0; i--) {
      all.push(reading(channel, timeSec, { value: random.integer(-30_000, 30_000), marks: random.pick([0, 0, 0, 1]) }));
      timeSec += random.pick([1, 10, 60, 60, 60, 600, 70_000]);
    }
  }
  return all;
}

function drain(unsealed: Map<number, Reading[]>): { digests: string[]; batches: Reading[][] } {
  const digests: string[] = [];
  const batches: Reading[][] = [];
  let previous: Uint8Array = noPrevious;
  for (let cut = cutReadings(unsealed, terms); cut !== undefined; cut = cutReadings(unsealed, terms)) {
    const sealed = sealReadings(cut, { device, sequence: batches.length, previous }, undefined);
    const bytes = encodeEnvelope({ batch: sealed.encoded, signature: new Uint8Array(64), series: sealed.series });
    const decoded = decodeEnvelope(bytes);
    const isSound = decoded.ok && openEnvelope(decoded.value).ok && bytes.length <= envelopeBytesMax;
    if (!isSound) throw new Error('not an envelope');
    for (const { channel } of cut) unsealed.get(channel)!.shift();
    previous = sealed.digest;
    digests.push(bytesToHex(sealed.digest));
    batches.push(cut);
  }
  return { digests, batches };
}

t.test('deterministic and complete over seeded voyages: within limits, in order, nothing twice, nothing lost', (t) => {
  const random = seeded(t, 9162);
  let sealedCount = 0;
  for (let round = 0; round < 150; round++) {
    const all = voyage(random);
    const byChannel = () => groupBy(all, ({ channel }) => channel);
    const one = drain(byChannel());
    // The same readings, put into the map in another order: the same batches.
    const two = drain(new Map([...byChannel()].reverse()));
    t.same(one.digests, two.digests);
    for (const batch of one.batches) {
      const times = batch.map(({ timeSec }) => timeSec);
      if (Math.max(...times) - Math.min(...times) > terms.sealAgeSecMax) t.fail('spans more than its age');
      for (const [channel, readings] of groupBy(batch, (each) => each.channel)) {
        if (readings.length > terms.sealSamplesMax) t.fail(`channel ${channel}: ${readings.length} readings`);
      }
    }
    const sealed = one.batches.flat();
    for (const [channel, readings] of byChannel()) {
      const got = sealed.filter((each) => each.channel === channel);
      t.same(got, readings.slice(0, got.length));
      t.ok(readings.length - got.length < terms.sealSamplesMax, 'what is left is not due');
    }
    sealedCount += sealed.length;
  }
  t.ok(sealedCount > 10_000, `${sealedCount} readings`);
  t.end();
});

/** Map.groupBy, which Node 20 does not have. */
function groupBy(readings: readonly Reading[], keyOf: (reading: Reading) => number): Map<number, Reading[]> {
  const groups = new Map<number, Reading[]>();
  for (const each of readings) groups.set(keyOf(each), [...(groups.get(keyOf(each)) ?? []), each]);
  return groups;
}
