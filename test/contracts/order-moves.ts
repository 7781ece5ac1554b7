/** Each move of an order, who makes it, and where it leads: contracts/STATES.md in TypeScript. */
import { encodeBytes32String, id } from 'ethers';
import type { MethodOf } from '@coldproof/contracts';
import type { Sent } from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { abiEvidence, dispatchedAtSec, hex } from './fixture.ts';
import { excursionOf, quantity, truck, type Market, type PartyName } from './market.ts';
import { causes, consequences, dispositions, limit, type Terms } from './terms.ts';
import { type OrderState } from './order-state.ts';

/** What the terms, and the breaker, make of a fact. */
export const modes = ['reorder', 'quarantine', 'tripped'] as const;
export type Mode = (typeof modes)[number];

export type Move = {
  readonly by: PartyName;
  /** Anyone may make it; otherwise everybody else is refused, for this reason. */
  readonly refusedFor?: string;
  /** By anyone, once what the state waits for is over. */
  readonly isLate?: true;
  readonly from: Partial<Record<OrderState, OrderState>>;
  /** States in which it is refused for a reason of its own. */
  readonly own?: Partial<Record<OrderState, string>>;
  readonly run: (market: Market, orderId: bigint, by: PartyName) => Promise<Sent>;
};

export const cryptlet = id('cryptlet');
export const factDigest = id('fact');
export const reasonDigest = id('reason');

const evidence = abiEvidence(excursionOf(new VoyageDevice(1)));
const call =
  (method: MethodOf<'Shipments'>, ...args: readonly unknown[]) =>
  (market: Market, orderId: bigint, by: PartyName): Promise<Sent> =>
    market.send(by, 'shipments', method, [orderId, ...args]);

const caller = 'CallerNot';
const facts: Record<Mode, Partial<Record<OrderState, OrderState>>> = {
  reorder: { InTransit: 'Cancelled', Delivered: 'Cancelled' },
  quarantine: { InTransit: 'Quarantined', Delivered: 'Quarantined' },
  tripped: { InTransit: 'Held', Delivered: 'Held' },
};
const used = { Cancelled: 'EvidenceAlreadyUsed', Quarantined: 'EvidenceAlreadyUsed', Held: 'EvidenceAlreadyUsed' };

export function movesOf(mode: Mode): Record<string, Move> {
  return { ...tradeMoves, ...factMovesOf(mode), ...suspendedMoves, ...requests };
}

/** From placing to the supplier's money. */
const tradeMoves: Record<string, Move> = {
  accept: { by: 'supplier', refusedFor: caller, from: { Placed: 'Accepted' }, run: call('accept') },
  // The next supplier is asked; it is the last one's decline that refunds.
  decline: { by: 'supplier', refusedFor: caller, from: { Placed: 'Placed' }, run: call('decline') },
  cancel: { by: 'buyer', refusedFor: caller, from: { Placed: 'Refunded' }, run: call('cancel') },
  expire: {
    by: 'stranger',
    isLate: true,
    from: { Placed: 'Refunded', Accepted: 'Refunded', InTransit: 'Refunded', Quarantined: 'Cancelled' },
    run: call('expire'),
  },
  dispatchOrder: {
    by: 'carrier',
    refusedFor: caller,
    from: { Accepted: 'InTransit' },
    run: call('dispatchOrder', hex(new VoyageDevice(1).device), truck),
  },
  deliver: {
    by: 'consignee',
    refusedFor: caller,
    from: { InTransit: 'Delivered' },
    run: call('deliver', quantity),
  },
  deliverSigned: {
    by: 'stranger',
    from: { InTransit: 'Delivered' },
    run: async (market, orderId, by) =>
      call('deliverSigned', quantity, await market.signDelivery(orderId, quantity))(market, orderId, by),
  },
  settle: { by: 'buyer', refusedFor: 'DeadlineNotPassed', from: { Delivered: 'Settled' }, run: call('settle') },
  'settle after the claim window': {
    by: 'stranger',
    isLate: true,
    from: { Delivered: 'Settled' },
    run: call('settle'),
  },
};

function factMovesOf(mode: Mode): Record<string, Move> {
  return {
    reportExcursion: { by: 'stranger', from: facts[mode], own: used, run: call('reportExcursion', evidence) },
    reportCumulative: { by: 'stranger', from: facts[mode], run: call('reportCumulative', [evidence]) },
    'conclude silence': {
      by: 'monitor',
      refusedFor: 'CauseNotOfCaller',
      from: facts[mode],
      run: call('conclude', factDigest, causes.silence),
    },
    'conclude an attested fact': {
      by: 'disputes',
      refusedFor: 'CauseNotOfCaller',
      from: facts[mode],
      run: call('conclude', factDigest, causes.attested),
    },
    postpone: {
      by: 'disputes',
      refusedFor: caller,
      from: { InTransit: 'InTransit', Delivered: 'Delivered' },
      run: call('postpone', dispatchedAtSec + 4 * 86_400),
    },
  };
}

/** Out of quarantine, and out of what the breaker holds. */
const suspendedMoves: Record<string, Move> = {
  'dispose: released': {
    by: 'authority',
    refusedFor: caller,
    from: { Quarantined: 'InTransit' },
    run: call('dispose', dispositions.released, quantity, reasonDigest),
  },
  'dispose: partly released': {
    by: 'authority',
    refusedFor: caller,
    from: { Quarantined: 'Settled' },
    run: call('dispose', dispositions.partlyReleased, 10n, reasonDigest),
  },
  'dispose: rejected': {
    by: 'authority',
    refusedFor: caller,
    from: { Quarantined: 'Cancelled' },
    run: call('dispose', dispositions.rejected, 0n, reasonDigest),
  },
  approveHeld: {
    by: 'approver',
    refusedFor: 'AccessManagedUnauthorized',
    from: { Held: 'Held' },
    run: call('approveHeld'),
  },
  applyHeld: { by: 'stranger', isLate: true, from: { Held: 'Cancelled' }, run: call('applyHeld') },
};

/** These change no state, and have nothing to ask for again here. */
const requests: Record<string, Move> = {
  requestRepair: {
    by: 'stranger',
    from: {},
    own: { Cancelled: 'RepairAlreadyRequested', Quarantined: 'RepairAlreadyRequested' },
    run: call('requestRepair'),
  },
  requestCover: {
    by: 'stranger',
    from: {},
    own: { Cancelled: 'CoverNotDue', Quarantined: 'CoverNotDue' },
    run: call('requestCover'),
  },
};

/** Terms with all that an order's moves may need. */
export function wholeTerms(market: Market, mode: Mode): Partial<Terms> {
  return {
    limits: [{ ...limit, cumulativeSecMin: 600 }],
    consequence: mode === 'quarantine' ? consequences.quarantine : consequences.reorder,
    quality: { authority: market.address('authority'), decisionSecMax: 2 * 86_400 },
    silence: { monitor: market.address('monitor'), silenceSecMax: 3_600, challengeSecMax: 3_600 },
    attested: {
      disputes: market.address('disputes'),
      arbiter: market.address('arbiter'),
      bond: 1_000_000n,
      livenessSecMin: 86_400,
      arbitrationSecMax: 86_400,
      cryptlets: [cryptlet],
    },
  };
}

/** A device, a truck, a cryptlet; and, when the breaker is to have tripped, an order of the carrier's cancelled. */
export async function prepare(market: Market, mode: Mode): Promise<void> {
  await market.enrol(new VoyageDevice(1));
  await market.registerTruck();
  await market.send('deployer', 'cryptlets', 'publish', [cryptlet, id('name'), 1, id('interface'), id('manifest')]);
  if (mode === 'tripped') await trip(market);
}

/** The carrier has used up what a breaker of one order in 30 days allows; with a truck of its own. */
export async function trip(market: Market): Promise<void> {
  await market.send('riskOfficer', 'shipments', 'setBreaker', [1, 30 * 86_400]);
  const other = encodeBytes32String('TRUCK-8');
  await market.registerTruck(other);
  const orderId = await market.place(wholeTerms(market, 'reorder'));
  await market.send('supplier', 'shipments', 'accept', [orderId]);
  await market.send('carrier', 'shipments', 'dispatchOrder', [orderId, hex(new VoyageDevice(1).device), other]);
  await market.send('monitor', 'shipments', 'conclude', [orderId, factDigest, causes.silence]);
}

/** Brings an order into a state. In InTransit and Delivered the device's evidence is an hour old. */
export async function reach(market: Market, state: OrderState, mode: Mode): Promise<bigint> {
  const by = (party: PartyName, method: MethodOf<'Shipments'>, ...args: unknown[]): Promise<Sent> =>
    market.send(party, 'shipments', method, [orderId, ...args]);
  if (state === 'None') return 99n;
  const orderId = await market.place(wholeTerms(market, mode));
  if (state === 'Placed') return orderId;
  if (state === 'Refunded') {
    await by('buyer', 'cancel');
    return orderId;
  }
  await by('supplier', 'accept');
  if (state === 'Accepted') return orderId;
  await market.dispatch(orderId, new VoyageDevice(1));
  await market.chain.mineAt(dispatchedAtSec + 3_600);
  if (state === 'Delivered' || state === 'Settled') await market.deliver(orderId);
  if (state === 'Settled') await by('buyer', 'settle');
  if (state === 'Cancelled' || state === 'Quarantined' || state === 'Held') {
    await by('stranger', 'reportExcursion', evidence);
    if (state === 'Cancelled' && mode === 'quarantine') {
      await by('authority', 'dispose', dispositions.rejected, 0n, reasonDigest);
    } else if (state === 'Cancelled' && mode === 'tripped') {
      await by('approver', 'approveHeld');
      await by('secondApprover', 'approveHeld');
    }
  }
  return orderId;
}
