/** What time alone brings about: readings that have grown too old, envelopes kept for long enough, heartbeats. */
import type { ClockWatch } from './clock-watch.ts';
import type { Device } from './device.ts';
import type { Journal } from './journal.ts';
import type { Room } from './room.ts';

export type UpkeepDeps = {
  readonly journal: Pick<Journal, 'bounds'>;
  readonly room: Room;
  readonly clock: Pick<ClockWatch, 'nowMs' | 'wait' | 'isTrusted'>;
  readonly devices: readonly Device[];
  readonly keepDays: number;
};

const stepSecMax = 60;

/** Until `signal` is aborted. Throws what the journal throws. */
export async function runUpkeep(deps: UpkeepDeps, signal: AbortSignal): Promise<void> {
  const { journal, room, clock, devices, keepDays } = deps;
  while (!signal.aborted) {
    const nowSec = Math.floor(clock.nowMs() / 1_000);
    // By a clock that may be wrong nothing is too old.
    if (clock.isTrusted) room.dropAged(nowSec);
    journal.bounds.pruneKept(nowSec, nowSec - 86_400 * keepDays);
    // Sealing looks by itself at what is due, and whether there is room again.
    for (const device of devices) device.sealBell.ring();
    const periods = devices.map(({ config }) => config.heartbeatSec ?? stepSecMax);
    // Twice in a period, so that a heartbeat is never late by more than half of one.
    await clock.wait(Math.min(stepSecMax, ...periods.map((sec) => sec / 2)) * 1_000, signal);
  }
}
