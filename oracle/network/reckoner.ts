/** Runs the cryptlets that a node has, on what its log has of an order's device. */
import { accept, type Verdict } from '@coldproof/wire';
import { encodePayload } from '../chain-report.ts';
import type { Cryptlet } from '../cryptlet/cryptlet.ts';
import { dueRuns, type DueRun } from '../cryptlet/due.ts';
import type { CryptletHost } from '../cryptlet/host.ts';
import { parseInterface } from '../cryptlet/interface.ts';
import type { Reckoner } from './reckon.ts';

export function cryptletReckoner(installed: ReadonlyMap<string, Cryptlet>, host: CryptletHost): Reckoner {
  return {
    cryptlets: new Set(installed.keys()),
    async run(digest, order, batches) {
      const [run] = dueRuns({ ...order, cryptlets: [digest] }, batches, installed);
      return run === undefined ? accept(undefined) : payloadOf(run, host);
    },
  };
}

/** Reports are assertions that terms are broken: one that breaks nothing is not made. */
async function payloadOf(
  { cryptlet, input }: DueRun,
  host: CryptletHost,
): Promise<Verdict<Uint8Array | undefined, string>> {
  const result = await host.run(cryptlet, input);
  if (!result.ok) return result;
  if (result.value?.breach !== true) return accept(undefined);
  const form = parseInterface(cryptlet.manifest.interface);
  if (!form.ok) return form;
  const types = form.value.fields.map(({ type }) => type);
  return accept(encodePayload(types, result.value.report));
}
