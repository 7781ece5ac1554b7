/** The sensors that sign by themselves: intake from the local broker, forwarding, receipts back to them. */
import { carry, type CarryDeps } from './carry.ts';
import type { ClockWatch } from './clock-watch.ts';
import type { SignedSensorConfig } from './config-signed.ts';
import type { ReceiptTerms } from './journal-receipts.ts';
import type { LocalPublish } from './local-feed.ts';
import { formatLocalTopic } from './local-topic.ts';
import type { LogKeys } from './log-key.ts';
import { OperatingError } from './operating-error.ts';
import { isClockTrusted } from './sample.ts';
import { SignedSensor } from './signed-sensor.ts';
import type { DeliverSigned } from './sensors/sensor.ts';
import type { DeviceStatus } from './status.ts';
import type { UplinkState } from './uplink-state.ts';

export type SignedDeps = Omit<CarryDeps, 'clock'> & {
  readonly clock: ClockWatch;
  readonly logKeys: readonly LogKeys[];
  readonly uplinks: () => readonly UplinkState[];
  readonly isTaking: () => boolean;
  /** The journal's bounds. */
  readonly hasRoom: () => boolean;
  /** The journal failed: the agent ends. */
  readonly fail: (error: unknown) => void;
};

export class SignedSensors {
  /** Set when the local broker is open. */
  publish: LocalPublish = () => undefined;
  readonly #sensors: readonly SignedSensor[];
  readonly #deps: SignedDeps;

  constructor(configs: readonly SignedSensorConfig[], terms: ReceiptTerms, deps: SignedDeps) {
    const { journal, logKeys, uplinks } = deps;
    this.#sensors = configs.map((each) => new SignedSensor(each, journal, { uplinks: uplinks(), terms, logKeys }));
    this.#deps = deps;
  }

  byTopic(): ReadonlyMap<string, DeliverSigned> {
    return new Map(
      this.#sensors.map((sensor) => [
        sensor.config.topic,
        (bytes) =>
          new Promise((resolve) => {
            this.#take(sensor, bytes);
            resolve();
          }),
      ]),
    );
  }

  forwarding(signal: AbortSignal): Promise<void>[] {
    return this.#sensors.map((sensor) =>
      carry(
        {
          name: sensor.config.name,
          id: sensor.id,
          uplinks: sensor.uplinks,
          standing: () => ({ nextSequence: sensor.nextSequence, queued: sensor.queued }),
          onReceipts: (receipts, released) => {
            sensor.receipts += released;
            sensor.queued -= released;
            for (const { sequence } of receipts) this.#tell(sensor, sensor.receiptsOf(sequence));
          },
        },
        this.#deps,
        signal,
      ),
    );
  }

  /** Those that the journal has heard of. */
  known(): SignedSensor[] {
    return this.#sensors.filter(({ id }) => this.#deps.journal.findHead(id) !== undefined);
  }

  status(): DeviceStatus[] {
    return this.#sensors.map((sensor) => sensor.status());
  }

  /** Returns when the envelope is on the disk, or turned away and counted: both are answered with a PUBACK. */
  #take(sensor: SignedSensor, bytes: Uint8Array): void {
    const { clock, isTaking, hasRoom, refuse, changed, log, fail } = this.#deps;
    const { name } = sensor.config;
    if (!isTaking()) throw new OperatingError('stopping', 'the agent stops', { retry: 'later' });
    if (!hasRoom()) {
      refuse('journal-full', name);
      throw new OperatingError('journal-full', 'the journal is full', { retry: 'later' });
    }
    const nowSec = Math.floor(clock.nowMs() / 1_000);
    try {
      const judged = sensor.take(bytes, clock.isTrusted && isClockTrusted(nowSec, undefined) ? nowSec : undefined);
      if (!judged.ok) {
        refuse(judged.reason, `${name}: ${judged.detail}`);
        if (judged.reason === 'envelope-equivocation') {
          log('error', 'equivocation', { device: name, detail: judged.detail });
        }
        return;
      }
      const { opened, repeated } = judged.value;
      if (repeated === undefined) log('info', 'envelope-taken', { device: name, sequence: opened.batch.sequence });
      else this.#tell(sensor, repeated.receipts);
      changed();
    } catch (error) {
      fail(error);
      throw error;
    }
  }

  #tell({ config }: SignedSensor, receipts: readonly Uint8Array[]): void {
    for (const each of receipts) this.publish(formatLocalTopic(config.name, 'receipt'), each, { retain: false });
  }
}
