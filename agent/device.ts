/** A device of the running agent: state and status. */
import { assert, bytesToHex, channelName } from '@coldproof/wire';
import { Bell } from './bell.ts';
import { monotonicClock } from './clock.ts';
import type { SensorConfig } from './config-sensor.ts';
import type { DeviceConfig } from './config.ts';
import type { Journal } from './journal.ts';
import type { LogChange, ReceiptTerms } from './journal-receipts.ts';
import type { JudgeKeeper } from './judge-keeper.ts';
import type { KeyStore } from './key-store.ts';
import type { Log } from './log-line.ts';
import type { OwnedDevice } from './owner-desk.ts';
import type { Refuse } from './refusal.ts';
import { Replay, type ReplayRange } from './replay.ts';
import { gapBefore, type Reading, type SamplerState } from './sample.ts';
import { markNames, type DeviceStatus } from './status.ts';
import type { UplinkState } from './uplink-state.ts';

export type DeviceParts = {
  readonly uplinks: readonly UplinkState[];
  readonly terms: Omit<ReceiptTerms, 'logs'>;
  readonly judge: JudgeKeeper | undefined;
};

/** A device in memory: its place in the configuration and a copy of what the journal has of it. */
export class Device {
  readonly config: DeviceConfig;
  readonly keyStore: KeyStore;
  readonly id: Uint8Array;
  readonly sensors: ReadonlyMap<number, SensorConfig>;
  readonly states: Map<number, SamplerState>;
  readonly unsealed = new Map<number, Reading[]>();
  readonly sealBell = new Bell();
  /** Undefined where the configuration has no terms. */
  readonly judge: JudgeKeeper | undefined;
  readonly uplinks: readonly UplinkState[];
  readonly replays: ReadonlyMap<UplinkState, Replay>;
  /** What the configuration has changed since the last start. */
  readonly logChanges: readonly LogChange[];
  readonly #journal: Journal;
  /** Why nothing can be signed now. */
  keyFault: string | undefined;
  queued: number;
  /** Batches without a receipt that former keys of the device signed. */
  formerQueued = 0;
  sealed: number;
  receipts: number;
  dropped: number;
  /** When it last took a reading or sealed a heartbeat, by the agent's clock. */
  aliveSec: number;
  unsealedCount = 0;
  /** By channel, how many of the oldest readings are in the batch that is being signed. */
  #reserved: ReadonlyMap<number, number> = new Map();

  constructor(
    config: DeviceConfig,
    keyStore: KeyStore,
    journal: Journal,
    { uplinks, terms, judge }: DeviceParts,
    nowSec: number,
  ) {
    this.config = config;
    this.keyStore = keyStore;
    this.id = keyStore.device();
    this.sensors = new Map(config.sensors.map((sensor) => [sensor.channel, sensor]));
    this.#journal = journal;
    this.judge = judge;
    this.uplinks = uplinks;
    this.replays = new Map(
      uplinks.map((uplink) => {
        const { windowBatches, resendSec } = uplink.config;
        return [uplink, new Replay(journal, { device: this.id, windowBatches, resendMs: resendSec * 1_000 })];
      }),
    );
    // Throws for a device that the journal does not know, before anything is changed.
    journal.head(this.id);
    this.logChanges = journal.receipts.require(this.id, {
      logs: uplinks.flatMap(({ logKeys }) => logKeys.logs),
      ...terms,
    });
    const head = journal.head(this.id);
    this.sealed = head.sequence;
    this.receipts = head.receipts;
    this.dropped = head.dropped;
    this.queued = journal.pendingCount(this.id);
    this.states = journal.samplerStates(this.id);
    this.aliveSec = head.aliveSec === 0 ? (this.newestSec() ?? nowSec) : head.aliveSec;
    for (const reading of journal.readings(this.id)) this.add(reading);
    judge?.look(this.unsealed);
  }

  add(reading: Reading): void {
    this.unsealedCount += 1;
    const readings = this.unsealed.get(reading.channel);
    if (readings === undefined) this.unsealed.set(reading.channel, [reading]);
    else readings.push(reading);
  }

  /** These are about to be sealed: of each channel, the oldest so many. */
  reserve(readings: readonly Reading[]): void {
    this.#reserved = countByChannel(readings);
  }

  /** Takes out what was sealed. */
  remove(sealed: readonly Reading[]): void {
    this.#reserved = new Map();
    this.#takeOut(sealed);
  }

  /** What may still be given up: of each channel, all but what is being sealed, the oldest first. */
  *droppable(): Generator<readonly Reading[]> {
    for (const [channel, readings] of this.unsealed) {
      const reserved = this.#reserved.get(channel) ?? 0;
      yield reserved === 0 ? readings : readings.slice(reserved);
    }
  }

  /** Takes out what was given up: of each channel, the oldest so many that are not reserved. */
  drop(dropped: readonly Reading[], total: number): void {
    this.dropped = total;
    this.#takeOut(dropped);
  }

  /** A clock that was set back must not silence the device until it is there again. */
  isHeartbeatDue(nowSec: number): boolean {
    const { heartbeatSec } = this.config;
    return heartbeatSec !== undefined && Math.abs(nowSec - this.aliveSec) >= heartbeatSec;
  }

  #takeOut(out: readonly Reading[]): void {
    this.unsealedCount -= out.length;
    for (const [channel, count] of countByChannel(out)) {
      const from = this.#reserved.get(channel) ?? 0;
      const taken = this.unsealed.get(channel)?.splice(from, count) ?? [];
      const expected = out.find((reading) => reading.channel === channel);
      assert(taken.length === count && taken[0] === expected, `channel ${channel}: what goes is the oldest`);
    }
  }

  ringUplinks(): void {
    for (const { bell } of this.uplinks) bell.ring();
  }

  /** What its owner may have to do with. `requestReplay`: the journal's, of this device. */
  owned(refuse: Refuse, requestReplay: (range: ReplayRange) => void): OwnedDevice {
    return {
      name: this.config.name,
      id: this.id,
      newestSec: () => this.newestSec(),
      refuse,
      replay: (fromSequence) => {
        const [first] = this.#journal.bounds.kept(this.id, fromSequence, 1);
        const bound = `the sequence of a batch with receipt that is kept, or a lower one (next: ${this.sealed})`;
        if (first === undefined) return { ok: false, detail: `fromSequence: expected ${bound}, got ${fromSequence}` };
        requestReplay({ from: first.sequence, to: this.sealed - 1 });
        return { ok: true, fromSequence: first.sequence };
      },
    };
  }

  /** A log that is new to a device that has batches: what it gets from here, and what it does not. */
  tellLogs(log: Log): void {
    if (this.sealed === 0) return;
    for (const { change, log: id, next, receipts, missed } of this.logChanges) {
      const of = { device: this.config.name, log: bytesToHex(id), receipts };
      if (change === 'log-removed') log('info', change, { ...of, leftAtSequence: next });
      else log(missed > 0 ? 'warn' : 'info', change, { ...of, fromSequence: next, cannotGet: missed });
    }
  }

  newestSec(): number | undefined {
    const times = [...this.states.values()].map(({ newestSec }) => newestSec);
    return times.length === 0 ? undefined : Math.max(...times);
  }

  status(nowSec: number): DeviceStatus {
    const newestSec = this.newestSec();
    const cursors = this.#journal.receipts.cursors(this.id);
    const down = this.uplinks.find(({ link }) => !link.connected);
    return {
      name: this.config.name,
      device: bytesToHex(this.id),
      provenance: 'gateway-signed',
      key: { available: this.keyFault === undefined, why: this.keyFault },
      link: { connected: down === undefined, why: down?.link.why },
      links: this.uplinks.map((uplink) => uplink.status(cursors, this.sealed, monotonicClock.nowMs())),
      unsealed: this.unsealedCount,
      queued: this.queued,
      formerQueued: this.formerQueued,
      sealed: this.sealed,
      receipts: this.receipts,
      dropped: this.dropped,
      lastReadingAt: newestSec === undefined ? undefined : new Date(newestSec * 1_000).toISOString(),
      faults: this.#faults(nowSec),
      terms: this.judge?.warnings(this.states, nowSec),
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

function countByChannel(readings: readonly Reading[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const { channel } of readings) counts.set(channel, (counts.get(channel) ?? 0) + 1);
  return counts;
}
