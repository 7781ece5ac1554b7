/** Batches of the log, opened: what it holds was verified before it was stored. */
import { assert, decodeEnvelope, hexToBytes, openEnvelope, type Crypto, type OpenEnvelope } from '@coldproof/wire';
import type { Store } from './store.ts';

export function openStored(envelope: Uint8Array, crypto: Crypto): OpenEnvelope {
  const decoded = decodeEnvelope(envelope);
  assert(decoded.ok, 'a stored envelope decodes');
  const opened = openEnvelope(decoded.value, crypto);
  assert(opened.ok, 'a stored envelope opens');
  return opened.value;
}

/** A device's batches, by sequence: `from` included, `until` not. */
export function storedBatches(
  { store, crypto }: { readonly store: Store; readonly crypto: Crypto },
  device: string,
  from: number,
  until: number,
): OpenEnvelope[] {
  return store.log
    .envelopes(hexToBytes(device), from, until - from)
    .map(({ envelope }) => openStored(envelope, crypto));
}
