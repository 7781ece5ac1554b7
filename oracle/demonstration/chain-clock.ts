/** Keeps the development chain's clock at the voyage's: a block at each tick, dated with the voyage time. */
import { setInterval as every } from 'node:timers/promises';
import { describeError } from '../operating-error.ts';

const tickMs = 100;

export type DatedChain = {
  /** Mines one block with this timestamp. */
  readonly mineAt: (timestampSec: number) => Promise<void>;
};

/** Runs until the signal. A tick that fails is told and the next one tried: the chain may be restarting. */
export async function followVoyageClock(
  chain: DatedChain,
  nowMs: () => number,
  tell: (problem: string) => void,
  signal: AbortSignal,
): Promise<void> {
  let minedSec = 0;
  try {
    for await (const _ of every(tickMs, undefined, { signal })) {
      // A transaction may have had its block in the same second; blocks never share one.
      const nextSec = Math.max(Math.floor(nowMs() / 1_000), minedSec + 1);
      try {
        await chain.mineAt(nextSec);
        minedSec = nextSec;
      } catch (error) {
        tell(`chain clock: ${describeError(error)}`);
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
