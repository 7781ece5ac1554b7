/**
 * The secret that a device's next private series are encrypted from. It is drawn before a batch is sealed and goes when
 * the head moves on, in the transaction that appends the batch: until then the same readings seal to the same bytes,
 * whatever crashes in between; after it nobody, not even who takes the gateway, has what would open batches on their
 * way or in a log.
 */
import type { Database, Statement } from 'better-sqlite3';
import { assert } from '@coldproof/wire';
import type { RandomBytes } from './key-file.ts';

/** Since version 3 of the journal. */
export const secretsUpgrade = 'ALTER TABLE heads ADD COLUMN secret BLOB;';

const secretBytes = 32;

type Write = (what: string, work: () => void) => void;

export class JournalSecrets {
  readonly #write: Write;
  readonly #random: RandomBytes;
  readonly #find: Statement;
  readonly #put: Statement;

  constructor(database: Database, write: Write, random: RandomBytes) {
    this.#write = write;
    this.#random = random;
    this.#find = database.prepare('SELECT secret FROM heads WHERE device = ?');
    this.#put = database.prepare('UPDATE heads SET secret = ? WHERE device = ?');
  }

  /** On the disk before anything is encrypted from it. */
  next(device: Uint8Array): Uint8Array {
    const row = this.#find.get(device) as { secret: Uint8Array | null } | undefined;
    assert(row !== undefined, 'a device that seals has a head');
    if (row.secret !== null) return Uint8Array.from(row.secret);
    const secret = this.#random(secretBytes);
    this.#write('draw a secret', () => this.#put.run(secret, device));
    return Uint8Array.from(secret);
  }
}
