/**
 * The agent's loops over its real journal and key file, from what a sensor delivers to the receipt, with somebody else
 * in the place of sensor and broker. It leaves out what takes a second to load and holds no state: MQTT, HTTP, serial
 * lines, the parser of the configuration.
 */
import { join } from 'node:path';
import { cargoProbe } from '@coldproof/wire';
import { Arrivals } from '@coldproof/agent/arrivals';
import { carry } from '@coldproof/agent/carry';
import { realClock } from '@coldproof/agent/clock';
import type { AgentConfig } from '@coldproof/agent/config';
import { Device } from '@coldproof/agent/device';
import { Journal } from '@coldproof/agent/journal';
import { openKeyFile } from '@coldproof/agent/key-file';
import type { Link, LinkOptions } from '@coldproof/agent/link';
import { LogKeys } from '@coldproof/agent/log-key';
import { recordSamples } from '@coldproof/agent/record';
import { Room } from '@coldproof/agent/room';
import { runSealing } from '@coldproof/agent/sealing';
import { UplinkState } from '@coldproof/agent/uplink-state';

/** What a life tells: readings and receipts when they are on the disk, batches as they go out. */
export type Tells =
  | { readonly event: 'ready' }
  | { readonly event: 'open'; readonly unsealed: number; readonly queued: number; readonly nextSequence: number }
  | { readonly event: 'recorded'; readonly timeSec: number }
  | { readonly event: 'batch'; readonly topic: string; readonly bytes: Uint8Array }
  | { readonly event: 'settled'; readonly released: number }
  | { readonly event: 'failed'; readonly code: string; readonly message: string };

export type CoreLife = {
  reading(timeSec: number): void;
  receipt(topic: string, bytes: Uint8Array): void;
  /** As a process that ends: all stops, and the journal is closed. */
  end(): Promise<void>;
};

/** By the hands of whoever reads what is told, who acknowledges nothing: only receipts count. */
class HandLink implements Link {
  readonly #tell: (told: Tells) => void;
  session: LinkOptions | undefined;

  constructor(tell: (told: Tells) => void) {
    this.#tell = tell;
  }

  open(options: LinkOptions) {
    this.session = options;
    return Promise.resolve({
      inFlightMax: 64,
      publish: (topic: string, bytes: Uint8Array | string) => {
        if (typeof bytes !== 'string') this.#tell({ event: 'batch', topic, bytes });
        return Promise.resolve();
      },
      subscribe: () => Promise.resolve(),
      close: () => Promise.resolve(),
      abandon: () => undefined,
    });
  }
}

/** `fail` gets what would end the agent. Throws what the journal throws when it cannot be opened. */
export function startCore(
  { devices, uplinks, journal: bounds, stateDir, ...config }: AgentConfig,
  passphrase: string,
  { tell, fail }: { readonly tell: (told: Tells) => void; readonly fail: (error: unknown) => void },
): CoreLife {
  const [deviceConfig, uplinkConfig] = [devices[0]!, uplinks[0]!];
  const { name } = deviceConfig;
  const journal = Journal.open(stateDir);
  const logKeys = new LogKeys(uplinkConfig.logPublicKeys);
  const uplink = new UplinkState(uplinkConfig, logKeys, realClock.nowMs(), 0);
  const keyStore = openKeyFile(join(stateDir, 'keys', `${name}.json`), passphrase);
  const terms = { receiptsMin: config.receiptsMin, lagBatchesMax: config.lagBatchesMax };
  const nowSec = Math.floor(realClock.nowMs() / 1_000);
  const device = new Device(deviceConfig, keyStore, journal, { uplinks: [uplink], terms, judge: undefined }, nowSec);
  const none = () => undefined;
  const room = new Room(bounds, { journal, devices: [device], log: none });
  const clock = { nowMs: () => realClock.nowMs(), isTrusted: true };
  const refuse = (reason: string, detail: string) => fail(new Error(`${reason}: ${detail}`));
  const stopping = new AbortController();
  const known = new Map([[name, device]]);
  const arrivals = new Arrivals({
    isTaking: () => true,
    room,
    record: (samples) => {
      const now = { sec: Math.floor(clock.nowMs() / 1_000), isSynchronised: true };
      recordSamples(samples, now, { journal, log: none, refuse, devices: known });
    },
    refuse,
    fail,
  });
  const sealing = runSealing(device, { journal, log: none, room, clock, changed: none }, stopping.signal).catch(fail);
  const link = new HandLink(tell);
  const carrying = carry(
    {
      ...{ name, id: device.id, uplinks: device.uplinks, replays: device.replays },
      standing: () => ({ nextSequence: device.sealed, queued: device.queued }),
      onReceipts: (_receipts, released) => {
        device.queued -= released;
        if (released > 0) tell({ event: 'settled', released });
      },
    },
    {
      ...{ journal, random: Math.random, log: none, changed: none, clock: realClock },
      links: new Map([[uplinkConfig.name, link]]),
      refuse,
    },
    stopping.signal,
  ).catch(fail);
  tell({ event: 'open', unsealed: device.unsealedCount, queued: device.queued, nextSequence: device.sealed });
  return {
    reading(timeSec) {
      const raw = { timeSec, value: (timeSec % 400) / 100, unit: undefined };
      const recorded = arrivals.deliver([{ device: name, channel: cargoProbe(1), raw }]);
      // One that is not on the disk is not told of; what hindered it has been.
      recorded.then(() => tell({ event: 'recorded', timeSec })).catch(fail);
    },
    receipt: (topic, bytes) => link.session?.onMessage(topic, bytes),
    async end() {
      stopping.abort();
      await Promise.all([sealing, carrying]);
      journal.close();
    },
  };
}
