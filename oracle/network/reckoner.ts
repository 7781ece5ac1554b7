/** Runs the cryptlets that lie in a folder, on what the log has of an order's device. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { accept, bytesToHex, faultValue, type OpenEnvelope, type Sample, type Verdict } from '@coldproof/wire';
import { encodePayload } from '../chain-report.ts';
import { parsePackage, type Cryptlet } from '../cryptlet/cryptlet.ts';
import type { CryptletHost } from '../cryptlet/host.ts';
import type { CryptletInput, InputSample } from '../cryptlet/input.ts';
import { parseInterface } from '../cryptlet/interface.ts';
import type { Manifest } from '../cryptlet/manifest.ts';
import { OperatingError } from '../operating-error.ts';
import type { Order } from '../store-chain.ts';
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
  const byDigest = new Map(cryptlets.map((cryptlet) => [bytesToHex(cryptlet.digest), cryptlet]));
  return {
    cryptlets: new Set(byDigest.keys()),
    async run(digest, order, batches) {
      const cryptlet = byDigest.get(digest)!;
      const read = batchesToRead(cryptlet.manifest, order, batches);
      return read === undefined
        ? accept(undefined)
        : payloadOf(cryptlet, host, inputOf(cryptlet.manifest, order, read));
    },
  };
}

/** Reports are assertions that terms are broken: one that breaks nothing is not made. */
async function payloadOf(
  cryptlet: Cryptlet,
  host: CryptletHost,
  input: CryptletInput,
): Promise<Verdict<Uint8Array | undefined, string>> {
  const result = await host.run(cryptlet, input);
  if (!result.ok) return result;
  if (result.value?.breach !== true) return accept(undefined);
  const form = parseInterface(cryptlet.manifest.interface);
  if (!form.ok) return form;
  const types = form.value.fields.map(({ type }) => type);
  return accept(encodePayload(types, result.value.report));
}

/** What the trigger makes of the newest batch: the batches to run over, or none. */
function batchesToRead(
  { trigger }: Manifest,
  { judgedFromSec, deliveredAtSec }: Order,
  batches: readonly OpenEnvelope[],
): readonly OpenEnvelope[] | undefined {
  const [before, last] = [batches.at(-2)?.batch, batches.at(-1)!.batch];
  const isAfter = deliveredAtSec !== 0 && last.firstSec > deliveredAtSec;
  if (trigger.on === 'delivery') {
    // The first batch from after the delivery says that the one before it was the last of the transit.
    const isFirstAfter = isAfter && before !== undefined && before.firstSec <= deliveredAtSec;
    return isFirstAfter ? batches.slice(0, -1) : undefined;
  }
  if (isAfter) return undefined;
  if (trigger.on === 'batch') return batches;
  const reached = (sec: number) => Math.floor((sec - judgedFromSec) / trigger.everySec);
  return reached(last.lastSec) > reached(before?.lastSec ?? judgedFromSec) ? batches : undefined;
}

function inputOf(manifest: Manifest, order: Order, batches: readonly OpenEnvelope[]): CryptletInput {
  const [first, last] = [batches[0]!.batch, batches.at(-1)!];
  const nowSec = last.batch.lastSec;
  const { orderId, device, limits, judgedFromSec } = order;
  const fromSec = manifest.windowSec === 0 ? judgedFromSec : Math.max(judgedFromSec, nowSec - manifest.windowSec);
  const lastDigest = bytesToHex(last.digest);
  return {
    orderId,
    parameters: Object.fromEntries(manifest.parameters.map(({ name, value }) => [name, value])),
    terms: { limits },
    device,
    range: { firstSequence: first.sequence, lastSequence: last.batch.sequence, lastDigest },
    channels: manifest.channels.map((channel) => ({
      channel,
      series: batches.flatMap(({ batch, series }) => {
        const found = series.find((each) => each.channel === channel);
        const samples = (found?.samples ?? []).filter(({ timeSec }) => timeSec >= fromSec);
        if (found === undefined || samples.length === 0) return [];
        const { sequence, flags } = batch;
        return [{ sequence, flags, marks: found.marks, samples: samples.map((each) => sampleOf(channel, each)) }];
      }),
    })),
    dispatchedSec: judgedFromSec,
    fromSec,
    nowSec,
  };
}

function sampleOf(channel: number, { timeSec, value }: Sample): InputSample {
  return [timeSec, value === faultValue(channel) ? null : value];
}
