/**
 * Verification in worker threads. A group of messages travels as one packed buffer, and so does the answer: a copy of
 * half a kilobyte costs nothing beside a signature, a structured clone of many small objects does not.
 */
import { availableParallelism } from 'node:os';
import { assert, type Verdict } from '@coldproof/wire';
import { hexOf } from './hex.ts';
import { opensslCrypto } from './openssl-crypto.ts';
import { Thread } from './thread.ts';
import { verifyBatch, type DeviceRecord, type Verified, type VerifyReason } from './verify.ts';
import { packRequest, unpackAnswer, type VerifyAnswer } from './verify-packing.ts';

/** A message from a device: its topic's device, and the envelope's bytes as they came. */
export type Incoming = { readonly device: Uint8Array; readonly bytes: Uint8Array };

export type VerifyPool = {
  /** One verdict for each message, in the same order. Throws OperatingError 'verify-failed' when a thread has died. */
  verify(messages: readonly Incoming[]): Promise<Verdict<Verified, VerifyReason>[]>;
  close(): Promise<void>;
};

/** Fewer than this are not worth a second thread. */
const messagesPerThreadMin = 8;

export const defaultWorkers = Math.max(1, availableParallelism() - 1);

export function verifyPool({
  workers,
  devices,
  nowSec,
}: {
  workers: number;
  /** By device in hex. Asked anew for each message: the registry may change. */
  devices: (device: string) => DeviceRecord | undefined;
  nowSec: () => number;
}): VerifyPool {
  assert(workers >= 1, 'at least one thread verifies');
  const threads = Array.from({ length: workers }, verifyingThread);
  const crypto = opensslCrypto();
  return {
    async verify(messages) {
      const verdicts = new Array<Verdict<Verified, VerifyReason> | undefined>(messages.length);
      const known: { at: number; message: Incoming; record: DeviceRecord }[] = [];
      const now = nowSec();
      messages.forEach((message, at) => {
        const record = devices(hexOf(message.device));
        if (record === undefined) verdicts[at] = verifyBatch({ ...message, record, nowSec: now }, crypto);
        else known.push({ at, message, record });
      });
      const share = Math.max(messagesPerThreadMin, Math.ceil(known.length / threads.length));
      await Promise.all(
        threads.map(async (thread, i) => {
          const part = known.slice(i * share, (i + 1) * share);
          if (part.length === 0) return;
          const answer = await thread.ask(packRequest(part, now));
          unpackAnswer(answer, part.length).forEach((verdict, j) => (verdicts[part[j]!.at] = verdict));
        }),
      );
      return verdicts.map((verdict) => {
        assert(verdict !== undefined, 'each message has its verdict');
        return verdict;
      });
    },
    async close() {
      await Promise.all(threads.map((thread) => thread.close()));
    },
  };
}

function verifyingThread(): Thread<VerifyAnswer> {
  return new Thread(new URL('./verify-worker.js', import.meta.url), { code: 'verify-failed', what: 'verifying' });
}
