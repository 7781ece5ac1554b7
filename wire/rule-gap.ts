/** Time without a sample of the channel that the terms watch, longer than the terms allow inside a run. */
import type { Finding, JudgedBatch, LimitUnderWatch } from './evaluate.ts';

export type GapState = {
  /** The latest sample's time; that of dispatch before there is one. */
  readonly lastSec: number;
  readonly openedAtSec: number | null;
};

export function walkGap(
  { terms, judgedFromSec }: LimitUnderWatch,
  state: GapState,
  { batch, series, privateChannels = [] }: JudgedBatch,
): { readonly state: GapState; readonly findings: readonly Finding[] } {
  const findings: Finding[] = [];
  let { lastSec, openedAtSec } = state;
  const samples = series.find(({ channel }) => channel === terms.channel)?.samples ?? [];
  // Of a private channel nobody knows the times within the batch, only that it was not silent there.
  const isPrivate = privateChannels.includes(terms.channel);
  const times = isPrivate ? [batch.firstSec, batch.lastSec] : samples.map(({ timeSec }) => timeSec);
  for (const [i, timeSec] of times.entries()) {
    if (timeSec < judgedFromSec || timeSec <= lastSec) continue;
    const isWithin = isPrivate && i > 0;
    if (!isWithin && timeSec - lastSec > terms.sampleGapSecMax)
      findings.push(findingOf(terms.channel, lastSec, timeSec));
    lastSec = timeSec;
    openedAtSec = null;
  }
  // Other channels, or a heartbeat, show that time went on without this one.
  if (openedAtSec === null && batch.lastSec - lastSec > terms.sampleGapSecMax) {
    openedAtSec = lastSec;
    findings.push(findingOf(terms.channel, lastSec));
  }
  return { state: { lastSec, openedAtSec }, findings };
}

function findingOf(channel: number, openedAtSec: number, closedAtSec?: number): Finding {
  const ended = closedAtSec === undefined ? {} : { closedAtSec };
  return { rule: 'gap', channel, openedAtSec, ...ended, detail: {} };
}
