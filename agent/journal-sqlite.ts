/**
 * The SQLite that this Node can run. better-sqlite3 12 aborts the process on Node 24 when a prepared statement is
 * garbage-collected; 13 asks for Node 22. Both have the same API and the same file format. 12 is an optional
 * dependency, since it may fail to compile where it is not needed; 13 comes compiled.
 */
import { createRequire } from 'node:module';
import type Sqlite from 'better-sqlite3';

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
