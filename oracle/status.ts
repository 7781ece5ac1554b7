/** What the oracle knows, as one JSON value, for `GET /api/v1/status`. Times are Unix seconds. */
import { bytesToHex, channelName } from '@coldproof/wire';
import type { EndpointHealth } from './chain.ts';
import { describeCandidate, type Candidate } from './cryptlet/candidates.ts';
import type { ChainHead, Order, StoredEvent } from './store-chain.ts';
import type { LiveBatch } from './live.ts';
import type { StoredFinding } from './store-evaluation.ts';
import type { Action } from './store-outbox.ts';
import type { PurseStatus } from './purse.ts';
import type { Store } from './store.ts';
import type { Log } from './log.ts';
import { endings } from './watch.ts';

export type StatusSources = {
  readonly store: Store;
  readonly log: Log;
  readonly chain: {
    readonly rpcUrls: readonly string[];
    readonly chainId: number;
    readonly contracts: Readonly<Record<string, string>>;
  };
  readonly transmitter: string;
  /** What this node's cryptlets say by now; absent when it has none. */
  readonly candidates?: () => readonly Candidate[];
  /** How the endpoints are, and the account that pays; absent where there is no chain. */
  readonly account?: () => AccountStatus;
  readonly links: () => {
    readonly live: readonly LiveBatch[];
    readonly queued: number;
    readonly isReceiving: boolean;
    readonly chainError: string | undefined;
    readonly refusedByReceiver: ReadonlyMap<string, number>;
    readonly refusedByBroker: ReadonlyMap<string, number>;
  };
};

export type AccountStatus = PurseStatus & { readonly endpoints: readonly EndpointHealth[] };

export type Status = ReturnType<typeof readStatus>;

export function readStatus({ store, log, chain, transmitter, candidates, account, links }: StatusSources) {
  const head = store.chain.head();
  const link = links();
  const purse = account?.();
  return {
    log: { size: log.size, root: bytesToHex(log.root()), origin: log.origin, publicKey: bytesToHex(log.publicKey) },
    batches: countBatches(store.log.counts(), link.refusedByReceiver),
    // Signed by the device, and not in the log: nothing rests on it.
    live: link.live.map((batch) => ({ ...batch, logged: false })),
    orders: store.chain.orders().map(({ order }) => describeOrder(store, order, head)),
    findings: store.evaluation.findings().map(describeFinding),
    candidates: candidates?.().map(describeCandidate) ?? [],
    equivocations: store.log.equivocations().map(({ device, sequence, digest }) => {
      return { device: bytesToHex(device), sequence, digest: bytesToHex(digest) };
    }),
    chain: {
      rpcUrl: withoutCredentials(chain.rpcUrls[0] ?? ''),
      chainId: chain.chainId,
      contracts: chain.contracts,
      block: head?.number ?? null,
      blockTime: head?.timeSec ?? null,
      safeBlock: head?.safeNumber ?? null,
      finalBlock: head?.finalNumber ?? null,
      transmitter,
      balanceWei: purse?.balanceWei?.toString() ?? null,
      balanceWeiMin: purse?.balanceWeiMin?.toString() ?? null,
      isBalanceLow: purse?.isBalanceLow ?? false,
      spentWeiPerDay: purse?.spentWei.toString() ?? null,
      spendWeiMaxPerDay: purse?.spendWeiMaxPerDay?.toString() ?? null,
      endpoints: purse?.endpoints ?? [],
      error: link.chainError ?? null,
    },
    links: {
      queued: link.queued,
      isReceiving: link.isReceiving,
      brokerRefused: Object.fromEntries(link.refusedByBroker),
    },
  };
}

/** Counters outlive a restart; what the receiver refused, which is no batch yet, does not. */
function countBatches(counts: ReadonlyMap<string, number>, refusedByReceiver: ReadonlyMap<string, number>) {
  const byReason: Record<string, number> = {};
  for (const [name, count] of counts) {
    if (name.startsWith('rejected:')) byReason[name.slice('rejected:'.length)] = count;
  }
  for (const [reason, count] of refusedByReceiver) byReason[reason] = (byReason[reason] ?? 0) + count;
  const verified = counts.get('verified') ?? 0;
  const repeated = counts.get('repeated') ?? 0;
  const rejected = Object.values(byReason).reduce((sum, count) => sum + count, 0);
  // A receipt goes out for each stored batch and for each repeat of one.
  return { verified, repeated, rejected, receipts: verified + repeated, byReason };
}

export function describeOrder(store: Store, order: Order, head: ChainHead | undefined) {
  const subject = `order:${order.orderId}`;
  const events = store.chain.eventsOf(subject);
  const action = store.outbox.ofOrder(order.orderId).at(-1);
  return {
    orderId: order.orderId,
    state: order.state,
    finality: finalityOf(events.at(-1)?.blockNumber ?? 0, head),
    buyer: order.buyer,
    supplier: order.supplier,
    device: order.device,
    truck: order.truck,
    dispatchedAt: order.dispatchedAtSec === 0 ? null : order.dispatchedAtSec,
    price: order.price,
    agreementId: order.agreementId,
    limits: order.limits.map((limit) => ({ ...limit, channel: channelName(limit.channel) })),
    replacementOrderId: noneIfZero(order.replacementId),
    replacementOf: noneIfZero(order.replacementOf),
    repairTicketId: noneIfZero(order.ticketId),
    ...describeFact(order, events),
    action: action === undefined ? null : describeAction(action, head),
  };
}

/**
 * What ended the order or set it aside. 'proved': the contract has checked it by itself, by the device's signatures or
 * by their absence. 'attested': a quorum of oracles says so.
 */
function describeFact({ cause, evidenceDigest }: Order, events: readonly StoredEvent[]) {
  const ending = events.findLast(({ name }) => endings.has(name));
  if (ending === undefined) {
    return { fact: null, cause: null, evidenceDigest: null, transactionHash: null, gasUsed: null, excursion: null };
  }
  // Written by watch.ts only, from the events' own fields.
  const { gasUsed = null } = JSON.parse(ending.args) as { gasUsed?: number };
  const proved = events.findLast(({ name }) => name === 'ExcursionProved');
  return {
    fact: cause === 'Attested' ? ('attested' as const) : ('proved' as const),
    cause,
    evidenceDigest,
    transactionHash: ending.transactionHash,
    gasUsed,
    excursion: proved === undefined ? null : excursionOf(proved),
  };
}

function excursionOf({ args }: StoredEvent) {
  const read = JSON.parse(args) as { channel: number; startedAt: number; durationSec: number; peakCentiC: number };
  const { channel, startedAt, durationSec, peakCentiC } = read;
  return { channel: channelName(channel), startedAt, durationSec, peakCentiC };
}

function describeAction({ state, reason, mined }: Action, head: ChainHead | undefined) {
  const finality = mined === undefined ? null : finalityOf(mined.blockNumber, head);
  return { state, reason: reason ?? null, transactionHash: mined?.transactionHash ?? null, finality };
}

/** `detail` is for people, `values` for programs. */
export function describeFinding({ orderId, rule, channel, openedAtSec, closedAtSec, detail }: StoredFinding) {
  return {
    orderId,
    kind: rule,
    channel: channelName(channel),
    startedAt: openedAtSec,
    endedAt: closedAtSec ?? null,
    detail: inWords(detail),
    values: detail,
  };
}

function inWords({ cause, durationSec, peakCentiC, readings }: StoredFinding['detail']): string {
  if (typeof readings === 'number') return `${readings} readings that the device could not keep`;
  if (typeof cause === 'string') return cause;
  if (typeof durationSec !== 'number' || typeof peakCentiC !== 'number') return 'no samples';
  return `${Math.floor(durationSec / 60)} min, as far as ${(peakCentiC / 100).toFixed(2)} °C`;
}

export function finalityOf(blockNumber: number, head: ChainHead | undefined): 'provisional' | 'safe' | 'final' {
  if (head === undefined) return 'provisional';
  if (blockNumber <= head.finalNumber) return 'final';
  return blockNumber <= head.safeNumber ? 'safe' : 'provisional';
}

function noneIfZero(id: string): string | null {
  return id === '0' ? null : id;
}

/** RPC endpoints carry their key in the user part, the path or the query: only the host is shown. */
function withoutCredentials(rpcUrl: string): string {
  return URL.canParse(rpcUrl) ? new URL(rpcUrl).origin : '';
}
