/**
 * The loop: how a sample becomes a batch that an oracle has given a receipt for. Stages never call each other.
 *
 *   sensors/mqtt    sensors/modbus    sensors/push-line
 *        |               |                 |
 *        '---deliver-----'-----------------'    waits until its samples are on the disk, then tells the sensor
 *               |
 *            [arrivals]                all that came in one turn of the event loop: one fsync for them together
 *               |
 *         1  sample                    raw -> Reading with marks; refused ones are counted
 *               |
 *            journal.record ------------------------------------------------------ fsync
 *               |
 *            [unsealed]                what the journal has, in memory
 *               |            per device, one at a time
 *         2  seal                      readings that are due -> Batch, next of its chain
 *         3  sign                      by the device's key store, as soon as its key can be had
 *         4  journal.append ------------------------------------------------------ fsync
 *               |
 *            (bell)
 *               |            per device
 *         5  forward                   window of envelopes -> MQTT -> oracle; resend until the receipt
 *               ^
 *               '--receipt: journal.settle --------------------------------------- fsync
 *
 * A sensor that signs by itself comes in at 4, and its receipts go back to it (signed-sensor.ts).
 *
 * At every point the journal holds all that matters, so recovery is the normal path: `startAgent` loads what the
 * journal has and the same functions go on. Memory is only a copy, taken after the commit.
 *
 * Shutdown, in this order: (1) new deliveries are refused and the sensors stopped, so nothing unacknowledged is taken;
 * (2) what had arrived is journaled and acknowledged; (3) sealing ends after the append under way, forwarding says
 * offline; (4) the journal is closed, last, when nobody is left to write. A failure takes the same way with the error
 * as its outcome; a kill -9 takes none, and loses nothing that was acknowledged.
 */
import { assert, channelName, shortHex, type Receipt } from '@coldproof/wire';
import { Bell } from './bell.ts';
import { monotonicClock, type Clock } from './clock.ts';
import type { AgentConfig } from './config.ts';
import { Device } from './device.ts';
import { drainAll, patienceMs, type DrainHooks } from './drain.ts';
import { runForward } from './forward.ts';
import type { Journal, JournalEntry } from './journal.ts';
import type { FormerKey } from './key-ring.ts';
import type { KeyStore } from './key-store.ts';
import type { Link } from './link.ts';
import { LocalFeed } from './local-feed.ts';
import type { Log } from './log-line.ts';
import { asError, OperatingError } from './operating-error.ts';
import { Refusals, type RefusalReason } from './refusal.ts';
import { listQueue, type DeviceQueue } from './queue.ts';
import { isClockTrusted, sample, type SamplerState } from './sample.ts';
import { cutReadings, sealReadings } from './seal.ts';
import { startModbusLine } from './sensors/modbus.ts';
import { openSensorBroker } from './sensors/mqtt.ts';
import { startPushLine } from './sensors/push-line.ts';
import type { SensorDeps, SensorSample, SensorSource } from './sensors/sensor.ts';
import { signWhenPossible } from './sign.ts';
import { SignedSensors, type ForwardHooks } from './signed-sensors.ts';
import { markNames, openStatusServer, type AgentStatus } from './status.ts';

export type AgentDeps = {
  readonly clock: Clock;
  /** 0 <= x < 1, for jitter only: nothing secret comes of it. */
  readonly random: () => number;
  readonly log: Log;
  /** The agent closes it at the end, also when it cannot start. */
  readonly journal: Journal;
  readonly link: Link;
  /** By name of the configured device. */
  readonly keyStores: ReadonlyMap<string, KeyStore>;
  /** Keys that a device had before, by its name: what they signed is delivered first. */
  readonly formerKeys?: ReadonlyMap<string, readonly FormerKey[]>;
  /** By username of the local broker. */
  readonly sensorPasswords: ReadonlyMap<string, string>;
};

export type RunningAgent = {
  readonly httpPort: number;
  /** Undefined without a sensorBroker. */
  readonly brokerPort: number | undefined;
  /** Open, and not on its way down. */
  readonly isReady: boolean;
  status(): AgentStatus;
  /** Resolves after a stop; rejects with what ended the agent otherwise. */
  readonly finished: Promise<void>;
  stop(): Promise<void>;
};

export async function startAgent(config: AgentConfig, deps: AgentDeps): Promise<RunningAgent> {
  let agent: Agent | undefined;
  try {
    agent = new Agent(config, deps);
    await agent.open();
    return agent;
  } catch (error) {
    if (agent === undefined) deps.journal.close();
    else await agent.stop();
    throw error;
  }
}

type Arrival = {
  readonly samples: readonly SensorSample[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
};

class Agent implements RunningAgent {
  readonly #config: AgentConfig;
  readonly #deps: AgentDeps;
  readonly #refusals: Refusals;
  readonly #devices: ReadonlyMap<string, Device>;
  readonly #signed: SignedSensors;
  readonly #stopping = new AbortController();
  readonly #sources: SensorSource[] = [];
  readonly #loops: Promise<void>[] = [];
  #arrivals: Arrival[] = [];
  #isOpen = false;
  #isTaking = true;
  #failure: Error | undefined;
  #closing: Promise<void> | undefined;
  /** Undefined without a local broker. */
  #feed: LocalFeed | undefined;
  #closeStatus: () => Promise<void> = () => Promise.resolve();
  #finish: () => void = () => undefined;
  readonly finished: Promise<void>;
  httpPort = 0;
  brokerPort: number | undefined;

  constructor(config: AgentConfig, deps: AgentDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#refusals = new Refusals(deps.log);
    const ended = new Promise<void>((resolve) => {
      this.#finish = resolve;
    });
    this.finished = ended.then(() => {
      if (this.#failure !== undefined) throw this.#failure;
    });
    // Who is interested awaits `finished`; a failure while starting is told by startAgent itself.
    this.finished.catch(() => undefined);
    this.#devices = new Map(
      config.devices.map((device) => {
        const keyStore = deps.keyStores.get(device.name);
        assert(keyStore !== undefined, `device ${device.name} has a key store`);
        return [device.name, new Device(device, keyStore, deps.journal)];
      }),
    );
    this.#signed = new SignedSensors(config, deps, {
      refuse: (reason, detail) => this.#refuse(reason, detail),
      changed: () => this.#feed?.changed(),
      fail: (error) => this.#fail(error),
      forward: (...args) => this.#forward(...args, this.#stopping.signal),
    });
  }

  async open(): Promise<void> {
    const { devices, sensorBroker, lines, http } = this.#config;
    const server = await openStatusServer(http, {
      status: () => this.status(),
      queue: () => this.#queue(),
      isReady: () => this.isReady,
    });
    this.#closeStatus = () => server.close();
    this.httpPort = server.port;
    for (const device of this.#devices.values()) {
      this.#run(this.#runSealing(device));
      this.#run(this.#runForwarding(device));
    }
    for (const run of this.#signed.forwarding()) this.#run(run);
    const sensorDeps: SensorDeps = {
      clock: this.#deps.clock,
      log: this.#deps.log,
      refuse: (reason, detail) => this.#refuse(reason, detail),
      deliver: (samples) => this.#deliver(samples),
      signed: this.#signed.byTopic(() => this.#isTaking),
    };
    if (sensorBroker !== undefined) {
      const broker = await openSensorBroker(sensorBroker, devices, this.#deps.sensorPasswords, sensorDeps);
      this.#sources.push(broker);
      this.brokerPort = broker.port;
      this.#signed.publish = broker.publish;
      this.#feed = new LocalFeed(devices, () => this.status(), broker.publish);
      this.#run(this.#feed.run(this.#stopping.signal));
    }
    for (const line of lines) {
      const isPolled = line.protocol === 'modbus';
      const source = isPolled ? startModbusLine(line, devices, sensorDeps) : startPushLine(line, devices, sensorDeps);
      this.#sources.push(source);
    }
    this.#isOpen = true;
  }

  stop(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  async #closeAll(): Promise<void> {
    this.#isTaking = false;
    await Promise.all(this.#sources.map((source) => source.stop()));
    this.#journalArrivals();
    this.#stopping.abort();
    await Promise.allSettled(this.#loops);
    await this.#closeStatus();
    this.#deps.journal.close();
    this.#finish();
  }

  /** A loop ends by a stop, or by an error that ends the agent. */
  #run(loop: Promise<void>): void {
    this.#loops.push(loop.catch((error: unknown) => this.#fail(error)));
  }

  #fail(error: unknown): void {
    this.#failure ??= asError(error);
    // Not awaited: it waits for the very loop that has failed.
    void this.stop();
  }

  #deliver(samples: readonly SensorSample[]): Promise<void> {
    if (!this.#isTaking) return Promise.reject(new OperatingError('stopping', 'the agent stops', { retry: 'later' }));
    return new Promise((resolve, reject) => {
      this.#arrivals.push({ samples, resolve, reject });
      if (this.#arrivals.length === 1) setImmediate(() => this.#journalArrivals());
    });
  }

  #journalArrivals(): void {
    const arrivals = this.#arrivals;
    this.#arrivals = [];
    if (arrivals.length === 0) return;
    try {
      this.#record(arrivals.flatMap(({ samples }) => samples));
      for (const { resolve } of arrivals) resolve();
    } catch (error) {
      for (const { reject } of arrivals) reject(error);
      this.#fail(error);
    }
  }

  /** Stage 1 and its fsync. Memory changes after the journal, or not at all. */
  #record(samples: readonly SensorSample[]): void {
    const nowSec = Math.floor(this.#deps.clock.nowMs() / 1_000);
    const accepted: { device: Device; entry: JournalEntry }[] = [];
    /** States with this turn's readings in them. */
    const states = new Map<Device, Map<number, SamplerState>>();
    for (const { device: name, channel, raw } of samples) {
      const device = this.#devices.get(name);
      const sensor = device?.sensors.get(channel);
      assert(device !== undefined && sensor !== undefined, `${name} has channel ${channel}`);
      const fresh = states.get(device) ?? new Map<number, SamplerState>();
      states.set(device, fresh);
      const now = { sec: nowSec, isTrusted: isClockTrusted(nowSec, device.newestSec()) };
      const sampled = sample(raw, sensor, fresh.get(channel) ?? device.states.get(channel), now);
      if (!sampled.ok) {
        this.#refuse(sampled.reason, `${name} ${channelName(channel)}: ${sampled.detail}`);
        continue;
      }
      fresh.set(channel, sampled.value.state);
      const { reading, state, gapSec } = sampled.value;
      if (gapSec !== undefined) {
        const end = { device: name, channel: channelName(channel), time: reading.timeSec };
        this.#deps.log('warn', 'sensor-gap', { ...end, gapSec });
      }
      accepted.push({ device, entry: { device: device.id, reading, state } });
    }
    if (accepted.length === 0) return;
    this.#deps.journal.record(accepted.map(({ entry }) => entry));
    for (const { device, entry } of accepted) {
      this.#tellMarks(device, entry);
      device.states.set(entry.reading.channel, entry.state);
      device.add(entry.reading);
      device.sealBell.ring();
    }
    for (const device of states.keys()) {
      const readings = accepted.filter((each) => each.device === device).map(({ entry }) => entry.reading);
      this.#feed?.tellReadings(device.config.name, readings);
    }
    this.#feed?.changed();
  }

  #refuse(reason: RefusalReason, detail: string): void {
    this.#refusals.refuse(reason, detail);
    this.#feed?.changed();
  }

  #tellMarks({ config, states }: Device, { reading }: JournalEntry): void {
    const before = states.get(reading.channel)?.marks ?? 0;
    if (before === reading.marks) return;
    const level = reading.marks === 0 ? 'info' : 'warn';
    const channel = channelName(reading.channel);
    const marked = markNames(reading.marks)[0] ?? 'none';
    this.#deps.log(level, 'sensor-marks', { device: config.name, channel, time: reading.timeSec, marks: marked });
  }

  #tellKey(device: Device, why: string | undefined): void {
    device.keyFault = why;
    this.#deps.log(why === undefined ? 'info' : 'error', 'key', { device: device.config.name, why });
    this.#feed?.changed();
  }

  /** Stages 2, 3 and 4. */
  async #runSealing(device: Device): Promise<void> {
    const { journal, log } = this.#deps;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const readings = cutReadings(device.unsealed, device.config);
      if (readings === undefined) {
        await device.sealBell.heard(signal);
        continue;
      }
      const { sequence, previous } = journal.head(device.id);
      const sealed = sealReadings(readings, { device: device.id, sequence, previous });
      const onKey = (why: string | undefined) => this.#tellKey(device, why);
      const bytes = await signWhenPossible(sealed, device.keyStore, { timer: monotonicClock, onKey }, signal);
      if (bytes === undefined) return;
      journal.append({ device: device.id, sequence, digest: sealed.digest, bytes, readings });
      device.remove(readings);
      device.sealed += 1;
      device.queued += 1;
      const count = readings.length;
      log('info', 'sealed', { device: device.config.name, sequence, digest: shortHex(sealed.digest), readings: count });
      device.forwardBell.ring();
      this.#feed?.changed();
    }
  }

  /** Stage 5. What the device's former keys signed goes first. */
  async #runForwarding(device: Device): Promise<void> {
    const { signal } = this.#stopping;
    const former = this.#formerKeys(device).map(({ id }) => ({ id, queued: this.#deps.journal.pendingCount(id) }));
    const forward = (id: Uint8Array, hooks: DrainHooks, until: AbortSignal) =>
      this.#forward(device.config.name, id, new Bell(), hooks, until);
    const patience = patienceMs(this.#config.uplink.resendSec);
    const onQueued = (queued: number) => (device.formerQueued = queued);
    for (const rest of await drainAll(former, forward, { patience, onQueued }, signal)) this.#run(rest);
    const hooks = {
      onConnected: (isConnected: boolean, why?: string) => {
        device.link = { connected: isConnected, why };
        this.#feed?.changed();
      },
      onReceipt: (receipt: Receipt) => {
        device.receipts += 1;
        device.queued -= 1;
        this.#feed?.tellReceipt(device.config.name, receipt);
        this.#feed?.changed();
      },
    };
    await this.#forward(device.config.name, device.id, device.forwardBell, hooks, signal);
  }

  #forward(name: string, device: Uint8Array, bell: Bell, hooks: ForwardHooks, signal: AbortSignal): Promise<void> {
    const { journal, link, random, log } = this.#deps;
    const { logPublicKey, windowBatches, resendSec, reconnectSecMax } = this.#config.uplink;
    return runForward(
      {
        ...{ journal, link, random, log, bell, timer: monotonicClock },
        refuse: (reason, detail) => this.#refuse(reason, detail),
        ...hooks,
      },
      {
        name,
        device,
        logPublicKey,
        windowBatches,
        resendMs: resendSec * 1_000,
        reconnectMsMax: reconnectSecMax * 1_000,
      },
      signal,
    );
  }

  #formerKeys({ config }: Device): readonly FormerKey[] {
    return this.#deps.formerKeys?.get(config.name) ?? [];
  }

  #queue(): DeviceQueue[] {
    const former = [...this.#devices.values()].flatMap((device) => this.#formerKeys(device));
    const queues = former.map(({ name, id }) => ({ config: { name }, id }));
    return listQueue(this.#deps.journal, [...queues, ...this.#devices.values(), ...this.#signed.sensors]);
  }

  get isReady(): boolean {
    return this.#isOpen && this.#isTaking;
  }

  status(): AgentStatus {
    const nowSec = Math.floor(this.#deps.clock.nowMs() / 1_000);
    const sealing = [...this.#devices.values()].map((device) => device.status(nowSec));
    const devices = [...sealing, ...this.#signed.sensors.map((sensor) => sensor.status())];
    return {
      devices,
      refused: this.#refusals.counts(),
      link: { connected: devices.every(({ link }) => link.connected) },
    };
  }
}
