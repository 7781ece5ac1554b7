/**
 * SQLite's own word on how it finds what the oracle asks for (EXPLAIN QUERY PLAN): no statement about its own log and
 * the event journal goes through a whole table, so that the millionth batch costs what the first one did.
 */
import { join } from 'node:path';
import t from 'tap';
import { EventStore } from '@coldproof/oracle/store-event';
import { LogStore } from '@coldproof/oracle/store-log';
import { PageStore } from '@coldproof/oracle/store-page';
import { Store } from '@coldproof/oracle/store';
import { openSqlite, SqliteDatabase } from '@coldproof/oracle/store-sqlite';
import type { Database } from '@coldproof/oracle/store-database';
import { makeFolder } from './oracle-fixture.ts';

const device = new Uint8Array(32);
/** What may be gone through: proofs of equivocation, of which there is one a device and sequence, and what is new. */
const small = ['equivocation', 'heard'];

/** Each statement that was prepared while `ask` ran, as its source has it. */
function statementsOf(path: string, ask: (database: Database) => void): Set<string> {
  const database = openSqlite(path);
  const seen = new Set<string>();
  const note = (sql: string) => void seen.add(sql);
  const noting: Database = {
    ...database,
    prepare: (sql) => {
      note(sql);
      return database.prepare(sql);
    },
    prepareKeys: (select, keys) => {
      const where = Object.keys(keys).map((name) => `${name} = ?`);
      note(`${select} WHERE ${where.join(' AND ')}`);
      return database.prepareKeys(select, keys);
    },
  };
  try {
    ask(noting);
  } finally {
    database.close();
  }
  return seen;
}

t.test('nothing that the oracle asks of its log costs more in a longer one', (t) => {
  const path = join(makeFolder(t), 'oracle.db');
  new Store(path).close();
  const statements = statementsOf(path, (database) => {
    const log = new LogStore(database);
    log.leaves(0, 1);
    log.envelope(0);
    log.equivocationProofs();
    log.envelopes(device, 0, 1);
    log.bodies(-1, 1);
    log.removeBodies(0, 0);
    log.lastRemoved(device, 0, 1);
    log.firstSequenceSince(device, 0);
    const pages = new PageStore(database);
    pages.devicesHeardSince(0);
    pages.leaves(device, { fromSequence: 0, toSec: 1, countMax: 1 });
    const events = new EventStore(database);
    events.after(0, 1);
    events.forgetBefore(0);
    events.firstId();
    events.lastId();
  });
  const database = new SqliteDatabase(path, { readonly: true });
  t.teardown(() => database.close());
  t.ok(statements.size >= 18, `${statements.size} statements`);
  for (const sql of statements) {
    const steps = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...[...sql.matchAll(/\?/g)].map(() => null));
    const words = steps.map((step) => (step as { detail: string }).detail);
    const scans = words.filter((each) => each.startsWith('SCAN ') && !small.includes(each.split(' ')[1]!));
    t.same(scans, [], sql.replace(/\s+/g, ' '));
  }
  t.end();
});
