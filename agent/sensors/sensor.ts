/** What every kind of sensor is to the loop: something that hands over raw samples until it is stopped. */
import type { Clock } from '../clock.ts';
import type { Log } from '../log-line.ts';
import type { Refuse } from '../refusal.ts';
import type { RawSample } from '../sample.ts';

/** A raw sample with the place it belongs to. */
export type SensorSample = {
  /** Name of the configured device. */
  readonly device: string;
  readonly channel: number;
  readonly raw: RawSample;
};

/**
 * Resolves when the samples are journaled and fsynced: only then may a sensor be told that they have arrived. Rejects
 * when the journal failed or the agent is stopping: then the sensor must keep them.
 */
export type Deliver = (samples: readonly SensorSample[]) => Promise<void>;

/** As Deliver, for an envelope that the sensor has signed by itself. */
export type DeliverSigned = (bytes: Uint8Array) => Promise<void>;

export type SensorDeps = {
  readonly clock: Clock;
  readonly log: Log;
  readonly refuse: Refuse;
  readonly deliver: Deliver;
  /** By topic of the local broker. */
  readonly signed?: ReadonlyMap<string, DeliverSigned>;
  /** A receiver with a fix says the time, Unix seconds. */
  readonly noteTime?: (line: string, timeSec: number) => void;
};

export type SensorSource = {
  /** Delivers nothing more once this has returned. */
  stop(): Promise<void>;
};
