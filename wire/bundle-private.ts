/** The private series of a bundle: for whom they are, and what one party's key makes of them. */
import { bytesToHex } from './bytes.ts';
import type { OpenBundle } from './bundle-format.ts';
import { channelName } from './channel.ts';
import { isPrivate } from './leaf.ts';
import { openPrivate, type PrivateReason } from './private-series.ts';
import type { Series } from './series.ts';
import { accept, reject, type Verdict } from './verdict.ts';

export type OpenedPrivate = { readonly sequence: number; readonly series: readonly Series[] };

/**
 * Without a key the verdict says what is private, and that is no fault. With one, each series that is for its party
 * must open; one for others stays shut. That the leaf leads to the root is the check of the series.
 */
export function openBundlePrivates(
  { batches }: OpenBundle,
  secretKey: Uint8Array | undefined,
): { readonly verdict: Verdict<string, PrivateReason>; readonly opened: readonly OpenedPrivate[] } {
  const opened: OpenedPrivate[] = [];
  const channels = new Set<number>();
  const parties = new Set<string>();
  let count = 0;
  for (const { batch, series } of batches) {
    for (const { series: leaf } of series) {
      if (!isPrivate(leaf)) continue;
      count += 1;
      for (const channel of leaf.channels) channels.add(channel);
      for (const { party } of leaf.wraps) parties.add(bytesToHex(party));
      if (secretKey === undefined) continue;
      const inside = openPrivate(leaf, batch, secretKey);
      if (inside.ok) opened.push({ sequence: batch.sequence, series: inside.value });
      else if (inside.reason !== 'private-of-other-parties') {
        return { verdict: reject(inside.reason, `batch ${batch.sequence}: ${inside.detail}`), opened };
      }
    }
  }
  if (count === 0) return { verdict: accept('none'), opened };
  const what = `${[...channels].map(channelName).join(', ')} in ${count} leaves, for ${[...parties].join(', ')}`;
  const samples = opened.flatMap(({ series }) => series).reduce((sum, each) => sum + each.samples.length, 0);
  const how =
    secretKey === undefined ? 'no party key, so not opened' : `${opened.length} opened with it, ${samples} samples`;
  return { verdict: accept(`${what}: ${how}`), opened };
}
