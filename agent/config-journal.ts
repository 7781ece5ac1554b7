/** The journal's part of the configuration: how much it may hold, and what gives way when that is reached. */
import { integer, oneOf, optional, record, type Field } from './config-field.ts';

export const onFullChoices = ['refuse-new', 'overwrite-oldest'] as const;
export type OnFull = (typeof onFullChoices)[number];

export type JournalConfig = {
  /** Of the file and its write-ahead log together. */
  readonly sizeMaxMiB: number;
  /** Readings that are older than this and in no batch are dropped; undefined: by their size alone. */
  readonly ageMaxDays: number | undefined;
  readonly onFull: OnFull;
  /** Envelopes are kept for so long after their receipts, to be sent once more on request. */
  readonly keepDays: number;
};

export const journalDefaults: JournalConfig = {
  sizeMaxMiB: 1_024,
  ageMaxDays: undefined,
  onFull: 'refuse-new',
  keepDays: 7,
};

export const journal: Field<JournalConfig> = optional(
  record({
    // Below this the write-ahead log, of up to 5 MiB, would be the larger part.
    sizeMaxMiB: optional(integer(16, 1_048_576), journalDefaults.sizeMaxMiB),
    ageMaxDays: optional(integer(1, 3_650)),
    onFull: optional(oneOf(...onFullChoices), journalDefaults.onFull),
    keepDays: optional(integer(0, 3_650), journalDefaults.keepDays),
  }),
  journalDefaults,
);
