/** contracts/STATES.md as a table: each edge of the order's state machine, each forbidden one, and who may make it. */
import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { MethodOf } from '@coldproof/contracts';
import { refusal, type RevertError, type Sent } from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { abiEvidence, dispatchedAtSec, hex } from './fixture.ts';
import { excursionOf, Market, orderStates, price, truck, type OrderState, type PartyName } from './market.ts';

const weekSec = 7 * 86_400;

type Move = {
  readonly by: PartyName;
  /** Anyone may make it; otherwise a stranger is refused. */
  readonly isOpen?: true;
  readonly from: Partial<Record<OrderState, OrderState>>;
  readonly run: (market: Market, orderId: bigint, by: PartyName) => Promise<Sent>;
};

const evidence = abiEvidence(excursionOf(new VoyageDevice(1)));
const call = (method: MethodOf<'Shipments'>) => (market: Market, orderId: bigint, by: PartyName) =>
  market.send(by, 'shipments', method, [orderId]);

const moves: Record<string, Move> = {
  accept: { by: 'supplier', from: { Placed: 'Accepted' }, run: call('accept') },
  // The next supplier is asked; it is the last one's decline that refunds.
  decline: { by: 'supplier', from: { Placed: 'Placed' }, run: call('decline') },
  cancel: { by: 'buyer', from: { Placed: 'Refunded' }, run: call('cancel') },
  expire: { by: 'stranger', isOpen: true, from: { Placed: 'Refunded', Accepted: 'Refunded' }, run: call('expire') },
  dispatchOrder: {
    by: 'carrier',
    from: { Accepted: 'InTransit' },
    run: (market, orderId, by) =>
      market.send(by, 'shipments', 'dispatchOrder', [orderId, hex(new VoyageDevice(1).device), truck]),
  },
  deliver: { by: 'buyer', from: { InTransit: 'Delivered' }, run: call('deliver') },
  settle: { by: 'stranger', isOpen: true, from: { Delivered: 'Settled' }, run: call('settle') },
  reportExcursion: {
    by: 'stranger',
    isOpen: true,
    from: { InTransit: 'Cancelled' },
    run: (market, orderId, by) => market.send(by, 'shipments', 'reportExcursion', [orderId, evidence]),
  },
};

/** How an order comes into each state, from a chain with the device enrolled and the truck registered. */
const ways: Record<OrderState, (market: Market) => Promise<bigint>> = {
  None: () => Promise.resolve(1n),
  Placed: (market) => market.place(),
  Accepted: async (market) => step(market, await market.place(), 'accept'),
  InTransit: async (market) => {
    const orderId = await ways.Accepted(market);
    await market.dispatch(orderId, new VoyageDevice(1));
    await market.chain.mineAt(dispatchedAtSec + 3_600);
    return orderId;
  },
  Delivered: async (market) => step(market, await ways.InTransit(market), 'deliver'),
  Settled: async (market) => step(market, await ways.Delivered(market), 'settle'),
  Cancelled: async (market) => step(market, await ways.InTransit(market), 'reportExcursion'),
  Refunded: async (market) => step(market, await market.place(), 'cancel'),
};

async function step(market: Market, orderId: bigint, name: string): Promise<bigint> {
  const move = moves[name]!;
  await move.run(market, orderId, move.by);
  return orderId;
}

async function opened(t: Test): Promise<Market> {
  const market = await Market.open();
  t.teardown(() => market.stop());
  await market.enrol(new VoyageDevice(1));
  await market.registerTruck();
  return market;
}

t.test('STATES.md lists these moves and no other', (t) => {
  const page = readFileSync(new URL('../../../contracts/STATES.md', import.meta.url), 'utf8');
  const listed = page.split('\n').flatMap((line) => {
    const [, from, move, , to] = line.split('|').map((cell) => cell.trim());
    return move !== undefined && move in moves ? [`${from} ${move} ${to}`] : [];
  });
  const made = Object.entries(moves).flatMap(([name, { from }]) =>
    Object.entries(from).map(([state, to]) => `${state} ${name} ${to}`),
  );
  t.same(listed.sort(), made.sort());
  t.end();
});

t.test('each move from each state', async (t) => {
  const market = await opened(t);
  let snapshot = await market.chain.snapshot();
  for (const state of orderStates) {
    for (const [name, move] of Object.entries(moves)) {
      await market.chain.revert(snapshot);
      snapshot = await market.chain.snapshot();
      const orderId = await ways[state](market);
      if (name === 'expire') await market.chain.mineAt((await market.chain.nowSec()) + weekSec + 1);
      const to = move.from[state];
      if (to === undefined) await forbidden(t, market, orderId, name, state);
      else await allowed(t, market, orderId, name, state, to);
      t.equal(await market.held(), await market.owed(), `money is conserved after ${name} on ${state}`);
    }
  }
});

async function forbidden(t: Test, market: Market, orderId: bigint, name: string, state: OrderState): Promise<void> {
  const move = moves[name]!;
  const refused = await refusal(move.run(market, orderId, move.by));
  if (name === 'reportExcursion' && state === 'Cancelled') {
    t.equal(refused?.reason, 'EvidenceAlreadyUsed', `${name} of the same evidence on ${state}`);
  } else {
    t.equal(refused?.reason, 'OrderStateNot', `${name} on ${state}`);
    t.same(refused?.args.slice(0, 2), [orderId, BigInt(orderStates.indexOf(state))]);
  }
  t.equal(await market.state(orderId), state, `${state} stays`);
}

async function allowed(
  t: Test,
  market: Market,
  orderId: bigint,
  name: string,
  state: OrderState,
  to: OrderState,
): Promise<void> {
  const move = moves[name]!;
  for (const other of ['deployer', 'stranger', 'carrier', 'buyer', 'supplier', 'secondSupplier'] as const) {
    if (move.isOpen === true || other === move.by) continue;
    const refused = await refusal(move.run(market, orderId, other));
    t.equal(refused?.reason, 'CallerNot', `${name} on ${state} by ${other}`);
    t.same(refused?.args, [market.address(other), market.address(move.by)]);
  }
  await move.run(market, orderId, move.by);
  t.equal(await market.state(orderId), to, `${name}: ${state} to ${to}`);
}

t.test('decline asks one supplier after the other, then refunds', async (t) => {
  const market = await opened(t);
  const orderId = await market.place();
  const first = await market.send('supplier', 'shipments', 'decline', [orderId]);
  t.match(first.events, [{ name: 'OrderDeclined', args: { nextSupplier: market.address('secondSupplier') } }]);
  t.equal((await refusal(market.send('supplier', 'shipments', 'accept', [orderId])))?.reason, 'CallerNot');
  t.equal((await market.order(orderId)).supplier, market.address('secondSupplier'));
  await market.send('secondSupplier', 'shipments', 'decline', [orderId]);
  t.equal(await market.state(orderId), 'Refunded');
  t.equal(await market.credit('buyer'), price);
  t.equal(await market.held(), await market.owed());
});

t.test('expire waits for the deadline, to the second', async (t) => {
  const market = await opened(t);
  const orderId = await market.place();
  const deadline = (await market.chain.nowSec()) + weekSec;
  await market.chain.mineAt(deadline);
  const early = await refusal(market.call('shipments', 'expire', [orderId]));
  t.equal(early?.reason, 'DeadlineNotPassed');
  t.same(early?.args, [orderId, BigInt(deadline), BigInt(deadline)]);
  await market.chain.mineAt(deadline + 1);
  await market.send('stranger', 'shipments', 'expire', [orderId]);
  t.equal(await market.state(orderId), 'Refunded');
});

t.test('the whole way to the supplier is paid to the last unit', async (t) => {
  const market = await opened(t);
  await ways.Settled(market);
  const token = market.contracts.token.target;
  t.equal(await market.credit('supplier'), price);
  await market.send('supplier', 'shipments', 'withdraw', [token]);
  t.equal(await market.balance(market.address('supplier')), price);
  t.equal(await market.held(), 0n);
  const again = await refusal(market.send('supplier', 'shipments', 'withdraw', [token]));
  t.equal(again?.reason, 'CreditZero');
});

t.test('terms that make no sense are refused with the value', async (t) => {
  const market = await opened(t);
  await market.fund(price);
  const address = market.address('supplier');
  const zero = `0x${'00'.repeat(20)}`;
  const nine = Array.from({ length: 9 }, (_, i) => `0x${String(i + 1).repeat(40)}`);
  const rows: [string, Record<string, unknown>][] = [
    ['TokenInvalid', { token: market.address('stranger') }],
    ['PriceZero', { price: 0n }],
    ['CarrierZero', { carrier: zero }],
    ['ChannelNotTemperature', { channel: 0 }],
    ['ChannelNotTemperature', { channel: 5 }],
    ['ChannelNotTemperature', { channel: 15 }],
    ['ChannelNotTemperature', { channel: 32 }],
    ['ChannelNotTemperature', { channel: 128 }],
    ['LimitsNotOrdered', { lowerLimitCentiC: 800 }],
    ['DurationZero', { excursionSecMin: 0 }],
    ['DurationZero', { sampleGapSecMax: 0 }],
    ['DurationZero', { deliverySecMax: 0 }],
    ['SupplierCountOutOfRange', { suppliers: [] }],
    ['SupplierCountOutOfRange', { suppliers: nine }],
    ['SupplierInvalid', { suppliers: [address, zero] }],
    ['SupplierInvalid', { suppliers: [address, market.address('secondSupplier'), address] }],
    ['ERC20InsufficientAllowance', { price: price + 1n }],
  ];
  for (const [reason, changes] of rows) {
    const refused = await refusal(market.send('buyer', 'shipments', 'place', [market.terms(changes)]));
    const isTokens = reason.startsWith('ERC20');
    t.equal(refused?.reason, isTokens ? '(unknown 0xfb8f41b2)' : reason, `${reason}: ${Object.keys(changes).join()}`);
  }
  t.equal(await market.held(), 0n);
  t.equal(await market.call('shipments', 'orderCount'), 0n);
  await market.send('buyer', 'shipments', 'place', [market.terms({ suppliers: nine.slice(1) })]);
});

t.test('dispatch asks for a device and a truck of the carrier, in order', async (t) => {
  const market = await opened(t);
  const orderId = await ways.Accepted(market);
  const device = new VoyageDevice(1);
  const [other, revoked] = [new VoyageDevice(2), new VoyageDevice(3)];
  await market.enrol(other, 'stranger');
  await market.enrol(revoked);
  await market.send('carrier', 'registry', 'revoke', [hex(revoked.device), await market.chain.nowSec()]);
  const dispatch = (by: VoyageDevice, truckId = truck): Promise<RevertError | undefined> =>
    refusal(market.send('carrier', 'shipments', 'dispatchOrder', [orderId, hex(by.device), truckId]));
  t.equal((await dispatch(new VoyageDevice(9)))?.reason, 'DeviceNotValid', 'a device that nobody enrolled');
  t.equal((await dispatch(revoked))?.reason, 'DeviceNotValid', 'a revoked device');
  t.equal((await dispatch(other))?.reason, 'DeviceNotOfCarrier');
  t.equal((await dispatch(device, `0x${'77'.repeat(32)}`))?.reason, 'TruckNotOfCarrier');
  const snapshot = await market.chain.snapshot();
  await market.chain.mineAt((await market.chain.nowSec()) + 366 * 86_400);
  t.equal((await dispatch(device))?.reason, 'DeviceNotCalibrated');
  await market.chain.revert(snapshot);
  t.equal(await market.state(orderId), 'Accepted');
});
