/**
 * The journal's book of receipts: which log has promised what, and where each log stands. An envelope is *released*
 * when so many required logs (`receiptsMin`) have given their receipt: then the agent's duty for it is done. It is kept
 * on for the logs that lack it, since an oracle takes only the next sequence of a device, but no longer than for
 * `lagBatchesMax` batches. Each log has a cursor, the lowest sequence that it has given no receipt for, so that one
 * log can stand still without any other's knowing.
 */
import { createHash } from 'node:crypto';
import type { Database, Statement } from 'better-sqlite3';
import { assert, bytesEqual, bytesToHex, claimedLogOf } from '@coldproof/wire';
import { OperatingError } from './operating-error.ts';

/** Receipts are kept as proof of the logs' promises, those of the newest so many batches: about 1 MB for one log. */
export const receiptsKeptMax = 4_096;

export type PendingEnvelope = {
  readonly sequence: number;
  readonly digest: Uint8Array;
  readonly bytes: Uint8Array;
};

/** A verified receipt for this device; `bytes` are the whole of it. */
export type ReceiptEntry = {
  readonly log: Uint8Array;
  readonly sequence: number;
  readonly digest: Uint8Array;
  readonly bytes: Uint8Array;
};

/** What became of a verified receipt. */
export type Settlement =
  | 'settled'
  /** The same receipt once more: after a resend, or from the log's other connection. */
  | 'repeated'
  /** The log has promised another place or another digest for this sequence before. */
  | 'contradicted'
  /** No envelope waits for it, and none is known to have. */
  | 'not-awaited'
  /** An envelope waits, but has another digest. */
  | 'another-batch';

export type LogCursor = {
  /** SHA-256 of the log's key. */
  readonly log: Uint8Array;
  /** The lowest sequence without its receipt; the device's next sequence when it has all. */
  readonly next: number;
  readonly receipts: number;
  /** Batches that this log can no longer get from here: dropped before it had them. */
  readonly missed: number;
};

/** What a new set of logs means: from where an added log gets batches, and where a removed one was left. */
export type LogChange = LogCursor & { readonly change: 'log-added' | 'log-removed' };

export type ReceiptTerms = {
  readonly logs: readonly Uint8Array[];
  /** 1 to the number of logs. */
  readonly receiptsMin: number;
  readonly lagBatchesMax: number;
};

export const receiptsSchema = `
  CREATE TABLE receipts (
    device BLOB NOT NULL, sequence INTEGER NOT NULL, log BLOB NOT NULL, bytes BLOB NOT NULL,
    PRIMARY KEY (device, sequence, log)
  ) WITHOUT ROWID, STRICT;
  CREATE TABLE cursors (
    device BLOB NOT NULL, log BLOB NOT NULL, next INTEGER NOT NULL, receipts INTEGER NOT NULL, missed INTEGER NOT NULL,
    isRequired INTEGER NOT NULL, PRIMARY KEY (device, log)
  ) WITHOUT ROWID, STRICT;
  CREATE INDEX releasedEnvelopes ON envelopes (device, sequence) WHERE isReleased = 1;
`;

type EnvelopeRow = { sequence: number; digest: Uint8Array; bytes: Uint8Array; checksum: Uint8Array };
type CursorRow = LogCursor & { readonly isRequired: number };
type Write = (what: string, work: () => void) => void;

export class JournalReceipts {
  readonly #statements: Statements;
  readonly #write: Write;
  /** By device in hex, like the cursors: those are asked for at each look at the status. */
  readonly #terms = new Map<string, ReceiptTerms>();
  readonly #cursors = new Map<string, readonly LogCursor[]>();

  constructor(database: Database, write: Write) {
    this.#statements = prepareStatements(database);
    this.#write = write;
  }

  /** Must come before `settle`. The logs that `terms` has no longer lose their claim on envelopes, and are told. */
  require(device: Uint8Array, terms: ReceiptTerms): LogChange[] {
    assert(terms.receiptsMin >= 1 && terms.receiptsMin <= terms.logs.length, 'receiptsMin is 1 to the count of logs');
    this.#terms.set(bytesToHex(device), terms);
    const rows = this.#statements.cursors.all(device) as CursorRow[];
    const isNamed = ({ log }: CursorRow) => terms.logs.some((each) => bytesEqual(each, log));
    const added = terms.logs.filter((log) => !rows.some((row) => row.isRequired === 1 && bytesEqual(row.log, log)));
    const removed = rows.filter((row) => row.isRequired === 1 && !isNamed(row));
    this.#write('take up the logs', () => {
      const head = this.#headOf(device);
      for (const log of added) this.#add(device, log, head);
      for (const { log } of removed) this.#statements.putAside.run(device, log);
      this.#sweep(device, terms, head);
    });
    const cursors = this.#readCursors(device);
    this.#cursors.set(bytesToHex(device), cursors);
    return [
      ...cursors
        .filter(({ log }) => added.some((each) => bytesEqual(each, log)))
        .map((cursor) => ({ ...cursor, change: 'log-added' as const })),
      ...removed.map((cursor) => ({ ...cursor, change: 'log-removed' as const })),
    ];
  }

  /** Of the required logs. */
  cursors(device: Uint8Array): readonly LogCursor[] {
    return this.#cursors.get(bytesToHex(device)) ?? this.#readCursors(device);
  }

  #readCursors(device: Uint8Array): LogCursor[] {
    const rows = this.#statements.cursors.all(device) as CursorRow[];
    return rows
      .filter(({ isRequired }) => isRequired === 1)
      .map(({ log, next, receipts, missed }) => ({ log, next, receipts, missed }));
  }

  /** What the log has given no receipt for, oldest first, from `sequence` on, at most `limit`. */
  pending(device: Uint8Array, log: Uint8Array, sequence: number, limit: number): PendingEnvelope[] {
    return checkEnvelopes(device, this.#statements.pending.all({ device, log, sequence, limit }));
  }

  /** The kept receipts of one log, oldest first, from `sequence` on, at most `limit`. */
  kept(
    device: Uint8Array,
    log: Uint8Array,
    sequence: number,
    limit: number,
  ): { sequence: number; bytes: Uint8Array }[] {
    return this.#statements.kept.all(device, log, sequence, limit) as { sequence: number; bytes: Uint8Array }[];
  }

  /**
   * In the order of `entries`, all in one transaction: receipts come in crowds, and an fsync costs the same for one.
   * `released` is how many envelopes the duty has ended for.
   */
  settle(
    device: Uint8Array,
    entries: readonly ReceiptEntry[],
  ): { readonly settlements: readonly Settlement[]; readonly released: number } {
    const taken = new Map<string, ReceiptEntry>();
    const settlements = entries.map((entry) => {
      const key = `${entry.sequence}/${bytesToHex(entry.log)}`;
      const before = taken.get(key);
      if (before !== undefined) return bytesEqual(before.bytes, entry.bytes) ? 'repeated' : 'contradicted';
      const settlement = this.#judge(device, entry);
      if (settlement === 'settled') taken.set(key, entry);
      return settlement;
    });
    let released = 0;
    if (taken.size > 0) {
      this.#write('settle envelopes', () => {
        released = this.#settle(device, [...taken.values()]);
      });
      this.#cursors.set(bytesToHex(device), this.#readCursors(device));
    }
    return { settlements, released };
  }

  #judge(device: Uint8Array, { log, sequence, digest, bytes }: ReceiptEntry): Settlement {
    const known = this.#statements.receipt.get(device, sequence, log) as { bytes: Uint8Array } | undefined;
    if (known !== undefined) return bytesEqual(known.bytes, bytes) ? 'repeated' : 'contradicted';
    const envelope = this.#statements.envelopeDigest.get(device, sequence) as { digest: Uint8Array } | undefined;
    if (envelope === undefined) return 'not-awaited';
    return bytesEqual(envelope.digest, digest) ? 'settled' : 'another-batch';
  }

  #settle(device: Uint8Array, entries: readonly ReceiptEntry[]): number {
    const { insertReceipt, countReceipt, advance, countReceipts, release, drop, countReleased } = this.#statements;
    const { logs, receiptsMin, lagBatchesMax } = this.#termsOf(device);
    const head = this.#headOf(device);
    let released = 0;
    for (const { log, sequence, bytes } of entries) {
      insertReceipt.run(device, sequence, log, bytes);
      countReceipt.run(device, log);
      const { count } = countReceipts.get({ device, sequence }) as { count: number };
      if (count >= receiptsMin) released += release.run(device, sequence).changes;
      if (count === logs.length) drop.run(device, sequence);
    }
    if (released > 0) countReleased.run(released, device);
    this.#dropLagging(device, head - lagBatchesMax);
    for (const log of logs) advance.run({ device, log, head });
    this.#prune(device, Math.max(...entries.map(({ sequence }) => sequence)));
    return released;
  }

  /** Those below `bound` that are released, and are kept only for logs that lag behind by too much. */
  #dropLagging(device: Uint8Array, bound: number): void {
    const { countMissed, dropReleased } = this.#statements;
    if (bound <= 0 || this.#readCursors(device).every(({ next }) => next >= bound)) return;
    countMissed.run({ device, bound });
    dropReleased.run(device, bound);
  }

  /** A receipt is wanted for as long as its envelope is kept, so that it is not asked for again. */
  #prune(device: Uint8Array, newest: number): void {
    const { oldest, pruneReceipts } = this.#statements;
    const { sequence } = oldest.get(device) as { sequence: number | null };
    pruneReceipts.run(device, Math.min(newest - receiptsKeptMax, (sequence ?? newest) - 1));
  }

  /** Gets what is still kept; what it lacks of the time before, it has to take from another log. */
  #add(device: Uint8Array, log: Uint8Array, head: number): void {
    const { insertCursor, takeUp, countAbsent } = this.#statements;
    insertCursor.run(device, log);
    takeUp.run(device, log);
    countAbsent.run({ device, log, head });
  }

  /** Each envelope by the terms of today. Only those with receipts can have changed by new terms. */
  #sweep(device: Uint8Array, { logs, receiptsMin, lagBatchesMax }: ReceiptTerms, head: number): void {
    const { releaseAll, dropAll, countReleased, advance } = this.#statements;
    const { changes } = releaseAll.run({ device, receiptsMin });
    if (changes > 0) countReleased.run(changes, device);
    dropAll.run({ device, count: logs.length });
    this.#dropLagging(device, head - lagBatchesMax);
    for (const log of logs) advance.run({ device, log, head });
  }

  #headOf(device: Uint8Array): number {
    const row = this.#statements.head.get(device) as { sequence: number } | undefined;
    assert(row !== undefined, `device ${bytesToHex(device)} was adopted`);
    return row.sequence;
  }

  #termsOf(device: Uint8Array): ReceiptTerms {
    const terms = this.#terms.get(bytesToHex(device));
    assert(terms !== undefined, `the logs of device ${bytesToHex(device)} are known`);
    return terms;
  }
}

/** Throws `journal-damaged` for bytes that are not those that were written. */
export function checkEnvelopes(device: Uint8Array, found: readonly unknown[]): PendingEnvelope[] {
  // Rows of `SELECT sequence, digest, bytes, checksum FROM envelopes`.
  const rows = found as EnvelopeRow[];
  for (const { sequence, bytes, checksum } of rows) {
    if (bytesEqual(checksumOf(bytes), checksum)) continue;
    const message = `envelope ${sequence} of ${bytesToHex(device)}: not the bytes that were written`;
    throw new OperatingError('journal-damaged', message, { retry: 'never' });
  }
  return rows;
}

export function checksumOf(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest();
}

/** From version 1, which knew one log and did not name it: its receipts do. */
export function upgradeReceipts(database: Database): void {
  const rows = database.prepare('SELECT device, sequence, bytes FROM receipts').all() as (ReceiptEntry & {
    device: Uint8Array;
  })[];
  database.exec(`
    DROP TABLE receipts;
    ALTER TABLE envelopes ADD COLUMN isReleased INTEGER NOT NULL DEFAULT 0;
    ${receiptsSchema}
  `);
  const insertReceipt = database.prepare('INSERT INTO receipts VALUES (?, ?, ?, ?)');
  const insertCursor = database.prepare(`
    INSERT INTO cursors SELECT device, ?, 0, receipts, 0, 1 FROM heads WHERE device = ? ON CONFLICT DO NOTHING`);
  for (const { device, sequence, bytes } of rows) {
    const log = claimedLogOf(bytes);
    if (!log.ok) continue;
    insertReceipt.run(device, sequence, log.value, bytes);
    insertCursor.run(log.value, device);
  }
}

type Statements = ReturnType<typeof prepareStatements>;

function prepareStatements(database: Database) {
  const prepare = (sql: string): Statement => database.prepare(sql);
  /** Of the required logs, for the envelope of the query around it. */
  const receiptCount = (device: string, sequence: string) => `(
    SELECT count(*) FROM receipts JOIN cursors USING (device, log)
    WHERE receipts.device = ${device} AND receipts.sequence = ${sequence} AND isRequired = 1)`;
  const lacks = (log: string) => `NOT EXISTS (
    SELECT 1 FROM receipts WHERE receipts.device = envelopes.device AND receipts.sequence = envelopes.sequence
      AND receipts.log = ${log})`;
  const hasReceipts = 'sequence IN (SELECT sequence FROM receipts WHERE device = @device)';
  return {
    head: prepare('SELECT sequence FROM heads WHERE device = ?'),
    cursors: prepare('SELECT log, next, receipts, missed, isRequired FROM cursors WHERE device = ? ORDER BY log'),
    insertCursor: prepare('INSERT INTO cursors VALUES (?, ?, 0, 0, 0, 0) ON CONFLICT DO NOTHING'),
    takeUp: prepare('UPDATE cursors SET isRequired = 1 WHERE device = ? AND log = ?'),
    putAside: prepare('UPDATE cursors SET isRequired = 0 WHERE device = ? AND log = ?'),
    countAbsent: prepare(`
      UPDATE cursors SET missed = missed + (@head - next)
        - (SELECT count(*) FROM envelopes WHERE device = @device AND sequence >= next AND ${lacks('@log')})
        - (SELECT count(*) FROM receipts WHERE device = @device AND sequence >= next AND log = @log)
      WHERE device = @device AND log = @log`),
    advance: prepare(`
      UPDATE cursors SET next = coalesce((
        SELECT sequence FROM envelopes WHERE device = @device AND sequence >= next AND ${lacks('@log')}
        ORDER BY sequence LIMIT 1), @head)
      WHERE device = @device AND log = @log`),
    pending: prepare(`
      SELECT sequence, digest, bytes, checksum FROM envelopes
      WHERE device = @device AND ${lacks('@log')} AND sequence >= max(@sequence, coalesce(
        (SELECT next FROM cursors WHERE device = @device AND log = @log), 0))
      ORDER BY sequence LIMIT @limit`),
    kept: prepare(`
      SELECT sequence, bytes FROM receipts
      WHERE device = ? AND log = ? AND sequence >= ? ORDER BY sequence LIMIT ?`),
    receipt: prepare('SELECT bytes FROM receipts WHERE device = ? AND sequence = ? AND log = ?'),
    envelopeDigest: prepare('SELECT digest FROM envelopes WHERE device = ? AND sequence = ?'),
    insertReceipt: prepare('INSERT INTO receipts VALUES (?, ?, ?, ?)'),
    countReceipt: prepare('UPDATE cursors SET receipts = receipts + 1 WHERE device = ? AND log = ?'),
    countReceipts: prepare(`SELECT ${receiptCount('@device', '@sequence')} AS count`),
    release: prepare('UPDATE envelopes SET isReleased = 1 WHERE device = ? AND sequence = ? AND isReleased = 0'),
    releaseAll: prepare(`
      UPDATE envelopes SET isReleased = 1 WHERE device = @device AND isReleased = 0 AND ${hasReceipts}
        AND ${receiptCount('envelopes.device', 'envelopes.sequence')} >= @receiptsMin`),
    countReleased: prepare('UPDATE heads SET receipts = receipts + ? WHERE device = ?'),
    drop: prepare('DELETE FROM envelopes WHERE device = ? AND sequence = ?'),
    dropAll: prepare(`
      DELETE FROM envelopes WHERE device = @device AND isReleased = 1 AND ${hasReceipts}
        AND ${receiptCount('envelopes.device', 'envelopes.sequence')} >= @count`),
    countMissed: prepare(`
      UPDATE cursors SET missed = missed + (
        SELECT count(*) FROM envelopes
        WHERE device = @device AND isReleased = 1 AND sequence < @bound AND ${lacks('cursors.log')})
      WHERE device = @device AND isRequired = 1`),
    dropReleased: prepare('DELETE FROM envelopes WHERE device = ? AND isReleased = 1 AND sequence < ?'),
    oldest: prepare('SELECT min(sequence) AS sequence FROM envelopes WHERE device = ?'),
    pruneReceipts: prepare('DELETE FROM receipts WHERE device = ? AND sequence <= ?'),
  };
}
