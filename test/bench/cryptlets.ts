/** What a cryptlet waits for its answer alone, and beside others that loop and fill their heaps on all threads. */
import { openCryptletHost } from '@coldproof/oracle/cryptlet/host';
import { allocating, inputOf, looping, sound } from '../oracle/cryptlet-fixture.ts';

const workers = 2;
const runs = 41;
const input = inputOf({ 16: [[0, 500]] });

export type CryptletLatency = {
  readonly workers: number;
  readonly aloneMs: number;
  readonly besideHostileMs: number;
  /** Medians, beside by alone. */
  readonly ratio: number;
};

export async function measureCryptlets(): Promise<CryptletLatency> {
  const host = await openCryptletHost({ workers });
  const median = async (): Promise<number> => {
    const all: number[] = [];
    while (all.length < runs) {
      const startedMs = performance.now();
      const verdict = await host.run(sound, input);
      if (!verdict.ok) throw new Error(`${verdict.reason}: ${verdict.detail}`);
      all.push(performance.now() - startedMs);
    }
    return all.sort((a, b) => a - b)[Math.floor(runs / 2)]!;
  };
  await median();
  const aloneMs = await median();
  const flood = [looping, allocating, looping, allocating].map((each) => host.run(each, input).catch(() => undefined));
  const besideHostileMs = await median();
  await host.close();
  await Promise.all(flood);
  const round = (value: number): number => Math.round(value * 100) / 100;
  return {
    workers,
    aloneMs: round(aloneMs),
    besideHostileMs: round(besideHostileMs),
    ratio: round(besideHostileMs / aloneMs),
  };
}
