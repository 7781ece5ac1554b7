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
  envelope: 'BLOB',
} as const;

type StoredRow = { leaf_index: number; device: Uint8Array; sequence: number; digest: Uint8Array };

/** Orders those who append to the log, where several processes do. */
const appendLock = 1;

export class LogStore {
  readonly #database: Database;
  readonly #insertLeaves;
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
      leaves.map(({ index, device, sequence, digest, firstSec, lastSec, loggedMs, envelope }) => {
        return [index, device, sequence, digest, firstSec, lastSec, loggedMs, envelope];
      }),
    );
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
