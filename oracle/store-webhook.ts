/**
 * SQL of the webhooks: how far each has been told. The queue is the event journal itself, and this the place in it, so
 * that what was not delivered yet is delivered after a restart, in order.
 */
import type { Database } from './store.ts';

export const webhookSchema = `
CREATE TABLE webhook (
  name TEXT PRIMARY KEY, url TEXT NOT NULL, delivered_id INTEGER NOT NULL, failures INTEGER NOT NULL,
  due_ms INTEGER NOT NULL, problem TEXT, disabled_ms INTEGER
) STRICT;
`;

export type WebhookState = {
  readonly name: string;
  readonly url: string;
  /** The last event that the receiver has answered for, or that it does not want. */
  readonly deliveredId: number;
  /** In a row. */
  readonly failures: number;
  readonly dueMs: number;
  /** Of the last failure. */
  readonly problem?: string;
  readonly disabledMs?: number;
};

type WebhookRow = {
  name: string;
  url: string;
  delivered_id: number;
  failures: number;
  due_ms: number;
  problem: string | null;
  disabled_ms: number | null;
};

export class WebhookStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  save({ name, url, deliveredId, failures, dueMs, problem, disabledMs }: WebhookState): void {
    this.#database
      .prepare(
        `INSERT INTO webhook (name, url, delivered_id, failures, due_ms, problem, disabled_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET url = excluded.url, delivered_id = excluded.delivered_id,
           failures = excluded.failures, due_ms = excluded.due_ms, problem = excluded.problem,
           disabled_ms = excluded.disabled_ms`,
      )
      .run(name, url, deliveredId, failures, dueMs, problem ?? null, disabledMs ?? null);
  }

  /** Leaves alone what another worker has put there meanwhile. */
  insert({ name, url, deliveredId }: Pick<WebhookState, 'name' | 'url' | 'deliveredId'>): void {
    this.#database
      .prepare(
        `INSERT INTO webhook (name, url, delivered_id, failures, due_ms) VALUES (?, ?, ?, 0, 0)
         ON CONFLICT (name) DO NOTHING`,
      )
      .run(name, url, deliveredId);
  }

  load(name: string): WebhookState | undefined {
    return this.all().find((each) => each.name === name);
  }

  all(): WebhookState[] {
    return this.#database
      .prepare<[], WebhookRow>('SELECT * FROM webhook ORDER BY name')
      .all()
      .map((row) => ({
        name: row.name,
        url: row.url,
        deliveredId: row.delivered_id,
        failures: row.failures,
        dueMs: row.due_ms,
        ...(row.problem === null ? {} : { problem: row.problem }),
        ...(row.disabled_ms === null ? {} : { disabledMs: row.disabled_ms }),
      }));
  }
}
