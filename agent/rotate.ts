/**
 * A device gets another key, while its agent is stopped:
 *
 *   1  the new key, in the same store                      NAME~next.json; the journal knows its device
 *   2  what is not sealed yet is sealed by the old key     so it leaves no reading behind
 *   3  both consent                                        NAME~DEVICE.rotation.json, for DeviceRegistry.rotate
 *   4  the new key takes the place of the old one          one rename
 *
 * After a crash anywhere the same command goes on: a next key that is there is used, and before the rename the old one
 * is still in its place. The agent then delivers the old key's batches first (drain.ts).
 */
import { existsSync, linkSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  bytesToHex,
  encodeEnrolment,
  encodeRotation,
  enrolmentPreimage,
  rotationPreimage,
  type Enrolment,
} from '@coldproof/wire';
import type { AgentConfig, DeviceConfig } from './config.ts';
import { fsyncFolder, writeDurably } from './durable-file.ts';
import type { Journal } from './journal.ts';
import { createKey, formerKeyPath, keyPath, nextKeyPath, openKey, type KeyAccess } from './key-ring.ts';
import type { KeyStore } from './key-store.ts';
import { describeError, OperatingError } from './operating-error.ts';
import type { Reading } from './sample.ts';
import { privacyOf } from './privacy.ts';
import { cutReadings, sealDropped, sealReadings } from './seal.ts';
import { signBatch } from './sign.ts';

export type RotationDeps = {
  readonly journal: Pick<
    Journal,
    'adoptDevice' | 'readings' | 'samplerStates' | 'head' | 'append' | 'handOver' | 'bounds' | 'secrets'
  >;
  readonly access: KeyAccess;
  readonly nowSec: number;
};

type Signature = { readonly r: string; readonly s: string };

/** Arguments of DeviceRegistry.rotate, all bytes in hex. */
export type RotationRequest = {
  readonly name: string;
  readonly device: string;
  readonly successor: string;
  readonly from: number;
  readonly x: string;
  readonly y: string;
  readonly consent: Signature;
  readonly possession: Signature;
};

export async function rotateKey(
  config: AgentConfig,
  device: DeviceConfig,
  enrolment: Enrolment,
  { journal, access, nowSec }: RotationDeps,
): Promise<RotationRequest> {
  const { name } = device;
  const path = keyPath(config, name);
  const nextPath = nextKeyPath(config, name);
  const key = openKey(device, path, access);
  const id = key.device();
  const next = existsSync(nextPath)
    ? openKey(device, nextPath, access)
    : await createKey(device, nextPath, access, (successor) => journal.adoptDevice(successor));
  const successor = next.device();
  await sealRest(journal, key, device);
  const newestSec = [...journal.samplerStates(id).values()].map((state) => state.newestSec);
  // After the newest reading, whatever its sensor's clock says: the old key's own evidence stays whole.
  const fromSec = Math.max(nowSec, ...newestSec.map((sec) => sec + 1));
  const rotation = encodeRotation({ ...enrolment, successor, fromSec });
  const publicKey = bytesToHex(next.publicKey());
  const request: RotationRequest = {
    name,
    device: bytesToHex(id),
    successor: bytesToHex(successor),
    from: fromSec,
    x: publicKey.slice(0, 64),
    y: publicKey.slice(64),
    consent: await signed(key, rotationPreimage(rotation)),
    possession: await signed(next, enrolmentPreimage(encodeEnrolment(enrolment))),
  };
  journal.handOver(id, successor);
  const formerPath = formerKeyPath(config, name, id);
  writeDurably(formerPath.replace(/\.json$/, '.rotation.json'), `${JSON.stringify(request)}\n`);
  takePlace(path, nextPath, formerPath);
  return request;
}

/** The old key's last batches: everything that it has, due or not. */
async function sealRest(journal: RotationDeps['journal'], key: KeyStore, terms: DeviceConfig): Promise<void> {
  const device = key.device();
  for (;;) {
    const unsealed = new Map<number, Reading[]>();
    for (const reading of journal.readings(device)) {
      const readings = unsealed.get(reading.channel);
      if (readings === undefined) unsealed.set(reading.channel, [reading]);
      else readings.push(reading);
    }
    const statement = journal.bounds.unstated(device);
    const readings = statement === undefined ? cutReadings(unsealed, terms, { isLast: true }) : [];
    if (readings === undefined) return;
    const { sequence, previous } = journal.head(device);
    const chain = { device, sequence, previous };
    const privacy = privacyOf(terms, device, readings, journal);
    const sealed = statement === undefined ? sealReadings(readings, chain, privacy) : sealDropped(statement, chain);
    const { digest, batch } = sealed;
    const bytes = await signBatch(sealed, key);
    journal.append({ device, sequence, digest, bytes, readings, lastSec: batch.lastSec, statement });
  }
}

async function signed(key: KeyStore, preimage: Uint8Array): Promise<Signature> {
  const signature = bytesToHex(await key.sign(preimage));
  return { r: signature.slice(0, 64), s: signature.slice(64) };
}

/** At no moment is there no key: the old file gets its second name first, then the new one replaces the first. */
function takePlace(path: string, nextPath: string, formerPath: string): void {
  try {
    if (!existsSync(formerPath)) linkSync(path, formerPath);
    fsyncFolder(dirname(path));
    renameSync(nextPath, path);
    fsyncFolder(dirname(path));
  } catch (cause) {
    throw new OperatingError('state-unavailable', `${path}: ${describeError(cause)}`, { retry: 'never', cause });
  }
}
