/**
 * The loop: what the stages hand to one another, and when.
 *
 *    devices                                                                chain
 *       |  MQTT                                                           ^      |
 *   broker.ts                                                             |      v
 *       |                                                         transmit (12)  watch (14)
 *       v                                                                 ^      |
 *   receive (6) --> [queue] --> verify (7) --> log (8) --+                |      | orders, devices
 *       ^                        threads                 |            [outbox]   |
 *       |                                                v                |      |
 *       +------------------ receipts <--- committed --- evaluate (9) --> prove (10)
 *       '--> live: the newest of a device with a backlog, verified, shown, and nothing else
 *
 * Three loops run side by side. The intake loop takes a group from the queue, verifies it while the group before is
 * being committed, commits, sends receipts, and evaluates the devices that were in it. The chain loop watches,
 * evaluates what the chain's news concern, and works off the outbox; it runs at its own pace and is woken by a new
 * action. The third (announce.ts) holds what has changed against what was announced, and is woken by the other two.
 *
 * Shutdown needs no care for correctness, only for courtesy: everything that is promised (a receipt, a stored
 * transaction) is on disk before it is said, and everything else is made again. So `close` lets the loops end the
 * step they are in, then closes links, threads and store, in this order, since each uses the ones after it. After a
 * kill the next start runs the same functions on the same store: there is no other recovery.
 */
import { bytesToHex, logOf } from '@coldproof/wire';
import { Announcer } from './announce.ts';
import { openBroker, type Broker } from './broker.ts';
import type { Chain } from './chain.ts';
import type { OracleWorker } from './config.ts';
import type { EmbeddedBroker, ExternalBroker } from './config-broker.ts';
import type { Transmitter } from './chain-account.ts';
import type { Clock } from './clock.ts';
import { DeviceCache } from './device-cache.ts';
import { EarlyBatches } from './early-batches.ts';
import { Findings } from './findings.ts';
import { hexOf } from './hex.ts';
import { Lease, noFence } from './lease.ts';
import { Live } from './live.ts';
import { Log as TransparencyLog, type Loggable } from './log.ts';
import type { LogKey } from './log-key.ts';
import type { Log } from './log-line.ts';
import { OperatingError, describeError } from './operating-error.ts';
import { opensslCrypto } from './openssl-crypto.ts';
import { openReceiver, type Receiver } from './receive.ts';
import { receiveEmbedded } from './receive-embedded.ts';
import type { Store } from './store.ts';
import { Transmit, type CrashPoint, type TransmitPolicy } from './transmit.ts';
import { verifyPool, type Incoming, type VerifyPool } from './verify-pool.ts';
import type { RejectReason } from './verify.ts';
import { Watch } from './watch.ts';

export type OracleDeps = {
  /** The voyage's time: samples are dated by it. */
  readonly clock: Clock;
  /** Real time: links and blocks are paced by it. */
  readonly pace: Clock;
  readonly log: Log;
  readonly store: Store;
  readonly chain: Chain;
  readonly transmitter: Transmitter;
  readonly logKey: LogKey;
  readonly crashPoint: CrashPoint;
  /** Batches were logged that were not there before. */
  readonly onLogged?: () => void;
};

export type OracleSettings = {
  readonly broker: EmbeddedBroker | ExternalBroker;
  readonly verify: { readonly workers: number; readonly queueMax: number };
  readonly origin: string;
  readonly fromBlock: number;
  readonly pollMs: number;
  readonly transmit: TransmitPolicy;
  /** This process is one of several workers on one store: it has a name of its own, and acts on the chain by lease. */
  readonly worker?: OracleWorker | undefined;
};

/** Messages in one commit at most: bounds what one fsync is shared by, and how long the thread is busy with it. */
const groupMessagesMax = 512;
/** Groups that the threads verify, or have to verify, beside the one that is written. */
const groupsAheadMax = 2;
/** Batches that came early are offered to the log again after this, or with the next group. */
const earlyRetryMs = 20;
/** One worker may be so far behind another: a commit, a collection of garbage. What comes later, comes again. */
const earlyMsMax = 5_000;
/** Workers look at one another's news in the store so often. */
const newsMs = 200;
/** What follows on a fault of the chain: not at once, and not much later. */
const chainRetryMs = 1_000;
/** A chain that does not answer holds up no batches of devices that are known already. */
const chainAskedMsMax = 5_000;

export class Oracle {
  readonly log: TransparencyLog;
  /** Says what has changed, to streams and webhooks. */
  readonly announcer: Announcer;
  readonly #deps: OracleDeps;
  readonly #settings: OracleSettings;
  /** Undefined when others run it. */
  readonly #broker: Broker | undefined;
  readonly #receiver: Receiver;
  readonly #pool: VerifyPool;
  readonly #watch: Watch;
  readonly #findings: Findings;
  readonly #transmit: Transmit;
  readonly #devices: DeviceCache;
  readonly #early: EarlyBatches;
  readonly #lease: Lease | undefined;
  readonly #live: Live;
  readonly #stop = new AbortController();
  /** Aborted once the chain was asked what devices there are, whatever it said. */
  readonly #asked = new AbortController();
  #wakeChain: AbortController | undefined;
  #chainError: string | undefined = 'not asked yet';

  private constructor(
    deps: OracleDeps,
    settings: OracleSettings,
    parts: { broker: Broker | undefined; receiver: Receiver; devices: DeviceCache; live: Live; pool: VerifyPool },
  ) {
    this.#deps = deps;
    this.#settings = settings;
    this.#broker = parts.broker;
    this.#receiver = parts.receiver;
    this.#pool = parts.pool;
    this.#devices = parts.devices;
    this.#early = new EarlyBatches(settings.worker === undefined ? 0 : earlyMsMax);
    this.#live = parts.live;
    this.log = new TransparencyLog({ store: deps.store, key: deps.logKey, origin: settings.origin });
    const { worker } = settings;
    this.#lease = worker === undefined ? undefined : new Lease(deps, { ...worker, holder: worker.name });
    const fence = this.#lease ?? noFence;
    this.announcer = new Announcer({ ...deps, fence });
    this.#watch = new Watch({ ...deps, fence, fromBlock: settings.fromBlock });
    this.#findings = new Findings({ ...deps, crypto: opensslCrypto() });
    this.#transmit = new Transmit({ ...deps, fence }, settings.transmit);
  }

  static async open(deps: OracleDeps, settings: OracleSettings): Promise<Oracle> {
    const external = 'url' in settings.broker ? settings.broker : undefined;
    const broker = 'url' in settings.broker ? undefined : await openBroker({ ...settings.broker, log: deps.log });
    const devices = new DeviceCache(deps.store);
    const nowSec = () => Math.floor(deps.clock.nowMs() / 1_000);
    const pool = verifyPool({ workers: settings.verify.workers, devices: (device) => devices.get(device), nowSec });
    const live = new Live({
      devices: (device) => devices.get(device),
      nextSequence: (device) => deps.store.log.head(device)?.nextSequence ?? 0,
      crypto: opensslCrypto(),
      nowSec,
      realMs: () => deps.pace.nowMs(),
    });
    const onLive = (device: Uint8Array, bytes: Uint8Array) => {
      const verdict = live.take(device, bytes);
      if (!verdict.ok) deps.log('debug', 'live-refused', { reason: verdict.reason, detail: verdict.detail });
    };
    try {
      const { queueMax } = settings.verify;
      const clientId = `coldproof-oracle-${bytesToHex(logOf(deps.logKey.publicKey)).slice(0, 32)}`;
      const receiver =
        broker === undefined
          ? await openReceiver({
              ...external!,
              ...named(clientId, settings.worker),
              isExternal: true,
              queueMax,
              onLive,
              log: deps.log,
            })
          : receiveEmbedded(broker, { queueMax, onLive });
      return new Oracle(deps, settings, { broker, receiver, devices, live, pool });
    } catch (error) {
      await pool.close();
      await broker?.close();
      throw error;
    }
  }

  /** Undefined when others run the broker. */
  get brokerPort(): number | undefined {
    return this.#broker?.port;
  }

  /** A batch that another log has and this one may not have. False when the queue is full. */
  offer(message: Incoming): boolean {
    return this.#receiver.offer(message);
  }

  /** The outbox has a new action. */
  wakeChain(): void {
    this.#wakeChain?.abort();
  }

  /** What a status page needs besides the store. */
  get links() {
    return {
      live: this.#live.list(),
      queued: this.#receiver.queued,
      isReceiving: this.#receiver.isConnected,
      chainError: this.#chainError,
      refusedByReceiver: this.#receiver.refused,
      refusedByBroker: this.#broker?.refused ?? new Map<string, number>(),
    };
  }

  /** Until `close` is called; throws what the oracle cannot go on with. Closes all but the store and the chain. */
  async run(): Promise<void> {
    const { signal } = this.#stop;
    const stopOnError = (loop: Promise<void>) =>
      loop.catch((error: unknown) => {
        this.close();
        throw error;
      });
    // All are awaited whatever happens, so that no loop writes to a store that its caller has closed.
    const loops = [this.#intake(signal), this.#followChain(signal), this.announcer.follow(this.#deps.pace, signal)];
    if (this.#lease !== undefined) loops.push(this.#followWorkers(signal, this.#lease));
    const ends = await Promise.allSettled(loops.map(stopOnError));
    await this.#receiver.close();
    await this.#broker?.close();
    await this.#pool.close();
    await this.#deps.logKey.close();
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }

  close(): void {
    this.#stop.abort();
    this.#wakeChain?.abort();
  }

  async #intake(signal: AbortSignal): Promise<void> {
    const ahead: Group[] = [];
    let told: Promise<void> = Promise.resolve();
    // Before that, a new oracle would refuse the first batches of devices that are enrolled.
    await this.#deps.pace.wait(chainAskedMsMax, AbortSignal.any([signal, this.#asked.signal]));
    try {
      for (;;) {
        const group = ahead.shift() ?? this.#begin(await this.#take(signal));
        if (signal.aborted && group.messages.length === 0) return;
        // While this one is awaited and written, the threads are never without one.
        if (group.messages.length === groupMessagesMax) await this.#beginMore(ahead, signal);
        const verdicts = await group.verdicts;
        await this.#beginMore(ahead, signal);
        const logged = this.#commit(group.messages, verdicts);
        // The receipts of one group are signed while the next is on its way, and no more than that.
        await told;
        told = this.#tell(logged);
        // Awaited later, as above.
        told.catch(() => undefined);
      }
    } finally {
      await told;
    }
  }

  /** Nothing, while batches are held that came early, means that it is time to offer them again. */
  #take(signal: AbortSignal): Promise<Incoming[]> {
    return this.#receiver.take(groupMessagesMax, signal, this.#early.size === 0 ? undefined : earlyRetryMs);
  }

  #begin(messages: readonly Incoming[]): Group {
    const verdicts = this.#pool.verify(messages);
    // Awaited later; until then a failure must not count as unhandled.
    verdicts.catch(() => undefined);
    return { messages, verdicts };
  }

  async #beginMore(ahead: Group[], signal: AbortSignal): Promise<void> {
    while (ahead.length < groupsAheadMax && this.#receiver.queued > 0 && !signal.aborted)
      ahead.push(this.#begin(await this.#take(signal)));
  }

  /** Gives what is in the log now and was asked for, with its index. */
  #commit(messages: readonly Incoming[], verdicts: Awaited<Group['verdicts']>): Map<Loggable, number> {
    const nowMs = this.#deps.pace.nowMs();
    const refused = new Refusals();
    const batches = this.#early.take();
    verdicts.forEach((verdict, i) => {
      const { device, bytes } = messages[i]!;
      if (verdict.ok) batches.set({ ...verdict.value, device, envelope: bytes }, nowMs);
      else refused.add(verdict.reason, verdict.detail);
    });
    const offered = [...batches.keys()];
    const isEarly = (batch: Loggable) => this.#early.hold(batch, batches.get(batch)!, nowMs);
    const answers = this.log.append(offered, this.#deps.clock.nowMs(), refused.counts(), isEarly);
    this.#deps.crashPoint('log-committed');
    const touched = new Set<string>();
    const logged = new Map<Loggable, number>();
    answers.forEach((answer, i) => {
      const batch = offered[i]!;
      if (answer === 'early') return;
      if (!answer.ok) {
        refused.add(answer.reason, answer.detail);
        return;
      }
      logged.set(batch, answer.value.index);
      if (!answer.value.isRepeat) touched.add(hexOf(batch.device));
    });
    refused.say(this.#deps.log);
    if (touched.size > 0) this.#deps.onLogged?.();
    this.#deps.log('debug', 'group-logged', { messages: messages.length, size: this.log.size });
    if (this.#findings.run(touched)) this.#wakeChain?.abort();
    this.announcer.wake();
    return logged;
  }

  async #tell(logged: ReadonlyMap<Loggable, number>): Promise<void> {
    if (logged.size === 0) return;
    const batches = [...logged].map(([batch, index]) => ({ batch, index }));
    const receipts = await this.log.receipts(batches);
    this.#receiver.publishReceipts(receipts.map((receipt, i) => ({ device: batches[i]!.batch.device, receipt })));
  }

  async #followChain(signal: AbortSignal): Promise<void> {
    let hasChecked = false;
    while (!signal.aborted) {
      // Made before the round, so that neither an action nor a `close` that comes during it is slept over.
      const wake = new AbortController();
      this.#wakeChain = wake;
      let waitMs = this.#settings.pollMs;
      try {
        this.#lease?.mustHold();
        if (!hasChecked) await this.#deps.chain.checkChainId();
        // What wakes the loop is an action; it waits for no news of the chain.
        else await this.#transmit.startNew();
        // At start, too: orders that were in transit when the oracle stopped.
        const hasChanged = (await this.#watch.round()) || !hasChecked;
        if (hasChanged) this.#devices.clear();
        if (hasChanged) this.#findings.refresh();
        hasChecked = true;
        this.#asked.abort();
        await this.#transmit.round();
        this.#chainError = undefined;
      } catch (error) {
        if (!(error instanceof OperatingError) || error.retry !== 'later') throw error;
        this.#asked.abort();
        if (error.code === 'lease-lost') {
          // Its time as holder may have come by the next look.
          await this.#deps.pace.wait(newsMs, signal);
          hasChecked = false;
          continue;
        }
        this.#chainError = describeError(error);
        this.#deps.log('warn', 'chain-fault', { error: this.#chainError });
        // What answers after an outage may be another node, of another chain.
        hasChecked = false;
        waitMs = chainRetryMs;
      }
      this.announcer.wake();
      await this.#deps.pace.wait(waitMs, wake.signal);
    }
  }

  /** What one worker must know of the others: who acts on the chain, and what they have found there or for it. */
  async #followWorkers(signal: AbortSignal, lease: Lease): Promise<void> {
    const { store, pace, log } = this.#deps;
    let wasHeld = false;
    let knownHash = store.chain.head()?.hash;
    while (!signal.aborted) {
      const isHeld = lease.renew();
      if (isHeld !== wasHeld) log('info', isHeld ? 'lease-taken' : 'lease-lost');
      if (isHeld && !wasHeld) this.announcer.wake();
      wasHeld = isHeld;
      if (isHeld) {
        if (store.outbox.hasNew(pace.nowMs())) this.#wakeChain?.abort();
      } else {
        const hash = store.chain.head()?.hash;
        if (hash !== knownHash) this.#devices.clear();
        if (hash !== knownHash) this.#findings.refresh();
        knownHash = hash;
        this.#chainError = undefined;
      }
      await pace.wait(Math.min(newsMs, lease.leaseMs / 5), signal);
    }
    lease.release();
  }
}

/** A shared subscription for the workers of one oracle, each of them a client of its own. */
function named(clientId: string, worker: OracleSettings['worker']): { clientId: string; share?: string } {
  return worker === undefined ? { clientId } : { clientId: `${clientId}-${worker.name}`, share: 'oracle' };
}

type Group = { readonly messages: readonly Incoming[]; readonly verdicts: ReturnType<VerifyPool['verify']> };

/** One log line per reason and group: a flood of bad messages must not become a flood of lines. */
class Refusals {
  readonly #found = new Map<RejectReason, { count: number; detail: string }>();

  add(reason: RejectReason, detail: string): void {
    this.#found.set(reason, { count: (this.#found.get(reason)?.count ?? 0) + 1, detail });
  }

  counts(): Map<string, number> {
    return new Map([...this.#found].map(([reason, { count }]) => [`rejected:${reason}`, count]));
  }

  say(log: Log): void {
    for (const [reason, { count, detail }] of this.#found) log('warn', 'batch-rejected', { reason, count, detail });
  }
}
