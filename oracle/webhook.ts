/**
 * Journal -> the receivers that the configuration names, each at its own pace, in order, at least once: the place in
 * the journal moves on only when the receiver has said 2xx. A receiver that fails is asked again, ever more seldom, and
 * after failuresMax times in a row no more, until somebody enables it again; both stand in the audit trail.
 *
 * Of several workers on one store one delivers: who announces, by the same lease. The place in the journal moves on in
 * a transaction that confirms the lease's fence, so a deliverer of yesterday can't put it back. What it was sending
 * when it lost the lease its successor sends again, and nothing else.
 *
 * Against request forgery: only the configured URLs are called, a redirect is a failure and not followed, and what the
 * receiver answers is not read.
 */
import { createHmac } from 'node:crypto';
import { bytesToHex, utf8ToBytes } from '@coldproof/wire';
import type { Announcer } from './announce.ts';
import { recordDeed } from './audit.ts';
import type { Clock } from './clock.ts';
import { cloudEventOf } from './cloud-event.ts';
import { noFence } from './lease.ts';
import type { Log } from './log-line.ts';
import { opensslSha256 as sha256 } from './openssl-crypto.ts';
import { OperatingError, describeError } from './operating-error.ts';
import type { JournalEvent } from './store-event.ts';
import type { WebhookState } from './store-webhook.ts';
import type { Store } from './store.ts';

export type WebhookSettings = {
  readonly url: string;
  readonly secret: string;
  /** Types of announce.ts; undefined for all. */
  readonly events?: readonly string[];
  /** Undefined for all, and for what is about no order. */
  readonly orders?: readonly string[];
};

export type WebhookDeps = {
  readonly store: Store;
  readonly announcer: Announcer;
  /** Real time: receivers do not follow a demonstration's clock. */
  readonly pace: Clock;
  readonly log: Log;
  /** SHA-256 of the log key, hex. */
  readonly source: string;
};

export type WebhookPolicy = {
  /** The first pause after a failure; each further one is twice as long, up to the longest. */
  readonly retryMs: number;
  readonly retryMsMax: number;
  readonly failuresMax: number;
  readonly timeoutMs: number;
};

/** Gives up after two days. */
export const defaultWebhookPolicy: WebhookPolicy = {
  retryMs: 1_000,
  retryMsMax: 3_600_000,
  failuresMax: 60,
  timeoutMs: 10_000,
};

const pageEvents = 200;
const idleMs = 3_600_000;
/** Beside other workers: how soon it is seen that the lease has changed hands, or that a webhook was enabled there. */
const workersMs = 500;

export const signatureHeader = 'coldproof-signature';

/** `t=UNIX_SEC,v1=HMAC-SHA-256(secret, "UNIX_SEC.BODY")`: a receiver refuses what is old, and so a replay. */
export function signWebhook(secret: string, body: string, nowSec: number): string {
  return `t=${nowSec},v1=${createHmac('sha256', secret).update(`${nowSec}.${body}`).digest('hex')}`;
}

/** Names a webhook in the API and the store: its URL may hold a key of the receiver's. */
export function webhookName({ url }: Pick<WebhookSettings, 'url'>): string {
  return bytesToHex(sha256(utf8ToBytes(url))).slice(0, 12);
}

export class Webhooks {
  readonly #deps: WebhookDeps;
  readonly #policy: WebhookPolicy;
  readonly #settings: ReadonlyMap<string, WebhookSettings>;
  readonly #wakes = new Map<string, { readonly news: AbortController; readonly enabled: AbortController }>();

  constructor(deps: WebhookDeps, settings: readonly WebhookSettings[], policy: WebhookPolicy = defaultWebhookPolicy) {
    this.#deps = deps;
    this.#policy = policy;
    this.#settings = new Map(settings.map((each) => [webhookName(each), each]));
  }

  /** Of those that are configured now. */
  states(): readonly WebhookState[] {
    return [...this.#settings.keys()].map((name) => this.#load(name));
  }

  /** Goes on with a webhook where it stands. Undefined when there is none of that name. */
  enable(name: string): WebhookState | undefined {
    if (!this.#settings.has(name)) return undefined;
    const { url, deliveredId } = this.#load(name);
    const enabled = { name, url, deliveredId, failures: 0, dueMs: 0 };
    this.#deps.store.webhooks.save(enabled);
    this.#wakes.get(name)?.enabled.abort();
    return enabled;
  }

  /** Until the signal. Throws when the store fails. */
  async follow(signal: AbortSignal): Promise<void> {
    const unlisten = this.#deps.announcer.listen(() => {
      for (const { news } of this.#wakes.values()) news.abort();
    });
    const wakeAll = () => {
      for (const wakes of this.#wakes.values()) for (const wake of Object.values(wakes)) wake.abort();
    };
    signal.addEventListener('abort', wakeAll, { once: true });
    try {
      await Promise.all([...this.#settings].map(([name, settings]) => this.#followOne(name, settings, signal)));
    } finally {
      unlisten();
    }
  }

  async #followOne(name: string, settings: WebhookSettings, signal: AbortSignal): Promise<void> {
    const { pace, announcer } = this.#deps;
    const waitMsMax = announcer.fence === noFence ? idleMs : workersMs;
    // A new one hears from here on, whoever is to tell it.
    this.#load(name);
    while (!signal.aborted) {
      // Made before the look, so that an event which comes during it is not slept over.
      const wakes = { news: new AbortController(), enabled: new AbortController() };
      this.#wakes.set(name, wakes);
      try {
        announcer.fence.mustHold();
        const state = this.#load(name);
        const pauseMs = state.disabledMs === undefined ? state.dueMs - pace.nowMs() : idleMs;
        // News does not shorten a pause.
        if (pauseMs > 0) await pace.wait(Math.min(pauseMs, waitMsMax), wakes.enabled.signal);
        else if (!(await this.#deliverNext(state, settings, signal))) await pace.wait(waitMsMax, wakes.news.signal);
      } catch (error) {
        if (!(error instanceof OperatingError) || error.code !== 'lease-lost') throw error;
        await pace.wait(workersMs, signal);
      }
    }
  }

  /** One event, or the news that none is wanted; false when there is nothing new. Throws 'lease-lost'. */
  async #deliverNext(state: WebhookState, settings: WebhookSettings, signal: AbortSignal): Promise<boolean> {
    const { store } = this.#deps;
    const events = store.events.after(state.deliveredId, pageEvents);
    const wanted = events.find((event) => isWanted(settings, event));
    const passed = wanted === undefined ? events.at(-1)?.id : wanted.id - 1;
    if (passed !== undefined && passed > state.deliveredId) this.#save({ ...state, deliveredId: passed });
    if (wanted === undefined) return events.length > 0;
    const problem = await this.#post(settings, wanted, signal);
    if (signal.aborted && problem !== undefined) return true;
    const { name, url, deliveredId, failures } = state;
    if (problem === undefined) {
      this.#save({ name, url, deliveredId: wanted.id, failures: 0, dueMs: 0 });
      return true;
    }
    this.#noteFailure({ name, url, deliveredId: Math.max(deliveredId, wanted.id - 1), failures, dueMs: 0 }, problem);
    return true;
  }

  #noteFailure(state: WebhookState, problem: string): void {
    const { store, pace, log } = this.#deps;
    const failures = state.failures + 1;
    const nowMs = pace.nowMs();
    const pauseMs = Math.min(this.#policy.retryMs * 2 ** state.failures, this.#policy.retryMsMax);
    const failed = { ...state, failures, problem, dueMs: nowMs + pauseMs };
    const isDisabled = failures >= this.#policy.failuresMax;
    store.transaction(() => {
      this.#save(isDisabled ? { ...failed, disabledMs: nowMs } : failed);
      const deed = { who: 'oracle', what: 'webhook-disabled', subject: state.name, detail: problem };
      if (isDisabled) recordDeed(store, nowMs, deed);
    });
    log('warn', isDisabled ? 'webhook-disabled' : 'webhook-failed', { webhook: state.name, failures, problem });
  }

  /** By who delivers, and by nobody else. */
  #save(state: WebhookState): void {
    const { store, announcer } = this.#deps;
    store.transaction(() => {
      announcer.fence.confirm();
      store.webhooks.save(state);
    });
  }

  /** What went wrong, if anything. */
  async #post({ url, secret }: WebhookSettings, event: JournalEvent, signal: AbortSignal): Promise<string | undefined> {
    const body = JSON.stringify(cloudEventOf(event, this.#deps.source));
    const headers = {
      'content-type': 'application/cloudevents+json; charset=utf-8',
      [signatureHeader]: signWebhook(secret, body, Math.floor(this.#deps.pace.nowMs() / 1_000)),
    };
    try {
      const response = await fetch(url, {
        ...{ method: 'POST', headers, body, redirect: 'manual' },
        signal: AbortSignal.any([signal, AbortSignal.timeout(this.#policy.timeoutMs)]),
      });
      await response.body?.cancel();
      return response.ok ? undefined : `answered ${response.status}`;
    } catch (error) {
      return describeError(error);
    }
  }

  /** A new webhook hears from now on. */
  #load(name: string): WebhookState {
    const { store } = this.#deps;
    const url = this.#settings.get(name)?.url ?? '';
    const known = store.webhooks.load(name);
    if (known !== undefined) return known;
    const fresh = { name, url: new URL(url).origin, deliveredId: store.events.lastId(), failures: 0, dueMs: 0 };
    store.webhooks.insert(fresh);
    return store.webhooks.load(name) ?? fresh;
  }
}

function isWanted({ events, orders }: WebhookSettings, { type, orderId }: JournalEvent): boolean {
  return (events?.includes(type) ?? true) && (orders?.includes(orderId) ?? true);
}
