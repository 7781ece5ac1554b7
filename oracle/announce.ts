/**
 * State -> events. What the oracle knows of orders, devices, findings and actions is held against what was announced of
 * it last; each difference becomes one event with an id and a time, in the transaction that notes it as announced. So
 * no writer of state has to think of events, a crash announces nothing twice and forgets nothing, and what a
 * reorganisation of the chain takes back is announced like any other change. There are many of each: all are looked at
 * after a start or a fault and where other processes write, and else those that the store says were written.
 */
import { subjectsOf, type Said, type Subjects } from './announce-subjects.ts';
import type { Clock } from './clock.ts';
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

export class Announcer {
  readonly #store: Store;
  readonly #clock: Clock;
  /** Of several workers on one store, only who holds the lease announces, and tells what is announced. */
  readonly fence: Fence;
  readonly #subjects: readonly Subjects[];
  /** Announced, and not settled: what moves with the chain's head. By kind. */
  readonly #unsettled = new Map<string, Set<string>>();
  readonly #listeners = new Set<() => void>();
  #wake = new AbortController();
  #headSeen: string | undefined;
  /** Since this was looked at last, only what the store says has changed. */
  #hasLooked = false;

  constructor({ store, clock, fence = noFence }: { store: Store; clock: Clock; fence?: Fence }) {
    this.#store = store;
    this.#clock = clock;
    this.#subjects = subjectsOf(store);
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
        for (const each of this.#subjects) this.#announce(each, isNewHead);
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
    this.#unsettled.clear();
    this.#headSeen = undefined;
    this.#hasLooked = false;
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

  /** Goes through the subjects that may have news: those that were written, or, when it can be any, all of them. */
  #announce(subjects: Subjects, isNewHead: boolean): void {
    const { kind, changed, isOfChain, hasFinality } = subjects;
    const { events } = this.#store;
    const taken = changed.take();
    if (!this.#hasLooked || (taken === undefined && (isNewHead || !isOfChain))) {
      this.#announceAll(subjects);
      return;
    }
    const moved = isNewHead && hasFinality ? this.#unsettledOf(kind) : [];
    for (const subject of new Set([...(taken ?? []), ...moved])) {
      if (!this.#announceOne(subjects, { subject, version: events.versionOf(kind, subject) })) {
        if (events.announced(kind, subject) !== undefined) this.#withdraw(subjects, subject);
      }
    }
  }

  #announceAll(subjects: Subjects): void {
    const { events } = this.#store;
    for (let after = ''; ;) {
      const page = events.unsettled(subjects.kind, after, pageMax);
      for (const each of page) this.#announceOne(subjects, each);
      if (page.length < pageMax) break;
      after = page.at(-1)!.subject;
    }
    if (subjects.gone === undefined) return;
    for (const subject of events.vanished(subjects.kind)) this.#withdraw(subjects, subject);
  }

  /** False when there is nothing to say of it: it is gone. */
  #announceOne(
    { kind, say }: Subjects,
    { subject, version }: { readonly subject: string; readonly version: number },
  ): boolean {
    const { events } = this.#store;
    const said = say(subject);
    if (said === undefined) {
      this.#unsettledOf(kind).delete(subject);
      return false;
    }
    const before = events.announced(kind, subject);
    const print = JSON.stringify(said.content);
    events.setAnnounced(kind, { subject, print, version, isSettled: said.isSettled });
    if (said.isSettled) this.#unsettledOf(kind).delete(subject);
    else this.#unsettledOf(kind).add(subject);
    if (before !== print) for (const type of typesOf(kind, before, said)) this.#append(type, said);
    return true;
  }

  #withdraw({ kind, gone }: Subjects, subject: string): void {
    if (kind === 'action' || gone === undefined) return;
    this.#store.events.deleteAnnounced(kind, subject);
    this.#append(`${kind}.withdrawn`, gone(subject));
  }

  #unsettledOf(kind: Subjects['kind']): Set<string> {
    const known = this.#unsettled.get(kind) ?? new Set();
    this.#unsettled.set(kind, known);
    return known;
  }

  #append(type: EventType, { orderId, device, content }: Omit<Said, 'isSettled'>): void {
    const timeMs = this.#clock.nowMs();
    this.#store.events.append([{ timeMs, type, orderId, device, content: JSON.stringify(content) }]);
  }
}

function typesOf(kind: Subjects['kind'], before: string | undefined, said: Said): EventType[] {
  if (kind !== 'finding') return [`${kind}.changed`];
  if (before === undefined) return said.isSettled ? ['finding.opened', 'finding.closed'] : ['finding.opened'];
  return [said.isSettled ? 'finding.closed' : 'finding.changed'];
}
