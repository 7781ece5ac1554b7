/** The cumulative rule against a restatement, and against wire's verifier of cumulative evidence. */
import t from 'tap';
import {
  evaluate,
  initialState,
  limitOf,
  referenceCrypto,
  unixSecMax,
  verifyCumulative,
  type Finding,
  type OrderUnderWatch,
} from '@coldproof/wire';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import { prove } from '@coldproof/oracle/prove';
import { Random, seeded } from '../helpers/seed.ts';
import { regularSeries, VoyageDevice } from '../helpers/voyage-device.ts';
import { terms } from './anvil.ts';
import { dispatchedAtSec, hostileVoyage, open, order, run, stretchesOf, UnsignedDevice } from './hostile-voyage.ts';

const { channel } = terms;
const cumulativeSecMin = 600;
const watched: OrderUnderWatch = { ...order, limits: [{ ...terms, cumulativeSecMin }] };

function cumulativeOf(findings: readonly Finding[]): Finding[] {
  return findings.filter(({ rule }) => rule === 'cumulative');
}

/** All stretches together, without those that begin before another has ended. No voyage here has more than 32. */
function totalSec(batches: Parameters<typeof stretchesOf>[0]): number {
  let [total, endedAtSec] = [0, 0];
  for (const stretch of stretchesOf(batches)) {
    const [fromSec, untilSec] = [stretch[0]!.sample.timeSec, stretch.at(-1)!.sample.timeSec];
    if (fromSec <= endedAtSec || untilSec === fromSec) continue;
    total += untilSec - fromSec;
    endedAtSec = untilSec;
  }
  return total;
}

t.test('1,000 hostile voyages: found once, and just when all stretches are long enough together', (t) => {
  const random = seeded(t, 11);
  let found = 0;
  for (let voyage = 0; voyage < 1_000; voyage++) {
    const batches = hostileVoyage(new UnsignedDevice(1), random);
    const got = cumulativeOf(run(batches, watched)).length;
    const want = totalSec(batches) >= cumulativeSecMin ? 1 : 0;
    if (got !== want) return void t.equal(got, want, `voyage ${voyage}: ${totalSec(batches)} s`);
    found += got;
  }
  t.ok(found > 100 && found < 900, `${found} found`);
  t.end();
});

t.test('what the rule finds, the verifier accepts; without its first run, it does not', (t) => {
  const random = seeded(t, 12);
  let proofs = 0;
  for (let voyage = 0; voyage < 80; voyage++) {
    const state = random.integer(0, 0xffff_ffff);
    const [expected] = cumulativeOf(run(hostileVoyage(new UnsignedDevice(voyage + 1), new Random(state)), watched));
    if (expected === undefined || expected.runs!.length < 2) continue;
    const device = new VoyageDevice(voyage + 1);
    const batches = hostileVoyage(device, new Random(state));
    const { runs } = cumulativeOf(run(batches, watched))[0]!;
    const located = runs!.map((location) => {
      return { location, batches: batches.slice(location.firstSequence, location.lastSequence + 1) };
    });
    const proved = prove('cumulative', limitOf(watched, channel), located, device.publicKey, opensslCrypto());
    if (!proved.ok) return void t.fail(`voyage ${voyage}: ${proved.reason}: ${proved.detail}`);
    t.equal(proved.value.method, 'reportCumulative');
    const claim = { device: device.device, terms, dispatchedAtSec, nowSec: unixSecMax };
    t.match(verifyCumulative(proved.value.runs, claim, cumulativeSecMin, referenceCrypto), { ok: true });
    const less = verifyCumulative(proved.value.runs.slice(1), claim, cumulativeSecMin, opensslCrypto());
    t.match(less, { ok: false, reason: 'CumulativeTooShort' });
    proofs += 1;
  }
  t.ok(proofs > 5, `${proofs} proofs`);
  t.end();
});

t.test('of more runs than one proof holds, the longest count', (t) => {
  const device = new UnsignedDevice(7);
  // Forty runs of a minute, each after a sample within the limits, and then ten of five minutes.
  const lengths = [...new Array<number>(40).fill(2), ...new Array<number>(10).fill(6)];
  const values = lengths.flatMap((length) => [500, ...new Array<number>(length).fill(900)]);
  const batches: ReturnType<typeof open>[] = [];
  for (let at = 0; at < values.length; at += 30) {
    batches.push(open(device, [regularSeries(channel, dispatchedAtSec + at * 60, values.slice(at, at + 30))]));
  }
  const longestSec = 10 * 300 + 22 * 60;
  const limitsOf = (sec: number): OrderUnderWatch => ({ ...order, limits: [{ ...terms, cumulativeSecMin: sec }] });
  const [finding] = cumulativeOf(run(batches, limitsOf(longestSec)));
  t.match(finding, { detail: { durationSec: longestSec, runs: 32 } });
  t.same(cumulativeOf(run(batches, limitsOf(longestSec + 1))), [], 'fifty runs last longer, and no proof holds them');
  t.end();
});

t.test('without a cumulative allowance nothing is summed', (t) => {
  const limits = [{ ...terms, cumulativeSecMin: 0 }];
  const warm = open(new UnsignedDevice(8), [regularSeries(channel, dispatchedAtSec, new Array<number>(60).fill(900))]);
  const unlimited = { ...order, limits };
  t.same(cumulativeOf([...evaluate(unlimited, initialState(unlimited), warm).findings]), []);
  t.end();
});
