/** SQL of the append-only log: leaves with their envelopes, complete subtrees, device heads, counters. */
import { hexToBytes } from '@coldproof/wire';
import { hexOf } from './hex.ts';
import type { Database } from './store-database.ts';

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

export type StoredLeaf = Pick<LeafRow, 'index' | 'device' | 'sequence' | 'digest'>;

export type HeadRow = { readonly nextSequence: number; readonly digest: Uint8Array };

export type SubtreeRow = { readonly level: number; readonly position: number; readonly hash: Uint8Array };

const leafColumns = {
  leaf_index: 'INTEGER',
  device: 'BLOB',
  sequence: 'INTEGER',
  digest: 'BLOB',
  first_sec: 'INTEGER',
  last_sec: 'INTEGER',
  logged_ms: 'INTEGER',
} as const;

/** An envelope that is still stored, as retention.ts judges it. */
export type BodyRow = {
  readonly index: number;
  readonly device: Uint8Array;
  readonly lastSec: number;
  readonly loggedMs: number;
  /** The newest batch of its device, or one of the two that prove an equivocation. */
  readonly isKept: boolean;
};

type StoredRow = { leaf_index: number; device: Uint8Array; sequence: number; digest: Uint8Array };

/** Orders those who append to the log, where several processes do. */
const appendLock = 1;

export class LogStore {
  readonly #database: Database;
  readonly #insertLeaves;
  readonly #insertEnvelopes;
  readonly #insertSubtrees;
  readonly #setHeads;
  readonly #selectHeads;
  readonly #selectStored;
  readonly #selectSize;
  readonly #selectDigest;
  readonly #selectSubtree;
  readonly #addCounts;

  constructor(database: Database) {
    this.#database = database;
    this.#insertLeaves = database.prepareRows('leaf', leafColumns);
    this.#insertEnvelopes = database.prepareRows('envelope', { leaf_index: 'INTEGER', bytes: 'BLOB' });
    this.#insertSubtrees = database.prepareRows('subtree', { level: 'INTEGER', position: 'INTEGER', hash: 'BLOB' });
    this.#setHeads = database.prepareRows(
      'head',
      { device: 'BLOB', next_sequence: 'INTEGER', digest: 'BLOB' },
      'ON CONFLICT (device) DO UPDATE SET next_sequence = excluded.next_sequence, digest = excluded.digest',
    );
    this.#selectHeads = database.prepareKeys<{ device: Uint8Array; next_sequence: number; digest: Uint8Array }>(
      'SELECT device, next_sequence, digest FROM head',
      { device: 'BLOB' },
    );
    this.#selectStored = database.prepareKeys<StoredRow>('SELECT leaf_index, device, sequence, digest FROM leaf', {
      device: 'BLOB',
      sequence: 'INTEGER',
    });
    this.#selectSize = database.prepare<[], { size: number }>(
      'SELECT coalesce(max(leaf_index) + 1, 0) AS size FROM leaf',
    );
    this.#selectDigest = database.prepare<[number], { digest: Uint8Array }>(
      'SELECT digest FROM leaf WHERE leaf_index = ?',
    );
    this.#selectSubtree = database.prepare<[number, number], { hash: Uint8Array }>(
      'SELECT hash FROM subtree WHERE level = ? AND position = ?',
    );
    this.#addCounts = database.prepareRows(
      'counter',
      { name: 'TEXT', count: 'INTEGER' },
      'ON CONFLICT (name) DO UPDATE SET count = counter.count + excluded.count',
    );
  }

  /** Until the transaction ends, no other process appends. */
  lock(): void {
    this.#database.lock(appendLock);
  }

  /** Leaves in the log. */
  size(): number {
    return this.#selectSize.get()?.size ?? 0;
  }

  insertLeaves(leaves: readonly LeafRow[]): void {
    this.#insertLeaves.run(
      leaves.map(({ index, device, sequence, digest, firstSec, lastSec, loggedMs }) => {
        return [index, device, sequence, digest, firstSec, lastSec, loggedMs];
      }),
    );
    this.#insertEnvelopes.run(leaves.map(({ index, envelope }) => [index, envelope]));
  }

  /** The hash over leaves [position * 2^level, (position + 1) * 2^level), for levels from 1 on. */
  insertSubtrees(subtrees: readonly SubtreeRow[]): void {
    this.#insertSubtrees.run(subtrees.map(({ level, position, hash }) => [level, position, hash]));
  }

  subtree(level: number, position: number): Uint8Array | undefined {
    return this.#selectSubtree.get(level, position)?.hash;
  }

  digest(index: number): Uint8Array | undefined {
    return this.#selectDigest.get(index)?.digest;
  }

  head(device: Uint8Array): HeadRow | undefined {
    return this.heads([device]).get(hexOf(device));
  }

  /** By device in hex; a device without a batch is absent. No device may be asked for twice. */
  heads(devices: readonly Uint8Array[]): Map<string, HeadRow> {
    const rows = this.#selectHeads.all(devices.map((device) => [device]));
    return new Map(
      rows.map(({ device, next_sequence: nextSequence, digest }) => [hexOf(device), { nextSequence, digest }]),
    );
  }

  setHeads(heads: ReadonlyMap<string, HeadRow>): void {
    this.#setHeads.run(
      [...heads].map(([device, { nextSequence, digest }]) => [hexToBytes(device), nextSequence, digest]),
    );
  }

  stored(device: Uint8Array, sequence: number): StoredLeaf | undefined {
    return this.storedAll([{ device, sequence }])[0];
  }

  /** In no order; what is not stored is absent. */
  storedAll(sought: readonly Pick<LeafRow, 'device' | 'sequence'>[]): StoredLeaf[] {
    const rows = this.#selectStored.all(sought.map(({ device, sequence }) => [device, sequence]));
    return rows.map(({ leaf_index: index, device, sequence, digest }) => ({ index, device, sequence, digest }));
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
      .prepare(
        `INSERT INTO equivocation (device, sequence, digest, seen_ms, envelope) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (device, sequence) DO NOTHING`,
      )
      .run(device, sequence, digest, loggedMs, envelope);
  }

  equivocations(): { readonly device: Uint8Array; readonly sequence: number; readonly digest: Uint8Array }[] {
    return this.#database
      .prepare<[], { device: Uint8Array; sequence: number; digest: Uint8Array }>(
        'SELECT device, sequence, digest FROM equivocation ORDER BY seen_ms LIMIT 1000',
      )
      .all();
  }

  addCounts(counts: ReadonlyMap<string, number>): void {
    this.#addCounts.run([...counts]);
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

  /** Undefined when there is no such leaf, and when its envelope was removed. */
  envelope(index: number): Uint8Array | undefined {
    return this.#database
      .prepare<[number], { bytes: Uint8Array }>('SELECT bytes FROM envelope WHERE leaf_index = ?')
      .get(index)?.bytes;
  }

  /** Both batches that a device signed for one sequence, as they came; the first is the one in the log. */
  equivocationProofs(): { readonly device: Uint8Array; readonly first: Uint8Array; readonly second: Uint8Array }[] {
    return this.#database
      .prepare<[], { device: Uint8Array; first: Uint8Array; second: Uint8Array }>(
        `SELECT equivocation.device, envelope.bytes AS "first", equivocation.envelope AS "second"
         FROM equivocation JOIN leaf ON leaf.device = equivocation.device AND leaf.sequence = equivocation.sequence
         JOIN envelope ON envelope.leaf_index = leaf.leaf_index
         ORDER BY equivocation.seen_ms LIMIT 1000`,
      )
      .all();
  }

  /** A device's envelopes from a sequence on, oldest first; those that were removed are left out. */
  envelopes(device: Uint8Array, fromSequence: number, countMax: number): { sequence: number; envelope: Uint8Array }[] {
    return this.#database
      .prepare<[Uint8Array, number, number], { sequence: number; envelope: Uint8Array }>(
        `SELECT sequence, bytes AS envelope FROM leaf JOIN envelope ON envelope.leaf_index = leaf.leaf_index
         WHERE device = ? AND sequence >= ? ORDER BY sequence LIMIT ?`,
      )
      .all(device, fromSequence, countMax);
  }

  /** Envelopes that are stored, by index, after `afterIndex`. */
  bodies(afterIndex: number, countMax: number): BodyRow[] {
    type Row = { leaf_index: number; device: Uint8Array; last_sec: number; logged_ms: number; is_kept: number };
    return this.#database
      .prepare<[number, number], Row>(
        `SELECT e.leaf_index, l.device, l.last_sec, l.logged_ms,
           CASE WHEN h.next_sequence = l.sequence + 1 OR q.device IS NOT NULL THEN 1 ELSE 0 END AS is_kept
         FROM envelope e JOIN leaf l ON l.leaf_index = e.leaf_index JOIN head h ON h.device = l.device
         LEFT JOIN equivocation q ON q.device = l.device AND q.sequence = l.sequence
         WHERE e.leaf_index > ? ORDER BY e.leaf_index LIMIT ?`,
      )
      .all(afterIndex, countMax)
      .map((row) => {
        const { leaf_index: index, device, last_sec: lastSec, logged_ms: loggedMs, is_kept: isKept } = row;
        return { index, device, lastSec, loggedMs, isKept: isKept === 1 };
      });
  }

  /** Envelopes of the leaves from `first` to `last`; the leaves themselves stay. */
  removeBodies(first: number, last: number): void {
    this.#database
      .prepare<[number, number]>('DELETE FROM envelope WHERE leaf_index >= ? AND leaf_index <= ?')
      .run(first, last);
  }

  /** The last of a device's batches in [fromSec, toSec] whose envelope was removed. */
  lastRemoved(device: Uint8Array, fromSec: number, toSec: number): number | undefined {
    const row = this.#database
      .prepare<[Uint8Array, number, number], { sequence: number | null }>(
        `SELECT max(l.sequence) AS sequence FROM leaf l LEFT JOIN envelope e ON e.leaf_index = l.leaf_index
         WHERE l.device = ? AND l.last_sec >= ? AND l.first_sec <= ? AND e.leaf_index IS NULL`,
      )
      .get(device, fromSec, toSec);
    return row?.sequence ?? undefined;
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
