/** What waits for a receipt: how much, and since when. The same from a running agent and from a journal. */
import { bytesToHex, decodeEnvelope, openEnvelope } from '@coldproof/wire';
import type { Journal } from './journal.ts';

export type DeviceQueue = {
  readonly name: string;
  /** Batches without enough receipts, and their bytes. */
  readonly queued: number;
  readonly bytes: number;
  /** Undefined for an empty queue. */
  readonly oldest: { readonly sequence: number; readonly firstReadingAt: string } | undefined;
  readonly newestSequence: number | undefined;
  readonly logs: readonly LogQueue[];
};

/** What one log has given no receipt for. */
export type LogQueue = {
  readonly log: string;
  readonly next: number;
  readonly lag: number;
  readonly receipts: number;
  readonly missed: number;
  readonly oldest: DeviceQueue['oldest'];
};

type QueueDevice = { readonly config: { readonly name: string }; readonly id: Uint8Array };

export function listQueue(
  journal: Pick<Journal, 'unreleased' | 'pendingExtent' | 'head' | 'receipts'>,
  devices: readonly QueueDevice[],
): DeviceQueue[] {
  return devices.map(({ config: { name }, id }) => {
    const { count, bytes, newestSequence } = journal.pendingExtent(id);
    const { sequence: head } = journal.head(id);
    const logs = journal.receipts.cursors(id).map(({ log, next, receipts, missed }): LogQueue => {
      const [oldest] = journal.receipts.pending(id, log, 0, 1);
      const described = oldest && describeOldest(oldest);
      return { log: bytesToHex(log), next, lag: head - next, receipts, missed, oldest: described };
    });
    const [oldest] = journal.unreleased(id, 0, 1);
    return { name, queued: count, bytes, oldest: oldest && describeOldest(oldest), newestSequence, logs };
  });
}

function describeOldest({ sequence, bytes }: { sequence: number; bytes: Uint8Array }) {
  const decoded = decodeEnvelope(bytes);
  const opened = decoded.ok ? openEnvelope(decoded.value) : decoded;
  // Our own bytes, with their checksum right: only `verify` may find more to say about them.
  const firstReadingAt = opened.ok ? new Date(opened.value.batch.firstSec * 1_000).toISOString() : opened.reason;
  return { sequence, firstReadingAt };
}
