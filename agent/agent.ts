/**
 * The loop: how a sample becomes a batch that an oracle has given a receipt for. Stages never call each other.
 *
 *   sensors/mqtt    sensors/modbus    sensors/push-line
 *        |               |                 |
 *        '---deliver-----'-----------------'    waits until its samples are on the disk, then tells the sensor
 *               |
 *            [arrivals]                all that came in one turn of the event loop: one fsync for them together
 *               |
 *            room.make                 the journal's bounds: all of them, or none
 *               |
 *         1  sample                    raw -> Reading with marks; refused ones are counted
 *               |
 *            journal.record ------------------------------------------------------ fsync
 *               |
 *            [unsealed]----------> judge -----> warner: log, lamp, cab page, agent/{device}/warnings
 *               |                    ^    the oracle's rules, on what is sealed and on what is not yet
 *               |                    |
 *               |            per device, one at a time
 *         2  seal                      readings that are due -> Batch, next of its chain
 *         3  sign                      by the device's key store
 *         4  journal.append ------------------------------------------------------ fsync
 *               |                    '--judge: terms/{device}.json ---------------- fsync
 *            (bell)
 *               |            per device and uplink
 *         5  forward                   a window for each log -> MQTT -> oracles; resend until the receipt
 *               ^
 *               |--receipts of one turn: journal.receipts.settle ----------------- fsync
 *               '--owner's configuration, command: ownerDesk --------------------- fsync; may start all of this anew
 *
 * At every point the journal holds all that matters, so recovery is the normal path: `startAgent` loads what the
 * journal has and the same functions go on. Memory is only a copy, taken after the commit.
 *
 * Shutdown, in this order: (1) new deliveries are refused and the sensors stopped, so nothing unacknowledged is taken;
 * (2) what had arrived is journaled and acknowledged; (3) sealing ends after the append under way, forwarding says
 * offline; (4) the journal is closed, last, when nobody is left to write. A failure takes the same way with the error
 * as its outcome; a kill -9 takes none, and loses nothing that was acknowledged.
 */
import { assert, bytesToHex, channelName } from '@coldproof/wire';
import { monotonicClock, type Clock } from './clock.ts';
import { askSystemClock, ClockWatch, type ClockAnswer } from './clock-watch.ts';
import type { AgentConfig } from './config.ts';
import { Device } from './device.ts';
import { runForward } from './forward.ts';
import type { Journal } from './journal.ts';
import { judgeOf } from './judge-keeper.ts';
import type { KeyStore } from './key-store.ts';
import type { Link } from './link.ts';
import { LogKeys } from './log-key.ts';
import { LocalFeed } from './local-feed.ts';
import type { Log } from './log-line.ts';
import { asError, OperatingError } from './operating-error.ts';
import { recordSamples } from './record.ts';
import { Refusals, type RefusalReason, type Refuse } from './refusal.ts';
import { listQueue } from './queue.ts';
import { Replay, requestReplay, runReplays, type ReplayRange, type ReplayTarget } from './replay.ts';
import { formatCabPage } from './cab-page.ts';
import type { OwnerDesk } from './owner-desk.ts';
import { Room } from './room.ts';
import { runSealing } from './sealing.ts';
import { startModbusLine } from './sensors/modbus.ts';
import { openSensorBroker } from './sensors/mqtt.ts';
import { startPushLine } from './sensors/push-line.ts';
import type { SensorDeps, SensorSample, SensorSource } from './sensors/sensor.ts';
import { openStatusServer, type AgentStatus } from './status.ts';
import { runUpkeep } from './upkeep.ts';
import { UplinkState } from './uplink-state.ts';
import { agentVersion } from './version.ts';
import { Warner } from './warner.ts';

export type AgentDeps = {
  readonly clock: Clock;
  /** For `clock: { source: system }`. Undefined: this machine's. */
  readonly askSystemClock?: () => Promise<ClockAnswer>;
  /** 0 <= x < 1, for jitter only: nothing secret comes of it. */
  readonly random: () => number;
  readonly log: Log;
  /** The agent closes it at the end, also when it cannot start. */
  readonly journal: Journal;
  /** By name of the uplink. */
  readonly links: ReadonlyMap<string, Link>;
  /** By name of the configured device. */
  readonly keyStores: ReadonlyMap<string, KeyStore>;
  /** By username of the local broker. */
  readonly sensorPasswords: ReadonlyMap<string, string>;
  /** What may be set from afar; undefined where the configuration names no owner. */
  readonly ownerDesk?: OwnerDesk | undefined;
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
    else await agent.close();
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
  readonly #clock: ClockWatch;
  readonly #room: Room;
  readonly #replays: ReplayTarget[] = [];
  readonly #devices: ReadonlyMap<string, Device>;
  readonly #stopping = new AbortController();
  readonly #sources: SensorSource[] = [];
  readonly #loops: Promise<void>[] = [];
  #arrivals: Arrival[] = [];
  #isOpen = false;
  #isTaking = true;
  #failure: Error | undefined;
  #closing: Promise<void> | undefined;
  readonly #warner: Warner;
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
    const askSystem = deps.askSystemClock ?? askSystemClock;
    this.#clock = new ClockWatch(config.clock, { ...deps, timer: monotonicClock, askSystem });
    const ended = new Promise<void>((resolve) => {
      this.#finish = resolve;
    });
    this.finished = ended.then(() => {
      if (this.#failure !== undefined) throw this.#failure;
    });
    // Who is interested awaits `finished`; a failure while starting is told by startAgent itself.
    this.finished.catch(() => undefined);
    const { receiptsMin, lagBatchesMax } = config;
    const ways = config.uplinks.map((uplink) => ({ uplink, logKeys: new LogKeys(uplink.logPublicKeys) }));
    this.#devices = new Map(
      config.devices.map((device) => {
        const keyStore = deps.keyStores.get(device.name);
        assert(keyStore !== undefined, `device ${device.name} has a key store`);
        const now = [this.#clock.nowMs(), monotonicClock.nowMs()] as const;
        const uplinks = ways.map(({ uplink, logKeys }) => new UplinkState(uplink, logKeys, ...now));
        const judge = judgeOf(device, keyStore.device(), deps, config.stateDir);
        const links = { uplinks, terms: { receiptsMin, lagBatchesMax }, judge };
        return [device.name, new Device(device, keyStore, deps.journal, links, this.#nowSec())];
      }),
    );
    this.#warner = new Warner(config.warn, () => this.status().devices, deps.log);
    this.#room = new Room(config.journal, { ...deps, devices: [...this.#devices.values()] });
    for (const device of this.#devices.values()) this.#tellLogs(device);
  }

  async open(): Promise<void> {
    const { devices, sensorBroker, lines, http } = this.#config;
    const server = await openStatusServer(http, {
      status: () => this.status(),
      queue: () => listQueue(this.#deps.journal, [...this.#devices.values()]),
      cab: () => formatCabPage(this.status(), this.#deps.clock.nowMs()),
      isReady: () => this.isReady,
    });
    this.#closeStatus = () => server.close();
    this.httpPort = server.port;
    await this.#clock.ask();
    this.#run(this.#clock.run(this.#stopping.signal));
    this.#run(this.#runUpkeep());
    for (const device of this.#devices.values()) {
      this.#run(this.#runSealing(device));
      for (const uplink of device.uplinks) this.#run(this.#runForwarding(device, uplink));
    }
    this.#run(this.#runReplays());
    const sensorDeps: SensorDeps = {
      clock: this.#clock,
      log: this.#deps.log,
      noteTime: (line, timeSec) => this.#clock.noteTime(line, timeSec),
      refuse: (reason, detail) => this.#refuse(reason, detail),
      deliver: (samples) => this.#deliver(samples),
    };
    if (sensorBroker !== undefined) {
      const broker = await openSensorBroker(sensorBroker, devices, this.#deps.sensorPasswords, sensorDeps);
      this.#sources.push(broker);
      this.brokerPort = broker.port;
      this.#feed = new LocalFeed(devices, () => this.status(), broker.publish);
      this.#run(this.#feed.run(this.#stopping.signal));
    }
    this.#run(this.#warner.run(this.#stopping.signal, () => this.#feed?.changed()));
    for (const line of lines) {
      const isPolled = line.protocol === 'modbus';
      const source = isPolled ? startModbusLine(line, devices, sensorDeps) : startPushLine(line, devices, sensorDeps);
      this.#sources.push(source);
    }
    this.#isOpen = true;
  }

  stop(): Promise<void> {
    return this.close();
  }

  close(): Promise<void> {
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
    void this.close();
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
      if (!this.#hasRoom(arrivals)) return;
      this.#record(arrivals.flatMap(({ samples }) => samples));
      for (const { resolve } of arrivals) resolve();
    } catch (error) {
      for (const { reject } of arrivals) reject(error);
      this.#fail(error);
    }
  }

  /** Without room nothing of them is taken: a sensor that has no acknowledgement still has its samples. */
  #hasRoom(arrivals: readonly Arrival[]): boolean {
    const count = arrivals.reduce((sum, { samples }) => sum + samples.length, 0);
    if (count === 0 || this.#room.make(count)) return true;
    const full = new OperatingError('journal-full', 'the journal is full', { retry: 'later' });
    for (const { samples, resolve, reject } of arrivals) {
      for (const { device, channel } of samples) this.#refuse('journal-full', `${device} ${channelName(channel)}`);
      if (samples.length === 0) resolve();
      else reject(full);
    }
    return false;
  }

  #nowSec(): number {
    return Math.floor(this.#clock.nowMs() / 1_000);
  }

  /** Stage 1 and its fsync. */
  #record(samples: readonly SensorSample[]): void {
    const { journal, log } = this.#deps;
    const now = { sec: this.#nowSec(), isSynchronised: this.#clock.isTrusted };
    const refuse: Refuse = (reason, detail) => this.#refuse(reason, detail);
    const recorded = recordSamples(samples, now, { journal, log, refuse, devices: this.#devices });
    for (const [device, readings] of recorded) {
      this.#feed?.tellReadings(device.config.name, readings);
      device.judge?.look(device.unsealed);
    }
    if (recorded.size > 0) this.#changed();
  }

  #refuse(reason: RefusalReason, detail: string): void {
    this.#refusals.refuse(reason, detail);
    this.#feed?.changed();
  }

  /** Stages 2, 3 and 4. */
  #runSealing(device: Device): Promise<void> {
    const { journal, log } = this.#deps;
    const onSealed = () => this.#changed();
    return runSealing(device, { journal, log, room: this.#room, clock: this.#clock, onSealed }, this.#stopping.signal);
  }

  #runReplays(): Promise<void> {
    const { log } = this.#deps;
    // One request is for all uplinks of the device.
    const targets = [...this.#devices.values()].map(({ config: { name } }) => {
      const ways = this.#replays.filter((each) => each.name === name);
      const ring = () => ways.forEach((way) => way.ring());
      return { name, ring, replays: ways.flatMap(({ replays }) => replays) };
    });
    return runReplays(this.#config.stateDir, targets, { log, timer: monotonicClock }, this.#stopping.signal);
  }

  #runUpkeep(): Promise<void> {
    const { journal } = this.#deps;
    const { keepDays } = this.#config.journal;
    const devices = [...this.#devices.values()];
    const deps = { journal, keepDays, devices, room: this.#room, clock: this.#clock };
    return runUpkeep(deps, this.#stopping.signal);
  }

  /** Readings have come, or have gone into a batch. */
  #changed(): void {
    this.#warner.changed();
    this.#feed?.changed();
  }

  /** Stage 5. */
  #runForwarding(device: Device, uplink: UplinkState): Promise<void> {
    const { journal, links, random, log, clock, ownerDesk } = this.#deps;
    const { owner } = this.#config;
    const refuse: Refuse = (reason, detail) => this.#refuse(reason, detail);
    const { name, order, compress, windowBatches, resendSec, reconnectSecMax } = uplink.config;
    const terms = { device: device.id, windowBatches, resendMs: resendSec * 1_000 };
    const replay = new Replay(journal, terms);
    const again = (range: ReplayRange) => requestReplay(this.#config.stateDir, device.config.name, range);
    this.#replays.push({ name: device.config.name, replays: [replay], ring: () => uplink.bell.ring() });
    const link = links.get(name);
    assert(link !== undefined, `uplink ${name} has a link`);
    return runForward(
      {
        journal: journal.receipts,
        replay,
        link,
        random,
        log,
        timer: monotonicClock,
        refuse,
        bell: uplink.bell,
        owner: owner && ownerDesk?.portOf(device.owned(refuse, again), owner.publicKey),
        standing: () => ({ nextSequence: device.sealed, queued: device.queued }),
        onConnected: (isConnected, why) => {
          uplink.change(isConnected, why, clock.nowMs(), monotonicClock.nowMs());
          this.#feed?.changed();
        },
        onWindows: (windows) => uplink.watch(windows),
        onReceipts: (receipts, released) => {
          device.receipts += released;
          device.queued -= released;
          if (this.#room.isPaused) for (const each of this.#devices.values()) each.sealBell.ring();
          for (const receipt of receipts) this.#feed?.tellReceipt(device.config.name, receipt);
          this.#feed?.changed();
        },
      },
      {
        name: device.config.name,
        device: device.id,
        uplink: name,
        logKeys: uplink.logKeys,
        order,
        compress,
        windowBatches,
        resendMs: resendSec * 1_000,
        reconnectMsMax: reconnectSecMax * 1_000,
        version: agentVersion,
      },
      this.#stopping.signal,
    );
  }

  /** A log that is new to a device that has batches: what it gets from here, and what it does not. */
  #tellLogs({ config, sealed, logChanges }: Device): void {
    if (sealed === 0) return;
    for (const { change, log, next, receipts, missed } of logChanges) {
      const of = { device: config.name, log: bytesToHex(log), receipts };
      if (change === 'log-removed') this.#deps.log('info', change, { ...of, leftAtSequence: next });
      else this.#deps.log(missed > 0 ? 'warn' : 'info', change, { ...of, fromSequence: next, cannotGet: missed });
    }
  }

  get isReady(): boolean {
    return this.#isOpen && this.#isTaking;
  }

  status(): AgentStatus {
    const nowSec = this.#nowSec();
    const devices = [...this.#devices.values()].map((device) => device.status(nowSec));
    return {
      devices,
      refused: this.#refusals.counts(),
      link: { connected: devices.every(({ link }) => link.connected) },
      warn: this.#warner.status(),
      journal: this.#room.status(),
      clock: this.#clock.status(),
    };
  }
}
