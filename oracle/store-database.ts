/**
 * The port to the database. What stands in store-*.ts above it is SQL that SQLite and PostgreSQL both understand; what
 * they do differently is in their adapters, store-sqlite.ts and store-postgresql.ts. Calls are synchronous: a step of
 * the oracle is one transaction, and nothing else of the process may come between its reads and its writes.
 *
 * Bytes come back as Uint8Array, whole numbers as number (they stay below 2^53; larger ones are stored as text).
 */
import { OperatingError } from './operating-error.ts';

export type SqlValue = string | number | Uint8Array | null;

export type Statement<Parameters extends readonly SqlValue[], Row> = {
  run(...parameters: Parameters): { readonly changes: number };
  get(...parameters: Parameters): Row | undefined;
  all(...parameters: Parameters): Row[];
};

export type RowsStatement = { run(rows: readonly (readonly SqlValue[])[]): void };
export type KeysStatement<Row> = { all(keys: readonly (readonly SqlValue[])[]): Row[] };

/** Columns that take part, with the type that the schema gives them. */
export type Columns = Readonly<Record<string, 'INTEGER' | 'BLOB' | 'TEXT'>>;

export type Database = {
  /** `?` stands for a parameter. Keep a statement that is used often: it is parsed once. */
  prepare<Parameters extends readonly SqlValue[] = readonly SqlValue[], Row = Record<string, SqlValue>>(
    sql: string,
  ): Statement<Parameters, Row>;
  /** Inserts many rows in one go; `onConflict` is the SQL after them. No key may come twice. */
  prepareRows(table: string, columns: Columns, onConflict?: string): RowsStatement;
  /** Finds the rows of many keys in one go, in no order. */
  prepareKeys<Row>(select: string, keys: Columns): KeysStatement<Row>;
  /** Makes the tables in an empty database. Throws 'store-failed' when it holds a schema of another version. */
  createSchema(sql: string, version: number): void;
  /** All of `run` is on disk when this returns, or none of it. A transaction within another is part of it. */
  transaction<Result>(run: () => Result): Result;
  /** Of the database's clock: one for all who share it. */
  nowMs(): number;
  /** Holds a lock until the transaction ends, against other processes on the same database. */
  lock(number: number): void;
  close(): void;
};

/**
 * `exclusive`: one process has the database to itself, and a second one is refused with 'store-locked'. `shared`: any
 * number of processes, each of them a worker of one oracle; PostgreSQL only.
 */
export type Sharing = 'exclusive' | 'shared';

export function schemaDiffers(place: string, expected: number, got: number): OperatingError {
  const message = `${place}: expected schema version ${expected}, got ${got}`;
  return new OperatingError('store-failed', message, { retry: 'never' });
}

/** PostgreSQL's URL, or else the path of an SQLite file. */
export function isServerUrl(place: string): boolean {
  return /^postgres(ql)?:\/\//.test(place);
}
