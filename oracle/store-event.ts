/**
 * SQL of the event journal: every change of state that the oracle knows, with an id that only grows and a time, and the
 * print of what was announced last about each subject, by which announce.ts finds the changes.
 */
import type { Database } from './store.ts';

export const eventSchema = `
CREATE TABLE event (
  id INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, type TEXT NOT NULL, order_id TEXT NOT NULL, device TEXT NOT NULL,
  content TEXT NOT NULL
) STRICT;
CREATE TABLE announced (
  kind TEXT NOT NULL, subject TEXT NOT NULL, print TEXT NOT NULL, version INTEGER NOT NULL,
  is_settled INTEGER NOT NULL, PRIMARY KEY (kind, subject)
) STRICT;
`;

export type JournalEvent = {
  /** From 1 on, without a hole. */
  readonly id: number;
  readonly timeMs: number;
  readonly type: string;
  /** '' for an event about no order; likewise the device, hex. */
  readonly orderId: string;
  readonly device: string;
  /** JSON object. */
  readonly content: string;
};

type EventRow = { id: number; time_ms: number; type: string; order_id: string; device: string; content: string };

export type Announced = {
  readonly subject: string;
  /** What was announced, as JSON. */
  readonly print: string;
  /** Of the row that it was announced from: its block, or 0. */
  readonly version: number;
  /** While the version stays, nothing more is to come. */
  readonly isSettled: boolean;
};

export type AnnouncedKind = 'order' | 'device' | 'finding' | 'action' | 'log' | 'token';

/** Where each kind's rows stand, and how a row names its subject. */
const sources = {
  order: { from: 'chain_order', subject: 'order_id', version: 'block_number' },
  device: { from: 'chain_device', subject: 'device', version: 'block_number' },
  finding: { from: 'finding', subject: sqlFindingSubject(), version: '0' },
  action: { from: 'action', subject: 'id', version: '0' },
} as const;

function sqlFindingSubject(): string {
  return `order_id || ':' || rule || ':' || CAST(channel AS TEXT) || ':' || CAST(opened_sec AS TEXT)`;
}

/** What events call a finding; the same text as the SQL above makes. */
export function findingSubject(finding: {
  readonly orderId: string;
  readonly rule: string;
  readonly channel: number;
  readonly openedAtSec: number;
}): string {
  const { orderId, rule, channel, openedAtSec } = finding;
  return `${orderId}:${rule}:${channel}:${openedAtSec}`;
}

export class EventStore {
  readonly #database: Database;
  readonly #insert;
  #lastId: number | undefined;

  constructor(database: Database) {
    this.#database = database;
    this.#insert = database.prepareRows('event', {
      ...({ id: 'INTEGER', time_ms: 'INTEGER', type: 'TEXT', order_id: 'TEXT', device: 'TEXT' } as const),
      content: 'TEXT',
    });
  }

  /** Inside a transaction of the only writer. */
  append(events: readonly Omit<JournalEvent, 'id'>[]): void {
    const firstId = this.lastId() + 1;
    this.#insert.run(
      events.map(({ timeMs, type, orderId, device, content }, i) => {
        return [firstId + i, timeMs, type, orderId, device, content];
      }),
    );
    this.#lastId = firstId + events.length - 1;
  }

  /** A transaction was rolled back: what was counted may not be there. */
  forgetCount(): void {
    this.#lastId = undefined;
  }

  /** 0 when there is none. */
  lastId(): number {
    this.#lastId ??= this.#bound('max');
    return this.#lastId;
  }

  /** The oldest that is kept; 0 when there is none. */
  firstId(): number {
    return this.#bound('min');
  }

  after(id: number, countMax: number): JournalEvent[] {
    return this.#database
      .prepare<[number, number], EventRow>('SELECT * FROM event WHERE id > ? ORDER BY id LIMIT ?')
      .all(id, countMax)
      .map((row) => ({
        id: row.id,
        timeMs: row.time_ms,
        type: row.type,
        orderId: row.order_id,
        device: row.device,
        content: row.content,
      }));
  }

  forgetBefore(id: number): void {
    this.#database.prepare<[number]>('DELETE FROM event WHERE id < ?').run(id);
  }

  announced(kind: AnnouncedKind, subject: string): string | undefined {
    return this.#database
      .prepare<[string, string], { print: string }>('SELECT print FROM announced WHERE kind = ? AND subject = ?')
      .get(kind, subject)?.print;
  }

  subjects(kind: AnnouncedKind): string[] {
    return this.#database
      .prepare<[string], { subject: string }>('SELECT subject FROM announced WHERE kind = ? ORDER BY subject')
      .all(kind)
      .map(({ subject }) => subject);
  }

  setAnnounced(kind: AnnouncedKind, { subject, print, version, isSettled }: Announced): void {
    this.#database
      .prepare(
        `INSERT INTO announced (kind, subject, print, version, is_settled) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (kind, subject) DO UPDATE SET
           print = excluded.print, version = excluded.version, is_settled = excluded.is_settled`,
      )
      .run(kind, subject, print, version, isSettled ? 1 : 0);
  }

  deleteAnnounced(kind: AnnouncedKind, subject: string): void {
    this.#database.prepare<[string, string]>('DELETE FROM announced WHERE kind = ? AND subject = ?').run(kind, subject);
  }

  /** Subjects of which there may be news, after `subject` in their order, with the version of their rows. */
  unsettled(
    kind: keyof typeof sources,
    afterSubject: string,
    countMax: number,
  ): { readonly subject: string; readonly version: number }[] {
    const { from, subject, version } = sources[kind];
    return this.#database
      .prepare<[string, string, number], { subject: string; version: number }>(
        `SELECT s.subject, s.version FROM (SELECT ${subject} AS subject, ${version} AS version FROM ${from}) s
         LEFT JOIN announced a ON a.kind = ? AND a.subject = s.subject
         WHERE s.subject > ? AND (a.subject IS NULL OR a.is_settled = 0 OR a.version <> s.version)
         ORDER BY s.subject LIMIT ?`,
      )
      .all(kind, afterSubject, countMax);
  }

  /** Of a subject's row; 0 when there is none, and for kinds that have none. */
  versionOf(kind: keyof typeof sources, subject: string): number {
    const { from, subject: name, version } = sources[kind];
    if (version === '0') return 0;
    const row = this.#database
      .prepare<[string], { version: number }>(`SELECT ${version} AS version FROM ${from} WHERE ${name} = ?`)
      .get(subject);
    return row?.version ?? 0;
  }

  /** Announced subjects that are there no more. */
  vanished(kind: keyof typeof sources): string[] {
    const { from, subject } = sources[kind];
    return this.#database
      .prepare<[string], { subject: string }>(
        `SELECT a.subject FROM announced a
         WHERE a.kind = ? AND a.subject NOT IN (SELECT ${subject} FROM ${from}) ORDER BY a.subject`,
      )
      .all(kind)
      .map((row) => row.subject);
  }

  #bound(which: 'min' | 'max'): number {
    const row = this.#database.prepare<[], { id: number | null }>(`SELECT ${which}(id) AS id FROM event`).get();
    return row?.id ?? 0;
  }
}
