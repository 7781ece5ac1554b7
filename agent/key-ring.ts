/**
 * The keys of an agent's devices, each in the store that the configuration names. Below stateDir/keys:
 *
 *   NAME.json               the device's key now
 *   NAME~next.json          a successor that is not in place yet, see rotate.ts
 *   NAME~DEVICE.json        a predecessor, by the first 16 digits of its device: what it signed may still wait
 */
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { assert, bytesToHex, deviceOf } from '@coldproof/wire';
import type { AgentConfig, DeviceConfig } from './config.ts';
import { createKeyFile, openKeyFile, readPublicKey } from './key-file.ts';
import { createTokenKey, openTokenKey, type TokenTerms } from './key-pkcs11.ts';
import type { KeyStore } from './key-store.ts';
import type { KeySecrets } from './secret.ts';

/** No name of a device has a tilde in it. */
const mark = '~';

export function keyPath({ stateDir }: Pick<AgentConfig, 'stateDir'>, device: string): string {
  return join(stateDir, 'keys', `${device}.json`);
}

export function nextKeyPath(config: Pick<AgentConfig, 'stateDir'>, device: string): string {
  return keyPath(config, `${device}${mark}next`);
}

export function formerKeyPath(config: Pick<AgentConfig, 'stateDir'>, device: string, id: Uint8Array): string {
  return keyPath(config, `${device}${mark}${bytesToHex(id).slice(0, 16)}`);
}

/** `isAttended`: a person started this command and sees its answer. */
export type KeyAccess = KeySecrets & { readonly isAttended: boolean };

export function openKey(device: DeviceConfig, path: string, access: KeyAccess): KeyStore {
  const terms = termsOf(device, access);
  return terms === undefined ? openKeyFile(path, passphraseOf(access)) : openTokenKey(path, terms);
}

/** Throws `key-exists` when `path` is there. `beforeWrite` gets the new device before anything is noted of it. */
export async function createKey(
  device: DeviceConfig,
  path: string,
  access: KeyAccess,
  beforeWrite: (device: Uint8Array) => void,
): Promise<KeyStore> {
  const terms = termsOf(device, access);
  if (terms !== undefined) return createTokenKey(path, terms, beforeWrite);
  return createKeyFile(path, passphraseOf(access), randomBytes, beforeWrite);
}

/** By name of the configured device. */
export function openKeys(config: AgentConfig, access: KeyAccess): Map<string, KeyStore> {
  return new Map(config.devices.map((device) => [device.name, openKey(device, keyPath(config, device.name), access)]));
}

export type FormerKey = { readonly name: string; readonly publicKey: Uint8Array; readonly id: Uint8Array };

/** The keys that `device` had before, in no order, named as their files are. */
export function formerKeys({ stateDir }: Pick<AgentConfig, 'stateDir'>, device: string): FormerKey[] {
  const folder = join(stateDir, 'keys');
  const pattern = /^[0-9a-f]{16}\.json$/;
  return readdirSync(folder)
    .filter((file) => file.startsWith(`${device}${mark}`) && pattern.test(file.slice(device.length + 1)))
    .map((file) => {
      const publicKey = readPublicKey(join(folder, file));
      return { name: file.replace(/\.json$/, ''), publicKey, id: deviceOf(publicKey) };
    });
}

function termsOf({ name, key }: DeviceConfig, { pins, isAttended }: KeyAccess): TokenTerms | undefined {
  if (key.kind === 'file') return undefined;
  const pin = pins.get(name);
  assert(pin !== undefined, `the PIN for ${name} was read`);
  return { module: key.module, token: key.token, label: key.label, pin, isAttended };
}

function passphraseOf({ passphrase }: KeySecrets): string {
  assert(passphrase !== undefined, 'a configuration with a key file names its passphrase');
  return passphrase;
}
