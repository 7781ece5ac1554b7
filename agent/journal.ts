/**
 * The agent's durable memory, and the only file with SQL: readings that are not sealed, envelopes without a receipt,
 * and where each device and channel stands. What a method has returned from is on the disk (WAL, synchronous=FULL: one
 * fsync for each transaction). After the first failed write nothing is tried again: an fsync that failed once can
 * "succeed" the next time without the data (PostgreSQL's lesson of 2018), so the process has to end and reopen.
 *
 * The exclusive lock on the file is the operating system's and goes with the process, also at a kill -9.
 */
import { randomBytes } from 'node:crypto';
import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Database, Statement } from 'better-sqlite3';
import { assert, bytesToHex, noPrevious } from '@coldproof/wire';
import { JournalBounds, type UnstatedDrop } from './journal-bounds.ts';
import { checkEnvelopes, checksumOf, JournalReceipts, type PendingEnvelope } from './journal-receipts.ts';
import { prepareFile } from './journal-schema.ts';
import { JournalSecrets } from './journal-secrets.ts';
import { SqliteDatabase } from './journal-sqlite.ts';
import { fsyncFolder } from './durable-file.ts';
import type { RandomBytes } from './key-file.ts';
import { describeError, OperatingError } from './operating-error.ts';
import type { Reading, SamplerState } from './sample.ts';

/** Where a device's chain of batches stands. */
export type Head = {
  /** Sequence of the next batch: also how many there have been. */
  readonly sequence: number;
  readonly previous: Uint8Array;
  /** Batches that enough logs have given their receipt for. */
  readonly receipts: number;
  /** Readings that could not be kept, since the key was made. */
  readonly dropped: number;
  /** The `last` of the newest batch; 0 before the first. */
  readonly aliveSec: number;
};

export type SealedBatch = {
  readonly device: Uint8Array;
  readonly sequence: number;
  readonly digest: Uint8Array;
  /** The encoded envelope. */
  readonly bytes: Uint8Array;
  readonly readings: readonly Reading[];
  /** The batch's `last`: a sign of life. */
  readonly lastSec?: number;
  /** What this batch tells of, when it is a statement. */
  readonly statement?: UnstatedDrop | undefined;
};

export type JournalEntry = {
  readonly device: Uint8Array;
  readonly reading: Reading;
  /** The channel's state with this reading in it. */
  readonly state: SamplerState;
};

type ReadingRow = { channel: number; timeSec: number; value: number; marks: number; isClockTrusted: number };
type ChannelRow = {
  channel: number;
  newestSec: number;
  marks: number;
  lastValidSec: number | null;
  lastValidValue: number | null;
  equalCount: number | null;
};

export class Journal {
  /** Size, settled envelopes, and what could not be kept. */
  readonly bounds: JournalBounds;
  /** The process before this one ended without closing it: by a kill, a crash, a cut of the power or a failed write. */
  readonly isRecovered: boolean;
  /** What waits for which log, and what each log has promised. */
  readonly receipts: JournalReceipts;
  /** What private series are encrypted from. */
  readonly secrets: JournalSecrets;
  readonly #database: Database;
  readonly #statements: Statements;
  #failure: OperatingError | undefined;

  /** Opens or makes `stateDir`/journal.db. Throws `journal-locked` when another process has it. */
  static open(stateDir: string, random: RandomBytes = randomBytes): Journal {
    const path = join(stateDir, 'journal.db');
    let database: Database | undefined;
    try {
      mkdirSync(stateDir, { recursive: true, mode: 0o700 });
      // A read-only disk by its name: SQLite would call it an I/O error.
      accessSync(stateDir, constants.W_OK);
      // SQLite removes its write-ahead log when it closes.
      const isRecovered = (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0;
      database = new SqliteDatabase(path, { timeout: 0 });
      prepareFile(database, path);
      fsyncFolder(stateDir);
      return new Journal(database, isRecovered, random);
    } catch (cause) {
      database?.close();
      throw cause instanceof OperatingError ? cause : openingError(path, cause);
    }
  }

  private constructor(database: Database, isRecovered: boolean, random: RandomBytes) {
    this.#database = database;
    this.#statements = prepareStatements(database);
    this.bounds = new JournalBounds(database, (what, work) => this.#write(what, work));
    this.isRecovered = isRecovered;
    this.receipts = new JournalReceipts(database, (what, work) => this.#write(what, work));
    this.secrets = new JournalSecrets(database, (what, work) => this.#write(what, work), random);
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
    const { insertReading } = this.#statements;
    this.#write('record readings', () => {
      /** Only the last state of a channel is one to come back to. */
      const newest = new Map<string, JournalEntry>();
      for (const entry of entries) {
        const { device, reading } = entry;
        const { channel, timeSec, value, marks, isClockTrusted } = reading;
        insertReading.run(device, channel, timeSec, value, marks, isClockTrusted ? 1 : 0);
        newest.set(`${channel} ${bytesToHex(device)}`, entry);
      }
      for (const entry of newest.values()) this.#putChannel(entry);
    });
  }

  #putChannel({ device, reading: { channel, timeSec }, state: { marks, lastValid } }: JournalEntry): void {
    const { changes } = this.#statements.putChannel.run({
      device,
      channel,
      newestSec: timeSec,
      marks,
      lastValidSec: lastValid?.timeSec ?? null,
      lastValidValue: lastValid?.value ?? null,
      equalCount: lastValid?.equalCount ?? null,
    });
    assert(changes === 1, `channel ${channel}: reading at ${timeSec} is newer than all before it`);
  }

  /**
   * Envelope in, head on, readings out, in one transaction: the same readings are never sealed twice. Of each channel,
   * `readings` are all from its first to its last one there.
   */
  append({ device, sequence, digest, bytes, readings, lastSec, statement }: SealedBatch): void {
    const { insertEnvelope, moveHead } = this.#statements;
    this.#write('append an envelope', () => {
      insertEnvelope.run(device, sequence, digest, bytes, checksumOf(bytes));
      const moved = moveHead.run({ next: sequence + 1, digest, lastSec: lastSec ?? null, device, sequence });
      assert(moved.changes === 1, `sequence ${sequence} is the next one of its device`);
      for (let at = 0; at < readings.length; at += this.#deleteRun(device, readings, at));
      if (statement !== undefined) this.bounds.stated(device, statement);
    });
  }

  /** The readings of one channel, from `at` on, in one statement. Gives how many. */
  #deleteRun(device: Uint8Array, readings: readonly Reading[], at: number): number {
    const { channel, timeSec: firstSec } = readings[at]!;
    let end = at + 1;
    while (readings[end]?.channel === channel) end += 1;
    const lastSec = readings[end - 1]!.timeSec;
    const { changes } = this.#statements.deleteReadings.run(device, channel, firstSec, lastSec);
    const stretch = `channel ${channel} from ${firstSec} to ${lastSec}`;
    assert(changes === end - at, `each sealed reading of ${stretch} is in the journal`);
    return changes;
  }

  /** Envelopes that are kept, released or not, oldest first, from `sequence` on, at most `limit`. */
  pending(device: Uint8Array, sequence: number, limit: number): PendingEnvelope[] {
    return checkEnvelopes(device, this.#statements.pending.all(device, sequence, limit));
  }

  /** Those of them that too few logs have given a receipt for. */
  unreleased(device: Uint8Array, sequence: number, limit: number): PendingEnvelope[] {
    return checkEnvelopes(device, this.#statements.unreleased.all(device, sequence, limit));
  }

  /** Of the unreleased. */
  pendingCount(device: Uint8Array): number {
    return this.pendingExtent(device).count;
  }

  pendingExtent(device: Uint8Array): { count: number; bytes: number; newestSequence: number | undefined } {
    const row = this.#statements.pendingExtent.get(device) as { count: number; bytes: number; newest: number | null };
    return { count: row.count, bytes: row.bytes, newestSequence: row.newest ?? undefined };
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
    adopt: prepare('INSERT INTO heads (device, sequence, previous, receipts) VALUES (?, 0, ?, 0)'),
    adoptAt: prepare('INSERT INTO heads (device, sequence, previous, receipts) VALUES (?, ?, ?, 0)'),
    copyChannels: prepare(`
      INSERT INTO channels (device, channel, newestSec, marks, lastValidSec, lastValidValue, equalCount)
      SELECT ?, channel, newestSec, marks, lastValidSec, lastValidValue, equalCount FROM channels WHERE device = ?
      ON CONFLICT DO NOTHING`),
    head: prepare('SELECT sequence, previous, receipts, dropped, aliveSec FROM heads WHERE device = ?'),
    moveHead: prepare(`
      UPDATE heads SET sequence = @next, previous = @digest, aliveSec = coalesce(@lastSec, aliveSec), secret = NULL
      WHERE device = @device AND sequence = @sequence`),
    channels: prepare('SELECT * FROM channels WHERE device = ?'),
    putChannel: prepare(`
      INSERT INTO channels VALUES
        (@device, @channel, @newestSec, @marks, @lastValidSec, @lastValidValue, @equalCount)
      ON CONFLICT DO UPDATE SET newestSec = @newestSec, marks = @marks, lastValidSec = @lastValidSec,
        lastValidValue = @lastValidValue, equalCount = @equalCount WHERE newestSec < @newestSec`),
    readings: prepare(`
      SELECT channel, timeSec, value, marks, isClockTrusted FROM readings
      WHERE device = ? ORDER BY channel, timeSec`),
    insertReading: prepare('INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?)'),
    deleteReadings: prepare(`
      DELETE FROM readings WHERE device = ? AND channel = ? AND timeSec BETWEEN ? AND ?`),
    insertEnvelope: prepare(`
      INSERT INTO envelopes (device, sequence, digest, bytes, checksum) VALUES (?, ?, ?, ?, ?)`),
    pending: prepare(`
      SELECT sequence, digest, bytes, checksum FROM envelopes
      WHERE device = ? AND sequence >= ? ORDER BY sequence LIMIT ?`),
    unreleased: prepare(`
      SELECT sequence, digest, bytes, checksum FROM envelopes
      WHERE device = ? AND sequence >= ? AND isReleased = 0 ORDER BY sequence LIMIT ?`),
    pendingExtent: prepare(`
      SELECT count(*) AS count, coalesce(sum(length(bytes)), 0) AS bytes, max(sequence) AS newest
      FROM envelopes WHERE device = ? AND isReleased = 0`),
  };
}

function samplerStateOf({ newestSec, marks, lastValidSec, lastValidValue, equalCount }: ChannelRow): SamplerState {
  const lastValid =
    lastValidSec === null || lastValidValue === null || equalCount === null
      ? undefined
      : { timeSec: lastValidSec, value: lastValidValue, equalCount };
  return { newestSec, marks, lastValid };
}
