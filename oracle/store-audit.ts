/**
 * SQL of the audit trail: who did what, when. Append-only, each entry with the digest of the one before, so that a
 * changed or missing entry shows (21 CFR 11.10(e): time-stamped, and nothing recorded is obscured).
 */
import type { Database } from './store.ts';

export const auditSchema = `
CREATE TABLE audit (
  entry INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, subject TEXT NOT NULL,
  detail TEXT NOT NULL, previous TEXT NOT NULL, digest TEXT NOT NULL
) STRICT;
`;

export type AuditEntry = {
  /** From 1 on, without a hole. */
  readonly entry: number;
  readonly timeMs: number;
  /** A token's id, 'loopback', or 'oracle' for what the oracle does by itself. */
  readonly who: string;
  readonly what: string;
  readonly subject: string;
  readonly detail: string;
  /** Digest of the entry before, hex; zeros for the first. */
  readonly previous: string;
  readonly digest: string;
};

type AuditRow = Omit<AuditEntry, 'timeMs'> & { readonly time_ms: number };

const columns = 'entry, time_ms, who, what, subject, detail, previous, digest';

export class AuditStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  insert({ entry, timeMs, who, what, subject, detail, previous, digest }: AuditEntry): void {
    this.#database
      .prepare(`INSERT INTO audit (${columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`)
      .run(entry, timeMs, who, what, subject, detail, previous, digest);
  }

  last(): AuditEntry | undefined {
    const row = this.#database.prepare<[], AuditRow>(`SELECT ${columns} FROM audit ORDER BY entry DESC LIMIT 1`).get();
    return row === undefined ? undefined : entryOf(row);
  }

  after(entry: number, countMax: number): AuditEntry[] {
    return this.#database
      .prepare<[number, number], AuditRow>(`SELECT ${columns} FROM audit WHERE entry > ? ORDER BY entry LIMIT ?`)
      .all(entry, countMax)
      .map(entryOf);
  }
}

function entryOf({ time_ms: timeMs, ...rest }: AuditRow): AuditEntry {
  return { ...rest, timeMs };
}
