/** The Silence contract over scripted orders, with a real registry, and a device that an order travels with. */
import { ZeroAddress, ZeroHash, type Contract, type JsonRpcSigner } from 'ethers';
import type { MethodOf } from '@coldproof/contracts';
import { encodeEnrolment, enrolmentPreimage, hexToBytes, type Heartbeat } from '@coldproof/wire';
import { addressOf, call, deploy, send, startChain, type Chain, type Sent } from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { dispatchedAtSec, hex, startSec } from './fixture.ts';
import { orderStates, type OrderState } from './order-state.ts';
import { abiHeartbeat, sealHeartbeat } from './signs-of-life.ts';

export const watchStates = ['None', 'Monitored', 'Unmonitored', 'Breached'] as const;

export type Watch = {
  readonly state: (typeof watchStates)[number];
  readonly seenAt: bigint;
  readonly unmonitoredAt: bigint;
  readonly deadlineAt: bigint;
};

export const orderId = 7n;
export const silenceSecMax = 3_600;
export const challengeSecMax = 1_800;
/** When the device is reported as silent, and the last second of the challenge, unless a test says otherwise. */
export const reportedAtSec = dispatchedAtSec + silenceSecMax + 100;
export const challengeUntilSec = reportedAtSec + challengeSecMax;

const agreementId = 3n;
const asset = hex(new TextEncoder().encode('CSQU3054383'));

export class Watchtower {
  readonly chain: Chain;
  readonly carrier: JsonRpcSigner;
  readonly registry: Contract;
  readonly orders: Contract;
  readonly silence: Contract;
  readonly device = new VoyageDevice(1);

  private constructor(chain: Chain, carrier: JsonRpcSigner, registry: Contract, orders: Contract, silence: Contract) {
    this.chain = chain;
    this.carrier = carrier;
    this.registry = registry;
    this.orders = orders;
    this.silence = silence;
  }

  /** An order in transit since dispatchedAtSec. */
  static async open(): Promise<Watchtower> {
    const chain = await startChain({ startSec });
    const carrier = await chain.account(0);
    const registry = await deploy(carrier, 'DeviceRegistry');
    const orders = await deploy(carrier, 'OrderDouble', [registry.target]);
    const silence = await deploy(carrier, 'Silence', [orders.target]);
    const tower = new Watchtower(chain, carrier, registry, orders, silence);
    await tower.#enrol();
    await send(orders, 'setTerms', [agreementId, termsOf(silence.target)]);
    await tower.setOrder();
    await chain.mineAt(dispatchedAtSec);
    return tower;
  }

  /** Puts the order as a whole into this state. */
  async setOrder({ state = 'InTransit', judgedFrom = dispatchedAtSec }: OrderChanges = {}): Promise<void> {
    await send(this.orders, 'setOrder', [
      orderId,
      { ...emptyOrder(), ...this.#known(), ...numbered(state), judgedFrom },
    ]);
  }

  setState(state: OrderState): Promise<Sent> {
    return send(this.orders, 'setState', [orderId, orderStates.indexOf(state)]);
  }

  /** The terms name this address instead. */
  async setMonitor(monitor: string): Promise<void> {
    await send(this.orders, 'setTerms', [agreementId, termsOf(monitor)]);
  }

  async watch(): Promise<Watch> {
    const view = (await call(this.silence, 'watchOf', [orderId])) as { toObject(): Record<string, bigint> };
    const fields = view.toObject() as unknown as Omit<Watch, 'state'> & { state: bigint };
    return { ...fields, state: watchStates[Number(fields.state)]! };
  }

  proveHeartbeat(lastSec: number, atSec: number): Promise<Sent> {
    return this.#send('proveHeartbeat', [orderId, abiHeartbeat(this.beat(lastSec))], atSec);
  }

  reportSilence(atSec = reportedAtSec): Promise<Sent> {
    return this.#send('reportSilence', [orderId], atSec);
  }

  disprove(lastSec: number, atSec: number): Promise<Sent> {
    return this.#send('disprove', [orderId, abiHeartbeat(this.beat(lastSec))], atSec);
  }

  declareBreach(atSec = challengeUntilSec + 1): Promise<Sent> {
    return this.#send('declareBreach', [orderId], atSec);
  }

  /** By the carrier, of its own device. */
  revoke(fromSec: number): Promise<Sent> {
    return send(this.registry, 'revoke', [hex(this.device.device), fromSec]);
  }

  beat(lastSec: number): Heartbeat {
    return sealHeartbeat(this.device, lastSec);
  }

  /** By a stranger: each of these moves is anyone's. */
  async #send(method: MethodOf<'Silence'>, args: readonly unknown[], atSec: number): Promise<Sent> {
    await this.chain.setNextTime(atSec);
    return send(this.silence, method, args, { by: await this.chain.account(6) });
  }

  #known(): object {
    return {
      agreementId,
      device: hex(this.device.device),
      carrier: this.carrier.address,
      dispatchedAt: dispatchedAtSec,
    };
  }

  async #enrol(): Promise<void> {
    const registry = hexToBytes(addressOf(this.registry).slice(2));
    const owner = hexToBytes(this.carrier.address.slice(2));
    const consent = encodeEnrolment({ chainId: this.chain.chainId, registry, owner, asset: 'CSQU3054383' });
    const signature = this.device.sign(enrolmentPreimage(consent));
    const [x, y] = halves(this.device.publicKey);
    await send(this.registry, 'enrol', [x, y, asset, ZeroHash, startSec + 86_400 * 365, ...halves(signature)]);
  }
}

type OrderChanges = { state?: OrderState; judgedFrom?: number };

function halves(bytes: Uint8Array): [string, string] {
  return [hex(bytes.subarray(0, 32)), hex(bytes.subarray(32))];
}

function numbered(state: OrderState): { state: number } {
  return { state: orderStates.indexOf(state) };
}

function emptyOrder(): Record<string, unknown> {
  const numbers = ['cause', 'placedAt', 'deliveredAt', 'suspendedAt', 'postponedUntil', 'reorderCount'];
  return {
    ...Object.fromEntries([...numbers, 'replacementId', 'replacementOf', 'ticketId'].map((name) => [name, 0])),
    ...Object.fromEntries(['buyer', 'supplier', 'approver'].map((name) => [name, ZeroAddress])),
    ...Object.fromEntries(['truck', 'evidenceDigest'].map((name) => [name, ZeroHash])),
    isCoverRequested: false,
  };
}

/** Nothing but the silence matters here. */
function termsOf(monitor: unknown): Record<string, unknown> {
  const addresses = ['token', 'buyer', 'consignee', 'carrier', 'cover', 'reconciliation'];
  const numbers = ['price', 'quantity', 'sampleGapSecMax', 'dispatchSecMax', 'transitSecMax', 'claimSecMax'];
  return {
    ...Object.fromEntries(addresses.map((name) => [name, ZeroAddress])),
    ...Object.fromEntries([...numbers, 'consequence', 'reorderCountMax', 'offerUntil'].map((name) => [name, 0])),
    suppliers: [],
    limits: [],
    quality: { authority: ZeroAddress, decisionSecMax: 0 },
    silence: { monitor, silenceSecMax, challengeSecMax },
    attested: {
      disputes: ZeroAddress,
      arbiter: ZeroAddress,
      bond: 0,
      livenessSecMin: 0,
      arbitrationSecMax: 0,
      cryptlets: [],
    },
    salt: ZeroHash,
  };
}
