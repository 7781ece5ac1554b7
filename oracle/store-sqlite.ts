/**
 * SQLite as the oracle's database: one file, one process, no server.
 *
 * It is the one that this Node can run. better-sqlite3 12 aborts the process on Node 24 when a prepared statement is
 * garbage-collected; 13 asks for Node 22. Both have the same API and the same file format. 12 is an optional
 * dependency, since it may fail to compile where it is not needed; 13 comes compiled.
 */
import { createRequire } from 'node:module';
import type Sqlite from 'better-sqlite3';
import { OperatingError, describeError } from './operating-error.ts';
import {
  schemaDiffers,
  type Columns,
  type Database,
  type KeysStatement,
  type SqlValue,
  type Statement,
} from './store-database.ts';

const nodeMajor = Number(process.versions.node.split('.')[0]);
const name = nodeMajor < 22 ? 'better-sqlite3' : 'better-sqlite3-13';

export const SqliteDatabase: typeof Sqlite = load();

function load(): typeof Sqlite {
  try {
    return createRequire(import.meta.url)(name) as typeof Sqlite;
  } catch (cause) {
    throw new Error(`${name}: not installed for Node ${process.versions.node}; see what npm ci says of it`, { cause });
  }
}

/** `path` may be ':memory:' for a test. Throws 'store-locked' when another process has it open. */
export function openSqlite(path: string): Database {
  const sqlite = guarded(path, () => {
    const opened = new SqliteDatabase(path, { timeout: 1_000 });
    // One process owns the file: the lock is held from the first write to the end, and dies with the process.
    opened.pragma('locking_mode = EXCLUSIVE');
    opened.pragma('journal_mode = WAL');
    // A receipt says "stored": the write-ahead log is synced at every commit, not only at checkpoints.
    opened.pragma('synchronous = FULL');
    opened.pragma('foreign_keys = ON');
    // In KiB. Batches of a fleet touch pages all over the indexes: what is not in the cache is read and written again.
    // Twice as much took 40 MiB more and gave no more batches a second.
    opened.pragma('cache_size = -32768');
    // In pages of 4 KiB: a page that several commits touch is copied into the database once.
    opened.pragma('wal_autocheckpoint = 4096');
    // Takes the lock.
    opened.transaction(() => opened.pragma('user_version')).immediate();
    return opened;
  });
  const statements = new Map<string, Sqlite.Statement>();
  const prepare = <Parameters extends readonly SqlValue[], Row>(sql: string) => {
    // Parsed once: the oracle's statements are texts of its source, so there is a bounded number of them.
    const statement = statements.get(sql) ?? sqlite.prepare(sql);
    statements.set(sql, statement);
    // better-sqlite3 has the same three methods; it wants a list that may change, and never changes it.
    return statement as unknown as Statement<Parameters, Row>;
  };
  return {
    prepare,
    prepareRows(table, columns, onConflict = '') {
      const insert = prepare<readonly SqlValue[], never>(insertOf(table, columns, onConflict));
      return {
        run(rows) {
          for (const row of rows) insert.run(...row);
        },
      };
    },
    prepareKeys<Row>(select: string, keys: Columns): KeysStatement<Row> {
      const where = Object.keys(keys).map((name) => `${name} = ?`);
      const one = prepare<readonly SqlValue[], Row>(`${select} WHERE ${where.join(' AND ')}`);
      return { all: (sought) => sought.flatMap((key) => one.get(...key) ?? []) };
    },
    createSchema(sql, version) {
      const got = Number(sqlite.pragma('user_version', { simple: true }));
      if (got === version) return;
      if (got !== 0) throw schemaDiffers(path, version, got);
      sqlite.exec(sql);
      sqlite.pragma(`user_version = ${version}`);
    },
    transaction: (run) => guarded('database', () => sqlite.transaction(run).immediate()),
    nowMs: () => Date.now(),
    // A transaction that writes is alone already.
    lock: () => undefined,
    close: () => void sqlite.close(),
  };
}

function insertOf(table: string, columns: Columns, onConflict: string): string {
  const names = Object.keys(columns);
  return `INSERT INTO ${table} (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')}) ${onConflict}`;
}

function guarded<Result>(path: string, run: () => Result): Result {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof SqliteDatabase.SqliteError)) throw error;
    if (error.code.startsWith('SQLITE_BUSY') || error.code.startsWith('SQLITE_LOCKED')) {
      const message = `${path}: another oracle has it open`;
      throw new OperatingError('store-locked', message, { retry: 'never', cause: error });
    }
    const message = `${path}: ${error.code}: ${describeError(error)}`;
    throw new OperatingError('store-failed', message, { retry: 'never', cause: error });
  }
}
