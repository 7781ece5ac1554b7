/** Everyone around an order, on a chain of their own: each with an account, a device in a container, and a truck. */
import { encodeBytes32String, toBeHex, type JsonRpcSigner } from 'ethers';
import type { MethodOf } from '@coldproof/contracts';
import { encodeEnrolment, enrolmentPreimage, hexToBytes, type Evidence } from '@coldproof/wire';
import {
  addressOf,
  call,
  deployAll,
  roles,
  send,
  startChain,
  type Chain,
  type Deployment,
  type DeploymentNames,
  type FleetName,
  type HardFork,
  type Sent,
  type TokenName,
} from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { abiEvidence, dispatchedAtSec, hex, makeEvidence, startSec } from './fixture.ts';
import { orderStates, type OrderState } from './order-state.ts';
import { deliveryTypes, plainTerms, termsTypes, type Terms } from './terms.ts';
import { domainOf } from './truck-book.ts';

const partyNames = [
  ...(['deployer', 'buyer', 'consignee', 'carrier', 'supplier', 'secondSupplier', 'workshop', 'stranger'] as const),
  ...([
    'authority',
    'monitor',
    'disputes',
    'arbiter',
    'guardian',
    'approver',
    'secondApprover',
    'riskOfficer',
  ] as const),
] as const;
export type PartyName = (typeof partyNames)[number];

/** 12,500 in a token with six decimals. */
export const price = 12_500_000_000n;
/** Pallets. */
export const quantity = 33n;
export const truck = encodeBytes32String('TRUCK-7');
/** A truck that has seen some road. */
export const odometerKm = 214_530;
export const asset = 'CSQU3054383';
export const calibrationUntilSec = startSec + 365 * 86_400;

export type OrderView = {
  readonly state: OrderState;
  readonly cause: bigint;
  readonly agreementId: bigint;
  readonly buyer: string;
  readonly supplier: string;
  readonly device: string;
  readonly truck: string;
  readonly placedAt: bigint;
  readonly dispatchedAt: bigint;
  readonly judgedFrom: bigint;
  readonly deliveredAt: bigint;
  readonly suspendedAt: bigint;
  readonly postponedUntil: bigint;
  readonly reorderCount: bigint;
  readonly replacementId: bigint;
  readonly replacementOf: bigint;
  readonly evidenceDigest: string;
  readonly ticketId: bigint;
  readonly isCoverRequested: boolean;
  readonly approver: string;
};

export class Market {
  readonly chain: Chain;
  readonly contracts: Deployment;
  readonly parties: Readonly<Record<PartyName, JsonRpcSigner>>;
  #agreementCount = 0;

  private constructor(chain: Chain, contracts: Deployment, parties: Record<PartyName, JsonRpcSigner>) {
    this.chain = chain;
    this.contracts = contracts;
    this.parties = parties;
  }

  static async open({
    hardFork = 'osaka',
    ...hostile
  }: { hardFork?: HardFork; fleetName?: FleetName; tokenName?: TokenName } = {}): Promise<Market> {
    const chain = await startChain({ hardFork, startSec });
    const contracts = await deployAll(chain, hostile);
    const signers = await Promise.all(partyNames.map((_, index) => chain.account(index)));
    const parties = Object.fromEntries(partyNames.map((name, i) => [name, signers[i]!])) as Record<
      PartyName,
      JsonRpcSigner
    >;
    const granted = {
      guardian: 'guardian',
      approver: 'approver',
      secondApprover: 'approver',
      riskOfficer: 'risk',
    } as const;
    for (const [party, role] of Object.entries(granted) as [PartyName, keyof typeof roles][]) {
      await send(contracts.manager, 'grantRole', [roles[role], parties[party].address, 0]);
    }
    return new Market(chain, contracts, parties);
  }

  stop(): Promise<void> {
    return this.chain.stop();
  }

  address(party: PartyName): string {
    return this.parties[party].address;
  }

  /** Terms that were not agreed on before. */
  terms(changes: Partial<Terms> = {}): Terms {
    return {
      ...plainTerms,
      token: addressOf(this.contracts.token),
      price,
      quantity,
      buyer: this.address('buyer'),
      consignee: this.address('consignee'),
      carrier: this.address('carrier'),
      suppliers: [this.address('supplier'), this.address('secondSupplier')],
      offerUntil: startSec + 1_000 * 86_400,
      salt: toBeHex(++this.#agreementCount, 32),
      ...changes,
    };
  }

  /** By each party that has an account here; a contract's is empty. */
  sign(terms: Terms): Promise<string[]> {
    const domain = domainOf(addressOf(this.contracts.agreements), this.chain.chainId);
    return Promise.all(
      [terms.buyer, terms.carrier, ...terms.suppliers].map(async (party) => {
        const signer = Object.values(this.parties).find(({ address }) => address === party);
        return (await signer?.signTypedData(domain, termsTypes, terms)) ?? '0x';
      }),
    );
  }

  async agree(changes: Partial<Terms> = {}): Promise<bigint> {
    const terms = this.terms(changes);
    const { events } = await this.send('stranger', 'agreements', 'agree', [terms, await this.sign(terms)]);
    return events[0]!.args['agreementId'] as bigint;
  }

  /** Enrols the device for `owner`, with the device's consent to just that. */
  async enrol(device: VoyageDevice, owner: PartyName = 'carrier'): Promise<Sent> {
    return this.send(owner, 'registry', 'enrol', this.enrolment(device, owner));
  }

  enrolment(device: VoyageDevice, owner: PartyName): unknown[] {
    const registry = hexToBytes(addressOf(this.contracts.registry).slice(2));
    const ownerBytes = hexToBytes(this.address(owner).slice(2));
    const encoded = encodeEnrolment({ chainId: this.chain.chainId, registry, owner: ownerBytes, asset });
    const signature = device.sign(enrolmentPreimage(encoded));
    const key = [hex(device.publicKey.subarray(0, 32)), hex(device.publicKey.subarray(32))];
    const calibration = [`0x${'c0'.repeat(32)}`, calibrationUntilSec];
    return [...key, assetHex(asset), ...calibration, hex(signature.subarray(0, 32)), hex(signature.subarray(32))];
  }

  registerTruck(name = truck): Promise<Sent> {
    return this.send('carrier', 'fleet', 'registerTruck', [name, odometerKm]);
  }

  /** Agrees, and mints and approves just what the order costs. */
  async place(changes: Partial<Terms> = {}): Promise<bigint> {
    const agreementId = await this.agree(changes);
    await this.fund(changes.price ?? price);
    const { events } = await this.send('buyer', 'shipments', 'place', [agreementId]);
    return events[0]!.args['orderId'] as bigint;
  }

  async fund(amount: bigint): Promise<void> {
    await send(this.contracts.token, 'mint', [this.address('buyer'), amount]);
    await this.send('buyer', 'token', 'approve', [this.contracts.shipments.target, amount]);
  }

  /** At dispatchedAtSec of the fixture, or as soon after it as the chain's clock allows. */
  async dispatch(orderId: bigint, device: VoyageDevice, truckName = truck): Promise<Sent> {
    const nowSec = await this.chain.nowSec();
    await this.chain.setNextTime(Math.max(dispatchedAtSec, nowSec + 1));
    return this.send('carrier', 'shipments', 'dispatchOrder', [orderId, hex(device.device), truckName]);
  }

  /** Places, accepts and dispatches one order with a new device; time then is a day after dispatch. */
  async sail(seed = 1, changes: Partial<Terms> = {}): Promise<{ orderId: bigint; device: VoyageDevice }> {
    const device = new VoyageDevice(seed);
    await this.enrol(device);
    await this.registerTruck();
    const orderId = await this.place(changes);
    await this.send('supplier', 'shipments', 'accept', [orderId]);
    await this.dispatch(orderId, device);
    await this.chain.mineAt(dispatchedAtSec + 86_400);
    return { orderId, device };
  }

  deliver(orderId: bigint): Promise<Sent> {
    return this.send('consignee', 'shipments', 'deliver', [orderId, quantity]);
  }

  /** What the driver hands the goods over against. */
  signDelivery(orderId: bigint, quantity: bigint, by: PartyName = 'consignee'): Promise<string> {
    const domain = domainOf(addressOf(this.contracts.shipments), this.chain.chainId);
    return this.parties[by].signTypedData(domain, deliveryTypes, { orderId, quantity });
  }

  report(orderId: bigint, evidence: Evidence, by: PartyName = 'stranger'): Promise<Sent> {
    return this.send(by, 'shipments', 'reportExcursion', [orderId, abiEvidence(evidence)]);
  }

  send<Key extends keyof Deployment>(
    by: PartyName,
    contract: Key,
    method: MethodOf<DeploymentNames[Key]>,
    args: readonly unknown[] = [],
    gasLimit?: bigint,
  ): Promise<Sent<DeploymentNames[Key]>> {
    const options = { by: this.parties[by], ...(gasLimit === undefined ? {} : { gasLimit }) };
    return send(this.contracts[contract], method, args, options);
  }

  call<Key extends keyof Deployment>(
    contract: Key,
    method: MethodOf<DeploymentNames[Key]>,
    args: readonly unknown[] = [],
    options: { gasLimit?: bigint } = {},
  ): Promise<unknown> {
    return call(this.contracts[contract], method, args, options);
  }

  async order(orderId: bigint): Promise<OrderView> {
    const view = (await this.call('shipments', 'order', [orderId])) as { toObject(): Record<string, unknown> };
    const fields = view.toObject() as Omit<OrderView, 'state'> & { state: bigint };
    return { ...fields, state: orderStates[Number(fields.state)]! };
  }

  async state(orderId: bigint): Promise<OrderState> {
    return (await this.order(orderId)).state;
  }

  balance(account: string): Promise<bigint> {
    return this.call('token', 'balanceOf', [account]) as Promise<bigint>;
  }

  credit(party: PartyName): Promise<bigint> {
    return this.call('shipments', 'creditOf', [this.address(party), this.contracts.token.target]) as Promise<bigint>;
  }

  /** What the contract owes by its orders and credits; it must hold just that. */
  async owed(): Promise<bigint> {
    const count = (await this.call('shipments', 'orderCount')) as bigint;
    const ended: readonly OrderState[] = ['Settled', 'Cancelled', 'Refunded'];
    const amounts = [
      ...Array.from({ length: Number(count) }, async (_, i) =>
        ended.includes(await this.state(BigInt(i + 1))) ? 0n : price,
      ),
      ...partyNames.map((party) => this.credit(party)),
    ];
    return (await Promise.all(amounts)).reduce((sum, amount) => sum + amount, 0n);
  }

  async held(): Promise<bigint> {
    return this.balance(addressOf(this.contracts.shipments));
  }
}

/** 11 ASCII characters as bytes11. */
export function assetHex(text: string): string {
  return hex(Uint8Array.from(text, (each) => each.charCodeAt(0)));
}

export function excursionOf(device: VoyageDevice, sizes: readonly number[] = [16]): Evidence {
  return makeEvidence(device, { sizes: [...sizes] });
}
