/** SQL of the rules' work: per order a cursor over the device's batches with the rules' state, and the findings. */
import type { Finding } from '@coldproof/wire';
import { Changed } from './changed.ts';
import type { Database } from './store-database.ts';
import { findingSubject } from './store-event.ts';

export type EvaluationRow = {
  /** Device and dispatch time that the state belongs to; a reorganisation of the chain can change them. */
  readonly dispatch: string;
  readonly nextSequence: number;
  /** JSON of the rules' state. */
  readonly state: string;
};

export type StoredFinding = Omit<Finding, 'runs'> & { readonly orderId: string };

type FindingRow = {
  order_id: string;
  rule: Finding['rule'];
  channel: number;
  opened_sec: number;
  closed_sec: number | null;
  detail: string;
};

export class EvaluationStore {
  /** Findings, as events name them. */
  readonly changed: Changed;
  readonly #database: Database;

  constructor(database: Database, isShared: boolean) {
    this.#database = database;
    this.changed = new Changed(isShared);
  }

  load(orderId: string): EvaluationRow | undefined {
    return this.#database
      .prepare<[string], EvaluationRow>(
        'SELECT dispatch, next_sequence AS "nextSequence", state FROM evaluation WHERE order_id = ?',
      )
      .get(orderId);
  }

  save(orderId: string, { dispatch, nextSequence, state }: EvaluationRow): void {
    this.#database
      .prepare(
        `INSERT INTO evaluation (order_id, dispatch, next_sequence, state) VALUES (?, ?, ?, ?)
         ON CONFLICT (order_id) DO UPDATE SET
           dispatch = excluded.dispatch, next_sequence = excluded.next_sequence, state = excluded.state`,
      )
      .run(orderId, dispatch, nextSequence, state);
  }

  /** Forgets what was found under a dispatch that the chain has taken back. */
  reset(orderId: string): void {
    this.#database.prepare('DELETE FROM evaluation WHERE order_id = ?').run(orderId);
    const { changes } = this.#database.prepare('DELETE FROM finding WHERE order_id = ?').run(orderId);
    if (changes > 0) this.changed.addAll();
  }

  /** A finding is opened once; the same one again brings its end or its present size. */
  saveFinding(orderId: string, { rule, channel, openedAtSec, closedAtSec, detail }: Finding): void {
    this.#database
      .prepare(
        `INSERT INTO finding (order_id, rule, channel, opened_sec, closed_sec, detail) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (order_id, rule, channel, opened_sec) DO UPDATE SET
           closed_sec = excluded.closed_sec, detail = excluded.detail`,
      )
      .run(orderId, rule, channel, openedAtSec, closedAtSec ?? null, JSON.stringify(detail));
    this.changed.add(findingSubject({ orderId, rule, channel, openedAtSec }));
  }

  /** Newest first, at most 1,000. */
  findings(): StoredFinding[] {
    return this.#database
      .prepare<[], FindingRow>('SELECT * FROM finding ORDER BY opened_sec DESC LIMIT 1000')
      .all()
      .map((row) => ({
        orderId: row.order_id,
        rule: row.rule,
        channel: row.channel,
        openedAtSec: row.opened_sec,
        ...(row.closed_sec === null ? {} : { closedAtSec: row.closed_sec }),
        // Written by saveFinding only.
        detail: JSON.parse(row.detail) as Finding['detail'],
      }));
  }
}
