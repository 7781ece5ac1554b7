/**
 * What a transaction may cost, and which nonce it takes. Nothing is signed here, and nothing written.
 *
 * Nonces are our own, the lowest that is free first. What the node says of them is a hint: a nonce that it skips is
 * filled when what waits behind it has waited too long (transmit-follow.ts).
 */
import { OperatingError } from './operating-error.ts';
import type { Attempt } from './store-outbox.ts';
import type { TransmitDeps, TransmitPolicy } from './transmit-policy.ts';

/** Nodes take a replacement from 10 % more on. */
const bumpPercent = 20n;
const priorityFeeWeiMin = 1_000_000_000n;
const dayMs = 86_400_000;
/** More of the account's transactions than this, not of ours, are in no node's pool. */
const foreignMax = 1_000;

export type Fees = { readonly feeWeiMax: bigint; readonly priorityFeeWei: bigint };

/** What a nonce may still cost at most, or has cost. */
export type Commitment = { readonly nonce: number; readonly wei: bigint };

export class FeePlan {
  readonly #deps: Pick<TransmitDeps, 'chain' | 'store' | 'pace' | 'transmitter'>;
  readonly #policy: TransmitPolicy;

  constructor(deps: Pick<TransmitDeps, 'chain' | 'store' | 'pace' | 'transmitter'>, policy: TransmitPolicy) {
    this.#deps = deps;
    this.#policy = policy;
  }

  /** The last attempt of each action that is under way. */
  inFlight(): Attempt[] {
    const { outbox } = this.#deps.store;
    const open = outbox.open().filter(({ state }) => state === 'in-progress' || state === 'unconfirmed');
    return open.map(({ id }) => outbox.attempts(id).at(-1)).filter((attempt) => attempt !== undefined);
  }

  /**
   * The lowest nonce that is in no block and that no open action holds, with the fees that were offered for it before.
   * Left unused it would hold up everything above it. Those that the node has pending and we never signed belong to
   * another program with this key.
   */
  async nextNonce(): Promise<Pick<Attempt, 'nonce'> & Fees> {
    const { chain, transmitter } = this.#deps;
    const [unmined, pending] = await Promise.all([
      chain.nonce(transmitter.address, 'latest'),
      chain.nonce(transmitter.address, 'pending'),
    ]);
    if (pending - unmined > foreignMax) {
      const message = `pending nonce: expected at most ${foreignMax} over ${unmined}, got ${pending}`;
      throw new OperatingError('chain-unreachable', message, { retry: 'later' });
    }
    const held = new Set(this.inFlight().map(({ nonce }) => nonce));
    const signed = new Map(this.#deps.store.outbox.feesByNonce(unmined).map((each) => [each.nonce, each]));
    let nonce = unmined;
    while (held.has(nonce) || (nonce < pending && !signed.has(nonce))) nonce += 1;
    return signed.get(nonce) ?? { nonce, feeWeiMax: 0n, priorityFeeWei: 0n };
  }

  /** What was offered for a nonce by now. */
  offeredFor(nonce: number): Fees {
    const offered = this.#deps.store.outbox.feesByNonce(nonce).find((each) => each.nonce === nonce);
    return offered ?? { feeWeiMax: 0n, priorityFeeWei: 0n };
  }

  /** At the market, and dearer than what it replaces. Undefined when that is over the cap. */
  async fees(replaced: Fees): Promise<Fees | undefined> {
    const { chain } = this.#deps;
    const cap = this.#policy.feeWeiMax;
    const [latest, askedWei] = await Promise.all([chain.block('latest'), chain.priorityFeeWei()]);
    const baseFeeWei = latest?.baseFeeWei ?? 0n;
    const priorityFeeWei = most(askedWei, priorityFeeWeiMin, bumped(replaced.priorityFeeWei));
    const least = most(baseFeeWei + priorityFeeWei, bumped(replaced.feeWeiMax));
    if (least > cap) return undefined;
    const wanted = most(2n * baseFeeWei + priorityFeeWei, least);
    return { feeWeiMax: wanted < cap ? wanted : cap, priorityFeeWei };
  }

  /** Whether a transaction that may cost `wei` stays within the day's bound. It replaces what its nonce was to cost. */
  isAffordable({ nonce, wei }: Commitment): boolean {
    const most = this.#policy.spendWeiMaxPerDay;
    if (most === undefined) return true;
    const others = committedOf(this.#deps).filter((each) => each.nonce !== nonce);
    return sum(others) + wei <= most;
  }
}

/** Of the last 24 hours, by nonce: one transaction at most of each is ever mined. */
export function committedOf({ store, pace }: Pick<TransmitDeps, 'pace'> & CommitmentSource): readonly Commitment[] {
  return store.outbox.commitments(pace.nowMs() - dayMs);
}

type CommitmentSource = { readonly store: Pick<TransmitDeps['store'], 'outbox'> };

export function sum(commitments: readonly Commitment[]): bigint {
  return commitments.reduce((total, { wei }) => total + wei, 0n);
}

function bumped(feeWei: bigint): bigint {
  return (feeWei * (100n + bumpPercent) + 99n) / 100n;
}

function most(...values: readonly bigint[]): bigint {
  return values.reduce((a, b) => (a > b ? a : b));
}
