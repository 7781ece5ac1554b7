/**
 * What the journal does about its size: how much it holds, which settled envelopes are still kept (to be sent once more
 * if an oracle asks for them), and which readings could not be. A sealed batch is never dropped before its duty has
 * ended, since its sequence may be at an oracle already; what can be given up are settled envelopes, and readings that
 * no batch has. Of these each loss is counted here, durably, until a signed statement about it is in a batch.
 */
import type { Database, Statement } from 'better-sqlite3';
import { assert, sampleDeltaSecMax, type Dropped } from '@coldproof/wire';
import type { Reading } from './sample.ts';

/** A stretch that no batch has told of yet. */
export type UnstatedDrop = Dropped & { readonly isClockTrusted: boolean };

export type KeptEnvelope = {
  readonly sequence: number;
  readonly digest: Uint8Array;
  readonly bytes: Uint8Array;
  readonly checksum: Uint8Array;
};

/** Bytes that a reading takes in its table, its share of half-filled pages with it; measured by journal-bounds.test. */
export const readingBytes = 64;

/** Stretches of one device that wait for their statement. Times far apart need one each; a sensor may invent times. */
export const unstatedMax = 1_024;

/** One commit's worth. */
const pruneRowsMax = 256;

type Write = (what: string, work: () => void) => void;
type DropRow = Dropped & { readonly isClockTrusted: number };

export class JournalBounds {
  readonly #statements: Statements;
  readonly #write: Write;
  readonly #pageBytes: number;

  constructor(database: Database, write: Write) {
    this.#statements = prepareStatements(database);
    this.#write = write;
    this.#pageBytes = Number(database.pragma('page_size', { simple: true }));
  }

  /** Pages in use. The file has those of its largest extent; free ones are used again. */
  usedBytes(): number {
    const { pages, free } = this.#statements.pages.get() as { pages: number; free: number };
    return (pages - free) * this.#pageBytes;
  }

  /**
   * Gives up readings that are not sealed; in order of time. Their time goes into the device's stretches, their number
   * into its counter. Gives the counter.
   */
  drop(device: Uint8Array, readings: readonly Reading[]): number {
    const { deleteReading, countDropped, dropped } = this.#statements;
    this.#write('drop readings', () => {
      for (const { channel, timeSec, isClockTrusted } of readings) {
        const deleted = deleteReading.run(device, channel, timeSec);
        assert(deleted.changes === 1, `the dropped reading of channel ${channel} at ${timeSec} is in the journal`);
        this.#extend(device, timeSec, isClockTrusted ? 1 : 0);
      }
      countDropped.run(readings.length, device);
    });
    return (dropped.get(device) as { dropped: number }).dropped;
  }

  /** The oldest stretch without a statement. */
  unstated(device: Uint8Array): UnstatedDrop | undefined {
    const row = this.#statements.unstated.get(device) as DropRow | undefined;
    return row === undefined ? undefined : { ...row, isClockTrusted: row.isClockTrusted === 1 };
  }

  unstatedCount(device: Uint8Array): number {
    return (this.#statements.unstatedCount.get(device) as { count: number }).count;
  }

  /** Within the transaction of the batch that tells of it. What was dropped meanwhile waits for the next one. */
  stated(device: Uint8Array, { firstSec, lastSec, count }: Dropped): void {
    const { removeDrop, shortenDrop } = this.#statements;
    if (removeDrop.run(device, firstSec, count).changes === 1) return;
    const shortened = shortenDrop.run(lastSec, count, device, firstSec);
    assert(shortened.changes === 1, `the stretch from ${firstSec} is in the journal`);
  }

  /** Settled envelopes that are still here, by sequence from `sequence` on, at most `limit`. */
  kept(device: Uint8Array, sequence: number, limit: number): KeptEnvelope[] {
    return this.#statements.kept.all(device, sequence, limit) as KeptEnvelope[];
  }

  keptCount(device: Uint8Array): number {
    return (this.#statements.keptCount.get(device) as { count: number }).count;
  }

  /** Dates what has been settled since the last call, and drops what was settled at `untilSec` or before. */
  pruneKept(nowSec: number, untilSec: number): void {
    const { hasKept, dateKept, pruneKept } = this.#statements;
    if (hasKept.get(untilSec) === undefined) return;
    this.#write('prune settled envelopes', () => {
      dateKept.run(nowSec);
      pruneKept.run(untilSec);
    });
  }

  /** Drops the longest settled ones, some at a time. Gives how many; 0 when there are none. */
  giveUpKept(): number {
    const { giveUpKept } = this.#statements;
    if (this.#statements.anyKept.get() === undefined) return 0;
    let count = 0;
    this.#write('give up settled envelopes', () => {
      count = giveUpKept.run(pruneRowsMax).changes;
    });
    return count;
  }

  #extend(device: Uint8Array, timeSec: number, isClockTrusted: number): void {
    const { extendDrop, insertDrop } = this.#statements;
    const { changes } = extendDrop.run({ device, timeSec, isClockTrusted, spanSec: sampleDeltaSecMax });
    if (changes === 0) insertDrop.run({ device, timeSec, isClockTrusted });
  }
}

type Statements = ReturnType<typeof prepareStatements>;

function prepareStatements(database: Database) {
  const prepare = (sql: string): Statement => database.prepare(sql);
  return {
    pages: prepare(`
      SELECT page_count AS pages, freelist_count AS free FROM pragma_page_count, pragma_freelist_count`),
    deleteReading: prepare('DELETE FROM readings WHERE device = ? AND channel = ? AND timeSec = ?'),
    countDropped: prepare('UPDATE heads SET dropped = dropped + ? WHERE device = ?'),
    dropped: prepare('SELECT dropped FROM heads WHERE device = ?'),
    // The stretch that begins last at or before this time, if it still reaches: a statement spans one delta.
    extendDrop: prepare(`
      UPDATE drops SET lastSec = max(lastSec, @timeSec), count = count + 1,
        isClockTrusted = min(isClockTrusted, @isClockTrusted)
      WHERE device = @device AND firstSec >= @timeSec - @spanSec AND firstSec = (
        SELECT max(firstSec) FROM drops WHERE device = @device AND firstSec <= @timeSec)`),
    insertDrop: prepare('INSERT INTO drops VALUES (@device, @timeSec, @timeSec, 1, @isClockTrusted)'),
    unstated: prepare(`
      SELECT firstSec, lastSec, count, isClockTrusted FROM drops WHERE device = ? ORDER BY firstSec LIMIT 1`),
    unstatedCount: prepare('SELECT count(*) AS count FROM drops WHERE device = ?'),
    removeDrop: prepare('DELETE FROM drops WHERE device = ? AND firstSec = ? AND count = ?'),
    shortenDrop: prepare('UPDATE drops SET firstSec = ?, count = count - ? WHERE device = ? AND firstSec = ?'),
    kept: prepare(`
      SELECT sequence, digest, bytes, checksum FROM kept
      WHERE device = ? AND sequence >= ? ORDER BY sequence LIMIT ?`),
    keptCount: prepare('SELECT count(*) AS count FROM kept WHERE device = ?'),
    hasKept: prepare('SELECT 1 FROM kept WHERE settledSec IS NULL OR settledSec <= ? LIMIT 1'),
    dateKept: prepare('UPDATE kept SET settledSec = ? WHERE settledSec IS NULL'),
    pruneKept: prepare('DELETE FROM kept WHERE settledSec <= ?'),
    anyKept: prepare('SELECT 1 FROM kept LIMIT 1'),
    // Undated ones are the latest; SQLite sorts NULL first.
    giveUpKept: prepare(`
      DELETE FROM kept WHERE rowid IN (
        SELECT rowid FROM kept ORDER BY settledSec IS NULL, settledSec, device, sequence LIMIT ?)`),
  };
}
