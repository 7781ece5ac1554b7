/**
 * Keeps what judge.ts has come to, of one device. Persisted, not made again from the journal: a voyage's sum of time
 * outside the limits goes back further than the journal, which drops a batch with its receipt. It is written right
 * after the batch is appended and before anything can settle it, so after a crash the journal still has every batch
 * that the file does not know, and `open` walks those.
 */
import { join } from 'node:path';
import { decodeEnvelope, openEnvelope, type OrderUnderWatch } from '@coldproof/wire';
import type { Journal } from './journal.ts';
import {
  judgeBatch,
  judgeUnsealed,
  startJudging,
  warningsOf,
  type JudgeState,
  type Judged,
  type OrderWarnings,
} from './judge.ts';
import type { Log } from './log-line.ts';
import { OperatingError } from './operating-error.ts';
import type { SamplerState } from './sample.ts';
import type { SealTerms, Unsealed } from './seal.ts';
import { readStateFile, writeStateFile } from './state-file.ts';

export type JudgedDevice = {
  readonly name: string;
  readonly id: Uint8Array;
  readonly order: OrderUnderWatch;
  readonly sealTerms: SealTerms;
};

const fileVersion = 1;
const pageRows = 256;

export class JudgeKeeper {
  readonly #device: JudgedDevice;
  readonly #path: string;
  readonly #log: Log;
  #sealed: JudgeState;
  /** With the readings that no batch has. */
  #current: Judged;

  constructor(device: JudgedDevice, journal: Pick<Journal, 'pending' | 'head'>, stateDir: string, log: Log) {
    this.#device = device;
    this.#log = log;
    this.#path = join(stateDir, 'terms', `${device.name}.json`);
    this.#sealed = this.#load() ?? startJudging(device.order, 0);
    for (const { bytes } of pendingFrom(journal, device.id, this.#sealed.nextSequence)) this.#walk(bytes);
    // Batches that have their receipt, and came before these terms, are no longer here.
    const { sequence } = journal.head(device.id);
    this.#sealed = { ...this.#sealed, nextSequence: sequence };
    this.#current = { state: this.#sealed, waiting: [] };
  }

  /** An envelope that the journal has just been given. */
  sealed(envelope: Uint8Array): void {
    this.#walk(envelope);
    writeStateFile(this.#path, { version: fileVersion, ...this.#sealed });
  }

  /** Opened as the oracle opens it. Our own bytes, so that only a journal that has rotted does not open. */
  #walk(envelope: Uint8Array): void {
    const decoded = decodeEnvelope(envelope);
    const opened = decoded.ok ? openEnvelope(decoded.value) : decoded;
    if (opened.ok) this.#sealed = judgeBatch(this.#device.order, this.#sealed, opened.value);
    else this.#log('error', 'batch-not-judged', { device: this.#device.name, why: opened.detail });
  }

  /** Readings have come, or have gone into a batch. */
  look(unsealed: Unsealed): void {
    this.#current = judgeUnsealed(this.#device.order, this.#sealed, unsealed, this.#device.sealTerms);
  }

  warnings(sampled: ReadonlyMap<number, SamplerState>, nowSec: number): OrderWarnings {
    return warningsOf(this.#device.order, this.#current, sampled, nowSec);
  }

  #load(): JudgeState | undefined {
    try {
      const state = readStateFile(this.#path) as (JudgeState & { readonly version: number }) | undefined;
      const isOurs = state?.version === fileVersion && state.order === JSON.stringify(this.#device.order);
      return isOurs ? state : undefined;
    } catch (error) {
      if (!(error instanceof OperatingError)) throw error;
      // To warn from now on is better than not to run: the evidence is in the batches, and the oracle has those.
      this.#log('error', 'terms-state-lost', { device: this.#device.name, why: error.message });
      return undefined;
    }
  }
}

/** Undefined for a device without terms. */
export function judgeOf(
  { name, terms, ...sealTerms }: SealTerms & { readonly name: string; readonly terms?: OrderUnderWatch | undefined },
  id: Uint8Array,
  { journal, log }: { readonly journal: Pick<Journal, 'pending' | 'head'>; readonly log: Log },
  stateDir: string,
): JudgeKeeper | undefined {
  return terms && new JudgeKeeper({ name, id, order: terms, sealTerms }, journal, stateDir, log);
}

/** Oldest first, a page at a time: after a month offline there are many. */
function* pendingFrom(journal: Pick<Journal, 'pending'>, device: Uint8Array, sequence: number) {
  for (let from = sequence; ;) {
    const rows = journal.pending(device, from, pageRows);
    yield* rows;
    if (rows.length < pageRows) return;
    from = rows.at(-1)!.sequence + 1;
  }
}
