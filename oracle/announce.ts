/**
 * State -> events. What the oracle knows of orders, findings, actions and devices is held against what was announced of
 * it last; each difference becomes one event with an id and a time, in the transaction that notes it as announced. So
 * no writer of state has to think of events, a crash announces nothing twice and forgets nothing, and what a
 * reorganisation of the chain takes back is announced like any other change. Findings and actions are many: all are
 * looked at after a start or a fault and where other processes write, and else those that the store says were written.
 */
import { channelName } from '@coldproof/wire';
import type { Clock } from './clock.ts';
import { describeAction, describeFinding, describeShipment } from './describe.ts';
import { hexOf } from './hex.ts';
import { noFence, type Fence } from './lease.ts';
import { OperatingError } from './operating-error.ts';
import type { Store } from './store.ts';

/** About a month of a large fleet; a reader that was away for longer is told so. */
const eventsKeptMax = 1_000_000;
const pageMax = 1_000;

/** A change within this of the one before goes out with it. */
const announceMs = 100;

export const eventTypes = [
  /** An order has come, or its state, its fact or its finality has changed. */
  'order.changed',
  /** A reorganisation of the chain has taken it back. */
  'order.withdrawn',
  'finding.opened',
  'finding.changed',
  'finding.closed',
  'finding.withdrawn',
  'action.changed',
  /** Enrolled or revoked. */
  'device.changed',
  'device.withdrawn',
  /** Batches of a device were logged. */
  'device.heard',
] as const;
export type EventType = (typeof eventTypes)[number];

/** What there is to say of a subject now, undefined when it has just gone. */
type Said = {
  readonly isSettled: boolean;
  readonly orderId: string;
  readonly device: string;
  readonly content: object;
};

type Kind = 'order' | 'device' | 'finding' | 'action';

export class Announcer {
  readonly #store: Store;
  readonly #clock: Clock;
  /** Of several workers on one store, only who holds the lease announces, and tells what is announced. */
  readonly fence: Fence;
  readonly #listeners = new Set<() => void>();
  #wake = new AbortController();
  #headSeen: string | undefined;
  /** Since this was looked at last, only what the store says has changed. */
  #hasLooked = false;

  constructor({ store, clock, fence = noFence }: { store: Store; clock: Clock; fence?: Fence }) {
    this.#store = store;
    this.#clock = clock;
    this.fence = fence;
  }

  /** Calls back when there are new events; gives what ends that. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Something may have changed. */
  wake(): void {
    this.#wake.abort();
  }

  /** Until the signal. `pace` is real time. */
  async follow(pace: Clock, signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.wake(), { once: true });
    while (!signal.aborted) {
      // Made before the round, so that what happens during it is not slept over.
      this.#wake = new AbortController();
      const { signal: woken } = this.#wake;
      this.#roundIfMine();
      await pace.wait(3_600_000, woken);
      await pace.wait(announceMs, signal);
    }
  }

  #roundIfMine(): void {
    try {
      this.fence.mustHold();
      this.round();
    } catch (error) {
      if (!(error instanceof OperatingError) || error.code !== 'lease-lost') throw error;
      this.#forget();
    }
  }

  /** Announces every difference; says how many there were. Throws 'lease-lost' when that is another's to do. */
  round(): number {
    const { events } = this.#store;
    const before = events.lastId();
    try {
      this.#store.transaction(() => {
        this.fence.confirm();
        const head = JSON.stringify(this.#store.chain.head());
        const isNewHead = head !== this.#headSeen;
        if (isNewHead) this.#announceChain();
        this.#announceFindings();
        this.#announceActions(isNewHead);
        this.#announceBatches();
        events.forgetBefore(events.lastId() - eventsKeptMax);
        this.#headSeen = head;
      });
    } catch (error) {
      this.#forget();
      throw error;
    }
    this.#hasLooked = true;
    const count = events.lastId() - before;
    if (count > 0) for (const listener of this.#listeners) listener();
    return count;
  }

  /** What was announced is rolled back, or is another's to announce: the store alone knows. */
  #forget(): void {
    this.#store.events.forgetCount();
    this.#headSeen = undefined;
    this.#hasLooked = false;
  }

  /** Their finality moves with the chain's head, and with nothing else. */
  #announceChain(): void {
    const head = this.#store.chain.head();
    this.#announce('device', (subject) => {
      const content = this.#store.chain.device(subject);
      if (content !== undefined) return { isSettled: true, orderId: '', device: subject, content };
      return undefined;
    });
    this.#announce('order', (subject) => {
      const order = this.#store.chain.order(subject)?.order;
      if (order === undefined) return undefined;
      const content = describeShipment(this.#store, order, head);
      return { isSettled: content.finality === 'final', orderId: subject, device: order.device, content };
    });
    this.#withdraw('device', (device) => ({ orderId: '', device, content: { device } }));
    this.#withdraw('order', (orderId) => ({ orderId, device: '', content: { orderId } }));
  }

  #announceFindings(): void {
    const { evaluation, pages } = this.#store;
    const taken = evaluation.changed.take();
    const changed = this.#hasLooked ? taken : undefined;
    const say = (subject: string): Said | undefined => {
      const [orderId = '', rule = '', channel, openedAtSec] = subject.split(':');
      const finding = pages.finding([orderId, rule, Number(channel), Number(openedAtSec)]);
      if (finding === undefined) return undefined;
      const isSettled = finding.closedAtSec !== undefined;
      return { isSettled, orderId, device: '', content: describeFinding(finding) };
    };
    this.#announce('finding', say, changed);
    // None is deleted but with all others of its order.
    if (changed !== undefined) return;
    this.#withdraw('finding', (subject) => {
      const [orderId = '', kind = '', channel, startedAt] = subject.split(':');
      const content = { orderId, kind, channel: channelName(Number(channel)), startedAt: Number(startedAt) };
      return { orderId, device: '', content };
    });
  }

  #announceActions(isNewHead: boolean): void {
    const { chain, outbox, pages } = this.#store;
    const taken = outbox.changed.take();
    const say = (subject: string): Said | undefined => {
      const action = pages.action(subject);
      if (action === undefined) return undefined;
      const content = describeAction(action, chain.head());
      // A refusal may be taken back with the block that it was given on.
      const isFinal = content.finality === 'final' || content.finality === null;
      const isSettled = action.state === 'finalized' || (action.state === 'fatal' && isFinal);
      return { isSettled, orderId: action.orderId, device: '', content };
    };
    // Their finality, too, moves with the head.
    this.#announce('action', say, this.#hasLooked && !isNewHead ? taken : undefined);
  }

  /** One event a device and round, whatever came: the batches themselves are in the log. */
  #announceBatches(): void {
    const { events, log, pages } = this.#store;
    const size = log.size();
    const from = Number(events.announced('log', 'size') ?? 0);
    if (size <= from) return;
    const timeMs = this.#clock.nowMs();
    events.append(
      pages.devicesHeardSince(from).map(({ device: bytes, sequence }) => {
        const device = hexOf(bytes);
        const content = JSON.stringify({ device, sequence });
        return { timeMs, type: 'device.heard' satisfies EventType, orderId: '', device, content };
      }),
    );
    events.setAnnounced('log', { subject: 'size', print: String(size), version: 0, isSettled: false });
  }

  /** Goes through the subjects that may have news: those that have changed, or, when it can be any, all of them. */
  #announce(kind: Kind, say: (subject: string) => Said | undefined, changed?: readonly string[]): void {
    if (changed !== undefined) {
      // Neither findings nor actions have a version.
      for (const subject of changed) this.#announceOne(kind, { subject, version: 0 }, say);
      return;
    }
    for (let after = ''; ;) {
      const page = this.#store.events.unsettled(kind, after, pageMax);
      for (const each of page) this.#announceOne(kind, each, say);
      if (page.length < pageMax) return;
      after = page.at(-1)!.subject;
    }
  }

  #announceOne(
    kind: Kind,
    { subject, version }: { readonly subject: string; readonly version: number },
    say: (subject: string) => Said | undefined,
  ): void {
    const { events } = this.#store;
    const said = say(subject);
    if (said === undefined) return;
    const before = events.announced(kind, subject);
    const print = JSON.stringify(said.content);
    events.setAnnounced(kind, { subject, print, version, isSettled: said.isSettled });
    if (before !== print) for (const type of typesOf(kind, before, said)) this.#append(type, said);
  }

  #withdraw(kind: 'order' | 'device' | 'finding', say: (subject: string) => Omit<Said, 'isSettled'>): void {
    for (const subject of this.#store.events.vanished(kind)) {
      this.#store.events.deleteAnnounced(kind, subject);
      this.#append(`${kind}.withdrawn`, say(subject));
    }
  }

  #append(type: EventType, { orderId, device, content }: Omit<Said, 'isSettled'>): void {
    const timeMs = this.#clock.nowMs();
    this.#store.events.append([{ timeMs, type, orderId, device, content: JSON.stringify(content) }]);
  }
}

function typesOf(kind: Kind, before: string | undefined, said: Said): EventType[] {
  if (kind !== 'finding') return [`${kind}.changed`];
  if (before === undefined) return said.isSettled ? ['finding.opened', 'finding.closed'] : ['finding.opened'];
  return [said.isSettled ? 'finding.closed' : 'finding.changed'];
}
