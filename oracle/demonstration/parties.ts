/**
 * What the people around the order do on the chain: buyer, two suppliers, carrier, workshop. Amounts are in the
 * smallest unit of the demonstration's token, which has six decimals.
 */
import type { ArtifactName, EventOf, MethodOf } from '@coldproof/contracts';
import { channels } from '@coldproof/wire';
import type { ChainReceipt } from '../chain.ts';
import type { ChainStruct, ChainValue } from '../chain-abi.ts';
import type { DeployedContract, DevelopmentChain } from '../development-chain.ts';
import { orderStates, type OrderState } from '../store-chain.ts';
import { agree, type Offer } from './agreement.ts';

/** AccessManager's roles: who may open repair tickets, and who registers workshops; 0 is its admin. */
const roles = { reporter: 1, registrar: 5 } as const;

/** What the truck has run when it enters its book. */
const odometerKm = 184_200;

/** Accounts of the development phrase. */
const accountIndex = { deployer: 0, buyer: 1, supplier: 2, nextSupplier: 3, carrier: 4, workshop: 5 } as const;
export type PartyName = keyof typeof accountIndex;

export type Contracts = {
  readonly [Name in 'TestToken' | 'DeviceRegistry' | 'Agreements' | 'Fleet' | 'Shipments']: DeployedContract<Name>;
};

/** What the story needs of an order; ids are 0 when there is none. */
export type Order = {
  readonly state: OrderState;
  readonly replacementId: bigint;
  readonly ticketId: bigint;
  /** 0x-hex. */
  readonly evidenceDigest: string;
};

/** Closed at zero: open. */
export type Ticket = { readonly openedAt: number; readonly closedAt: number };

export const terms = {
  channel: channels.cargoProbe1,
  /** Pallets. */
  quantity: 24,
  lowerLimitCentiC: 200,
  upperLimitCentiC: 800,
  /** A run at or beyond a limit counts from here on. */
  excursionSecMin: 900,
  /** And so do several shorter ones that last this long together. */
  cumulativeSecMin: 3_600,
  /** Samples come each minute; one may be missing. */
  sampleGapSecMax: 150,
  price: 48_000_000_000n,
} as const;

export type Enrolment = {
  /** Hex, without 0x, as are x, y and the signature's halves. */
  readonly device: string;
  readonly x: string;
  readonly y: string;
  readonly r: string;
  readonly s: string;
};

export class Parties {
  readonly #chain: DevelopmentChain;
  readonly contracts: Contracts;

  private constructor(chain: DevelopmentChain, contracts: Contracts) {
    this.#chain = chain;
    this.contracts = contracts;
  }

  /** Deploys what a consortium shares, and a token to pay with. */
  static async assemble(chain: DevelopmentChain): Promise<Parties> {
    const deployer = chain.account(accountIndex.deployer);
    const TestToken = await chain.deploy(deployer, 'TestToken');
    const DeviceRegistry = await chain.deploy(deployer, 'DeviceRegistry');
    const AccessManager = await chain.deploy(deployer, 'AccessManager', [deployer.address]);
    const Fleet = await chain.deploy(deployer, 'Fleet', [AccessManager.address]);
    const CryptletRegistry = await chain.deploy(deployer, 'CryptletRegistry');
    const Agreements = await chain.deploy(deployer, 'Agreements', [CryptletRegistry.address]);
    const parts = [AccessManager, Agreements, DeviceRegistry, Fleet].map(({ address }) => address);
    const Shipments = await chain.deploy(deployer, 'Shipments', parts);
    const manage = (method: MethodOf<'AccessManager'>, args: readonly unknown[]) =>
      chain.sendAs(deployer, AccessManager, method, args);
    const allow = async (method: MethodOf<'Fleet'>, role: number, account: string) => {
      await manage('setTargetFunctionRole', [Fleet.address, [chain.selector(Fleet, method)], role]);
      await manage('grantRole', [role, account, 0]);
    };
    // Shipments alone may send a truck to repair.
    await allow('openTicket', roles.reporter, Shipments.address);
    await allow('registerWorkshop', roles.registrar, deployer.address);
    const workshop = chain.account(accountIndex.workshop).address;
    await chain.sendAs(deployer, Fleet, 'registerWorkshop', [workshop, true]);
    return new Parties(chain, { TestToken, DeviceRegistry, Agreements, Fleet, Shipments });
  }

  address(party: PartyName): string {
    return this.#chain.account(accountIndex[party]).address;
  }

  /** The carrier enrols the device in the container, with the device's consent. */
  async enrol({ x, y, r, s }: Enrolment, asset: string): Promise<void> {
    const validForSec = 365 * 86_400;
    const calibrationUntil = (await this.#chain.nowSec()) + validForSec;
    const calibrationDigest = `0x${'c0'.repeat(32)}`;
    const keys = [x, y].map((each) => `0x${each}`);
    const signature = [r, s].map((each) => `0x${each}`);
    await this.#send('carrier', 'DeviceRegistry', 'enrol', [
      ...keys,
      `0x${Buffer.from(asset, 'ascii').toString('hex')}`,
      calibrationDigest,
      calibrationUntil,
      ...signature,
    ]);
  }

  /** All sign the terms, the buyer places and pays into escrow, the supplier accepts. Gives the order's number. */
  async place(): Promise<bigint> {
    const agreementId = await agree(this.#chain, this.contracts.Agreements, this.#offer());
    await this.#send('deployer', 'TestToken', 'mint', [this.address('buyer'), terms.price]);
    await this.#send('buyer', 'TestToken', 'approve', [this.contracts.Shipments.address, terms.price]);
    const placed = await this.#send('buyer', 'Shipments', 'place', [agreementId]);
    const orderId = bigintOf(eventOf(placed, 'OrderPlaced'), 'orderId');
    await this.#send('supplier', 'Shipments', 'accept', [orderId]);
    return orderId;
  }

  /** The carrier enters the truck in its maintenance book. */
  async registerTruck(truck: string): Promise<void> {
    await this.#send('carrier', 'Fleet', 'registerTruck', [truckIdOf(truck), odometerKm]);
  }

  /** The carrier departs. */
  async dispatch(orderId: bigint, device: string, truck: string): Promise<void> {
    await this.#send('carrier', 'Shipments', 'dispatchOrder', [orderId, `0x${device}`, truckIdOf(truck)]);
  }

  /** The consignee takes the cargo; the price becomes the supplier's, who takes it out. */
  async deliverAndSettle(orderId: bigint): Promise<void> {
    await this.#send('buyer', 'Shipments', 'deliver', [orderId, terms.quantity]);
    await this.#send('buyer', 'Shipments', 'settle', [orderId]);
    await this.#send('supplier', 'Shipments', 'withdraw', [this.contracts.TestToken.address]);
  }

  async order(orderId: bigint): Promise<Order> {
    const order = structOf(await this.#chain.view(this.contracts.Shipments, 'order', [orderId]));
    const state = orderStates[Number(order['state'])];
    const evidenceDigest = order['evidenceDigest'];
    if (state === undefined || typeof evidenceDigest !== 'string')
      throw new TypeError(`order ${orderId}: not an order`);
    return {
      state,
      evidenceDigest,
      replacementId: bigintOf(order, 'replacementId'),
      ticketId: bigintOf(order, 'ticketId'),
    };
  }

  async ticket(ticketId: bigint): Promise<Ticket> {
    const ticket = structOf(await this.#chain.view(this.contracts.Fleet, 'ticketOf', [ticketId]));
    return { openedAt: Number(ticket['openedAt']), closedAt: Number(ticket['closedAt']) };
  }

  balance(account: string): Promise<bigint> {
    return this.#chain.tokenBalance(this.contracts.TestToken, account);
  }

  #offer(): Offer {
    const { quantity, price, ...limit } = terms;
    const party = (name: PartyName) => this.#chain.account(accountIndex[name]);
    return {
      ...{ token: this.contracts.TestToken.address, price, quantity },
      ...{ buyer: party('buyer'), carrier: party('carrier'), suppliers: [party('supplier'), party('nextSupplier')] },
      limit,
    };
  }

  #send<Name extends keyof Contracts>(
    party: PartyName,
    contract: Name,
    method: MethodOf<Name>,
    args: readonly unknown[],
  ): Promise<ChainReceipt> {
    return this.#chain.sendAs(this.#chain.account(accountIndex[party]), this.contracts[contract], method, args);
  }
}

/** A truck's number on the chain: its name in UTF-8, padded with zeros to 32 bytes. */
function truckIdOf(truck: string): string {
  return `0x${Buffer.from(truck, 'utf8').toString('hex').padEnd(64, '0')}`;
}

function eventOf(receipt: ChainReceipt, name: EventOf<ArtifactName>): ChainStruct {
  const found = receipt.events.find((event) => event.name === name);
  if (found === undefined) throw new Error(`${receipt.transactionHash}: no event ${name}`);
  return found.args;
}

function bigintOf(struct: ChainStruct, field: string): bigint {
  const value = struct[field];
  if (typeof value !== 'bigint' && typeof value !== 'number') throw new TypeError(`${field}: expected a number`);
  return BigInt(value);
}

function structOf(value: ChainValue): ChainStruct {
  if (typeof value !== 'object' || Array.isArray(value)) throw new TypeError('expected a struct');
  return value as ChainStruct;
}
