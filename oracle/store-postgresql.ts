/**
 * PostgreSQL as the oracle's database, where one party runs many processes.
 *
 * The oracle's steps are synchronous, a PostgreSQL client is not: so the client lives in a thread of its own, and this
 * side waits for each answer with Atomics.wait. What that costs is a hand-over between two threads for each statement,
 * so what is done for many batches at once is one statement on arrays.
 */
import { MessageChannel, Worker, receiveMessageOnPort, type MessagePort } from 'node:worker_threads';
import { OperatingError } from './operating-error.ts';
import {
  schemaDiffers,
  type Columns,
  type Database,
  type KeysStatement,
  type Sharing,
  type SqlValue,
  type Statement,
} from './store-database.ts';

export type Request = {
  /** Absent to end the connection. */
  readonly sql?: string;
  /** Absent for several statements in one text. */
  readonly parameters?: readonly (SqlValue | readonly SqlValue[])[];
};

export type Answer =
  | { readonly rows: readonly Record<string, SqlValue>[]; readonly changes: number; readonly error?: never }
  | { readonly error: { readonly message: string; readonly code: string } };

export type WorkerStart = { readonly url: string; readonly signal: Int32Array; readonly port: MessagePort };

/** Longer than any statement takes here: what has not answered by then is gone. */
const answerMsMax = 60_000;
/** First half of the advisory locks' keys: 'cold'. The second half says what is locked. */
const lockSpace = 0x636f6c64;
const ownerLock = 0;
const schemaLock = 2;

export function openPostgresql(url: string, sharing: Sharing): Database {
  const place = withoutPassword(url);
  const link = new Link(url, place);
  try {
    checkDurability(link, place);
    claim(link, place, sharing);
  } catch (error) {
    link.close();
    throw error;
  }
  const transactions = new Transactions(link);
  const database: Database = {
    prepare<Parameters extends readonly SqlValue[], Row>(sql: string): Statement<Parameters, Row> {
      const text = numbered(sql);
      // What a statement's rows hold is what its caller says that it selects, here as with any other driver.
      const ask = (parameters: Parameters) => link.ask({ sql: text, parameters });
      return {
        run: (...parameters) => ({ changes: ask(parameters).changes }),
        get: (...parameters) => ask(parameters).rows[0] as Row | undefined,
        all: (...parameters) => ask(parameters).rows as Row[],
      };
    },
    prepareRows(table, columns, onConflict = '') {
      const names = Object.keys(columns).join(', ');
      const sql = `INSERT INTO ${table} (${names}) SELECT * FROM unnest(${arrays(columns)}) ${onConflict}`;
      return {
        run(rows) {
          if (rows.length > 0) link.ask({ sql, parameters: transposed(rows) });
        },
      };
    },
    prepareKeys<Row>(select: string, keys: Columns): KeysStatement<Row> {
      const names = Object.keys(keys).join(', ');
      const sql = `${select} WHERE (${names}) IN (SELECT * FROM unnest(${arrays(keys)}))`;
      return {
        all: (sought) => (sought.length === 0 ? [] : (link.ask({ sql, parameters: transposed(sought) }).rows as Row[])),
      };
    },
    createSchema(sql, version) {
      // Two that start at once on an empty database: the second finds the tables.
      database.lock(schemaLock);
      link.ask({ sql: 'CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)' });
      const [row] = link.ask({ sql: 'SELECT version FROM schema_version', parameters: [] }).rows;
      if (row === undefined) {
        link.ask({ sql: translated(sql) });
        link.ask({ sql: 'INSERT INTO schema_version VALUES ($1)', parameters: [version] });
      } else if (row['version'] !== version) {
        throw schemaDiffers(place, version, Number(row['version']));
      }
    },
    transaction: (run) => transactions.run(run),
    nowMs() {
      const sql = 'SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now';
      return Number(link.ask({ sql, parameters: [] }).rows[0]?.['now']);
    },
    lock(number) {
      link.ask({ sql: 'SELECT pg_advisory_xact_lock($1, $2)', parameters: [lockSpace, number] });
    },
    close: () => link.close(),
  };
  return database;
}

class Transactions {
  readonly #link: Link;
  #depth = 0;

  constructor(link: Link) {
    this.#link = link;
  }

  run<Result>(run: () => Result): Result {
    const name = this.#depth === 0 ? undefined : `inner_${this.#depth}`;
    this.#link.ask({ sql: name === undefined ? 'BEGIN' : `SAVEPOINT ${name}` });
    this.#depth += 1;
    try {
      const result = run();
      this.#link.ask({ sql: name === undefined ? 'COMMIT' : `RELEASE ${name}` });
      return result;
    } catch (error) {
      // After a broken link there is nothing to take back, and the first error is the one to tell.
      if (!this.#link.isBroken) this.#link.ask({ sql: name === undefined ? 'ROLLBACK' : `ROLLBACK TO ${name}` });
      throw error;
    } finally {
      this.#depth -= 1;
    }
  }
}

/** The thread with the connection, asked and waited for. */
class Link {
  readonly #place: string;
  readonly #signal = new Int32Array(new SharedArrayBuffer(4));
  readonly #port: MessagePort;
  readonly #worker: Worker;
  isBroken = false;

  constructor(url: string, place: string) {
    this.#place = place;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const start: WorkerStart = { url, signal: this.#signal, port: port2 };
    // Without the parent's options: a loader that asks the parent, which waits here, would wait for ever.
    this.#worker = new Worker(new URL('./store-postgresql-worker.js', import.meta.url), {
      workerData: start,
      transferList: [port2],
      execArgv: [],
    });
    this.#worker.unref();
    this.#port.unref();
  }

  ask(request: Request): Extract<Answer, { rows: unknown }> {
    if (this.isBroken) throw this.#failed('the connection is closed');
    Atomics.store(this.#signal, 0, 0);
    this.#port.postMessage(request);
    Atomics.wait(this.#signal, 0, 0, answerMsMax);
    const received: { message: Answer } | undefined = receiveMessageOnPort(this.#port);
    if (received === undefined) {
      this.isBroken = true;
      throw this.#failed(`no answer within ${answerMsMax} ms`);
    }
    const { message } = received;
    if (message.error === undefined) return message;
    // Without a code of the server's it is the connection that failed.
    if (message.error.code === '') this.isBroken = true;
    throw this.#failed(`${message.error.code} ${message.error.message}`.trim());
  }

  /** Waits for the server to let the session go, with its locks: who opens next finds it free. */
  close(): void {
    try {
      if (!this.isBroken) this.ask({});
    } finally {
      this.isBroken = true;
      this.#port.close();
      void this.#worker.terminate();
    }
  }

  #failed(reason: string): OperatingError {
    return new OperatingError('store-failed', `${this.#place}: ${reason}`, { retry: 'never' });
  }
}

/** A receipt says "stored": a server that forgets what it has committed when the power fails is no place for it. */
function checkDurability(link: Link, place: string): void {
  for (const name of ['fsync', 'synchronous_commit', 'full_page_writes']) {
    const [row] = link.ask({ sql: `SHOW ${name}`, parameters: [] }).rows;
    if (row?.[name] !== 'off') continue;
    throw new OperatingError('store-failed', `${place}: ${name}: expected on, got off`, { retry: 'never' });
  }
}

/** Held by the session, so it ends with the process, however that ends. */
function claim(link: Link, place: string, sharing: Sharing): void {
  const name = sharing === 'shared' ? 'pg_try_advisory_lock_shared' : 'pg_try_advisory_lock';
  const [row] = link.ask({ sql: `SELECT ${name}($1, $2) AS held`, parameters: [lockSpace, ownerLock] }).rows;
  // A boolean is none of the types that the oracle stores.
  if ((row?.['held'] as unknown) === true) return;
  throw new OperatingError('store-locked', `${place}: another oracle has it open`, { retry: 'never' });
}

/** `?` to `$1`, `$2`... The oracle's SQL has no question mark in a text. */
function numbered(sql: string): string {
  let count = 0;
  return sql.replace(/\?/g, () => `$${++count}`);
}

/** The schema is written in SQLite's types. Texts compare by bytes there, so they do here. */
function translated(schema: string): string {
  return schema
    .replace(/\bINTEGER\b/g, 'BIGINT')
    .replace(/\bBLOB\b/g, 'BYTEA')
    .replace(/\bTEXT\b/g, 'TEXT COLLATE "C"')
    .replace(/\) STRICT(, WITHOUT ROWID)?;/g, ');');
}

const arrayTypes = { INTEGER: 'bigint[]', BLOB: 'bytea[]', TEXT: 'text[]' } as const;

function arrays(columns: Columns): string {
  return Object.values(columns)
    .map((type, i) => `$${i + 1}::${arrayTypes[type]}`)
    .join(', ');
}

function transposed(rows: readonly (readonly SqlValue[])[]): SqlValue[][] {
  return (rows[0] ?? []).map((_value, column) => rows.map((row) => row[column] ?? null));
}

function withoutPassword(url: string): string {
  const { host, pathname } = new URL(url);
  return `postgres://${host}${pathname}`;
}
