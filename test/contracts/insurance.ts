/** An insurer, a buyer and a cover over orders that the test sets. After each step the cover's money is counted. */
import { TypedDataEncoder, type Contract, type JsonRpcSigner, type TypedDataDomain } from 'ethers';
import type { MethodOf } from '@coldproof/contracts';
import { addressOf, call, deploy, send, startChain, type Chain, type Sent, type TokenName } from '../helpers/chain.ts';
import { startSec } from './fixture.ts';
import { OrderDouble, type OrderView } from './order-double.ts';

export const partyNames = ['deployer', 'insurer', 'buyer', 'otherInsurer', 'stranger'] as const;
export type PartyName = (typeof partyNames)[number];

export const orderId = 3n;
export const capital = 1_000_000n;
export const premium = 20_000n;
export const payout = 750_000n;
export const evidence = `0x${'e5'.repeat(32)}`;

export type Quote = {
  readonly insurer: string;
  readonly buyer: string;
  readonly orderId: bigint;
  readonly token: string;
  readonly premium: bigint;
  readonly payout: bigint;
  readonly validUntil: number;
};

export const quoteTypes = {
  Quote: [
    { name: 'insurer', type: 'address' },
    { name: 'buyer', type: 'address' },
    { name: 'orderId', type: 'uint256' },
    { name: 'token', type: 'address' },
    { name: 'premium', type: 'uint128' },
    { name: 'payout', type: 'uint128' },
    { name: 'validUntil', type: 'uint32' },
  ],
};

export class Insurance {
  readonly chain: Chain;
  readonly orders: OrderDouble;
  readonly cover: Contract;
  readonly token: Contract;
  readonly parties: Readonly<Record<PartyName, JsonRpcSigner>>;

  private constructor(
    chain: Chain,
    orders: OrderDouble,
    cover: Contract,
    token: Contract,
    parties: Record<PartyName, JsonRpcSigner>,
  ) {
    this.chain = chain;
    this.orders = orders;
    this.cover = cover;
    this.token = token;
    this.parties = parties;
  }

  /** The order is placed; the insurer and the buyer have the token, and have approved all that they have. */
  static async open(tokenName: TokenName = 'TestToken'): Promise<Insurance> {
    const chain = await startChain({ startSec });
    const signers = await Promise.all(partyNames.map((_, index) => chain.account(index)));
    const parties = Object.fromEntries(partyNames.map((name, i) => [name, signers[i]!])) as Record<
      PartyName,
      JsonRpcSigner
    >;
    const orders = await OrderDouble.deploy(parties.deployer);
    const cover = await deploy(parties.deployer, 'CargoCover', [orders.address]);
    const token = await deploy(parties.deployer, tokenName);
    const insurance = new Insurance(chain, orders, cover, token, parties);
    for (const name of ['insurer', 'buyer', 'otherInsurer'] as const) {
      await send(token, 'mint', [parties[name].address, capital]);
      await send(token, 'approve', [cover.target, capital], { by: parties[name] });
    }
    await insurance.setOrder({});
    return insurance;
  }

  address(name: PartyName): string {
    return this.parties[name].address;
  }

  setOrder(changes: Partial<OrderView>, id = orderId): Promise<Sent> {
    return this.orders.set(id, { buyer: this.address('buyer'), evidenceDigest: evidence, ...changes });
  }

  send(by: PartyName, method: MethodOf<'CargoCover'>, args: readonly unknown[]): Promise<Sent> {
    return send(this.cover, method, args, { by: this.parties[by] });
  }

  deposit(amount = capital, by: PartyName = 'insurer'): Promise<Sent> {
    return this.send(by, 'deposit', [this.token.target, amount]);
  }

  async quote(changes: Partial<Quote> = {}): Promise<Quote> {
    return {
      insurer: this.address('insurer'),
      buyer: this.address('buyer'),
      orderId,
      token: addressOf(this.token),
      premium,
      payout,
      validUntil: (await this.chain.nowSec()) + 3_600,
      ...changes,
    };
  }

  get domain(): TypedDataDomain {
    const verifyingContract = addressOf(this.cover);
    return { name: 'Coldproof', version: '1', chainId: this.chain.chainId, verifyingContract };
  }

  sign(quote: Quote, by: PartyName = 'insurer', domain = this.domain): Promise<string> {
    return this.parties[by].signTypedData(domain, quoteTypes, quote);
  }

  digest(quote: Quote): string {
    return TypedDataEncoder.hash(this.domain, quoteTypes, quote);
  }

  /** The insurer signs, the buyer takes. */
  async take(changes: Partial<Quote> = {}, by: PartyName = 'buyer'): Promise<Sent> {
    const quote = await this.quote(changes);
    return this.send(by, 'take', [quote, await this.sign(quote)]);
  }

  /** Shipments tells the cover of a fact. */
  report(id = orderId): Promise<Sent> {
    return send(this.orders.contract, 'report', [this.cover.target, id, evidence]);
  }

  credit(name: PartyName): Promise<bigint> {
    return call(this.cover, 'creditOf', [this.address(name), this.token.target]) as Promise<bigint>;
  }

  reserved(name: PartyName = 'insurer'): Promise<bigint> {
    return call(this.cover, 'reservedOf', [this.address(name), this.token.target]) as Promise<bigint>;
  }

  async policyState(id = orderId): Promise<string> {
    const { state } = (await call(this.cover, 'policyOf', [id])) as { state: bigint };
    return ['None', 'Active', 'Claimed', 'Released'][Number(state)]!;
  }

  /** What it holds, and what it owes: credits and reserves of everybody, the token itself among them. */
  async money(): Promise<{ held: bigint; owed: bigint }> {
    const accounts = [...partyNames.map((name) => this.address(name)), addressOf(this.token)];
    let owed = 0n;
    for (const account of accounts) {
      for (const view of ['creditOf', 'reservedOf'] as const) {
        owed += (await call(this.cover, view, [account, this.token.target])) as bigint;
      }
    }
    return { held: (await call(this.token, 'balanceOf', [this.cover.target])) as bigint, owed };
  }
}
