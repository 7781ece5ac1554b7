/** Turns what changed between two looks into lines of the story. Each thing is told once. */
import { channelName } from '@coldproof/wire';
import type { Status } from './status.ts';
import type { Finding, View } from './observe.ts';
import { terms } from './parties.ts';
import { asset, truck, type Stage } from './stage.ts';
import { formatCentiC, formatCount, formatDuration, formatMoney, shortened, type Story } from './story.ts';

/** How often the log is told of, in batches. */
const batchesPerLine = 8;

export class Narrator {
  readonly #story: Story;
  readonly #stage: Stage;
  readonly #told = new Set<string>();
  readonly #restarts = new Map<string, number>();

  constructor(story: Story, stage: Stage) {
    this.#story = story;
    this.#stage = stage;
  }

  depart(): void {
    const { orderId, device, clock } = this.#stage;
    const limits = `${formatCentiC(terms.lowerLimitCentiC)} to ${formatCentiC(terms.upperLimitCentiC)}`;
    const atMs = clock.voyageStartMs;
    this.#story.tell(atMs, 'buyer', `order ${orderId}: ${formatMoney(terms.price)} in escrow`);
    this.#story.add(
      `${channelName(terms.channel)} stays in ${limits}, but for less than ${formatDuration(terms.excursionSecMin)}`,
    );
    this.#story.tell(atMs, 'carrier', `${truck} departs with ${asset}, device ${shortened(device)}`);
  }

  tell(view: View, nowMs: number): void {
    this.#tellRestarts(nowMs);
    this.#tellBatches(view, nowMs);
    for (const finding of view.oracle?.findings ?? []) this.#tellFinding(finding, nowMs);
    this.#tellOrder(view, nowMs);
  }

  end({ scenario, endedAsExpected, orderState, expected, batches }: Status, nowMs: number): void {
    const { sealed, verified, rejected, receipts } = batches;
    const counts = `${sealed} batches sealed, ${verified} verified, ${rejected} rejected, ${receipts} receipts`;
    this.#story.tell(nowMs, 'voyage', counts);
    const verdict = endedAsExpected === true ? 'as the scenario says' : `the scenario says ${expected.order}`;
    this.#story.tell(nowMs, 'voyage', `${scenario} ended ${orderState}, ${verdict}`);
  }

  #tellRestarts(nowMs: number): void {
    for (const { name, restarts } of this.#stage.children) {
      if (restarts === (this.#restarts.get(name) ?? 0)) continue;
      this.#restarts.set(name, restarts);
      this.#story.tell(nowMs, name, `died and was started again (${restarts})`);
    }
  }

  #tellBatches({ agent, oracle }: View, nowMs: number): void {
    const receipts = agent?.devices[0]?.receipts ?? 0;
    const milestone = Math.floor(receipts / batchesPerLine);
    if (receipts === 0 || oracle === undefined || !this.#isNew(`receipts ${milestone}`)) return;
    const head = `log of ${oracle.log.size}, root ${shortened(oracle.log.root)}`;
    const stored = receipts === 1 ? '1 signed batch has its receipt' : `${receipts} signed batches have their receipts`;
    this.#story.tell(nowMs, 'oracle', `${stored}; ${head}`);
  }

  #tellFinding({ kind, channel, startedAt, detail }: Finding, nowMs: number): void {
    if (!this.#isNew(`${kind} ${channel} ${startedAt}`)) return;
    this.#story.tell(nowMs, 'oracle', `${kind} on ${channel} since ${minuteOf(startedAt)}: ${detail}`);
  }

  #tellOrder(view: View, nowMs: number): void {
    const { state } = view.order;
    if (state === 'Cancelled') this.#tellCancellation(view, nowMs);
    if (state === 'Cancelled' || state === 'InTransit' || !this.#isNew(`order ${state}`)) return;
    this.#story.tell(nowMs, 'contract', `order ${this.#stage.orderId} is ${state}`);
    if (state === 'Settled') this.#story.add(`the supplier is paid ${formatMoney(terms.price)}`);
  }

  #tellCancellation({ order, replacement, ticket, oracle }: View, nowMs: number): void {
    const { orderId } = this.#stage;
    const known = oracle?.orders.find((each) => each.orderId === String(orderId));
    if (known?.excursion == null || known.transactionHash === null || known.gasUsed === null) return;
    if (!this.#isNew(`cancelled, ${known.finality}`)) return;
    if (!this.#isNew('cancelled')) {
      this.#story.tell(nowMs, 'chain', `the cancellation of order ${orderId} is ${known.finality}`);
      return;
    }
    const { startedAt, durationSec, peakCentiC } = known.excursion;
    const run = `${formatDuration(durationSec)} at up to ${formatCentiC(peakCentiC)}`;
    const transaction = `transaction ${shortened(known.transactionHash)}, ${formatCount(known.gasUsed)} gas`;
    this.#story.tell(nowMs, 'contract', `order ${orderId} is Cancelled, proved by the device's own signatures:`);
    this.#story.add(`${run}, from ${minuteOf(startedAt)} on; evidence ${shortened(order.evidenceDigest)}`);
    if (replacement !== undefined) {
      const funded = `order ${order.replacementId} is ${replacement.state} with the next supplier`;
      this.#story.tell(nowMs, 'contract', `${funded}, ${formatMoney(terms.price)} carried over`);
    }
    if (ticket !== undefined) {
      this.#story.tell(nowMs, 'contract', `${truck} is in repair, ticket ${order.ticketId}`);
    }
    this.#story.add(`all in one ${transaction}, ${known.finality}`);
  }

  #isNew(what: string): boolean {
    if (this.#told.has(what)) return false;
    this.#told.add(what);
    return true;
  }
}

/** "2026-11-20 08:17" */
function minuteOf(sec: number): string {
  return new Date(sec * 1_000).toISOString().slice(0, 16).replace('T', ' ');
}
