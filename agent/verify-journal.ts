/**
 * Looks at everything that a journal holds, as an oracle would: is each envelope the device's own, is the chain whole
 * from the last receipt to the head, did the log really promise what the receipts say. Changes nothing.
 */
import { bytesEqual, decodeEnvelope, deviceOf, noPrevious, openEnvelope, verifyEnvelope } from '@coldproof/wire';
import type { Journal } from './journal.ts';
import type { LogKeys } from './log-key.ts';
import { OperatingError } from './operating-error.ts';

export type DeviceVerification = {
  readonly name: string;
  readonly envelopes: number;
  readonly receipts: number;
  /** Empty: all is well. */
  readonly problems: readonly string[];
};

type Source = Pick<Journal, 'head' | 'pending' | 'receipts'>;
type KeyOf = { readonly name: string; readonly publicKey: Uint8Array };
/** What is known of the batch before the next one: undefined where nothing is. */
type Link = { readonly sequence: number; readonly digest: Uint8Array } | undefined;

const pageRows = 256;

export function verifyJournal(journal: Source, { name, publicKey }: KeyOf, logKeys: LogKeys): DeviceVerification {
  const walk = new Walk(journal, publicKey);
  try {
    for (const log of logKeys.logs) walk.receipts(log, logKeys);
    walk.envelopes();
    walk.head();
  } catch (error) {
    // Rows that are not what was written: no further look at this device makes sense.
    if (!(error instanceof OperatingError)) throw error;
    walk.problems.push(`${error.code}: ${error.message}`);
  }
  return { name, envelopes: walk.envelopeCount, receipts: walk.receiptCount, problems: walk.problems };
}

class Walk {
  readonly problems: string[] = [];
  envelopeCount = 0;
  receiptCount = 0;
  readonly #journal: Source;
  readonly #publicKey: Uint8Array;
  readonly #device: Uint8Array;
  #last: Link;
  /** Receipts may come out of order, so it can be a receipt's or an envelope's. */
  #newest: Link;

  constructor(journal: Source, publicKey: Uint8Array) {
    this.#journal = journal;
    this.#publicKey = publicKey;
    this.#device = deviceOf(publicKey);
  }

  /** Of one log: what logs have promised that the configuration does not name any more, no key is at hand for. */
  receipts(log: Uint8Array, logKeys: LogKeys): void {
    const { receipts } = this.#journal;
    for (const { sequence, bytes } of pages((from) => receipts.kept(this.#device, log, from, pageRows))) {
      this.receiptCount += 1;
      const verdict = logKeys.verify(bytes);
      if (!verdict.ok) {
        this.problems.push(`receipt ${sequence}: ${verdict.reason}: ${verdict.detail}`);
        continue;
      }
      const { device, sequence: named, digest } = verdict.value;
      if (!bytesEqual(device, this.#device) || named !== sequence) {
        this.problems.push(`receipt ${sequence}: expected this device and sequence, got another's`);
      } else {
        this.#pass({ sequence, digest });
      }
    }
  }

  envelopes(): void {
    for (const { sequence, digest, bytes } of pages((from) => this.#journal.pending(this.#device, from, pageRows))) {
      this.envelopeCount += 1;
      const problem = this.#verify(bytes, sequence, digest);
      if (problem !== undefined) this.problems.push(`envelope ${sequence}: ${problem}`);
      this.#pass({ sequence, digest });
    }
  }

  /** The next batch will name this digest as its previous one. */
  head(): void {
    const { sequence, previous } = this.#journal.head(this.#device);
    const last = sequence === 0 ? { sequence: -1, digest: noPrevious } : this.#newest;
    if (last?.sequence === sequence - 1 && bytesEqual(last.digest, previous)) return;
    this.problems.push(`head: expected to follow sequence ${last?.sequence ?? 'none'}, got sequence ${sequence}`);
  }

  #pass(link: NonNullable<Link>): void {
    this.#last = link;
    if (link.sequence >= (this.#newest?.sequence ?? 0)) this.#newest = link;
  }

  #verify(bytes: Uint8Array, sequence: number, digest: Uint8Array): string | undefined {
    const decoded = decodeEnvelope(bytes);
    if (!decoded.ok) return `${decoded.reason}: ${decoded.detail}`;
    const opened = openEnvelope(decoded.value);
    if (!opened.ok) return `${opened.reason}: ${opened.detail}`;
    const signature = verifyEnvelope(decoded.value, this.#publicKey);
    if (!signature.ok) return `${signature.reason}: ${signature.detail}`;
    const { batch } = opened.value;
    if (batch.sequence !== sequence) return `expected sequence ${sequence}, got ${batch.sequence}`;
    if (!bytesEqual(opened.value.digest, digest)) return 'expected the digest beside it, got another';
    const before = sequence === 0 ? { sequence: -1, digest: noPrevious } : this.#last;
    const isNext = before?.sequence === sequence - 1;
    return isNext && !bytesEqual(before.digest, batch.previous) ? 'does not name the batch before it' : undefined;
  }
}

/** All rows of a table, a page at a time. */
function* pages<Row extends { readonly sequence: number }>(read: (from: number) => readonly Row[]): Generator<Row> {
  for (let from = 0; ;) {
    const rows = read(from);
    yield* rows;
    if (rows.length < pageRows) return;
    from = rows.at(-1)!.sequence + 1;
  }
}
