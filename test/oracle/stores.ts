/** The places that a store can be in. A test that runs on each of them shows that they are one to the oracle. */
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Postgres, skipWithoutPostgresql } from '../helpers/postgres.ts';
import { makeFolder } from './oracle-fixture.ts';

export type Engine = 'SQLite' | 'PostgreSQL';

let server: Promise<Postgres> | undefined;

/** A database of its own on the one cluster of the test file. */
export async function newDatabase(): Promise<string> {
  if (server === undefined) {
    const started = Postgres.start();
    server = started;
    // The next file of this program has one of its own.
    t.teardown(async () => {
      server = undefined;
      await (await started).stop();
    });
  }
  return (await server).makeDatabase();
}

/** `place` is new and empty: an SQLite file, then a PostgreSQL database. */
export function testOnEachEngine(name: string, run: (t: Test, place: string, engine: Engine) => unknown): void {
  void t.test(`${name}: SQLite`, async (t) => {
    await run(t, join(makeFolder(t), 'oracle.db'), 'SQLite');
  });
  void t.test(`${name}: PostgreSQL`, { skip: skipWithoutPostgresql }, async (t) => {
    await run(t, await newDatabase(), 'PostgreSQL');
  });
}
