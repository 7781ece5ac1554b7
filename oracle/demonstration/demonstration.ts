/**
 * One voyage, from dispatch to its ending:
 *
 *    simulator ──SenML/MQTT, Modbus──> agent ──envelopes/MQTT──> oracle ──evidence──> Shipments on the chain
 *        └───────────── all on the voyage clock ─────────────────┘                        │
 *                                                                                         v
 *    Observer looks at the programs' pages and at the chain ──> Story (lines), Status (door, JSON) ──> ending
 *
 * The demonstration takes no part in the story but two: it sets the stage, and when the truck has arrived with
 * everything delivered and nothing cancelled, it plays the consignee. Closing it stops every child, last started first;
 * what is journaled then is on disk, because no child needs to be asked to save.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { voyageMsAt } from '@coldproof/wire';
import { describeError } from '../operating-error.ts';
import { followVoyageClock } from './chain-clock.ts';
import type { Child } from './children.ts';
import { Narrator } from './narrator.ts';
import { Observer, type View } from './observe.ts';
import type { Options } from './options.ts';
import type { Ending, Scenarios } from './scenarios.ts';
import { setStage, type Stage, type StageHooks } from './stage.ts';
import { statusOf, type Status } from './status.ts';
import { Story } from './story.ts';

const lookEveryMs = 200;
/** An ending that has not come this long after arrival, in voyage time, does not come. */
const patienceAfterArrivalMs = 4 * 3_600_000;
/** And in real time, whatever the speed: a loaded machine still has to start, restart and catch up. */
const patienceRealMs = 60_000;

/** How the oracle's sensor-fault rule calls what the scenario does to the probe. */
const faultCauses = { stuck: 'stuck', disconnected: 'no value' } as const;

export class Demonstration {
  readonly stage: Stage;
  readonly #options: Options;
  readonly #expected: Ending;
  readonly #arrivalMs: number;
  readonly #observer: Observer;
  readonly #narrator: Narrator;
  readonly #stopping = new AbortController();
  readonly #chainClock: Promise<void>;
  #view: View;
  #endedAsExpected: boolean | null = null;

  private constructor(stage: Stage, options: Options, { voyageSec, scenarios }: Scenarios, view: View, story: Story) {
    this.stage = stage;
    this.#options = options;
    this.#expected = scenarios[options.scenario]!.ending;
    this.#arrivalMs = stage.clock.voyageStartMs + voyageSec * 1_000;
    this.#observer = new Observer(stage);
    this.#view = view;
    this.#narrator = new Narrator(story, stage);
    const dated = { mineAt: (timestampSec: number) => stage.chain.mine(timestampSec) };
    const tell = (problem: string) => story.tell(this.nowMs(), 'chain', problem);
    this.#chainClock = followVoyageClock(dated, () => this.nowMs(), tell, this.#stopping.signal);
  }

  static async open(
    options: Options,
    known: Scenarios,
    write: (line: string) => void,
    hooks: Omit<StageHooks, 'onChild'> = {},
  ): Promise<Demonstration> {
    const started: Child[] = [];
    const dir = await mkdtemp(join(tmpdir(), 'coldproof-'));
    try {
      const stage = await setStage(options, dir, { ...hooks, onChild: (child) => started.push(child) });
      const story = new Story(write, stage.clock.voyageStartMs);
      const view = await new Observer(stage).look();
      return new Demonstration(stage, options, known, view, story);
    } catch (error) {
      await stopAll(started);
      await rm(dir, { recursive: true, force: true });
      throw error;
    }
  }

  /** Voyage time. */
  nowMs(): number {
    return voyageMsAt(this.stage.clock, Date.now());
  }

  get status(): Status {
    const ending = { expected: this.#expected, endedAsExpected: this.#endedAsExpected, nowMs: this.nowMs() };
    return statusOf(this.stage, this.#options, this.#view, ending);
  }

  /** Runs to the ending of the story. Throws when a process cannot be kept alive. */
  async run(signal: AbortSignal): Promise<Status> {
    this.#narrator.depart();
    const failed = Promise.race(this.stage.children.map((child) => child.failed));
    while (!signal.aborted && this.#endedAsExpected === null) {
      await Promise.race([this.#step(), failed]);
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
    }
    return this.status;
  }

  /** Stops every process. Their state and logs stay in `stage.dir` until `clear`. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#chainClock;
    await stopAll(this.stage.children);
    this.stage.chain.close();
  }

  async clear(): Promise<void> {
    await rm(this.stage.dir, { recursive: true, force: true });
  }

  async #step(): Promise<void> {
    this.#view = await this.#observer.look();
    this.#narrator.tell(this.#view, this.nowMs());
    const { state } = this.#view.order;
    if (state === 'Settled' || (state === 'Cancelled' && this.#isTold())) {
      this.#end(state);
      return;
    }
    const hasArrived = this.nowMs() >= this.#arrivalMs;
    if (hasArrived && state === 'InTransit' && this.#hasEverything()) {
      await this.#deliver();
      return;
    }
    const lateMs = this.nowMs() - this.#arrivalMs - patienceRealMs * this.stage.clock.speed;
    if (lateMs > patienceAfterArrivalMs) this.#end(state);
  }

  /** The oracle may have been quicker: who signs for cargo whose order was cancelled a moment ago is refused. */
  async #deliver(): Promise<void> {
    const { parties, orderId } = this.stage;
    try {
      await parties.deliverAndSettle(orderId);
    } catch (error) {
      const { state } = await parties.order(orderId);
      if (state !== 'Cancelled') throw error;
    }
  }

  /** The oracle has seen its own transaction confirmed, so the status can name it; the device has heard of its log. */
  #isTold(): boolean {
    const { agent, oracle, ticket } = this.#view;
    const known = oracle?.orders.find((order) => order.orderId === String(this.stage.orderId));
    const hasReceipt = (agent?.devices[0]?.receipts ?? 0) > 0;
    return known?.transactionHash != null && known.gasUsed !== null && ticket !== undefined && hasReceipt;
  }

  /** What a consignee asks before signing: the readings up to the arrival are logged, with a receipt for each batch. */
  #hasEverything(): boolean {
    const device = this.#view.agent?.devices[0];
    const oracle = this.#view.oracle;
    if (device === undefined || oracle === undefined || device.sealed === 0) return false;
    return device.queued === 0 && device.receipts === device.sealed && oracle.log.size >= device.sealed;
  }

  #end(state: string): void {
    const { order, sensorFault } = this.#expected;
    const faults = Object.values(this.status.sensorFaults);
    const isFaultShown =
      sensorFault === undefined
        ? faults.length === 0
        : faults.some((fault) => fault.includes(faultCauses[sensorFault]));
    this.#endedAsExpected = state === order && isFaultShown;
    this.#narrator.end(this.status, this.nowMs());
  }
}

async function stopAll(children: readonly Child[]): Promise<void> {
  for (const child of children.toReversed()) {
    try {
      await child.stop();
    } catch (error) {
      process.stderr.write(`${child.name}: ${describeError(error)}\n`);
    }
  }
}
