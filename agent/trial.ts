/**
 * Starts the agent with what counts, and with what is being tried: that has to come up and to stay up for a while, or
 * the agent starts again with what it had before. What a crash leaves of this is seen by the next start (`next`).
 */
import type { Clock } from './clock.ts';
import type { AgentConfig } from './config.ts';
import { describeError, OperatingError } from './operating-error.ts';
import type { OwnerDesk } from './owner-desk.ts';

/** What a start makes, as far as a trial looks at it. */
export type Started = { readonly isReady: boolean; readonly finished: Promise<void> };

export type TrialTimes = { readonly startMsMax: number; readonly provenMs: number };

/** A start reads the whole journal; after a month offline that takes a while on a small gateway. */
export const trialTimes: TrialTimes = { startMsMax: 120_000, provenMs: 3_000 };

/** `stopping` ends the waiting; the trial then waits for the next start. */
export async function startProven<Agent extends Started>(
  desk: Pick<OwnerDesk, 'next' | 'commit' | 'rollBack' | 'postpone'>,
  start: (config: AgentConfig) => Promise<Agent>,
  { timer, stopping, times }: { readonly timer: Clock; readonly stopping: AbortSignal; readonly times: TrialTimes },
): Promise<{ readonly agent: Agent; readonly config: AgentConfig }> {
  const { config, isTrial } = desk.next();
  if (!isTrial) return { agent: await start(config), config };
  try {
    const agent = await within(start(config), timer, times.startMsMax);
    await proven(agent, timer, stopping, times.provenMs);
    if (stopping.aborted) desk.postpone();
    else desk.commit();
    return { agent, config };
  } catch (error) {
    // A bug of ours is no configuration's fault; the start after the crash rolls back.
    if (!(error instanceof OperatingError)) throw error;
    desk.rollBack(`${error.code}: ${describeError(error)}`);
    // What hangs still has the journal: only a new process gets it.
    if (error.code === 'start-hangs') throw error;
    const former = desk.next().config;
    return { agent: await start(former), config: former };
  }
}

/** Throws what the agent ends with, or `not-ready`. */
async function proven(agent: Started, timer: Clock, stopping: AbortSignal, provenMs: number): Promise<void> {
  const enough = new AbortController();
  const end = () => enough.abort();
  stopping.addEventListener('abort', end);
  try {
    const ended = agent.finished.then(() => true);
    const waited = timer.wait(provenMs, enough.signal).then(() => false);
    const isOver = await Promise.race([ended, waited]);
    if (stopping.aborted || (!isOver && agent.isReady)) return;
  } finally {
    stopping.removeEventListener('abort', end);
    end();
  }
  throw new OperatingError('not-ready', `not ready after ${provenMs} ms`, { retry: 'later' });
}

async function within<Result>(work: Promise<Result>, timer: Clock, msMax: number): Promise<Result> {
  const done = new AbortController();
  const late = timer.wait(msMax, done.signal).then(() => {
    if (done.signal.aborted) return undefined;
    throw new OperatingError('start-hangs', `not started within ${msMax} ms`, { retry: 'later' });
  });
  try {
    return (await Promise.race([work, late])) as Result;
  } finally {
    done.abort();
  }
}
