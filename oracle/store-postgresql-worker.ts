/** The thread that speaks to PostgreSQL, and the only file that imports pg. One connection; see store-postgresql.ts. */
import { parentPort, workerData } from 'node:worker_threads';
import pg from 'pg';
import { assert } from '@coldproof/wire';
import type { SqlValue } from './store-database.ts';
import type { Answer, Request, WorkerStart } from './store-postgresql.ts';

const connectMsMax = 10_000;

/** Wherever PostgreSQL counts or sums, it answers in a wider type than the column's. */
function readNumber(text: string): number {
  const value = Number(text);
  assert(Number.isSafeInteger(value), `a whole number below 2^53, got ${text}`);
  return value;
}

/** `\x` and hex digits. A copy of its own, since it is handed on to another thread. */
function readBytes(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.slice(2), 'hex'));
}

/** pg knows Buffer as bytea, and would take a Uint8Array of a clone for JSON. */
function writeValue(value: SqlValue | readonly SqlValue[]): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return Array.isArray(value) ? value.map(writeValue) : value;
}

function openClient(url: string): pg.Client {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: connectMsMax, keepAlive: true });
  client.setTypeParser(pg.types.builtins.INT8, readNumber);
  client.setTypeParser(pg.types.builtins.NUMERIC, readNumber);
  client.setTypeParser(pg.types.builtins.BYTEA, readBytes);
  return client;
}

function serve({ url, signal, port }: WorkerStart): void {
  const client = openClient(url);
  const names = new Map<string, string>();
  let fault: Error | undefined;
  client.on('error', (error) => (fault ??= error));
  const connected = client.connect();
  // Awaited by the first request; until then a failure must not count as unhandled.
  connected.catch(() => undefined);
  const ask = async ({ sql, parameters }: Request): Promise<Answer> => {
    await connected;
    if (fault !== undefined) throw fault;
    if (sql === undefined) {
      await client.end();
      return { rows: [], changes: 0 };
    }
    if (parameters === undefined) {
      await client.query(sql);
      return { rows: [], changes: 0 };
    }
    const name = names.get(sql) ?? `s${names.size}`;
    names.set(sql, name);
    const { rows, rowCount } = await client.query<Record<string, SqlValue>>({
      name,
      text: sql,
      values: parameters.map(writeValue),
    });
    return { rows, changes: rowCount ?? 0 };
  };
  const reply = (answer: Answer) => {
    port.postMessage(answer);
    Atomics.store(signal, 0, 1);
    Atomics.notify(signal, 0);
  };
  port.on('message', (request: Request) => {
    ask(request).then(reply, (error: unknown) => {
      const code = error instanceof pg.DatabaseError ? error.code : undefined;
      reply({ error: { message: error instanceof Error ? error.message : String(error), code: code ?? '' } });
    });
  });
}

assert(parentPort !== null, 'this file runs as a worker thread');
serve(workerData as WorkerStart);
