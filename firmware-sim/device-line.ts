/**
 * A device that speaks by itself on a serial line: a logger, a satellite receiver.
 *
 *   Clock -- every period --> what it says --> line        line lost: wait, open it again
 *
 * It ends when `signal` is aborted: every wait here ends then.
 */
import { backOffMs } from './back-off.ts';
import type { Clock } from './clock.ts';
import type { Log } from './log-line.ts';
import { OperatingError } from './operating-error.ts';
import type { Random } from './random.ts';
import type { Line } from './serial-line.ts';

export type LineDeviceDeps = {
  readonly clock: Clock;
  readonly realClock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly openLine: () => Promise<Line>;
};

export type LineDeviceOptions = {
  readonly periodSec: number;
  /** What it says at this second of Unix time, line ends included. */
  readonly say: (unixSec: number) => string;
};

export async function runLineDevice(
  deps: LineDeviceDeps,
  options: LineDeviceOptions,
  signal: AbortSignal,
): Promise<void> {
  const jitter = deps.random.fork('line-back-off');
  let failures = 0;
  while (!signal.aborted) {
    try {
      const line = await deps.openLine();
      failures = 0;
      deps.log('info', 'line-opened', { periodSec: options.periodSec });
      await speak(line, deps.clock, options, signal);
      deps.log('info', 'line-closed');
    } catch (error) {
      if (!(error instanceof OperatingError)) throw error;
      deps.log('warn', error.code, { detail: error.message });
    }
    await deps.realClock.wait(backOffMs(failures++, jitter), signal);
  }
}

async function speak(line: Line, clock: Clock, { periodSec, say }: LineDeviceOptions, signal: AbortSignal) {
  const closing = new AbortController();
  void line.closed.then(() => closing.abort());
  const stop = AbortSignal.any([signal, closing.signal]);
  // Whatever the gateway sends is not for a device that only speaks.
  line.onBytes(() => undefined);
  for (;;) {
    const nowMs = clock.nowMs();
    const periodMs = periodSec * 1_000;
    await clock.wait(periodMs - (nowMs % periodMs), stop);
    if (stop.aborted) break;
    line.write(Buffer.from(say(Math.floor(clock.nowMs() / periodMs) * periodSec)));
  }
  line.close();
  await line.closed;
}
