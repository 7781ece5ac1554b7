/** What a program's output must be: nothing, or a report of the manifest's interface. */
import { accept, reject, type Verdict } from '@coldproof/wire';
import { parseInterface, problemOf, type ReportValue } from './interface.ts';
import type { Manifest } from './manifest.ts';

/** Undefined: there is nothing to report. */
export type CryptletResult = CryptletReport | undefined;

export type CryptletReport = {
  /** One for each field of the interface. */
  readonly report: readonly ReportValue[];
  /** Whether what is reported breaks what was agreed. */
  readonly breach: boolean;
};

export function readOutput(manifest: Manifest, output: string): Verdict<CryptletResult, 'output-malformed'> {
  if (output === 'undefined') return accept(undefined);
  // JSON.stringify made it, of an object; or 'undefined', where that object's own toJSON said so.
  const item = JSON.parse(output) as unknown;
  if (typeof item !== 'object' || item === null) return malformed('expected an object');
  const { report, breach, ...more } = item as Record<string, unknown>;
  const [unknown] = Object.keys(more);
  if (unknown !== undefined) return malformed(`${unknown}: expected report and breach only`);
  if (typeof breach !== 'boolean') return malformed('breach: expected a boolean');
  const parsed = parseInterface(manifest.interface);
  if (!parsed.ok) return malformed(parsed.detail);
  const { fields } = parsed.value;
  if (!Array.isArray(report) || report.length !== fields.length) {
    return malformed(`report: expected an array of ${fields.length}`);
  }
  for (const [i, field] of fields.entries()) {
    const problem = problemOf(field, report[i]);
    if (problem !== undefined) return malformed(problem);
  }
  return accept({ report: report as ReportValue[], breach });
}

function malformed(detail: string) {
  return reject('output-malformed', detail);
}
