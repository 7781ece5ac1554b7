/** A device of the running agent: state and status. */
import { assert, bytesToHex, channelName } from '@coldproof/wire';
import { Bell } from './bell.ts';
import type { SensorConfig } from './config-sensor.ts';
import type { DeviceConfig } from './config.ts';
import type { Journal } from './journal.ts';
import type { JudgeKeeper } from './judge-keeper.ts';
import type { KeyStore } from './key-store.ts';
import type { OwnedDevice, ReplayAnswer } from './owner-desk.ts';
import type { Refuse } from './refusal.ts';
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
  /** Undefined where the configuration has no terms. */
  readonly judge: JudgeKeeper | undefined;
  link: DeviceStatus['link'] = { connected: false, why: 'not tried yet' };
  #replayFrom: number | undefined;
  queued: number;
  sealed: number;
  receipts: number;

  constructor(config: DeviceConfig, keyStore: KeyStore, journal: Journal, judge?: JudgeKeeper) {
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
    this.judge = judge;
    judge?.look(this.unsealed);
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

  /** From where on the forwarder is to send again; it takes this once. */
  takeReplay(): number | undefined {
    const from = this.#replayFrom;
    this.#replayFrom = undefined;
    return from;
  }

  /** All that the journal still has from there on goes again; what the oracle has, it takes as a repeat. */
  #replay(journal: Pick<Journal, 'pending'>, fromSequence: number): ReplayAnswer {
    const [first] = journal.pending(this.id, fromSequence, 1);
    const bound = `the sequence of a batch in the journal, or a lower one (next: ${this.sealed})`;
    if (first === undefined) return { ok: false, detail: `fromSequence: expected ${bound}, got ${fromSequence}` };
    this.#replayFrom = first.sequence;
    this.forwardBell.ring();
    return { ok: true, fromSequence: first.sequence };
  }

  /** What its owner may have to do with. */
  owned(journal: Pick<Journal, 'pending'>, refuse: Refuse): OwnedDevice {
    return {
      name: this.config.name,
      id: this.id,
      newestSec: () => this.newestSec(),
      refuse,
      replay: (fromSequence) => this.#replay(journal, fromSequence),
    };
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
      link: this.link,
      unsealed: [...this.unsealed.values()].reduce((sum, readings) => sum + readings.length, 0),
      queued: this.queued,
      sealed: this.sealed,
      receipts: this.receipts,
      lastReadingAt: newestSec === undefined ? undefined : new Date(newestSec * 1_000).toISOString(),
      faults: this.#faults(nowSec),
      terms: this.judge?.warnings(this.states, this.unsealed, nowSec),
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
