/**
 * The log of a stopped node, written anew as an oracle's database: its old leaves are true, and the log as a whole is
 * a lie. Who starts on it signs heads that never grew from what that key has signed before.
 */
import { renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { bytesEqual, bytesToHex, decodeEnvelope, encodeEnvelope, type Envelope } from '@coldproof/wire';
import { Log, type Loggable } from '@coldproof/oracle/log';
import type { LogKey } from '@coldproof/oracle/log-key';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import { openStored } from '@coldproof/oracle/stored-batch';
import { Store } from '@coldproof/oracle/store';

const fileOf = (folder: string) => join(folder, 'oracle.db');
const asideOf = (folder: string) => join(folder, 'honest.db');

/** Appending signs nothing. */
const noKey: LogKey = {
  publicKey: new Uint8Array(32),
  log: new Uint8Array(32),
  sign: () => {
    throw new Error('no key');
  },
  signAside: () => Promise.reject(new Error('no key')),
  close: () => Promise.resolve(),
};

export type Rewriting = {
  /** Leaves that are kept, from the first on; all when absent. */
  readonly size?: number | undefined;
  /** Leaves that are put behind them. */
  readonly added?: readonly Envelope[];
};

/**
 * Puts its leaves in another order. Nothing else that the node knew is in the new database: what it has read of the
 * chain, cosigned and attested. The old one stands aside for `restoreLog`.
 */
export function rewriteLog(folder: string, { size, added = [] }: Rewriting): void {
  const { batches, root } = readLog(fileOf(folder), size);
  renameSync(fileOf(folder), asideOf(folder));
  // Each device's batches stand in their order; one of the two orders of the devices is not the one they came in.
  for (const direction of [1, -1]) {
    const store = new Store(fileOf(folder));
    const log = new Log({ store, key: noKey, origin: '' });
    append(log, byDevice(batches, direction));
    const isOther = !bytesEqual(log.root(), root);
    if (isOther) append(log, added.map(loggable));
    store.close();
    if (isOther) return;
    rmSync(fileOf(folder));
  }
  throw new Error(`${batches.length} leaves of one device have one order only`);
}

/** The root that the node's log had at `size` before it was rewritten; undefined when it never was of that size. */
export function rootBefore(folder: string, size: number): Uint8Array | undefined {
  const store = new Store(asideOf(folder));
  try {
    return size > store.log.size() ? undefined : new Log({ store, key: noKey, origin: '' }).root(size);
  } finally {
    store.close();
  }
}

/** What the node had before is what it has again. */
export function restoreLog(folder: string): void {
  for (const end of ['', '-wal', '-shm']) rmSync(`${fileOf(folder)}${end}`, { force: true });
  renameSync(asideOf(folder), fileOf(folder));
}

function readLog(path: string, sizeMax = Infinity): { readonly batches: Loggable[]; readonly root: Uint8Array } {
  const store = new Store(path);
  const size = Math.min(store.log.size(), sizeMax);
  const batches = Array.from({ length: size }, (_, index) => {
    const bytes = store.log.envelope(index);
    const decoded = bytes === undefined ? undefined : decodeEnvelope(Uint8Array.from(bytes));
    if (decoded?.ok !== true) throw new Error(`no envelope ${index}`);
    return loggable(decoded.value);
  });
  const root = new Log({ store, key: noKey, origin: '' }).root(size);
  // Folds the write-ahead log into the file.
  store.close();
  return { batches, root };
}

function loggable(envelope: Envelope): Loggable {
  const bytes = encodeEnvelope(envelope);
  const { batch, digest } = openStored(bytes, opensslCrypto());
  return { ...batch, digest, envelope: bytes };
}

function byDevice(batches: readonly Loggable[], direction: number): Loggable[] {
  return batches.toSorted((a, b) => {
    return direction * bytesToHex(a.device).localeCompare(bytesToHex(b.device)) || a.sequence - b.sequence;
  });
}

function append(log: Log, batches: readonly Loggable[]): void {
  for (const answer of log.append(batches, Date.now())) {
    if (!answer.ok) throw new Error(answer.detail);
  }
}
