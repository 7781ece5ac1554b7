/** SQL of the append-only log: leaves with their envelopes, complete subtrees, device heads, counters. */
import type { Database } from './store.ts';

export type LeafRow = {
  readonly index: number;
  readonly device: Uint8Array;
  readonly sequence: number;
  readonly digest: Uint8Array;
  readonly firstSec: number;
  readonly lastSec: number;
  readonly loggedMs: number;
  /** encodeEnvelope's bytes, as they came. */
  readonly envelope: Uint8Array;
};

export type HeadRow = { readonly nextSequence: number; readonly digest: Uint8Array };

export class LogStore {
  readonly #database: Database;
  readonly #insertLeaf;
  readonly #insertSubtree;
  readonly #setHead;
  readonly #selectHead;
  readonly #selectStored;
  readonly #selectDigest;
  readonly #selectSubtree;
  readonly #addCount;

  constructor(database: Database) {
    this.#database = database;
    this.#insertLeaf = database.prepare('INSERT INTO leaf VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
    this.#insertSubtree = database.prepare('INSERT INTO subtree VALUES (?, ?, ?)');
    this.#setHead = database.prepare(
      `INSERT INTO head VALUES (?, ?, ?)
       ON CONFLICT (device) DO UPDATE SET next_sequence = excluded.next_sequence, digest = excluded.digest`,
    );
    this.#selectHead = database.prepare<[Uint8Array], { next_sequence: number; digest: Uint8Array }>(
      'SELECT next_sequence, digest FROM head WHERE device = ?',
    );
    this.#selectStored = database.prepare<[Uint8Array, number], { leaf_index: number; digest: Uint8Array }>(
      'SELECT leaf_index, digest FROM leaf WHERE device = ? AND sequence = ?',
    );
    this.#selectDigest = database.prepare<[number], { digest: Uint8Array }>(
      'SELECT digest FROM leaf WHERE leaf_index = ?',
    );
    this.#selectSubtree = database.prepare<[number, number], { hash: Uint8Array }>(
      'SELECT hash FROM subtree WHERE level = ? AND position = ?',
    );
    this.#addCount = database.prepare(
      'INSERT INTO counter VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET count = count + excluded.count',
    );
  }

  /** Leaves in the log. */
  size(): number {
    const row = this.#database
      .prepare<[], { size: number }>('SELECT coalesce(max(leaf_index) + 1, 0) AS size FROM leaf')
      .get();
    return row?.size ?? 0;
  }

  insertLeaf({ index, device, sequence, digest, firstSec, lastSec, loggedMs, envelope }: LeafRow): void {
    this.#insertLeaf.run(index, device, sequence, digest, firstSec, lastSec, loggedMs, envelope);
  }

  /** The hash over leaves [position * 2^level, (position + 1) * 2^level), for levels from 1 on. */
  insertSubtree(level: number, position: number, hash: Uint8Array): void {
    this.#insertSubtree.run(level, position, hash);
  }

  subtree(level: number, position: number): Uint8Array | undefined {
    return this.#selectSubtree.get(level, position)?.hash;
  }

  digest(index: number): Uint8Array | undefined {
    return this.#selectDigest.get(index)?.digest;
  }

  head(device: Uint8Array): HeadRow | undefined {
    const row = this.#selectHead.get(device);
    return row === undefined ? undefined : { nextSequence: row.next_sequence, digest: row.digest };
  }

  setHead(device: Uint8Array, { nextSequence, digest }: HeadRow): void {
    this.#setHead.run(device, nextSequence, digest);
  }

  stored(device: Uint8Array, sequence: number): { readonly index: number; readonly digest: Uint8Array } | undefined {
    const row = this.#selectStored.get(device, sequence);
    return row === undefined ? undefined : { index: row.leaf_index, digest: row.digest };
  }

  /** The first proof that a device signed two batches for one sequence is kept; more of the same add nothing. */
  insertEquivocation({
    device,
    sequence,
    digest,
    envelope,
    loggedMs,
  }: Omit<LeafRow, 'index' | 'firstSec' | 'lastSec'>): void {
    this.#database
      .prepare('INSERT OR IGNORE INTO equivocation VALUES (?, ?, ?, ?, ?)')
      .run(device, sequence, digest, loggedMs, envelope);
  }

  equivocations(): { readonly device: Uint8Array; readonly sequence: number; readonly digest: Uint8Array }[] {
    return this.#database
      .prepare<[], { device: Uint8Array; sequence: number; digest: Uint8Array }>(
        'SELECT device, sequence, digest FROM equivocation ORDER BY seen_ms LIMIT 1000',
      )
      .all();
  }

  addCount(name: string, count: number): void {
    this.#addCount.run(name, count);
  }

  counts(): Map<string, number> {
    const rows = this.#database.prepare<[], { name: string; count: number }>('SELECT name, count FROM counter').all();
    return new Map(rows.map(({ name, count }) => [name, count]));
  }

  /** Leaves from an index on, without their envelopes. */
  leaves(first: number, countMax: number): Pick<LeafRow, 'device' | 'sequence' | 'digest'>[] {
    return this.#database
      .prepare<[number, number], Pick<LeafRow, 'device' | 'sequence' | 'digest'>>(
        'SELECT device, sequence, digest FROM leaf WHERE leaf_index >= ? AND leaf_index < ? ORDER BY leaf_index',
      )
      .all(first, first + countMax);
  }

  envelope(index: number): Uint8Array | undefined {
    return this.#database
      .prepare<[number], { envelope: Uint8Array }>('SELECT envelope FROM leaf WHERE leaf_index = ?')
      .get(index)?.envelope;
  }

  /** Both batches that a device signed for one sequence, as they came; the first is the one in the log. */
  equivocationProofs(): { readonly device: Uint8Array; readonly first: Uint8Array; readonly second: Uint8Array }[] {
    return this.#database
      .prepare<[], { device: Uint8Array; first: Uint8Array; second: Uint8Array }>(
        `SELECT equivocation.device, leaf.envelope AS "first", equivocation.envelope AS "second"
         FROM equivocation JOIN leaf ON leaf.device = equivocation.device AND leaf.sequence = equivocation.sequence
         ORDER BY equivocation.seen_ms LIMIT 1000`,
      )
      .all();
  }

  /** A device's envelopes from a sequence on, oldest first. */
  envelopes(device: Uint8Array, fromSequence: number, countMax: number): { sequence: number; envelope: Uint8Array }[] {
    return this.#database
      .prepare<[Uint8Array, number, number], { sequence: number; envelope: Uint8Array }>(
        'SELECT sequence, envelope FROM leaf WHERE device = ? AND sequence >= ? ORDER BY sequence LIMIT ?',
      )
      .all(device, fromSequence, countMax);
  }

  /** The first of a device's batches that ends at or after `timeSec`. */
  firstSequenceSince(device: Uint8Array, timeSec: number): number | undefined {
    const row = this.#database
      .prepare<[Uint8Array, number], { sequence: number | null }>(
        'SELECT min(sequence) AS sequence FROM leaf WHERE device = ? AND last_sec >= ?',
      )
      .get(device, timeSec);
    return row?.sequence ?? undefined;
  }
}
