/** The registry's devices in memory: asked for every message. */
import { hexToBytes } from '@coldproof/wire';
import type { Store } from './store.ts';
import type { DeviceRecord } from './verify.ts';

export class DeviceCache {
  readonly #store: Store;
  readonly #records = new Map<string, DeviceRecord>();

  constructor(store: Store) {
    this.#store = store;
  }

  get(device: string): DeviceRecord | undefined {
    const known = this.#records.get(device);
    if (known !== undefined) return known;
    const stored = this.#store.chain.device(device);
    if (stored === undefined) return undefined;
    const { publicKey, revokedFromSec } = stored;
    const record = { publicKey: hexToBytes(publicKey), ...(revokedFromSec === undefined ? {} : { revokedFromSec }) };
    this.#records.set(device, record);
    return record;
  }

  clear(): void {
    this.#records.clear();
  }
}
