/**
 * A channel that the terms limit and only its parties can read. No rule can look at it: it is no excursion, not silent,
 * and not in order either. What the parties agreed to have judged is then judged by nobody, so it is said.
 */
import type { Finding, JudgedBatch, LimitUnderWatch } from './evaluate.ts';

export function walkPrivate(
  { judgedFromSec, terms: { channel } }: LimitUnderWatch,
  openedAtSec: number | null,
  { batch, series, privateChannels = [] }: JudgedBatch,
): { readonly state: number | null; readonly findings: readonly Finding[] } {
  const finding = (from: number): Finding => ({ rule: 'private', channel, openedAtSec: from, detail: {} });
  if (privateChannels.includes(channel)) {
    if (openedAtSec !== null || batch.lastSec < judgedFromSec) return { state: openedAtSec, findings: [] };
    const fromSec = Math.max(batch.firstSec, judgedFromSec);
    return { state: fromSec, findings: [finding(fromSec)] };
  }
  const shown = series.find((each) => each.channel === channel)?.samples[0];
  if (openedAtSec === null || shown === undefined) return { state: openedAtSec, findings: [] };
  return { state: null, findings: [{ ...finding(openedAtSec), closedAtSec: shown.timeSec }] };
}
