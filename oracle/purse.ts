/** What the account that pays has, what it has spent and may spend, and the alarm when it runs dry. */
import type { Chain } from './chain.ts';
import type { Address } from './chain-abi.ts';
import type { Clock } from './clock.ts';
import type { Log } from './log-line.ts';
import type { Store } from './store.ts';
import { describeError } from './operating-error.ts';
import { committedOf, sum } from './transmit-fees.ts';

/** The balance is for people to look at. */
const balanceMs = 15_000;
const gwei = 1_000_000_000n;

export type PurseSettings = {
  readonly balanceWeiMin: bigint | undefined;
  readonly spendWeiMaxPerDay: bigint | undefined;
};

export type PurseStatus = {
  /** Undefined while the chain has not said. */
  readonly balanceWei: bigint | undefined;
  readonly balanceWeiMin: bigint | undefined;
  readonly isBalanceLow: boolean;
  /** In 24 hours, with what open transactions may come to. */
  readonly spentWei: bigint;
  readonly spendWeiMaxPerDay: bigint | undefined;
};

export class Purse {
  readonly #deps: PurseDeps;
  readonly #settings: PurseSettings;
  #balanceWei: bigint | undefined;
  #wasLow = false;

  constructor(deps: PurseDeps, settings: PurseSettings) {
    this.#deps = deps;
    this.#settings = settings;
  }

  /** Until the signal. An account whose balance is not known raises no alarm: the chain's own state does. */
  async follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look();
      await this.#deps.pace.wait(balanceMs, signal);
    }
  }

  async look(): Promise<void> {
    const { chain, address, log } = this.#deps;
    this.#balanceWei = await chain.balanceWei(address).catch((error: unknown) => {
      log('debug', 'balance-unknown', { error: describeError(error) });
      return undefined;
    });
    const { isBalanceLow, balanceWei, balanceWeiMin } = this.read();
    // Between two known balances only: an outage does not ring twice.
    if (balanceWei === undefined || isBalanceLow === this.#wasLow) return;
    this.#wasLow = isBalanceLow;
    const fields = {
      transmitter: address,
      balanceGwei: balanceWei / gwei,
      balanceMinGwei: (balanceWeiMin ?? 0n) / gwei,
    };
    log(
      isBalanceLow ? 'error' : 'info',
      isBalanceLow ? 'transmitter-balance-low' : 'transmitter-balance-restored',
      fields,
    );
  }

  read(): PurseStatus {
    const { balanceWeiMin, spendWeiMaxPerDay } = this.#settings;
    const balanceWei = this.#balanceWei;
    const isBalanceLow = balanceWei !== undefined && balanceWeiMin !== undefined && balanceWei < balanceWeiMin;
    const spentWei = sum(committedOf(this.#deps));
    return { balanceWei, balanceWeiMin, isBalanceLow, spentWei, spendWeiMaxPerDay };
  }
}

export type PurseDeps = {
  readonly chain: Pick<Chain, 'balanceWei'>;
  readonly address: Address;
  readonly store: Pick<Store, 'outbox'>;
  readonly pace: Clock;
  readonly log: Log;
};
