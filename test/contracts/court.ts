/** Disputes over a double of Shipments, with everyone who has a say in it. */
import type { Test } from 'tap';
import { id, type Contract } from 'ethers';
import type { MethodOf } from '@coldproof/contracts';
import { addressOf, call, deploy, send, type Sent, type TokenName } from '../helpers/chain.ts';
import { bond, OrderBench, partyNames, type PartyName } from './order-bench.ts';

export const states = ['None', 'Asserted', 'Disputed', 'Upheld', 'Rejected', 'Lapsed'] as const;
export type State = (typeof states)[number];

export const orderId = 1n;
export const reason = id('a decision');

export class Court {
  readonly bench: OrderBench;
  readonly disputes: Contract;
  #sequence = 0n;

  private constructor(bench: OrderBench, disputes: Contract) {
    this.bench = bench;
    this.disputes = disputes;
  }

  static async open(t: Test, tokenName?: TokenName): Promise<Court> {
    const bench = await OrderBench.open(tokenName);
    t.teardown(() => bench.chain.stop());
    const args = [bench.oracles.contract.target, bench.double.target];
    const disputes = await deploy(bench.parties.deployer, 'Disputes', args);
    await bench.put(orderId, 'InTransit', { disputes: addressOf(disputes) });
    for (const party of ['asserter', 'buyer', 'supplier', 'carrier'] as const) {
      await bench.fund(party, disputes, 10n * bond);
    }
    return new Court(bench, disputes);
  }

  send(by: PartyName, method: MethodOf<'Disputes'>, args: readonly unknown[] = []): Promise<Sent> {
    return send(this.disputes, method, args, { by: this.bench.parties[by] });
  }

  transmit(by: PartyName): Promise<Sent> {
    return this.bench.transmit(this.disputes, this.bench.report(this.disputes, { sequence: ++this.#sequence }), { by });
  }

  async assertion(assertionId: bigint): Promise<Record<string, unknown>> {
    const view = (await call(this.disputes, 'assertionOf', [assertionId])) as { toObject(): Record<string, unknown> };
    return view.toObject();
  }

  async state(assertionId: bigint): Promise<State> {
    return states[Number((await this.assertion(assertionId))['state'])]!;
  }

  credit(party: PartyName): Promise<bigint> {
    const args = [this.bench.address(party), this.bench.token.target];
    return call(this.disputes, 'creditOf', args) as Promise<bigint>;
  }

  /** By credits and by the live bonds of the one order; it must hold just that. */
  async owed(): Promise<bigint> {
    const latest = (await call(this.disputes, 'latestOf', [orderId])) as bigint;
    const state = await this.state(latest);
    const credits = await Promise.all(partyNames.map((party) => this.credit(party)));
    const live = state === 'Asserted' ? bond : state === 'Disputed' ? 2n * bond : 0n;
    return credits.reduce((sum, each) => sum + each, live);
  }

  held(): Promise<bigint> {
    return this.bench.balance(addressOf(this.disputes));
  }

  /** Past the last second in which an assertion may be disputed. */
  async passLiveness(assertionId: bigint): Promise<void> {
    await this.bench.chain.mineAt(Number((await this.assertion(assertionId))['disputableUntil']) + 1);
  }

  async passClosing(assertionId: bigint): Promise<void> {
    await this.bench.chain.mineAt(Number((await this.assertion(assertionId))['closesAt']) + 1);
  }
}

/** How an order's first assertion comes into each state. */
export const ways: Record<State, (court: Court) => Promise<unknown>> = {
  None: () => Promise.resolve(),
  Asserted: (court) => court.transmit('asserter'),
  Disputed: async (court) => {
    await ways.Asserted(court);
    await court.send('supplier', 'dispute', [1n]);
  },
  Upheld: async (court) => {
    await ways.Disputed(court);
    await court.send('arbiter', 'arbitrate', [1n, true, reason]);
  },
  Rejected: async (court) => {
    await ways.Disputed(court);
    await court.send('arbiter', 'arbitrate', [1n, false, reason]);
  },
  Lapsed: async (court) => {
    await ways.Disputed(court);
    await court.passClosing(1n);
    await court.send('stranger', 'lapse', [1n]);
  },
};
