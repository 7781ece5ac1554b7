/**
 * SQL of the work in a consortium: what this node has worked out, what it has signed and must never contradict, the
 * heads that it saw of others' logs, and what proves that somebody said two things.
 */
import type { Database } from './store.ts';

export const quorumSchema = `
CREATE TABLE reckoning (
  order_id TEXT NOT NULL, cryptlet TEXT NOT NULL, dispatch TEXT NOT NULL, next_sequence INTEGER NOT NULL,
  PRIMARY KEY (order_id, cryptlet)
) STRICT;
CREATE TABLE due (
  order_id TEXT NOT NULL, cryptlet TEXT NOT NULL, sequence INTEGER NOT NULL, last_sequence INTEGER NOT NULL,
  last_digest BLOB NOT NULL, base_sec INTEGER NOT NULL, payload BLOB NOT NULL,
  PRIMARY KEY (order_id, cryptlet, sequence)
) STRICT;
CREATE TABLE attested (
  order_id TEXT NOT NULL, cryptlet TEXT NOT NULL, sequence INTEGER NOT NULL, deadline_sec INTEGER NOT NULL,
  config BLOB NOT NULL, digest BLOB NOT NULL, payload BLOB NOT NULL, signature BLOB NOT NULL,
  PRIMARY KEY (order_id, cryptlet, sequence)
) STRICT;
CREATE TABLE cosigned (
  log TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, note TEXT NOT NULL
) STRICT;
CREATE TABLE followed (
  log TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, note TEXT NOT NULL,
  leaf_count INTEGER NOT NULL, edge BLOB NOT NULL
) STRICT;
CREATE TABLE accusation (
  accused TEXT NOT NULL, subject TEXT NOT NULL, place TEXT NOT NULL, first BLOB NOT NULL, second BLOB NOT NULL,
  seen_ms INTEGER NOT NULL, PRIMARY KEY (accused, subject, place)
) STRICT;
`;

/** One report of one cryptlet about one order. */
export type Slot = {
  readonly orderId: string;
  /** Bare hex. */
  readonly cryptlet: string;
  /** From 1. */
  readonly sequence: number;
};

/** A report that the device's batches ask for: the same at every node that has the same batches. */
export type Due = Slot & {
  /** The batch at which it fell due, and its digest. */
  readonly lastSequence: number;
  readonly lastDigest: Uint8Array;
  /** That batch's last sample; deadlines count from it. */
  readonly baseSec: number;
  readonly payload: Uint8Array;
};

/** What this node has signed for a slot. */
export type Attested = Slot & {
  readonly deadlineSec: number;
  /** Digest of the configuration that it was signed under. */
  readonly config: Uint8Array;
  readonly digest: Uint8Array;
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
};

export type SeenHead = { readonly size: number; readonly root: Uint8Array; readonly note: string };

/** How far another log was read leaf by leaf: its compact range (the roots of its complete subtrees), 32 bytes each. */
export type Followed = SeenHead & { readonly leafCount: number; readonly edge: Uint8Array };

export type StoredAccusation = {
  readonly accused: string;
  /** Who: a device, a log or a node, in hex. */
  readonly subject: string;
  /** Where: a sequence, a size, a slot. */
  readonly place: string;
  readonly first: Uint8Array;
  readonly second: Uint8Array;
  readonly seenMs: number;
};

type DueRow = {
  order_id: string;
  cryptlet: string;
  sequence: number;
  last_sequence: number;
  last_digest: Uint8Array;
  base_sec: number;
  payload: Uint8Array;
};

export class QuorumStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  reckoning(
    orderId: string,
    cryptlet: string,
  ): { readonly dispatch: string; readonly nextSequence: number } | undefined {
    return this.#database
      .prepare<[string, string], { dispatch: string; nextSequence: number }>(
        `SELECT dispatch, next_sequence AS "nextSequence" FROM reckoning WHERE order_id = ? AND cryptlet = ?`,
      )
      .get(orderId, cryptlet);
  }

  saveReckoning(orderId: string, cryptlet: string, dispatch: string, nextSequence: number): void {
    this.#database
      .prepare<[string, string, string, number]>(
        `INSERT INTO reckoning VALUES (?, ?, ?, ?) ON CONFLICT (order_id, cryptlet)
         DO UPDATE SET dispatch = excluded.dispatch, next_sequence = excluded.next_sequence`,
      )
      .run(orderId, cryptlet, dispatch, nextSequence);
  }

  /** Forgets what was worked out under a dispatch or a delivery that is another now. What was signed stays. */
  resetReckoning(orderId: string, cryptlet: string): void {
    this.#database
      .prepare<[string, string]>('DELETE FROM reckoning WHERE order_id = ? AND cryptlet = ?')
      .run(orderId, cryptlet);
    this.#database
      .prepare<[string, string]>('DELETE FROM due WHERE order_id = ? AND cryptlet = ?')
      .run(orderId, cryptlet);
  }

  insertDue({ orderId, cryptlet, sequence, lastSequence, lastDigest, baseSec, payload }: Due): void {
    this.#database
      .prepare<[string, string, number, number, Uint8Array, number, Uint8Array]>(
        'INSERT INTO due VALUES (?, ?, ?, ?, ?, ?, ?)',
      )
      .run(orderId, cryptlet, sequence, lastSequence, lastDigest, baseSec, payload);
  }

  due({ orderId, cryptlet, sequence }: Slot): Due | undefined {
    const row = this.#database
      .prepare<[string, string, number], DueRow>(
        'SELECT * FROM due WHERE order_id = ? AND cryptlet = ? AND sequence = ?',
      )
      .get(orderId, cryptlet, sequence);
    return row === undefined ? undefined : dueOf(row);
  }

  /** In the order of their sequences. */
  duesOf(orderId: string, cryptlet: string): Due[] {
    return this.#database
      .prepare<[string, string], DueRow>('SELECT * FROM due WHERE order_id = ? AND cryptlet = ? ORDER BY sequence')
      .all(orderId, cryptlet)
      .map(dueOf);
  }

  attested({ orderId, cryptlet, sequence }: Slot): Attested | undefined {
    const row = this.#database
      .prepare<[string, string, number], Omit<Attested, keyof Slot>>(
        `SELECT deadline_sec AS "deadlineSec", config, digest, payload, signature FROM attested
         WHERE order_id = ? AND cryptlet = ? AND sequence = ?`,
      )
      .get(orderId, cryptlet, sequence);
    return row === undefined ? undefined : { orderId, cryptlet, sequence, ...row };
  }

  saveAttested({ orderId, cryptlet, sequence, deadlineSec, config, digest, payload, signature }: Attested): void {
    this.#database
      .prepare<[string, string, number, number, Uint8Array, Uint8Array, Uint8Array, Uint8Array]>(
        `INSERT INTO attested VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (order_id, cryptlet, sequence)
         DO UPDATE SET deadline_sec = excluded.deadline_sec, config = excluded.config,
         digest = excluded.digest, payload = excluded.payload, signature = excluded.signature`,
      )
      .run(orderId, cryptlet, sequence, deadlineSec, config, digest, payload, signature);
  }

  cosigned(log: string): SeenHead | undefined {
    return this.#database.prepare<[string], SeenHead>('SELECT size, root, note FROM cosigned WHERE log = ?').get(log);
  }

  saveCosigned(log: string, { size, root, note }: SeenHead): void {
    this.#database
      .prepare<[string, number, Uint8Array, string]>(
        `INSERT INTO cosigned VALUES (?, ?, ?, ?) ON CONFLICT (log)
         DO UPDATE SET size = excluded.size, root = excluded.root, note = excluded.note`,
      )
      .run(log, size, root, note);
  }

  followed(log: string): Followed | undefined {
    return this.#database
      .prepare<[string], Followed>(
        `SELECT size, root, note, leaf_count AS "leafCount", edge FROM followed WHERE log = ?`,
      )
      .get(log);
  }

  saveFollowed(log: string, { size, root, note, leafCount, edge }: Followed): void {
    this.#database
      .prepare<[string, number, Uint8Array, string, number, Uint8Array]>(
        `INSERT INTO followed VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (log)
         DO UPDATE SET size = excluded.size, root = excluded.root, note = excluded.note,
         leaf_count = excluded.leaf_count, edge = excluded.edge`,
      )
      .run(log, size, root, note, leafCount, edge);
  }

  /** The first proof is kept; says whether it was new. */
  insertAccusation({ accused, subject, place, first, second, seenMs }: StoredAccusation): boolean {
    const done = this.#database
      .prepare<[string, string, string, Uint8Array, Uint8Array, number]>(
        'INSERT INTO accusation VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
      )
      .run(accused, subject, place, first, second, seenMs);
    return done.changes === 1;
  }

  isAccused(accused: string, subject: string): boolean {
    const row = this.#database
      .prepare<[string, string], { found: number }>(
        'SELECT 1 AS found FROM accusation WHERE accused = ? AND subject = ? LIMIT 1',
      )
      .get(accused, subject);
    return row !== undefined;
  }

  /** Oldest first, at most 1,000. */
  accusations(): StoredAccusation[] {
    return this.#database
      .prepare<[], StoredAccusation>(
        `SELECT accused, subject, place, first, second, seen_ms AS "seenMs" FROM accusation
         ORDER BY seen_ms, subject, place LIMIT 1000`,
      )
      .all();
  }
}

function dueOf(row: DueRow): Due {
  return {
    orderId: row.order_id,
    cryptlet: row.cryptlet,
    sequence: row.sequence,
    lastSequence: row.last_sequence,
    lastDigest: row.last_digest,
    baseSec: row.base_sec,
    payload: row.payload,
  };
}
