/**
 * Deadlines of reports. They lie at whole validity periods after the last sample that was read, so that two leaders
 * choose the same one without a word, and a report that was not transmitted in time can be signed anew.
 */

/** A report must have this left when it is signed, to be transmitted. */
export const deadlineSecLeast = 60;

/** The one in force while it stands, else the next with some time left. */
export function deadlineFor(baseSec: number, validSec: number, nowSec: number, signedSec: number | undefined): number {
  if (signedSec !== undefined && signedSec >= nowSec + deadlineSecLeast) return signedSec;
  const periods = Math.floor((nowSec + 2 * deadlineSecLeast - baseSec) / validSec) + 1;
  return baseSec + Math.max(1, periods) * validSec;
}

/** Whether a proposed deadline is one of those, not too near and not further than the next but one. */
export function isDeadline(deadlineSec: number, baseSec: number, validSec: number, nowSec: number): boolean {
  const isAtPeriod = deadlineSec > baseSec && (deadlineSec - baseSec) % validSec === 0;
  const isFirst = deadlineSec === baseSec + validSec;
  const left = deadlineSec - nowSec;
  return isAtPeriod && left >= deadlineSecLeast && (isFirst || left <= 2 * validSec);
}
