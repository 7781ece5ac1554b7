/** Contracts that act on an order's facts, with a double in place of Shipments: orders are as a test puts them. */
import { id, ZeroAddress, ZeroHash, type Contract, type JsonRpcSigner } from 'ethers';
import {
  addressOf,
  call,
  deploy,
  refusal,
  send,
  startChain,
  type Chain,
  type RevertError,
  type Sent,
  type TokenName,
} from '../helpers/chain.ts';
import { startSec } from './fixture.ts';
import { OracleSigners, type Report } from './oracle-signers.ts';
import { OrderDouble } from './order-double.ts';
import { plainTerms, type Terms } from './terms.ts';
import { causes, orderStates, type OrderState } from './order-state.ts';

export const orderState = (name: OrderState): number => orderStates.indexOf(name);

export const partyNames = ['deployer', 'buyer', 'carrier', 'supplier', 'arbiter', 'asserter', 'stranger'] as const;
export type PartyName = (typeof partyNames)[number];

export const cryptlet = id('a program');
export const bond = 500_000_000n;
export const livenessSec = 7_200;
export const arbitrationSec = 86_400;

export class OrderBench {
  readonly chain: Chain;
  readonly orders: OrderDouble;
  readonly oracles: OracleSigners;
  readonly token: Contract;
  readonly parties: Readonly<Record<PartyName, JsonRpcSigner>>;

  private constructor(
    chain: Chain,
    parties: Record<PartyName, JsonRpcSigner>,
    contracts: { orders: OrderDouble; oracles: OracleSigners; token: Contract },
  ) {
    this.chain = chain;
    this.parties = parties;
    ({ orders: this.orders, oracles: this.oracles, token: this.token } = contracts);
  }

  static async open(tokenName: TokenName = 'TestToken'): Promise<OrderBench> {
    const chain = await startChain({ startSec });
    const signers = await Promise.all(partyNames.map((_, index) => chain.account(index)));
    const parties = Object.fromEntries(partyNames.map((name, i) => [name, signers[i]!])) as Record<
      PartyName,
      JsonRpcSigner
    >;
    const { deployer } = parties;
    const orders = await OrderDouble.deploy(deployer);
    const oracles = await OracleSigners.deploy(chain, deployer);
    return new OrderBench(chain, parties, { orders, oracles, token: await deploy(deployer, tokenName) });
  }

  get double(): Contract {
    return this.orders.contract;
  }

  address(party: PartyName): string {
    return this.parties[party].address;
  }

  /** An order in `state` under terms that name `disputes`. */
  async put(
    orderId: bigint,
    state: OrderState,
    {
      disputes = ZeroAddress,
      cause = 0,
      agreementId = 1n,
      attested = {},
    }: {
      disputes?: string;
      cause?: number;
      agreementId?: bigint;
      attested?: Partial<Terms['attested']>;
    } = {},
  ): Promise<void> {
    const [buyer, supplier, carrier] = [this.address('buyer'), this.address('supplier'), this.address('carrier')];
    const terms: Terms = {
      ...plainTerms,
      token: addressOf(this.token),
      price: 1n,
      quantity: 1n,
      ...{ buyer, consignee: buyer, carrier, suppliers: [supplier] },
      attested: {
        disputes,
        arbiter: this.address('arbiter'),
        bond,
        livenessSecMin: livenessSec,
        arbitrationSecMax: arbitrationSec,
        cryptlets: [cryptlet],
        ...attested,
      },
      offerUntil: 0,
      salt: ZeroHash,
    };
    await send(this.double, 'setTerms', [agreementId, terms]);
    await this.orders.set(orderId, { state, cause: causes[cause]!, agreementId, buyer, supplier, carrier });
  }

  setState(orderId: bigint, state: OrderState): Promise<Sent> {
    return send(this.double, 'setState', [orderId, orderState(state)]);
  }

  report(consumer: Contract, changes: Partial<Report> = {}): Report {
    return {
      cryptlet,
      consumer: addressOf(consumer),
      subject: 1n,
      sequence: 1n,
      deadline: startSec + 30 * 86_400,
      payload: '0x',
      ...changes,
    };
  }

  /** Signed by a quorum, sent by whoever. */
  async transmit(
    consumer: Contract,
    report: Report,
    { by = 'stranger', gasLimit }: { by?: PartyName; gasLimit?: bigint } = {},
  ): Promise<Sent> {
    const args = [report, await this.oracles.sign(report)];
    return send(consumer, 'transmit', args, {
      by: this.parties[by],
      ...(gasLimit === undefined ? {} : { gasLimit }),
    });
  }

  /** Mints and approves. */
  async fund(party: PartyName, spender: Contract, amount: bigint): Promise<void> {
    await send(this.token, 'mint', [this.address(party), amount]);
    await send(this.token, 'approve', [spender.target, amount], { by: this.parties[party] });
  }

  async balance(account: string): Promise<bigint> {
    return (await call(this.token, 'balanceOf', [account])) as bigint;
  }
}

/** Name and values of the revert that a call or a transaction ends in. */
export async function refusalOf(promise: Promise<unknown>): Promise<[string | undefined, RevertError['args']]> {
  const refused = await refusal(promise);
  return [refused?.reason, refused?.args ?? []];
}
