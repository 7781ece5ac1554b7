/** What sensors deliver, until it is journaled: all that came in one turn of the event loop shares one fsync. */
import { channelName } from '@coldproof/wire';
import { OperatingError } from './operating-error.ts';
import type { Refuse } from './refusal.ts';
import type { Room } from './room.ts';
import type { SensorSample } from './sensors/sensor.ts';

export type ArrivalDeps = {
  readonly isTaking: () => boolean;
  readonly room: Pick<Room, 'make'>;
  /** Stage 1 and its fsync. */
  readonly record: (samples: readonly SensorSample[]) => void;
  readonly refuse: Refuse;
  /** Ends the agent. */
  readonly fail: (error: unknown) => void;
};

type Arrival = {
  readonly samples: readonly SensorSample[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
};

export class Arrivals {
  readonly #deps: ArrivalDeps;
  #waiting: Arrival[] = [];

  constructor(deps: ArrivalDeps) {
    this.#deps = deps;
  }

  /** Resolves when the samples are on the disk. */
  deliver(samples: readonly SensorSample[]): Promise<void> {
    if (!this.#deps.isTaking()) {
      return Promise.reject(new OperatingError('stopping', 'the agent stops', { retry: 'later' }));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ samples, resolve, reject });
      if (this.#waiting.length === 1) setImmediate(() => this.journal());
    });
  }

  /** What waits, at once. */
  journal(): void {
    const arrivals = this.#waiting;
    this.#waiting = [];
    if (arrivals.length === 0) return;
    try {
      if (!this.#hasRoom(arrivals)) return;
      this.#deps.record(arrivals.flatMap(({ samples }) => samples));
      for (const { resolve } of arrivals) resolve();
    } catch (error) {
      for (const { reject } of arrivals) reject(error);
      this.#deps.fail(error);
    }
  }

  /** Without room nothing of them is taken: a sensor that has no acknowledgement still has its samples. */
  #hasRoom(arrivals: readonly Arrival[]): boolean {
    const { room, refuse } = this.#deps;
    const count = arrivals.reduce((sum, { samples }) => sum + samples.length, 0);
    if (count === 0 || room.make(count)) return true;
    const full = new OperatingError('journal-full', 'the journal is full', { retry: 'later' });
    for (const { samples, resolve, reject } of arrivals) {
      for (const { device, channel } of samples) refuse('journal-full', `${device} ${channelName(channel)}`);
      if (samples.length === 0) resolve();
      else reject(full);
    }
    return false;
  }
}
