/** The sensors that sign by themselves: intake from the local broker, forwarding, receipts back to them. */
import type { AgentDeps } from './agent.ts';
import type { Bell } from './bell.ts';
import type { AgentConfig } from './config.ts';
import type { ForwardDeps } from './forward.ts';
import type { LocalPublish } from './local-feed.ts';
import { formatLocalTopic } from './local-topic.ts';
import { OperatingError } from './operating-error.ts';
import type { Refuse } from './refusal.ts';
import { isClockTrusted } from './sample.ts';
import { SignedSensor } from './signed-sensor.ts';
import type { DeliverSigned } from './sensors/sensor.ts';

export type ForwardHooks = Pick<ForwardDeps, 'onConnected' | 'onReceipt'>;

export type SignedHooks = {
  readonly refuse: Refuse;
  /** Something of the status is not as it was. */
  readonly changed: () => void;
  /** The journal failed: the agent ends. */
  readonly fail: (error: unknown) => void;
  readonly forward: (name: string, device: Uint8Array, bell: Bell, hooks: ForwardHooks) => Promise<void>;
};

export class SignedSensors {
  readonly sensors: readonly SignedSensor[];
  /** Set when the local broker is open. */
  publish: LocalPublish = () => undefined;
  readonly #deps: Pick<AgentDeps, 'clock' | 'log'>;
  readonly #hooks: SignedHooks;

  constructor({ sensorSigned, uplink }: AgentConfig, deps: AgentDeps, hooks: SignedHooks) {
    this.sensors = sensorSigned.map((each) => new SignedSensor(each, deps.journal, uplink.logPublicKey));
    this.#deps = deps;
    this.#hooks = hooks;
  }

  byTopic(isTaking: () => boolean): ReadonlyMap<string, DeliverSigned> {
    return new Map(
      this.sensors.map((sensor) => [
        sensor.config.topic,
        async (bytes) => {
          if (!isTaking()) throw new OperatingError('stopping', 'the agent stops', { retry: 'later' });
          await Promise.resolve(this.#take(sensor, bytes));
        },
      ]),
    );
  }

  forwarding(): Promise<void>[] {
    return this.sensors.map((sensor) => {
      const { config, id, forwardBell } = sensor;
      return this.#hooks.forward(config.name, id, forwardBell, {
        onConnected: (connected, why) => {
          sensor.link = { connected, why };
          this.#hooks.changed();
        },
        onReceipt: (receipt) => {
          this.#tell(sensor, sensor.onReceipt(receipt));
          this.#hooks.changed();
        },
      });
    });
  }

  /** Returns when the envelope is on the disk, or turned away and counted: both are answered with a PUBACK. */
  #take(sensor: SignedSensor, bytes: Uint8Array): void {
    const nowSec = Math.floor(this.#deps.clock.nowMs() / 1_000);
    const { name } = sensor.config;
    try {
      const judged = sensor.take(bytes, isClockTrusted(nowSec, undefined) ? nowSec : undefined);
      if (!judged.ok) {
        this.#hooks.refuse(judged.reason, `${name}: ${judged.detail}`);
        if (judged.reason === 'envelope-equivocation') {
          this.#deps.log('error', 'equivocation', { device: name, detail: judged.detail });
        }
        return;
      }
      const { opened, repeated } = judged.value;
      if (repeated === undefined) {
        this.#deps.log('info', 'envelope-taken', { device: name, sequence: opened.batch.sequence });
      } else this.#tell(sensor, repeated.receipt);
      this.#hooks.changed();
    } catch (error) {
      this.#hooks.fail(error);
      throw error;
    }
  }

  #tell({ config }: SignedSensor, receipt: Uint8Array | undefined): void {
    if (receipt === undefined) return;
    this.publish(formatLocalTopic(config.name, 'receipt'), receipt, { retain: false });
  }
}
