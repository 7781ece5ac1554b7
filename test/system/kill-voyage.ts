/**
 * One voyage during which processes are killed at random points, and what must hold afterwards whatever was killed:
 * one cancellation, one replacement, one ticket, and no reading lost that was acknowledged to the sensor.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Interface } from 'ethers';
import { loadArtifact } from '@coldproof/contracts';
import { cargoProbe } from '@coldproof/wire';
import type { Demonstration } from '@coldproof/oracle/demonstration/demonstration';
import { Random } from '../helpers/seed.ts';
import { journaled, loggedBatches, openVoyage, timesOf } from '../helpers/voyage.ts';

const victims = ['agent', 'oracle', 'simulator'] as const;
/** Kills come from shortly before departure until some time after the excursion can be proved, in real milliseconds. */
const killFromMs = -1_000;
const killUntilMs = 9_000;

export type KilledVoyage = {
  readonly kills: readonly string[];
  /** What did not hold; empty when all did. */
  readonly problems: readonly string[];
  readonly readings: number;
};

export async function killVoyage(seed: number): Promise<KilledVoyage> {
  const random = new Random(seed);
  const lines: string[] = [];
  const voyage = await openVoyage({ seed }, (line) => lines.push(line));
  try {
    const plan = Array.from({ length: random.integer(3, 7) }, () => ({
      atMs: random.integer(killFromMs, killUntilMs),
      victim: random.pick(victims),
    })).sort((a, b) => a.atMs - b.atMs);
    const done = new AbortController();
    const killing = kill(voyage, plan, done.signal);
    const status = await voyage.run(new AbortController().signal);
    done.abort();
    const kills = await killing;
    const problems = await checkChain(voyage);
    if (status.endedAsExpected !== true) problems.push(`ended ${status.orderState}:\n${lines.join('\n')}`);
    await voyage.close();
    const { lost, readings } = checkReadings(voyage.stage.dir);
    if (problems.length + lost.length === 0) await voyage.clear();
    return { kills, problems: [...problems, ...lost], readings };
  } finally {
    await voyage.close();
  }
}

async function kill(
  voyage: Demonstration,
  plan: readonly { atMs: number; victim: string }[],
  signal: AbortSignal,
): Promise<string[]> {
  const { clock, children } = voyage.stage;
  const kills: string[] = [];
  for (const { atMs, victim } of plan) {
    const inMs = clock.realStartMs + atMs - Date.now();
    const isOver = await delay(Math.max(0, inMs), false, { signal }).catch(() => true);
    if (isOver) break;
    children.find(({ name }) => name === victim)!.kill('SIGKILL');
    kills.push(`${victim} at ${atMs} ms`);
  }
  return kills;
}

/** Counts events over the whole chain: the contracts' own words, not the oracle's view of them. */
async function checkChain({ stage }: Demonstration): Promise<string[]> {
  const problems: string[] = [];
  for (const [contract, name, count] of [
    ['Shipments', 'OrderCancelled', 1],
    ['Shipments', 'OrderReplaced', 1],
    ['Shipments', 'OrderPlaced', 1],
    ['Fleet', 'TicketOpened', 1],
  ] as const) {
    const topic = Interface.from(JSON.stringify(loadArtifact(contract).abi)).getEvent(name)!.topicHash;
    const filter = { fromBlock: '0x0', toBlock: 'latest', topics: [topic] };
    const logs = await stage.chain.request<unknown[]>('eth_getLogs', [filter]);
    if (logs.length !== count) problems.push(`${name}: expected ${count}, got ${logs.length}`);
  }
  return problems;
}

function checkReadings(dir: string): { lost: string[]; readings: number } {
  const lost: string[] = [];
  const logged = loggedBatches(dir);
  const { batches, readings } = journaled(dir);
  logged.forEach(({ batch }, i) => {
    if (batch.sequence !== i) lost.push(`log: expected sequence ${i}, got ${batch.sequence}`);
  });
  const pending = batches.filter(({ batch }) => batch.sequence >= logged.length);
  const channel = cargoProbe(1);
  const times = [
    ...timesOf([...logged, ...pending], channel),
    ...readings.filter((reading) => reading.channel === channel).map(({ timeSec }) => timeSec),
  ];
  const kept = new Set(times);
  if (kept.size !== times.length) lost.push(`${times.length - kept.size} readings twice`);
  for (const timeSec of acknowledgedTimes(dir)) {
    if (!kept.has(timeSec)) lost.push(`the reading of ${timeSec} was acknowledged and is nowhere`);
  }
  return { lost, readings: times.length };
}

/** What the simulator wrote down at each PUBACK: sample times, Unix seconds. */
function acknowledgedTimes(dir: string): number[] {
  const times: number[] = [];
  for (const line of readFileSync(join(dir, 'simulator.log'), 'utf8').split('\n')) {
    // A killed process leaves half a line.
    if (!line.startsWith('{') || !line.endsWith('}')) continue;
    const entry = JSON.parse(line) as { event: string; sampleSec?: number };
    if (entry.event === 'acknowledged' && entry.sampleSec !== undefined) times.push(entry.sampleSec);
  }
  return times;
}
