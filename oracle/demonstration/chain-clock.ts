/** Keeps the development chain's clock at the voyage's: a block at each tick, dated with the voyage time. */
import { setTimeout as delay } from 'node:timers/promises';
import { describeError } from '../operating-error.ts';

const tickMs = 200;

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
  while (!signal.aborted) {
    try {
      await chain.mineAt(Math.floor(nowMs() / 1_000));
    } catch (error) {
      tell(`the chain's clock stands: ${describeError(error)}`);
    }
    await delay(tickMs);
  }
}
