/**
 * Keeps the journal within its bounds. What gives way, in this order:
 *
 *   1  settled envelopes, which are kept only in case that somebody asks for them again
 *   2  refuse-new        what comes in: no sample is taken, no sensor is told that it was
 *      overwrite-oldest  the oldest readings that no batch has
 *
 * A sealed batch never: the next one names its digest, and an oracle may have it. So that there is something left to
 * overwrite, overwrite-oldest stops sealing when the sealed batches have filled all but the share of the unsealed.
 * refuse-new goes on sealing to the end, as a sealed reading takes a tenth of the room of an unsealed one.
 */
import type { JournalConfig } from './config-journal.ts';
import type { Device } from './device.ts';
import type { Journal } from './journal.ts';
import { readingBytes, unstatedMax } from './journal-bounds.ts';
import type { Log } from './log-line.ts';
import type { Reading } from './sample.ts';

export type JournalStatus = {
  /** Pages in use, and how many bytes there may be. */
  readonly usedBytes: number;
  readonly usedBytesMax: number;
  readonly onFull: JournalConfig['onFull'];
  readonly state: 'open' | 'sealing-paused' | 'full';
};

type RoomDeps = { readonly journal: Pick<Journal, 'bounds'>; readonly devices: readonly Device[]; readonly log: Log };

const mebibyte = 1_048_576;
/** SQLite's write-ahead log: 1,000 pages until it is taken over into the file, and a transaction more. */
const walBytes = 5 * mebibyte;
/** Unsealed readings are in memory, too: 16 MiB of them are 260,000, and some 40 MB there. */
const unsealedBytesMax = 16 * mebibyte;
/** At a time: an fsync for each reading would be one too many. */
const dropReadings = 256;

export class Room {
  readonly #deps: RoomDeps;
  readonly #config: JournalConfig;
  readonly #bytesMax: number;
  readonly #sealedBytesMax: number;
  #isFull = false;
  #isPaused = false;

  constructor(config: JournalConfig, deps: RoomDeps) {
    this.#config = config;
    this.#deps = deps;
    const bytes = config.sizeMaxMiB * mebibyte - walBytes;
    // For what is written while it is full: a receipt, a statement, the last batches.
    this.#bytesMax = bytes - Math.max(bytes / 64, mebibyte / 4);
    this.#sealedBytesMax = this.#bytesMax - Math.min(bytes / 4, unsealedBytesMax);
  }

  /** Before `count` samples are recorded. False: they must be refused. */
  make(count: number): boolean {
    if (!this.#isOver()) this.#tellFull(false);
    else if (this.#config.onFull === 'refuse-new') return this.#tellFull(true);
    else if (this.#overwrite(Math.max(count, dropReadings)) < count) return this.#tellFull(true);
    return true;
  }

  /** Whether a batch may be made of readings. */
  canSeal(): boolean {
    this.#isPaused = this.#config.onFull === 'overwrite-oldest' && this.#isSealedOver();
    return !this.#isPaused;
  }

  /** A heartbeat takes room and gives none. */
  canBeat(): boolean {
    return this.canSeal() && !this.#isOver();
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Drops readings that are older than the bound, and in no batch yet. `nowSec` of a clock that is to be trusted. */
  dropAged(nowSec: number): void {
    const { ageMaxDays } = this.#config;
    if (ageMaxDays === undefined) return;
    const untilSec = nowSec - 86_400 * ageMaxDays;
    for (const device of this.#deps.devices) {
      const aged = [...device.droppable()].flatMap((readings) => {
        const end = readings.findIndex(({ timeSec }) => timeSec >= untilSec);
        return end === -1 ? readings : readings.slice(0, end);
      });
      this.#drop(device, aged.sort(byTime), 'age');
    }
  }

  status(): JournalStatus {
    const usedBytes = this.#deps.journal.bounds.usedBytes();
    let state: JournalStatus['state'] = 'open';
    if (this.#isFull) state = 'full';
    else if (this.#isPaused) state = 'sealing-paused';
    return { usedBytes, usedBytesMax: Math.floor(this.#bytesMax), onFull: this.#config.onFull, state };
  }

  #isOver(): boolean {
    const { bounds } = this.#deps.journal;
    while (bounds.usedBytes() >= this.#bytesMax) {
      if (bounds.giveUpKept() === 0) return true;
    }
    return false;
  }

  #isSealedOver(): boolean {
    const { bounds } = this.#deps.journal;
    const unsealed = this.#deps.devices.reduce((sum, { unsealedCount }) => sum + unsealedCount, 0);
    while (bounds.usedBytes() - unsealed * readingBytes >= this.#sealedBytesMax) {
      if (bounds.giveUpKept() === 0) return true;
    }
    return false;
  }

  #tellFull(isFull: boolean): false {
    if (this.#isFull !== isFull) {
      this.#isFull = isFull;
      const { usedBytes, usedBytesMax, onFull } = this.status();
      this.#deps.log(isFull ? 'error' : 'info', isFull ? 'journal-full' : 'journal-has-room', {
        usedBytes,
        usedBytesMax,
        onFull,
      });
    }
    return false;
  }

  /** The oldest of all devices together. Gives how many. */
  #overwrite(count: number): number {
    const { devices, journal } = this.#deps;
    const oldest = devices
      .filter(({ id }) => journal.bounds.unstatedCount(id) < unstatedMax)
      .flatMap((device) =>
        [...device.droppable()].flatMap((all) => all.slice(0, count).map((reading) => ({ device, reading }))),
      )
      .sort((a, b) => byTime(a.reading, b.reading))
      .slice(0, count);
    for (const device of new Set(oldest.map((each) => each.device))) {
      const readings = oldest.filter((each) => each.device === device).map(({ reading }) => reading);
      this.#drop(device, readings, 'full');
    }
    return oldest.length;
  }

  #drop(device: Device, readings: readonly Reading[], why: 'age' | 'full'): void {
    if (readings.length === 0) return;
    const total = this.#deps.journal.bounds.drop(device.id, readings);
    device.drop(readings, total);
    const [from, to] = [readings[0]!.timeSec, readings.at(-1)!.timeSec];
    const lost = { device: device.config.name, why, readings: readings.length, from, to, total };
    this.#deps.log('error', 'readings-dropped', lost);
    device.sealBell.ring();
  }
}

function byTime(a: Reading, b: Reading): number {
  return a.timeSec - b.timeSec;
}
