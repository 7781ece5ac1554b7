/** Stage 5 from one connect to the first trouble: windows, resends, receipts, status. forward.ts has the picture. */
import { bytesEqual, bytesToHex, formatTopic, shortHex, type Receipt } from '@coldproof/wire';
import type { Bell } from './bell.ts';
import type { Clock } from './clock.ts';
import { deflateEnvelope } from './deflate.ts';
import type { JournalReceipts, PendingEnvelope, Settlement } from './journal-receipts.ts';
import type { Link, LinkSession } from './link.ts';
import type { LogKeys } from './log-key.ts';
import type { Log } from './log-line.ts';
import { LogWindow } from './log-window.ts';
import { asError, describeError, OperatingError } from './operating-error.ts';
import { listenToOwner, tellOwner, type OwnerSession } from './owner-session.ts';
import type { Refuse } from './refusal.ts';
import type { Replay } from './replay.ts';

export type ForwardDeps = OwnerSession & {
  readonly journal: Pick<JournalReceipts, 'pending' | 'settle'>;
  readonly link: Link;
  /** Real, monotonic time: a fast voyage clock does not make a network faster. */
  readonly timer: Clock;
  /** 0 <= x < 1, for jitter. */
  readonly random: () => number;
  readonly log: Log;
  readonly refuse: Refuse;
  /** Rung by the loop when there is a new envelope. */
  readonly bell: Bell;
  /** For the status message; `nextSequence` is that of the batch that is not sealed yet. */
  readonly standing: () => { readonly nextSequence: number; readonly queued: number };
  /** `why` there is no connection; undefined when there is one. */
  readonly onConnected: (isConnected: boolean, why?: string) => void;
  /** After the journal has them. `released`: how many envelopes have enough receipts by these. */
  readonly onReceipts: (receipts: readonly Receipt[], released: number) => void;
  /** The windows of a new connection, to be looked at for as long as it lasts. */
  readonly onWindows: (windows: readonly LogWindow[]) => void;
  /** What somebody has asked for once more; undefined where nobody can. */
  readonly replay?: Replay | undefined;
};

export type ForwardTerms = {
  readonly name: string;
  readonly device: Uint8Array;
  readonly uplink: string;
  readonly logKeys: LogKeys;
  readonly order: 'in-order' | 'live-first';
  readonly compress: boolean;
  readonly windowBatches: number;
  readonly resendMs: number;
  readonly reconnectMsMax: number;
  /** Of the agent, for the status message. */
  readonly version: string;
};

const setUpMsMax = 10_000;
const leaveMsMax = 2_000;
/** Without any PUBACK for this long the connection is half open: TCP would go on for a quarter of an hour. */
const ackMsMax = 20_000;
const statusMs = 60_000;
/** Of the newest envelope, beside the backlog; the oracle takes no more than one a second either. */
const liveMs = 5_000;
const liveExpirySec = 60;
/** Receipts in one commit at most. */
const receiptsPerTurnMax = 512;

/** From one connect to the first trouble. */
export class Session {
  readonly #deps: ForwardDeps;
  readonly #terms: ForwardTerms;
  readonly #topics: { readonly [kind in 'batch' | 'live' | 'status' | 'receipt']: string };
  readonly #windows: readonly LogWindow[];
  #arrived: Uint8Array[] = [];
  /** Publishes without a PUBACK, and when one last came or was first waited for. */
  #unacknowledged = 0;
  #acknowledgedMs = 0;
  #liveSequence = -1;
  #liveAtMs = Number.NEGATIVE_INFINITY;
  #status = '';
  #statusAtMs = 0;
  #detach: () => void = () => undefined;
  #isClosed = false;
  #failure: Error | undefined;

  constructor(deps: ForwardDeps, terms: ForwardTerms) {
    this.#deps = deps;
    this.#terms = terms;
    const topic = (kind: Parameters<typeof formatTopic>[1]) => formatTopic(terms.device, kind);
    this.#topics = {
      batch: topic('batch'),
      live: topic('live'),
      status: topic('status'),
      receipt: topic('receipt'),
    };
    this.#windows = terms.logKeys.logs.map((log) => new LogWindow(log, terms));
  }

  async run(signal: AbortSignal, onUp: () => void): Promise<void> {
    const { link, bell, onWindows, timer, log } = this.#deps;
    const session = await link.open(
      {
        clientId: `coldproof-${bytesToHex(this.#terms.device).slice(0, 32)}`,
        will: { topic: this.#topics.status, payload: this.#formatStatus(false) },
        onMessage: (topic, payload) => this.#receive(topic, payload),
        onClosed: (why) => this.#end(why === undefined ? undefined : linkFailed(why)),
      },
      signal,
    );
    try {
      await this.#introduce(session, signal);
      onWindows(this.#windows);
      onUp();
      this.#detach = listenToOwner(this.#deps, session, (error) => {
        log('warn', 'owner-unheard', { device: this.#terms.name, why: describeError(error) });
      });
      while (!signal.aborted && !this.#isClosed) {
        this.#send(session);
        this.#sendLive(session);
        this.#replay(session);
        this.#tellStatus(session);
        await bell.heard(signal, this.#wakeInMs(timer.nowMs()));
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#isClosed) throw linkFailed('connection closed');
      await this.#leave(session);
    } finally {
      this.#detach();
      session.abandon();
      // What has come is true whatever became of the connection, and the journal may be closed after this.
      this.#settleArrived(Number.POSITIVE_INFINITY);
    }
  }

  /** Receipts first, then the birth. A broker that takes the connection and then says nothing gets `setUpMsMax`. */
  async #introduce(session: LinkSession, signal: AbortSignal): Promise<void> {
    const abandon = () => session.abandon();
    const limit = setTimeout(abandon, setUpMsMax);
    signal.addEventListener('abort', abandon);
    try {
      await session.subscribe(this.#topics.receipt);
      this.#status = this.#formatStatus(true);
      this.#statusAtMs = this.#deps.timer.nowMs();
      await session.publish(this.#topics.status, this.#status, { retain: true });
    } finally {
      clearTimeout(limit);
      signal.removeEventListener('abort', abandon);
    }
  }

  /** The death that the will would have told otherwise. Best effort: a stop must not hang on a dead network. */
  async #leave(session: LinkSession): Promise<void> {
    const { name, uplink } = this.#terms;
    const done = new AbortController();
    const farewell = session
      .publish(this.#topics.status, this.#formatStatus(false), { retain: true })
      .then(() => session.close())
      .catch((error: unknown) => {
        this.#deps.log('warn', 'link-down', { device: name, uplink, why: describeError(error) });
      });
    await Promise.race([farewell, this.#deps.timer.wait(leaveMsMax, done.signal)]);
    done.abort();
  }

  /** Fills the windows, oldest first; what several logs lack is published once. */
  #send(session: LinkSession): void {
    const { journal, timer, log } = this.#deps;
    const { device, name, uplink } = this.#terms;
    const nowMs = timer.nowMs();
    if (this.#unacknowledged > 0 && nowMs - this.#acknowledgedMs >= ackMsMax) {
      this.#end(linkFailed(`no PUBACK for ${ackMsMax / 1_000} s`));
      return;
    }
    const room = session.inFlightMax - this.#unacknowledged;
    const fresh = new Map<number, PendingEnvelope>();
    for (const window of this.#windows) {
      if (window.resendInMs(nowMs) === 0) {
        const { oldestInFlight: sequence, inFlight: count } = window;
        log('warn', 'resend', { device: name, uplink, log: window.name, sequence, count });
        window.rewind();
      }
      const wanted = Math.min(window.room(), room);
      if (wanted <= 0) continue;
      for (const envelope of journal.pending(device, window.log, window.next, wanted)) {
        if (window.take(envelope, nowMs).isNew) fresh.set(envelope.sequence, envelope);
      }
    }
    for (const { sequence, bytes } of [...fresh.values()].sort((one, other) => one.sequence - other.sequence)) {
      for (const window of this.#windows) window.overhear(sequence);
      this.#publish(session, 'batch', this.#pack(bytes), {});
    }
  }

  /** Behind all that waits for its first receipt. */
  #replay(session: LinkSession): void {
    if (this.#windows.some(({ inFlight }) => inFlight > 0)) return;
    for (const { bytes } of this.#deps.replay?.take(this.#deps.timer.nowMs()) ?? []) {
      this.#publish(session, 'batch', this.#pack(bytes), {});
    }
  }

  /** The newest envelope, if the backlog keeps it from being sent. */
  #sendLive(session: LinkSession): void {
    const { journal, timer, standing } = this.#deps;
    const newest = this.#liveDue();
    if (newest === undefined || timer.nowMs() - this.#liveAtMs < liveMs) return;
    const window = this.#windows.find((each) => !each.hasOffered(newest));
    const [envelope] = window === undefined ? [] : journal.pending(this.#terms.device, window.log, newest, 1);
    this.#liveSequence = standing().nextSequence - 1;
    if (envelope === undefined) return;
    this.#liveAtMs = timer.nowMs();
    this.#publish(session, 'live', this.#pack(envelope.bytes), { expirySec: liveExpirySec });
  }

  #pack(envelope: Uint8Array): Uint8Array {
    return this.#terms.compress ? deflateEnvelope(envelope) : envelope;
  }

  #liveDue(): number | undefined {
    if (this.#terms.order === 'in-order') return undefined;
    const newest = this.#deps.standing().nextSequence - 1;
    if (newest <= this.#liveSequence || this.#windows.every((each) => each.hasOffered(newest))) return undefined;
    return newest;
  }

  #tellStatus(session: LinkSession): void {
    const { timer } = this.#deps;
    if (timer.nowMs() - this.#statusAtMs < statusMs) return;
    this.#statusAtMs = timer.nowMs();
    const status = this.#formatStatus(true);
    if (status === this.#status) return;
    this.#status = status;
    this.#publish(session, 'status', status, { retain: true });
  }

  #publish(
    session: LinkSession,
    kind: 'batch' | 'live' | 'status',
    payload: Uint8Array | string,
    { retain = false, expirySec }: { retain?: boolean; expirySec?: number },
  ): void {
    const { timer, bell } = this.#deps;
    if (this.#unacknowledged === 0) this.#acknowledgedMs = timer.nowMs();
    this.#unacknowledged += 1;
    session.publish(this.#topics[kind], payload, { retain, expirySec }).then(
      () => {
        const isRoomAgain = this.#unacknowledged >= session.inFlightMax;
        this.#unacknowledged -= 1;
        this.#acknowledgedMs = timer.nowMs();
        if (isRoomAgain) bell.ring();
      },
      (error: unknown) => this.#end(error),
    );
  }

  #receive(topic: string, payload: Uint8Array): void {
    if (this.#isClosed) return;
    if (topic !== this.#topics.receipt) {
      tellOwner(this.#deps, topic, payload, (error) => this.#end(error));
      return;
    }
    this.#arrived.push(payload);
    if (this.#arrived.length === 1) setImmediate(() => this.#settleSome());
  }

  #settleSome(): void {
    try {
      this.#settleArrived(receiptsPerTurnMax);
    } catch (error) {
      // The journal's failure must end the run, not vanish in a callback.
      this.#end(error);
      return;
    }
    if (this.#arrived.length > 0) setImmediate(() => this.#settleSome());
  }

  /** All that came in one turn: one commit, so one fsync. */
  #settleArrived(countMax: number): void {
    const { journal, timer, bell, onReceipts } = this.#deps;
    const taken = this.#arrived.slice(0, countMax);
    this.#arrived = this.#arrived.slice(countMax);
    const entries = taken.flatMap((bytes) => this.#verify(bytes));
    if (entries.length === 0) return;
    const { settlements, released } = journal.settle(this.#terms.device, entries);
    const settled = entries.filter((entry, i) => this.#judge(entry, settlements[i]!));
    const nowMs = timer.nowMs();
    entries.forEach(({ log, sequence }, i) => {
      // A repeat too: it is a sign of life, and the end of what was sent again.
      if (settlements[i] !== 'settled' && settlements[i] !== 'repeated') return;
      this.#windows.find((each) => bytesEqual(each.log, log))?.settle(sequence, nowMs);
    });
    onReceipts(settled, released);
    bell.ring();
  }

  #verify(bytes: Uint8Array): (Receipt & { readonly bytes: Uint8Array })[] {
    const { refuse } = this.#deps;
    const { device, logKeys } = this.#terms;
    const verdict = logKeys.verify(bytes);
    if (!verdict.ok) {
      // With several logs on a broker, that of another consortium is no fault either, but is none of ours.
      refuse(
        verdict.reason === 'receipt-of-another-log' ? verdict.reason : 'receipt-invalid',
        `${verdict.reason}: ${verdict.detail}`,
      );
      return [];
    }
    if (bytesEqual(verdict.value.device, device)) return [{ ...verdict.value, bytes }];
    const named = shortHex(verdict.value.device);
    refuse('receipt-of-another-device', `device: expected ${shortHex(device)}, got ${named}`);
    return [];
  }

  /** Whether the receipt has settled something. */
  #judge({ sequence, digest, index, log: of }: Receipt, settlement: Settlement): boolean {
    const { refuse, log } = this.#deps;
    const { name, uplink } = this.#terms;
    const from = shortHex(of);
    if (settlement === 'settled') {
      log('info', 'receipt', { device: name, uplink, log: from, sequence, index });
      return true;
    }
    // The journal may have lost the receipt by now; whoever has asked for the replay gets it again.
    const isReplayed = this.#deps.replay?.answered(sequence) === true;
    if (isReplayed && ['repeated', 'not-awaited'].includes(settlement)) {
      log('info', 'replay-answered', { device: name, uplink, log: from, sequence, index });
      return false;
    }
    if (settlement === 'not-awaited') {
      refuse('receipt-not-awaited', `sequence ${sequence}: no envelope waits for it`);
    } else if (settlement === 'contradicted') {
      log('error', 'contradiction', { device: name, log: from, sequence, index, digest: bytesToHex(digest) });
      refuse('receipt-contradicts', `log ${from}: promised another place or digest for sequence ${sequence} before`);
    } else if (settlement === 'another-batch') {
      log('error', 'equivocation', { device: name, log: from, sequence, digest: bytesToHex(digest) });
      refuse('receipt-of-another-batch', `digest of sequence ${sequence}: got ${shortHex(digest)}, which is not ours`);
    }
    return false;
  }

  #wakeInMs(nowMs: number): number {
    const dues = [this.#statusAtMs + statusMs - nowMs, ...this.#windows.map((each) => each.resendInMs(nowMs))];
    if (this.#unacknowledged > 0) dues.push(this.#acknowledgedMs + ackMsMax - nowMs);
    if (this.#windows.every(({ inFlight }) => inFlight === 0)) dues.push(this.#deps.replay?.wakeInMs(nowMs));
    if (this.#liveDue() !== undefined) dues.push(this.#liveAtMs + liveMs - nowMs);
    return Math.max(0, Math.min(...dues.filter((due) => due !== undefined)));
  }

  #end(failure: unknown): void {
    this.#isClosed = true;
    if (failure !== undefined) this.#failure ??= asError(failure);
    this.#deps.bell.ring();
  }

  /** Retained, so that who comes later sees it too: Sparkplug's birth and death, for a device. */
  #formatStatus(isOnline: boolean): string {
    const { nextSequence, queued } = this.#deps.standing();
    return JSON.stringify({ online: isOnline, version: this.#terms.version, nextSequence, queued });
  }
}

function linkFailed(why: string): OperatingError {
  return new OperatingError('link-failed', why, { retry: 'later' });
}
