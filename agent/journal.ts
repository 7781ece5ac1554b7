/**
 * The agent's durable memory, and the only file with SQL: readings that are not sealed, envelopes without a receipt,
 * and where each device and channel stands. What a method has returned from is on the disk (WAL, synchronous=FULL: one
 * fsync for each transaction). After the first failed write nothing is tried again: an fsync that failed once can
 * "succeed" the next time without the data (PostgreSQL's lesson of 2018), so the process has to end and reopen.
 *
 * The exclusive lock on the file is the operating system's and goes with the process, also at a kill -9.
 */
import { createHash } from 'node:crypto';
import { accessSync, constants, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Database, Statement } from 'better-sqlite3';
import { assert, bytesEqual, bytesToHex, noPrevious } from '@coldproof/wire';
import { SqliteDatabase } from './journal-sqlite.ts';
import { fsyncFolder } from './durable-file.ts';
import { describeError, OperatingError } from './operating-error.ts';
import type { Reading, SamplerState } from './sample.ts';

/** Where a device's chain of batches stands. */
export type Head = {
  /** Sequence of the next batch: also how many there have been. */
  readonly sequence: number;
  readonly previous: Uint8Array;
  /** Batches whose receipt has come. */
  readonly receipts: number;
};

export type SealedBatch = {
  readonly device: Uint8Array;
  readonly sequence: number;
  readonly digest: Uint8Array;
  /** The encoded envelope. */
  readonly bytes: Uint8Array;
  readonly readings: readonly Reading[];
};

export type PendingEnvelope = {
  readonly sequence: number;
  readonly digest: Uint8Array;
  readonly bytes: Uint8Array;
};

export type JournalEntry = {
  readonly device: Uint8Array;
  readonly reading: Reading;
  /** The channel's state with this reading in it. */
  readonly state: SamplerState;
};

/** What became of a verified receipt. */
export type Settlement = 'settled' | 'not-awaited' | 'another-batch';

/** Receipts are kept as proof of the log's promise, the newest so many of a device: about 1 MB. */
export const receiptsKeptMax = 4_096;

const applicationId = 0x43504a31;
const schemaVersion = 1;

const schema = `
  CREATE TABLE heads (
    device BLOB PRIMARY KEY, sequence INTEGER NOT NULL, previous BLOB NOT NULL, receipts INTEGER NOT NULL
  ) WITHOUT ROWID, STRICT;
  CREATE TABLE channels (
    device BLOB NOT NULL, channel INTEGER NOT NULL, newestSec INTEGER NOT NULL, marks INTEGER NOT NULL,
    lastValidSec INTEGER, lastValidValue INTEGER, equalCount INTEGER,
    PRIMARY KEY (device, channel)
  ) WITHOUT ROWID, STRICT;
  CREATE TABLE readings (
    device BLOB NOT NULL, channel INTEGER NOT NULL, timeSec INTEGER NOT NULL, value INTEGER NOT NULL,
    marks INTEGER NOT NULL, isClockTrusted INTEGER NOT NULL,
    PRIMARY KEY (device, channel, timeSec)
  ) WITHOUT ROWID, STRICT;
  CREATE TABLE envelopes (
    device BLOB NOT NULL, sequence INTEGER NOT NULL, digest BLOB NOT NULL, bytes BLOB NOT NULL, checksum BLOB NOT NULL,
    PRIMARY KEY (device, sequence)
  ) STRICT;
  CREATE TABLE receipts (
    device BLOB NOT NULL, sequence INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (device, sequence)
  ) STRICT;
`;

type ReadingRow = { channel: number; timeSec: number; value: number; marks: number; isClockTrusted: number };
type ChannelRow = {
  channel: number;
  newestSec: number;
  marks: number;
  lastValidSec: number | null;
  lastValidValue: number | null;
  equalCount: number | null;
};
type EnvelopeRow = { sequence: number; digest: Uint8Array; bytes: Uint8Array; checksum: Uint8Array };

export class Journal {
  readonly #database: Database;
  readonly #statements: Statements;
  #failure: OperatingError | undefined;

  /** Opens or makes `stateDir`/journal.db. Throws `journal-locked` when another process has it. */
  static open(stateDir: string): Journal {
    const path = join(stateDir, 'journal.db');
    let database: Database | undefined;
    try {
      mkdirSync(stateDir, { recursive: true, mode: 0o700 });
      // A read-only disk by its name: SQLite would call it an I/O error.
      accessSync(stateDir, constants.W_OK);
      database = new SqliteDatabase(path, { timeout: 0 });
      prepareFile(database, path);
      fsyncFolder(stateDir);
      return new Journal(database);
    } catch (cause) {
      database?.close();
      throw cause instanceof OperatingError ? cause : openingError(path, cause);
    }
  }

  private constructor(database: Database) {
    this.#database = database;
    this.#statements = prepareStatements(database);
  }

  close(): void {
    this.#database.close();
  }

  /** Gives a new key its place: sequence 0. Without it the key cannot be used here, see `head`. */
  adoptDevice(device: Uint8Array): void {
    this.#write('adopt a device', () => this.#statements.adopt.run(device, noPrevious));
  }

  /** For a sensor that signs by itself and had another gateway before: its chain goes on from here. */
  adoptDeviceAt(device: Uint8Array, sequence: number, previous: Uint8Array): void {
    this.#write('adopt a device', () => this.#statements.adoptAt.run(device, sequence, previous));
  }

  /** As `head`, undefined for a device that was never adopted. */
  findHead(device: Uint8Array): Head | undefined {
    return this.#statements.head.get(device) as Head | undefined;
  }

  /** A new key measures with the same sensors: what they said last is said already. Twice is as once. */
  handOver(device: Uint8Array, successor: Uint8Array): void {
    this.#write('hand over to another key', () => this.#statements.copyChannels.run(successor, device));
  }

  /**
   * Throws `journal-of-another-key` for a device that was never adopted here. A lost journal must not let a key begin
   * again at sequence 0: two batches with one sequence are what a forger's look like.
   */
  head(device: Uint8Array): Head {
    const row = this.findHead(device);
    if (row !== undefined) return row;
    const why = 'expected a head in the journal, found none; a lost journal needs a new key';
    const message = `device ${bytesToHex(device)}: ${why}`;
    throw new OperatingError('journal-of-another-key', message, { retry: 'never' });
  }

  /** By channel, as of the newest reading that was ever recorded. */
  samplerStates(device: Uint8Array): Map<number, SamplerState> {
    const rows = this.#statements.channels.all(device) as ChannelRow[];
    return new Map(rows.map((row) => [row.channel, samplerStateOf(row)]));
  }

  /** Unsealed readings, by channel and time. */
  readings(device: Uint8Array): Reading[] {
    const rows = this.#statements.readings.all(device) as ReadingRow[];
    return rows.map((row) => ({ ...row, isClockTrusted: row.isClockTrusted === 1 }));
  }

  /** All of them, or none and an error. Each must be newer than its channel's newest: the sampler has seen to it. */
  record(entries: readonly JournalEntry[]): void {
    const { insertReading, putChannel } = this.#statements;
    this.#write('record readings', () => {
      for (const { device, reading, state } of entries) {
        const { channel, timeSec, value, marks, isClockTrusted } = reading;
        insertReading.run(device, channel, timeSec, value, marks, isClockTrusted ? 1 : 0);
        const { lastValid } = state;
        const { changes } = putChannel.run({
          device,
          channel,
          newestSec: timeSec,
          marks: state.marks,
          lastValidSec: lastValid?.timeSec ?? null,
          lastValidValue: lastValid?.value ?? null,
          equalCount: lastValid?.equalCount ?? null,
        });
        assert(changes === 1, `channel ${channel}: reading at ${timeSec} is newer than all before it`);
      }
    });
  }

  /** Envelope in, head on, readings out, in one transaction: the same readings are never sealed twice. */
  append({ device, sequence, digest, bytes, readings }: SealedBatch): void {
    const { insertEnvelope, moveHead, deleteReading } = this.#statements;
    this.#write('append an envelope', () => {
      insertEnvelope.run(device, sequence, digest, bytes, checksumOf(bytes));
      const moved = moveHead.run(sequence + 1, digest, device, sequence);
      assert(moved.changes === 1, `sequence ${sequence} is the next one of its device`);
      for (const { channel, timeSec } of readings) {
        const deleted = deleteReading.run(device, channel, timeSec);
        assert(deleted.changes === 1, `the sealed reading of channel ${channel} at ${timeSec} is in the journal`);
      }
    });
  }

  /** Envelopes without a receipt, oldest first, from `sequence` on, at most `limit`. */
  pending(device: Uint8Array, sequence: number, limit: number): PendingEnvelope[] {
    const rows = this.#statements.pending.all(device, sequence, limit) as EnvelopeRow[];
    for (const { sequence, bytes, checksum } of rows) {
      if (bytesEqual(checksumOf(bytes), checksum)) continue;
      const message = `envelope ${sequence} of ${bytesToHex(device)}: not the bytes that were written`;
      throw new OperatingError('journal-damaged', message, { retry: 'never' });
    }
    return rows;
  }

  pendingCount(device: Uint8Array): number {
    return this.pendingExtent(device).count;
  }

  pendingExtent(device: Uint8Array): { count: number; bytes: number; newestSequence: number | undefined } {
    const row = this.#statements.pendingExtent.get(device) as { count: number; bytes: number; newest: number | null };
    return { count: row.count, bytes: row.bytes, newestSequence: row.newest ?? undefined };
  }

  /** The kept receipts, oldest first, from `sequence` on, at most `limit`. */
  receipts(device: Uint8Array, sequence: number, limit: number): { sequence: number; bytes: Uint8Array }[] {
    return this.#statements.receipts.all(device, sequence, limit) as { sequence: number; bytes: Uint8Array }[];
  }

  /** Ends the duty to keep an envelope. `receipt` must be verified and name this device, sequence and digest. */
  settle(device: Uint8Array, sequence: number, digest: Uint8Array, receipt: Uint8Array): Settlement {
    const { envelopeDigest, deleteEnvelope, countReceipt, insertReceipt, pruneReceipts } = this.#statements;
    const row = envelopeDigest.get(device, sequence) as { digest: Uint8Array } | undefined;
    if (row === undefined) return 'not-awaited';
    if (!bytesEqual(row.digest, digest)) return 'another-batch';
    this.#write('settle an envelope', () => {
      deleteEnvelope.run(device, sequence);
      countReceipt.run(device);
      insertReceipt.run(device, sequence, receipt);
      pruneReceipts.run(device, sequence - receiptsKeptMax);
    });
    return 'settled';
  }

  #write(what: string, work: () => void): void {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      this.#database.transaction(work).immediate();
    } catch (cause) {
      // What is no SqliteError is a bug of ours: rolled back, and not to be dressed up as a fault of the disk.
      if (!(cause instanceof SqliteDatabase.SqliteError)) throw cause;
      const then = 'not acknowledged and not tried again; a new start reads what the disk has';
      const message = `journal: could not ${what}: ${cause.message} (${cause.code}); ${then}`;
      this.#failure = new OperatingError('journal-write-failed', message, { retry: 'never', cause });
      throw this.#failure;
    }
  }
}

/** Locks, then checks that the file is ours, then makes the tables of a new one. */
function prepareFile(database: Database, path: string): void {
  database.pragma('locking_mode = EXCLUSIVE');
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = FULL');
  database
    .transaction(() => {
      const version = database.pragma('user_version', { simple: true });
      const application = database.pragma('application_id', { simple: true });
      if (version === 0 && application === 0) {
        database.exec(schema);
        database.pragma(`user_version = ${schemaVersion}`);
        database.pragma(`application_id = ${applicationId}`);
      } else if (version !== schemaVersion || application !== applicationId) {
        const got = `${String(application)}/${String(version)}`;
        const message = `${path}: expected a journal of version ${applicationId}/${schemaVersion}, got ${got}`;
        throw new OperatingError('journal-damaged', message, { retry: 'never' });
      }
    })
    .exclusive();
}

function openingError(path: string, cause: unknown): OperatingError {
  const code = cause instanceof SqliteDatabase.SqliteError ? cause.code : '';
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return new OperatingError('journal-locked', `${path}: another agent has it`, { retry: 'later', cause });
  }
  const isDamaged = code.startsWith('SQLITE_NOTADB') || code.startsWith('SQLITE_CORRUPT');
  const message = `${path}: ${describeError(cause)}`;
  return new OperatingError(isDamaged ? 'journal-damaged' : 'state-unavailable', message, { retry: 'never', cause });
}

type Statements = ReturnType<typeof prepareStatements>;

function prepareStatements(database: Database) {
  const prepare = (sql: string): Statement => database.prepare(sql);
  return {
    adopt: prepare('INSERT INTO heads VALUES (?, 0, ?, 0)'),
    adoptAt: prepare('INSERT INTO heads (device, sequence, previous, receipts) VALUES (?, ?, ?, 0)'),
    head: prepare('SELECT sequence, previous, receipts FROM heads WHERE device = ?'),
    moveHead: prepare('UPDATE heads SET sequence = ?, previous = ? WHERE device = ? AND sequence = ?'),
    countReceipt: prepare('UPDATE heads SET receipts = receipts + 1 WHERE device = ?'),
    channels: prepare('SELECT * FROM channels WHERE device = ?'),
    putChannel: prepare(`
      INSERT INTO channels VALUES
        (@device, @channel, @newestSec, @marks, @lastValidSec, @lastValidValue, @equalCount)
      ON CONFLICT DO UPDATE SET newestSec = @newestSec, marks = @marks, lastValidSec = @lastValidSec,
        lastValidValue = @lastValidValue, equalCount = @equalCount WHERE newestSec < @newestSec`),
    copyChannels: prepare(`
      INSERT INTO channels (device, channel, newestSec, marks, lastValidSec, lastValidValue, equalCount)
      SELECT ?, channel, newestSec, marks, lastValidSec, lastValidValue, equalCount FROM channels WHERE device = ?
      ON CONFLICT DO NOTHING`),
    readings: prepare(`
      SELECT channel, timeSec, value, marks, isClockTrusted FROM readings
      WHERE device = ? ORDER BY channel, timeSec`),
    insertReading: prepare('INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?)'),
    deleteReading: prepare('DELETE FROM readings WHERE device = ? AND channel = ? AND timeSec = ?'),
    insertEnvelope: prepare('INSERT INTO envelopes VALUES (?, ?, ?, ?, ?)'),
    pending: prepare(`
      SELECT sequence, digest, bytes, checksum FROM envelopes
      WHERE device = ? AND sequence >= ? ORDER BY sequence LIMIT ?`),
    pendingExtent: prepare(`
      SELECT count(*) AS count, coalesce(sum(length(bytes)), 0) AS bytes, max(sequence) AS newest
      FROM envelopes WHERE device = ?`),
    receipts: prepare(`
      SELECT sequence, bytes FROM receipts WHERE device = ? AND sequence >= ? ORDER BY sequence LIMIT ?`),
    envelopeDigest: prepare('SELECT digest FROM envelopes WHERE device = ? AND sequence = ?'),
    deleteEnvelope: prepare('DELETE FROM envelopes WHERE device = ? AND sequence = ?'),
    insertReceipt: prepare('INSERT INTO receipts VALUES (?, ?, ?)'),
    pruneReceipts: prepare('DELETE FROM receipts WHERE device = ? AND sequence <= ?'),
  };
}

function samplerStateOf({ newestSec, marks, lastValidSec, lastValidValue, equalCount }: ChannelRow): SamplerState {
  const lastValid =
    lastValidSec === null || lastValidValue === null || equalCount === null
      ? undefined
      : { timeSec: lastValidSec, value: lastValidValue, equalCount };
  return { newestSec, marks, lastValid };
}

function checksumOf(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest();
}
