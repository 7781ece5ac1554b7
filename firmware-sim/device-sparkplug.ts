/**
 * A Sparkplug edge node on the gateway's broker. It keeps what it could not say while there was no link, and says it as
 * historical after the births.
 *
 *   connect with will --> subscribe NCMD --> births --> what was kept, historical --> each sample as it comes
 *                                              ^
 *                                              '------- NCMD "Node Control/Rebirth"
 *
 * It ends when `signal` is aborted, with its death certificate if there is a link.
 */
import { backOffMs } from './back-off.ts';
import type { Clock } from './clock.ts';
import type { Broker, Link } from './device-mqtt.ts';
import type { Log } from './log-line.ts';
import { OperatingError } from './operating-error.ts';
import type { Random } from './random.ts';
import type { SenmlReading } from './senml.ts';
import { EdgeNode, isRebirthRequest, type EdgeNames, type SparkplugMessage } from './sparkplug.ts';

export type SparkplugDeviceDeps = {
  readonly realClock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly openLink: (signal: AbortSignal, session: Pick<Broker, 'will' | 'onMessage'>) => Promise<Link>;
};

type Sample = { readonly unixSec: number; readonly readings: readonly SenmlReading[] };

/** A week at one sample a minute, as in outbox.ts. */
const keptMax = 10_000;

export class SparkplugDevice {
  readonly #deps: SparkplugDeviceDeps;
  readonly #edge: EdgeNode;
  #link: Link | undefined;
  #newest: Sample | undefined;
  #kept: Sample[] = [];
  #onSample: () => void = () => undefined;

  constructor(deps: SparkplugDeviceDeps, names: EdgeNames) {
    this.#deps = deps;
    this.#edge = new EdgeNode(names);
  }

  sample(unixSec: number, readings: readonly SenmlReading[]): void {
    const sample = { unixSec, readings };
    this.#newest = sample;
    if (this.#link === undefined) this.#kept = [...this.#kept, sample].slice(-keptMax);
    else this.#say(this.#edge.sample(unixSec, readings, false));
    this.#onSample();
  }

  async run(signal: AbortSignal): Promise<void> {
    const jitter = this.#deps.random.fork('sparkplug-back-off');
    let failures = 0;
    await this.#firstSample(signal);
    while (!signal.aborted) {
      try {
        await this.#live(signal);
        failures = 0;
      } catch (error) {
        if (!(error instanceof OperatingError)) throw error;
        this.#deps.log('warn', error.code, { detail: error.message, kept: this.#kept.length });
      }
      await this.#deps.realClock.wait(backOffMs(failures++, jitter), signal);
    }
  }

  /** A birth has a value for each metric, so there is none before the first sample. */
  async #firstSample(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#onSample = resolve;
      signal.addEventListener('abort', () => resolve());
      if (signal.aborted) resolve();
    });
  }

  async #live(signal: AbortSignal): Promise<void> {
    const onMessage = (_topic: string, payload: Uint8Array) => {
      if (isRebirthRequest(payload)) this.#bear('rebirth');
    };
    const link = await this.#deps.openLink(signal, { will: this.#edge.nextWill(Date.now()), onMessage });
    try {
      // tck-id-message-flow-edge-node-ncmd-subscribe: before the births, or a request could be missed.
      await link.subscribe(this.#edge.commandTopic);
      this.#link = link;
      this.#bear('birth');
      for (const { unixSec, readings } of this.#kept.slice(1)) this.#say(this.#edge.sample(unixSec, readings, true));
      this.#kept = [];
      const stopped = new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve(), { once: true });
        if (signal.aborted) resolve();
      });
      await Promise.race([link.closed, stopped]);
    } finally {
      this.#link = undefined;
      link.close();
    }
  }

  #bear(why: string): void {
    const newest = this.#newest;
    if (newest === undefined) return;
    this.#deps.log('info', 'sparkplug-born', { why, kept: this.#kept.length });
    // The births say the oldest of what was kept, so that nothing is said out of order.
    const { unixSec, readings } = this.#kept[0] ?? newest;
    for (const message of this.#edge.births(unixSec, readings)) this.#say(message);
  }

  #say({ topic, payload }: SparkplugMessage): void {
    this.#link?.say(topic, payload);
  }
}
