/** wire/cumulative.ts against Cumulative.sol: the same verdict for each named case, and for random ones. */
import t from 'tap';
import type { Contract } from 'ethers';
import {
  channels,
  cumulativeRunsMax,
  digestCumulative,
  digestEvidence,
  verifyCumulative,
  type CumulativeReason,
  type Evidence,
  type EvidenceBatch,
  type ExcursionClaim,
} from '@coldproof/wire';
import { call, deploy, RevertError, startChain } from '../helpers/chain.ts';
import { seeded, type Random } from '../helpers/seed.ts';
import { regularSeries, VoyageDevice } from '../helpers/voyage-device.ts';
import { highTwin } from './evidence-attacks.ts';
import { abiEvidence, channel, claimFor, dispatchedAtSec, hex, sealEvidenceBatch, withBatch } from './fixture.ts';

type Case = {
  readonly name: string;
  /** As `verdict` gives it, without the digest: or the reason. */
  readonly want: string;
  readonly runs: readonly Evidence[];
  readonly claim?: Partial<ExcursionClaim>;
  readonly cumulativeSecMin?: number;
};

const mutantCount = 300;
const device = new VoyageDevice(1);

/** Samples a minute apart, at these centi-degrees. */
function seal(values: readonly number[], fromSec = dispatchedAtSec, by = device): EvidenceBatch {
  return sealEvidenceBatch(by, regularSeries(channel, fromSec, values));
}

function run(batches: readonly EvidenceBatch[], skip: number, count: number, by = device): Evidence {
  return { publicKey: by.publicKey, channel, skip, count, batches };
}

/** An hour: warm for samples 0-9, good, cold for 20-24, good, warm again from 40 on, with its peak at 50. */
const hour = seal(
  [...Array(60).keys()].map((i) => {
    if (i < 10) return 810 + i;
    if (i < 20) return 500;
    if (i < 25) return 150 - i;
    if (i < 40) return 400;
    return i === 50 ? 950 : 800;
  }),
);
const nextHour = seal(Array<number>(10).fill(1_000), dispatchedAtSec + 7_200);
const warm = run([hour], 0, 10);
const cold = run([hour], 20, 5);
const again = run([hour], 40, 20);
const later = run([nextHour], 0, 10);
/** The device's clock ran backwards before this one. */
const backwards = run([seal([900, 900, 900], dispatchedAtSec + 300)], 0, 3);
const single = (i: number): Evidence => run([hour], 40 + i, 1);
const startedAt = dispatchedAtSec;

const cases: readonly Case[] = [
  { name: 'one run', want: `accepted ${startedAt} 540 819 ${startedAt + 540}`, runs: [warm] },
  { name: 'two runs of one batch', want: `accepted ${startedAt} 1680 950 ${startedAt + 3_540}`, runs: [warm, again] },
  { name: 'runs of two batches', want: `accepted ${startedAt} 1080 1000 ${startedAt + 7_740}`, runs: [warm, later] },
  { name: 'a warm run and a cold one, which is worse', want: accepted(0, 780, 126, 1_440), runs: [warm, cold] },
  { name: 'a cold run and a warm one, which is worse', want: accepted(1_200, 1_380, 950, 3_540), runs: [cold, again] },
  {
    name: 'a cold run and a warm one as bad: the first is the peak',
    want: accepted(0, 240, 130, 300),
    runs: [run([seal([130, 130, 130, 500, 870, 870])], 0, 3), run([seal([500, 870, 870, 870], startedAt + 120)], 1, 3)],
  },
  {
    name: 'just as long as the terms',
    want: accepted(0, 1_680, 950, 3_540),
    runs: [warm, again],
    cumulativeSecMin: 1_680,
  },
  { name: 'one second too short', want: 'CumulativeTooShort', runs: [warm, again], cumulativeSecMin: 1_681 },
  { name: 'single samples last 0 seconds', want: accepted(2_400, 0, 800, 2_460), runs: [single(0), single(1)] },
  {
    name: 'single samples make no time',
    want: 'CumulativeTooShort',
    runs: [single(0), single(1)],
    cumulativeSecMin: 1,
  },
  {
    name: 'the least duration of one excursion does not matter',
    want: accepted(0, 540, 819, 540),
    runs: [warm],
    claim: { terms: { ...claimFor(device).terms, excursionSecMin: 86_400 } },
  },
  { name: 'no run', want: 'RunCountOutOfRange', runs: [] },
  {
    name: 'as many runs as there may be',
    want: accepted(0, 0, 1_031, 1_860),
    runs: manyRuns(cumulativeRunsMax),
  },
  { name: 'one run too many', want: 'RunCountOutOfRange', runs: manyRuns(cumulativeRunsMax + 1) },
  { name: 'a run twice', want: 'RunsNotInOrder', runs: [warm, warm] },
  { name: 'runs backwards', want: 'RunsNotInOrder', runs: [again, warm] },
  {
    name: 'runs that share one sample',
    want: 'RunsNotInOrder',
    runs: [run([hour], 0, 6), run([hour], 5, 5)],
  },
  {
    name: 'a run that starts with the next sample: only the time between is lost',
    want: accepted(0, 480, 819, 540),
    runs: [run([hour], 0, 6), run([hour], 6, 4)],
  },
  { name: 'a later batch of an earlier time', want: 'RunsNotInOrder', runs: [warm, backwards] },
  {
    name: 'a run of another channel',
    want: 'ChannelNotInTerms',
    runs: [warm, { ...again, channel: channels.ambient }],
  },
  { name: 'a run of another device', want: 'DeviceNotAssigned', runs: [warm, strangers()] },
  { name: 'a run with a good sample', want: 'SampleWithinLimits', runs: [warm, run([hour], 39, 5)] },
  {
    name: 'a high-s twin in the last run',
    want: 'SignatureNotLowS',
    runs: [warm, withBatch(again, 0, ({ signature }) => ({ signature: highTwin(signature) }))],
  },
  { name: 'an empty run', want: 'RunMalformed', runs: [warm, run([hour], 40, 0)] },
  {
    name: 'a first run before dispatch',
    want: 'SampleBeforeDispatch',
    runs: [warm, again],
    claim: { dispatchedAtSec: startedAt + 1 },
  },
  {
    name: 'a last run that ends now',
    want: accepted(0, 1_680, 950, 3_540),
    runs: [warm, again],
    claim: { nowSec: startedAt + 3_540 },
  },
  {
    name: 'a last run that ends in the future',
    want: 'SampleInFuture',
    runs: [warm, again],
    claim: { nowSec: startedAt + 3_539 },
  },
];

function accepted(startSec: number, durationSec: number, peakCentiC: number, endSec: number): string {
  return `accepted ${dispatchedAtSec + startSec} ${durationSec} ${peakCentiC} ${dispatchedAtSec + endSec}`;
}

function manyRuns(count: number): Evidence[] {
  const batch = seal([...Array(count).keys()].map((i) => 1_000 + i));
  return [...Array(count).keys()].map((i) => run([batch], i, 1));
}

function strangers(): Evidence {
  const stranger = new VoyageDevice(2);
  return run([seal([900, 900], dispatchedAtSec + 7_200, stranger)], 0, 2, stranger);
}

function wireVerdict(runs: readonly Evidence[], claim: ExcursionClaim, cumulativeSecMin: number): string {
  const verdict = verifyCumulative(runs, claim, cumulativeSecMin);
  if (!verdict.ok) return verdict.reason;
  const { startedAtSec, durationSec, peakCentiC, endedAtSec } = verdict.value;
  return `accepted ${startedAtSec} ${durationSec} ${peakCentiC} ${endedAtSec} ${hex(digestCumulative(runs))}`;
}

async function contractVerdict(
  probe: Contract,
  runs: readonly Evidence[],
  claim: ExcursionClaim,
  cumulativeSecMin: number,
): Promise<string> {
  const { terms, device, dispatchedAtSec, nowSec } = claim;
  try {
    const args = [runs.map(abiEvidence), terms, hex(device), dispatchedAtSec, nowSec, cumulativeSecMin];
    const answer = (await call(probe, 'verifyCumulative', args)) as [[bigint, bigint, bigint], bigint, string];
    return `accepted ${answer[0].join(' ')} ${answer[1]} ${answer[2]}`;
  } catch (error) {
    if (error instanceof RevertError) return error.reason;
    throw error;
  }
}

for (const hardFork of ['osaka', 'prague'] as const) {
  t.test(`each case has its own verdict, on ${hardFork}`, async (t) => {
    const chain = await startChain({ hardFork });
    t.teardown(() => chain.stop());
    const probe = await deploy(await chain.account(0), 'ProofProbe');
    for (const { name, want, runs, claim: changes, cumulativeSecMin = 0 } of cases) {
      const claim = claimFor(device, changes);
      const wire = wireVerdict(runs, claim, cumulativeSecMin);
      t.equal(wire.replace(/ 0x\w+$/, ''), want, `wire: ${name}`);
      t.equal(await contractVerdict(probe, runs, claim, cumulativeSecMin), wire, `contract: ${name}`);
    }
    const reasons: readonly CumulativeReason[] = ['RunCountOutOfRange', 'RunsNotInOrder', 'CumulativeTooShort'];
    for (const reason of reasons)
      t.ok(
        cases.some(({ want }) => want === reason),
        reason,
      );
  });
}

t.test('the name is of the kind and of just these samples, whatever the signatures', async (t) => {
  const chain = await startChain();
  t.teardown(() => chain.stop());
  const probe = await deploy(await chain.account(0), 'ProofProbe');
  const digest = async (runs: readonly Evidence[]): Promise<string> => {
    const got = (await call(probe, 'digestCumulative', [runs.map(abiEvidence)])) as string;
    t.equal(got, hex(digestCumulative(runs)), 'as in wire');
    return got;
  };
  const name = await digest([warm, again]);
  const twins = [warm, again].map((each) =>
    withBatch(each, 0, ({ signature }) => ({ signature: highTwin(signature) })),
  );
  t.equal(await digest(twins), name, 'free of signatures');
  const others = [
    [again, warm],
    [warm],
    [warm, run([hour], 40, 19)],
    [warm, run([hour], 41, 20)],
    [warm, again, later],
  ];
  const names = [name, hex(digestEvidence(warm))];
  for (const runs of others) names.push(await digest(runs));
  t.equal(new Set(names).size, names.length, 'no two are alike');
  const none = await call(probe, 'digestCumulative', [[]]).catch((error: unknown) => error);
  t.match(none, { reason: 'RunCountOutOfRange', args: [0n, 32n] });
});

t.test(`${mutantCount} random sets of runs get one verdict from both`, async (t) => {
  const chain = await startChain();
  t.teardown(() => chain.stop());
  const probe = await deploy(await chain.account(0), 'ProofProbe');
  const random = seeded(t, 20_261_121);
  const batches = [hour, nextHour, seal(Array<number>(30).fill(190), dispatchedAtSec + 3_600)];
  const counts = new Map<string, number>();
  for (let i = 0; i < mutantCount; i++) {
    const runs = Array.from({ length: random.integer(0, 4) }, () => randomRun(random, batches));
    if (random.next() < 0.8) runs.sort((a, b) => startOf(a) - startOf(b));
    const cumulativeSecMin = random.pick([0, 1, 540, 1_200, 1_680]);
    const wire = wireVerdict(runs, claimFor(device), cumulativeSecMin);
    const contract = await contractVerdict(probe, runs, claimFor(device), cumulativeSecMin);
    if (contract !== wire) t.fail(`set ${i}: wire ${wire}, contract ${contract}`);
    const reason = wire.split(' ')[0]!;
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  t.comment([...counts].map(([reason, count]) => `${reason} ${count}`).join(', '));
  t.ok(counts.get('accepted')! > 50 && counts.size >= 5, 'accepted, and refused for each reason of its own');
});

function startOf({ batches, skip }: Evidence): number {
  return batches[0]!.batch.firstSec + skip * 60;
}

/** Mostly a good one. */
function randomRun(random: Random, batches: readonly EvidenceBatch[]): Evidence {
  if (random.next() < 0.8) return random.pick([warm, cold, again, later, run([batches.at(-1)!], 0, 30)]);
  const batch = random.pick(batches);
  return run([batch], random.integer(0, batch.samples.length / 4 - 1), random.integer(1, 10));
}
