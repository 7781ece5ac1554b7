/**
 * The SQLite that this Node can run. better-sqlite3 12 aborts the process on Node 24 when a prepared statement is
 * garbage-collected; 13 asks for Node 22. Both have the same API and the same file format.
 */
import { createRequire } from 'node:module';

const nodeMajor = Number(process.versions.node.split('.')[0]);
const name = nodeMajor < 22 ? 'better-sqlite3' : 'better-sqlite3-13';

export const SqliteDatabase = createRequire(import.meta.url)(name) as typeof import('better-sqlite3');
