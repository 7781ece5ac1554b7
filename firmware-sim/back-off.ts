/** How long to wait before try number `failures + 1`: doubled each time, capped, with full jitter in the upper half. */
import type { Random } from './random.ts';

/** Real milliseconds. A broker that restarts is found again at once; one that is down sees few knocks. */
export const backOffMsMin = 100;
export const backOffMsMax = 5_000;

/** The jitter keeps a fleet of devices from coming back in step after their broker's restart. */
export function backOffMs(failures: number, random: Random): number {
  const ceilingMs = Math.min(backOffMsMax, backOffMsMin * 2 ** Math.min(failures, 16));
  return Math.round(ceilingMs * (0.5 + random.nextUnit() / 2));
}
