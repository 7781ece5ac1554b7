/** SQL of the leases: which of several workers may do what only one may do at a time. */
import type { Database } from './store-database.ts';

export class LeaseStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Prolongs the lease of `fence`, or takes it when it has run out. Gives the fence that it is held under from now on,
   * one higher for each new holder, or undefined while somebody else holds it. Times are the database's.
   */
  take(name: string, holder: string, fence: number, leaseMs: number): number | undefined {
    const nowMs = this.#database.nowMs();
    const prolonged = this.#database
      .prepare('UPDATE lease SET expires_ms = ? WHERE name = ? AND holder = ? AND fence = ?')
      .run(nowMs + leaseMs, name, holder, fence);
    if (prolonged.changes === 1) return fence;
    const taken = this.#database
      .prepare(
        `INSERT INTO lease (name, holder, fence, expires_ms) VALUES (?, ?, 1, ?)
         ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, fence = lease.fence + 1,
           expires_ms = excluded.expires_ms
         WHERE lease.expires_ms <= ?`,
      )
      .run(name, holder, nowMs + leaseMs, nowMs);
    if (taken.changes !== 1) return undefined;
    return this.#database.prepare<[string], { fence: number }>('SELECT fence FROM lease WHERE name = ?').get(name)
      ?.fence;
  }

  /** Whether nobody has taken it since; until the transaction ends nobody can. */
  confirm(name: string, fence: number): boolean {
    const locked = this.#database
      .prepare('UPDATE lease SET holder = holder WHERE name = ? AND fence = ?')
      .run(name, fence);
    return locked.changes === 1;
  }

  release(name: string, fence: number): void {
    this.#database.prepare('UPDATE lease SET expires_ms = 0 WHERE name = ? AND fence = ?').run(name, fence);
  }
}
