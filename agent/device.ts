/** A device of the running agent: state and status. */
import { assert, bytesToHex, channelName } from '@coldproof/wire';
import { Bell } from './bell.ts';
import type { SensorConfig } from './config-sensor.ts';
import type { DeviceConfig } from './config.ts';
import type { Journal } from './journal.ts';
import type { KeyStore } from './key-store.ts';
import { gapBefore, type Reading, type SamplerState } from './sample.ts';
import { markNames, type DeviceStatus } from './status.ts';

/** A device in memory: its place in the configuration and a copy of what the journal has of it. */
export class Device {
  readonly config: DeviceConfig;
  readonly keyStore: KeyStore;
  readonly id: Uint8Array;
  readonly sensors: ReadonlyMap<number, SensorConfig>;
  readonly states: Map<number, SamplerState>;
  readonly unsealed = new Map<number, Reading[]>();
  readonly sealBell = new Bell();
  readonly forwardBell = new Bell();
  link: DeviceStatus['link'] = { connected: false, why: 'not tried yet' };
  /** Why nothing can be signed now. */
  keyFault: string | undefined;
  queued: number;
  /** Batches without a receipt that former keys of the device signed. */
  formerQueued = 0;
  sealed: number;
  receipts: number;

  constructor(config: DeviceConfig, keyStore: KeyStore, journal: Journal) {
    this.config = config;
    this.keyStore = keyStore;
    this.id = keyStore.device();
    this.sensors = new Map(config.sensors.map((sensor) => [sensor.channel, sensor]));
    const head = journal.head(this.id);
    this.sealed = head.sequence;
    this.receipts = head.receipts;
    this.queued = journal.pendingCount(this.id);
    this.states = journal.samplerStates(this.id);
    for (const reading of journal.readings(this.id)) this.add(reading);
  }

  add(reading: Reading): void {
    const readings = this.unsealed.get(reading.channel);
    if (readings === undefined) this.unsealed.set(reading.channel, [reading]);
    else readings.push(reading);
  }

  /** Takes out what was sealed: of each channel, the oldest so many. */
  remove(sealed: readonly Reading[]): void {
    for (const { channel, timeSec } of sealed) {
      const removed = this.unsealed.get(channel)?.shift();
      assert(removed?.timeSec === timeSec, `channel ${channel}: what is sealed is the oldest`);
    }
  }

  newestSec(): number | undefined {
    const times = [...this.states.values()].map(({ newestSec }) => newestSec);
    return times.length === 0 ? undefined : Math.max(...times);
  }

  status(nowSec: number): DeviceStatus {
    const newestSec = this.newestSec();
    return {
      name: this.config.name,
      device: bytesToHex(this.id),
      provenance: 'gateway-signed',
      link: this.link,
      key: { available: this.keyFault === undefined, why: this.keyFault },
      unsealed: [...this.unsealed.values()].reduce((sum, readings) => sum + readings.length, 0),
      queued: this.queued,
      formerQueued: this.formerQueued,
      sealed: this.sealed,
      receipts: this.receipts,
      lastReadingAt: newestSec === undefined ? undefined : new Date(newestSec * 1_000).toISOString(),
      faults: this.#faults(nowSec),
    };
  }

  #faults(nowSec: number): DeviceStatus['faults'] {
    const faults = new Map<string, string>();
    for (const [channel, state] of this.states) {
      const sensor = this.sensors.get(channel);
      const isSilent = sensor !== undefined && gapBefore(nowSec, sensor, state) !== undefined;
      const [gravest] = isSilent ? ['gap'] : markNames(state.marks);
      if (gravest !== undefined) faults.set(channelName(channel), gravest);
    }
    return Object.fromEntries(faults);
  }
}
