/** A leaf of a batch's series tree: one channel that everybody can read, or some that only their parties can. */
import { decodePrivate, seemsPrivate, type PrivateFormReason, type PrivateSeries } from './private-series.ts';
import { decodeSeries, type Series, type SeriesReason } from './series.ts';
import type { Verdict } from './verdict.ts';

export type Leaf = Series | PrivateSeries;

export function isPrivate(leaf: Leaf): leaf is PrivateSeries {
  return 'sealed' in leaf;
}

export function channelsOf(leaf: Leaf): readonly number[] {
  return isPrivate(leaf) ? leaf.channels : [leaf.channel];
}

export function decodeLeaf(bytes: Uint8Array, firstSec: number): Verdict<Leaf, SeriesReason | PrivateFormReason> {
  return seemsPrivate(bytes) ? decodePrivate(bytes) : decodeSeries(bytes, firstSec);
}
