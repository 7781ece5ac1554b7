/**
 * Stage 5, forward: Envelope -> the oracle, in order. One run for each device, so that each has its own window, birth
 * and last will.
 *
 *   journal --pending--> [window of envelopes without receipt] --publish--> broker ~~> oracle
 *   journal <--settle---  verifyReceipt(log key): device, sequence, digest <--receipt-- '
 *
 * Only a verified receipt ends the duty for an envelope. A PUBACK is no durability (aedes acknowledges before it
 * stores), so it is used for nothing. When the oldest envelope has had no receipt for `resendMs`, everything from it on
 * is sent again: the oracle takes only the next sequence, so what came behind a lost one was refused too.
 */
import { bytesEqual, bytesToHex, formatTopic, shortHex, verifyReceipt, type Receipt } from '@coldproof/wire';
import type { Bell } from './bell.ts';
import type { Clock } from './clock.ts';
import type { Journal } from './journal.ts';
import type { Link, LinkSession } from './link.ts';
import type { Log } from './log-line.ts';
import { asError, describeError, OperatingError } from './operating-error.ts';
import type { OwnerPort } from './owner-desk.ts';
import type { Refuse } from './refusal.ts';

export type ForwardDeps = {
  readonly journal: Pick<Journal, 'pending' | 'settle'>;
  readonly link: Link;
  /** Real, monotonic time: a fast voyage clock does not make a network faster. */
  readonly timer: Clock;
  /** 0 <= x < 1, for jitter. */
  readonly random: () => number;
  readonly log: Log;
  readonly refuse: Refuse;
  /** Rung by the loop when there is a new envelope. */
  readonly bell: Bell;
  /** `why` there is no connection; undefined when there is one. */
  readonly onConnected: (isConnected: boolean, why?: string) => void;
  readonly onReceipt: (receipt: Receipt) => void;
  /** Undefined where nobody may set anything from afar. */
  readonly owner?: OwnerPort | undefined;
  /** Asked before each sending: from where on to send again, once. */
  readonly takeReplay?: () => number | undefined;
};

export type ForwardTerms = {
  readonly name: string;
  readonly device: Uint8Array;
  readonly logPublicKey: Uint8Array;
  readonly windowBatches: number;
  readonly resendMs: number;
  readonly reconnectMsMax: number;
};

const reconnectMsFirst = 200;
const setUpMsMax = 10_000;
const leaveMsMax = 2_000;

/** Until `signal` is aborted. Throws only what the journal throws. */
export async function runForward(deps: ForwardDeps, terms: ForwardTerms, signal: AbortSignal): Promise<void> {
  const { timer, log } = deps;
  let failures = 0;
  while (!signal.aborted) {
    const session = new Session(deps, terms);
    let why = 'stopped';
    try {
      await session.run(signal, () => {
        failures = 0;
        deps.onConnected(true);
        log('info', 'link-up', { device: terms.name });
      });
    } catch (error) {
      if (!(error instanceof OperatingError) || error.retry === 'never') throw error;
      why = error.message;
      log('warn', 'link-down', { device: terms.name, why });
    } finally {
      deps.onConnected(false, why);
    }
    // Full jitter: after a cell comes back, a fleet must not knock in step (Exponential Backoff And Jitter, AWS 2015).
    const backOffMs = Math.min(terms.reconnectMsMax, reconnectMsFirst * 2 ** Math.min(failures, 16));
    failures += 1;
    await timer.wait(backOffMs * (0.5 + deps.random() / 2), signal);
  }
}

/** From one connect to the first trouble. */
class Session {
  readonly #deps: ForwardDeps;
  readonly #terms: ForwardTerms;
  readonly #batchTopic: string;
  readonly #statusTopic: string;
  readonly #receiptTopic: string;
  /** Sent in this session and without a receipt. */
  readonly #inFlight = new Set<number>();
  /** Every envelope below this has been sent in this session. */
  #next = 0;
  /** Of the last receipt, or of the first sending into an empty window. */
  #progressMs = 0;
  #detach: () => void = () => undefined;
  #isClosed = false;
  #failure: Error | undefined;

  constructor(deps: ForwardDeps, terms: ForwardTerms) {
    this.#deps = deps;
    this.#terms = terms;
    this.#batchTopic = formatTopic(terms.device, 'batch');
    this.#statusTopic = formatTopic(terms.device, 'status');
    this.#receiptTopic = formatTopic(terms.device, 'receipt');
  }

  async run(signal: AbortSignal, onUp: () => void): Promise<void> {
    const session = await this.#deps.link.open(
      {
        clientId: `coldproof-${bytesToHex(this.#terms.device).slice(0, 32)}`,
        will: { topic: this.#statusTopic, payload: formatStatus(false) },
        onMessage: (topic, payload) => this.#receive(topic, payload),
        onClosed: () => this.#end(undefined),
      },
      signal,
    );
    try {
      await this.#introduce(session, signal);
      onUp();
      this.#listen(session);
      while (!signal.aborted && !this.#isClosed) {
        this.#send(session);
        await this.#deps.bell.heard(signal, this.#resendInMs());
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#isClosed) throw new OperatingError('link-failed', 'connection closed', { retry: 'later' });
      await this.#leave(session);
    } finally {
      this.#detach();
      session.abandon();
    }
  }

  /** The owner's topics. An oracle that does not grant them is an oracle all the same. */
  #listen(session: LinkSession): void {
    const { owner, log } = this.#deps;
    if (owner === undefined) return;
    const lost = (why: unknown) => log('warn', 'owner-unheard', { device: this.#terms.name, why: describeError(why) });
    for (const topic of owner.topics) session.subscribe(topic).catch(lost);
    this.#detach = owner.attach((topic, payload, options) => {
      session.publish(topic, payload, options).catch(lost);
    });
  }

  /** Receipts first, then the birth. A broker that takes the connection and then says nothing gets `setUpMsMax`. */
  async #introduce(session: LinkSession, signal: AbortSignal): Promise<void> {
    const abandon = () => session.abandon();
    const limit = setTimeout(abandon, setUpMsMax);
    signal.addEventListener('abort', abandon);
    try {
      await session.subscribe(this.#receiptTopic);
      await session.publish(this.#statusTopic, formatStatus(true), { retain: true });
    } finally {
      clearTimeout(limit);
      signal.removeEventListener('abort', abandon);
    }
  }

  /** The death that the will would have told otherwise. Best effort: a stop must not hang on a dead network. */
  async #leave(session: LinkSession): Promise<void> {
    const done = new AbortController();
    const farewell = session
      .publish(this.#statusTopic, formatStatus(false), { retain: true })
      .then(() => session.close())
      .catch((error: unknown) => {
        this.#deps.log('warn', 'link-down', { device: this.#terms.name, why: describeError(error) });
      });
    await Promise.race([farewell, this.#deps.timer.wait(leaveMsMax, done.signal)]);
    done.abort();
  }

  /** Fills the window, oldest first. */
  #send(session: LinkSession): void {
    const { journal, timer, log } = this.#deps;
    const { device, name, windowBatches, resendMs } = this.#terms;
    if (this.#inFlight.size > 0 && timer.nowMs() - this.#progressMs >= resendMs) {
      log('warn', 'resend', { device: name, sequence: Math.min(...this.#inFlight), count: this.#inFlight.size });
      this.#next = 0;
      this.#inFlight.clear();
    }
    const replayFrom = this.#deps.takeReplay?.();
    if (replayFrom !== undefined) {
      this.#next = Math.min(this.#next, replayFrom);
      this.#inFlight.clear();
    }
    const room = windowBatches - this.#inFlight.size;
    if (room <= 0) return;
    for (const { sequence, bytes } of journal.pending(device, this.#next, room)) {
      if (this.#inFlight.size === 0) this.#progressMs = timer.nowMs();
      this.#inFlight.add(sequence);
      this.#next = sequence + 1;
      session.publish(this.#batchTopic, bytes, { retain: false }).catch((error: unknown) => this.#end(error));
    }
  }

  #receive(topic: string, payload: Uint8Array): void {
    if (this.#isClosed) return;
    try {
      if (topic === this.#receiptTopic) this.#settle(payload);
      else if (this.#deps.owner?.topics.includes(topic) === true) this.#deps.owner.take(topic, payload);
    } catch (error) {
      // The journal's failure must end the run, not vanish in the callback of a socket.
      this.#end(error);
    }
  }

  #settle(payload: Uint8Array): void {
    const { journal, refuse, log, bell, timer } = this.#deps;
    const { device, logPublicKey, name } = this.#terms;
    const verdict = verifyReceipt(payload, logPublicKey);
    if (!verdict.ok) {
      refuse('receipt-invalid', `${verdict.reason}: ${verdict.detail}`);
      return;
    }
    const { sequence, digest, index } = verdict.value;
    if (!bytesEqual(verdict.value.device, device)) {
      const named = shortHex(verdict.value.device);
      refuse('receipt-of-another-device', `device: expected ${shortHex(device)}, got ${named}`);
      return;
    }
    const settlement = journal.settle(device, sequence, digest, payload);
    if (settlement === 'not-awaited') {
      refuse('receipt-not-awaited', `sequence ${sequence}: no envelope waits for it`);
    } else if (settlement === 'another-batch') {
      log('error', 'equivocation', { device: name, sequence, digest: bytesToHex(digest) });
      refuse('receipt-of-another-batch', `digest of sequence ${sequence}: got ${shortHex(digest)}, which is not ours`);
    } else {
      log('info', 'receipt', { device: name, sequence, index });
      this.#inFlight.delete(sequence);
      this.#progressMs = timer.nowMs();
      this.#deps.onReceipt(verdict.value);
      bell.ring();
    }
  }

  #resendInMs(): number | undefined {
    if (this.#inFlight.size === 0) return undefined;
    return Math.max(0, this.#progressMs + this.#terms.resendMs - this.#deps.timer.nowMs());
  }

  #end(failure: unknown): void {
    this.#isClosed = true;
    if (failure !== undefined) this.#failure ??= asError(failure);
    this.#deps.bell.ring();
  }
}

/** Retained, so that who comes later sees it too: Sparkplug's birth and death, for a device. */
function formatStatus(isOnline: boolean): string {
  return JSON.stringify({ online: isOnline });
}
