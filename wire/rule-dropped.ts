/**
 * Readings that the device itself says it could not keep. No excursion, since nobody knows what they were; and not in
 * order either, for the same reason. The stretch has a cause and a size, which a mere gap has not.
 */
import { channels } from './channel.ts';
import { droppedIn } from './dropped.ts';
import type { Finding, JudgedBatch, OrderUnderWatch } from './evaluate.ts';

export function findDropped(
  { judgedFromSec }: Pick<OrderUnderWatch, 'judgedFromSec'>,
  { batch, series }: JudgedBatch,
): readonly Finding[] {
  const dropped = droppedIn(series);
  if (dropped === undefined || dropped.lastSec < judgedFromSec) return [];
  const { firstSec, lastSec, count } = dropped;
  const detail = { readings: count, sequence: batch.sequence };
  const channel = channels.readingsDropped;
  return [{ rule: 'readings-dropped', channel, openedAtSec: firstSec, closedAtSec: lastSec, detail }];
}
