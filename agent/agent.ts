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
 *         3  sign                      by the device's key store, as soon as its key can be had
 *         4  journal.append ------------------------------------------------------ fsync
 *               |                    '--judge: terms/{device}.json ---------------- fsync
 *            (bell)
 *               |            per device and uplink
 *         5  forward                   a window for each log -> MQTT -> oracles; resend until the receipt
 *               ^
 *               |--receipts of one turn: journal.receipts.settle ----------------- fsync
 *               '--owner's configuration, command: ownerDesk --------------------- fsync; may start all of this anew
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
import { assert } from '@coldproof/wire';
import { Arrivals } from './arrivals.ts';
import { stopForMany } from './bell.ts';
import { formatCabPage } from './cab-page.ts';
import { carry, type CarryDeps } from './carry.ts';
import { monotonicClock, type Clock } from './clock.ts';
import { askSystemClock, ClockWatch, type ClockAnswer } from './clock-watch.ts';
import type { AgentConfig } from './config.ts';
import type { UplinkConfig } from './config-uplink.ts';
import { Device } from './device.ts';
import { drainFormer } from './drain.ts';
import type { Journal } from './journal.ts';
import { judgeOf } from './judge-keeper.ts';
import type { ReceiptTerms } from './journal-receipts.ts';
import type { FormerKey } from './key-ring.ts';
import type { KeyStore } from './key-store.ts';
import type { Link } from './link.ts';
import { LogKeys } from './log-key.ts';
import { LocalFeed } from './local-feed.ts';
import type { Log } from './log-line.ts';
import { asError } from './operating-error.ts';
import { recordSamples } from './record.ts';
import { Refusals, type RefusalReason, type Refuse } from './refusal.ts';
import { listQueue, type DeviceQueue } from './queue.ts';
import { requestReplay, runReplays, type ReplayRange } from './replay.ts';
import type { OwnerDesk, OwnerPort } from './owner-desk.ts';
import { Room } from './room.ts';
import { runSealing } from './sealing.ts';
import { loadLine } from './sensors/line.ts';
import { openSensorBroker } from './sensors/mqtt.ts';
import type { SensorDeps, SensorSample, SensorSource } from './sensors/sensor.ts';
import { SignedSensors } from './signed-sensors.ts';
import { openStatusServer, type AgentStatus } from './status.ts';
import { runUpkeep } from './upkeep.ts';
import { UplinkState } from './uplink-state.ts';
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
  /** Keys that a device had before, by its name: what they signed is delivered first. */
  readonly formerKeys?: ReadonlyMap<string, readonly FormerKey[]>;
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
    else await agent.stop();
    throw error;
  }
}

class Agent implements RunningAgent {
  readonly #config: AgentConfig;
  readonly #deps: AgentDeps;
  readonly #refusals: Refusals;
  readonly #clock: ClockWatch;
  readonly #room: Room;
  readonly #devices: ReadonlyMap<string, Device>;
  readonly #signed: SignedSensors;
  readonly #ways: readonly { readonly uplink: UplinkConfig; readonly logKeys: LogKeys }[];
  readonly #stopping = stopForMany();
  readonly #sources: SensorSource[] = [];
  readonly #loops: Promise<void>[] = [];
  readonly #arrivals: Arrivals;
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
    this.#ways = config.uplinks.map((uplink) => ({ uplink, logKeys: new LogKeys(uplink.logPublicKeys) }));
    this.#devices = new Map(
      config.devices.map((device) => {
        const keyStore = deps.keyStores.get(device.name);
        assert(keyStore !== undefined, `device ${device.name} has a key store`);
        const judge = judgeOf(device, keyStore.device(), deps, config.stateDir);
        const links = { uplinks: this.#uplinkStates(), terms: { receiptsMin, lagBatchesMax }, judge };
        return [device.name, new Device(device, keyStore, deps.journal, links, this.#nowSec())];
      }),
    );
    const judged = [...this.#devices.values()].filter(({ judge }) => judge !== undefined);
    this.#warner = new Warner(config.warn, () => judged.map((device) => device.status(this.#nowSec())), deps.log);
    this.#room = new Room(config.journal, { ...deps, devices: [...this.#devices.values()] });
    this.#arrivals = new Arrivals({
      isTaking: () => this.#isTaking,
      room: this.#room,
      record: (samples) => this.#record(samples),
      refuse: (reason, detail) => this.#refuse(reason, detail),
      fail: (error) => this.#fail(error),
    });
    for (const device of this.#devices.values()) device.tellLogs(deps.log);
    this.#signed = new SignedSensors(config.sensorSigned, this.#receiptTerms(), {
      ...this.#carryDeps(),
      clock: this.#clock,
      logKeys: this.#ways.map(({ logKeys }) => logKeys),
      uplinks: () => this.#uplinkStates(),
      isTaking: () => this.#isTaking,
      hasRoom: () => this.#room.canBeat(),
      fail: (error) => this.#fail(error),
    });
  }

  async open(): Promise<void> {
    const { devices, sensorBroker, lines, http } = this.#config;
    const startLines = await Promise.all(lines.map(loadLine));
    const server = await openStatusServer(http, {
      status: () => this.status(),
      queue: () => this.#queue(),
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
      this.#run(this.#runForwarding(device));
    }
    for (const run of this.#signed.forwarding(this.#stopping.signal)) this.#run(run);
    this.#run(this.#runReplays());
    const sensorDeps: SensorDeps = {
      clock: this.#clock,
      log: this.#deps.log,
      noteTime: (line, timeSec) => this.#clock.noteTime(line, timeSec),
      refuse: (reason, detail) => this.#refuse(reason, detail),
      deliver: (samples) => this.#arrivals.deliver(samples),
      signed: this.#signed.byTopic(),
    };
    if (sensorBroker !== undefined) {
      const broker = await openSensorBroker(sensorBroker, devices, this.#deps.sensorPasswords, sensorDeps);
      this.#sources.push(broker);
      this.brokerPort = broker.port;
      this.#signed.publish = broker.publish;
      this.#feed = new LocalFeed(devices, () => this.status(), broker.publish);
      this.#run(this.#feed.run(this.#stopping.signal));
    }
    this.#run(this.#warner.run(this.#stopping.signal, () => this.#feed?.changed()));
    for (const startLine of startLines) this.#sources.push(startLine(devices, sensorDeps));
    this.#isOpen = true;
  }

  stop(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  async #closeAll(): Promise<void> {
    this.#isTaking = false;
    await Promise.all(this.#sources.map((source) => source.stop()));
    this.#arrivals.journal();
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
    const changed = () => this.#changed();
    return runSealing(device, { journal, log, room: this.#room, clock: this.#clock, changed }, this.#stopping.signal);
  }

  #runReplays(): Promise<void> {
    const { log } = this.#deps;
    // One request is for all uplinks of the device.
    const targets = [...this.#devices.values()].map((device) => {
      return { name: device.config.name, ring: () => device.ringUplinks(), replays: [...device.replays.values()] };
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

  /** Stage 5. What the device's former keys signed goes first. */
  async #runForwarding(device: Device): Promise<void> {
    const { signal } = this.#stopping;
    const former = this.#formerKeys(device.config.name);
    const uplinks = () => this.#uplinkStates();
    const patienceMs = 30_000 + 30_000 * Math.max(...this.#config.uplinks.map(({ resendSec }) => resendSec));
    const onQueued = (queued: number) => (device.formerQueued = queued);
    for (const { id } of former) this.#deps.journal.receipts.require(id, this.#receiptTerms());
    const rests = await drainFormer(former, this.#carryDeps(), { patienceMs, uplinks, onQueued }, signal);
    for (const rest of rests) this.#run(rest);
    const { name } = device.config;
    await carry(
      {
        ...{ name, id: device.id, uplinks: device.uplinks, replays: device.replays, owner: this.#ownerPort(device) },
        standing: () => ({ nextSequence: device.sealed, queued: device.queued }),
        onReceipts: (receipts, released) => {
          device.receipts += released;
          device.queued -= released;
          if (this.#room.isPaused) for (const each of this.#devices.values()) each.sealBell.ring();
          for (const receipt of receipts) this.#feed?.tellReceipt(name, receipt);
        },
      },
      this.#carryDeps(),
      signal,
    );
  }

  /** What the owner of the device may do from afar; undefined where there is none. */
  #ownerPort(device: Device): OwnerPort | undefined {
    const { owner, stateDir } = this.#config;
    const refuse: Refuse = (reason, detail) => this.#refuse(reason, detail);
    const again = (range: ReplayRange) => requestReplay(stateDir, device.config.name, range);
    return owner && this.#deps.ownerDesk?.portOf(device.owned(refuse, again), owner.publicKey);
  }

  #carryDeps(): CarryDeps {
    const refuse: Refuse = (reason, detail) => this.#refuse(reason, detail);
    return { ...this.#deps, refuse, changed: () => this.#feed?.changed() };
  }

  #uplinkStates(): UplinkState[] {
    const now = [this.#clock.nowMs(), monotonicClock.nowMs()] as const;
    return this.#ways.map(({ uplink, logKeys }) => new UplinkState(uplink, logKeys, ...now));
  }

  #receiptTerms(): ReceiptTerms {
    const { receiptsMin, lagBatchesMax } = this.#config;
    return { logs: this.#ways.flatMap(({ logKeys }) => logKeys.logs), receiptsMin, lagBatchesMax };
  }

  #formerKeys(name: string): readonly FormerKey[] {
    const known = this.#deps.formerKeys?.get(name) ?? [];
    // A key of a journal that was lost has nothing to deliver.
    return known.filter(({ id }) => this.#deps.journal.findHead(id) !== undefined);
  }

  #queue(): DeviceQueue[] {
    const former = this.#config.devices.flatMap(({ name }) => this.#formerKeys(name));
    const queues = former.map(({ name, id }) => ({ config: { name }, id }));
    return listQueue(this.#deps.journal, [...queues, ...this.#devices.values(), ...this.#signed.known()]);
  }

  get isReady(): boolean {
    return this.#isOpen && this.#isTaking;
  }

  status(): AgentStatus {
    const nowSec = this.#nowSec();
    const sealing = [...this.#devices.values()].map((device) => device.status(nowSec));
    const devices = [...sealing, ...this.#signed.status()];
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
