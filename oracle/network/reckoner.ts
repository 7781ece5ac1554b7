/** Runs the cryptlets that lie in a folder, on what the log has of an order's device. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { accept, bytesToHex, type Verdict } from '@coldproof/wire';
import { encodePayload } from '../chain-report.ts';
import { parsePackage, type Cryptlet } from '../cryptlet/cryptlet.ts';
import { dueRuns, type DueRun } from '../cryptlet/due.ts';
import type { CryptletHost } from '../cryptlet/host.ts';
import { parseInterface } from '../cryptlet/interface.ts';
import { OperatingError } from '../operating-error.ts';
import type { Reckoner } from './reckon.ts';

/** Every file of the folder is a cryptlet's package; throws OperatingError 'config-invalid' for one that is none. */
export function readCryptlets(folder: string): Cryptlet[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).map((file) => {
    const parsed = parsePackage(Uint8Array.from(readFileSync(join(folder, file))));
    if (parsed.ok) return parsed.value;
    const message = `${join(folder, file)}: ${parsed.reason}: ${parsed.detail}`;
    throw new OperatingError('config-invalid', message, { retry: 'never' });
  });
}

export function cryptletReckoner(cryptlets: readonly Cryptlet[], host: CryptletHost): Reckoner {
  const installed = new Map(cryptlets.map((cryptlet) => [bytesToHex(cryptlet.digest), cryptlet]));
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
