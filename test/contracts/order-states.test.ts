/** Every edge of the order's state machine, and every forbidden one, by name; money is conserved on all of them. */
import t from 'tap';
import { RevertError } from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { abiEvidence, dispatchedAtSec, hex, makeEvidence } from './fixture.ts';
import { excursionOf, Market, price, truck, type OrderState, type PartyName } from './market.ts';

type Move = { readonly by: PartyName; readonly method: string; readonly args?: (device: VoyageDevice) => unknown[] };

/** Each by the one who may make it; evidence and expiry are anybody's. */
const moves: Record<string, Move> = {
  accept: { by: 'supplier', method: 'accept' },
  decline: { by: 'supplier', method: 'decline' },
  cancel: { by: 'buyer', method: 'cancel' },
  expire: { by: 'stranger', method: 'expire' },
  dispatchOrder: { by: 'carrier', method: 'dispatchOrder', args: (device) => [hex(device.device), truck] },
  deliver: { by: 'buyer', method: 'deliver' },
  settle: { by: 'stranger', method: 'settle' },
  reportExcursion: { by: 'stranger', method: 'reportExcursion', args: (device) => [abiEvidence(makeEvidence(device))] },
  requestRepair: { by: 'stranger', method: 'requestRepair' },
};

/** What each move leads to, from each state; every other pair is forbidden. */
const edges: Record<OrderState, Record<string, OrderState>> = {
  None: {},
  Placed: { accept: 'Accepted', decline: 'Placed', cancel: 'Refunded', expire: 'Refunded' },
  Accepted: { dispatchOrder: 'InTransit', expire: 'Refunded' },
  InTransit: { deliver: 'Delivered', reportExcursion: 'Cancelled' },
  Delivered: { settle: 'Settled' },
  Settled: {},
  Cancelled: {},
  Refunded: {},
};

/** The way to each state. */
const ways: Record<OrderState, readonly string[]> = {
  None: [],
  Placed: [],
  Accepted: ['accept'],
  InTransit: ['accept', 'dispatchOrder'],
  Delivered: ['accept', 'dispatchOrder', 'deliver'],
  Settled: ['accept', 'dispatchOrder', 'deliver', 'settle'],
  Cancelled: ['accept', 'dispatchOrder', 'reportExcursion'],
  Refunded: ['cancel'],
};

/** An order after its delivery is due, so that `expire` may be tried everywhere; evidence is of the time before. */
const deliverySecMax = 60;

t.test('edges and forbidden edges', async (t) => {
  const market = await Market.open();
  t.teardown(() => market.stop());
  const device = new VoyageDevice(1);
  await market.enrol(device);
  await market.registerTruck();
  for (const [state, way] of Object.entries(ways) as [OrderState, readonly string[]][]) {
    const atStart = await market.chain.snapshot();
    const orderId = state === 'None' ? 99n : await market.place({ deliverySecMax });
    const make = async (name: string): Promise<unknown> => {
      const { by, method, args } = moves[name]!;
      // The evidence's chain begins anew with each device of the same seed: the same bytes each time.
      return market.send(by, 'shipments', method, [orderId, ...(args?.(new VoyageDevice(1)) ?? [])]);
    };
    for (const step of way) {
      if (step === 'dispatchOrder') await market.chain.setNextTime(dispatchedAtSec);
      if (step === 'reportExcursion') await market.chain.mineAt(dispatchedAtSec + 7_200);
      await make(step);
    }
    if ((await market.chain.nowSec()) < dispatchedAtSec + 7_200) await market.chain.mineAt(dispatchedAtSec + 7_200);
    t.equal(await market.state(orderId), state, `an order is ${state}`);
    for (const name of Object.keys(moves)) {
      const before = await market.chain.snapshot();
      const next = edges[state][name];
      const reason = await refusal(make(name));
      if (next === undefined) {
        t.match(reason, forbidden(state, name), `${state}: ${name} is forbidden`);
        t.equal(await market.state(orderId), state, `${state}: ${name} changed nothing`);
      } else {
        t.equal(reason, 'accepted', `${state}: ${name}`);
        t.equal(await market.state(orderId), next, `${state}: ${name} leads to ${next}`);
      }
      t.equal(await market.held(), await market.owed(), `${state}: ${name}: what is held is owed, to the last unit`);
      await market.chain.revert(before);
    }
    await market.chain.revert(atStart);
  }
});

t.test('each move is its own party’s', async (t) => {
  const market = await Market.open();
  t.teardown(() => market.stop());
  const { orderId } = await market.sail();
  const placed = await market.place();
  const others = async (method: string, id: bigint, want: PartyName, args: unknown[] = []): Promise<void> => {
    for (const by of ['buyer', 'supplier', 'secondSupplier', 'carrier', 'stranger', 'deployer'] as const) {
      if (by === want) continue;
      t.equal(await refusal(market.send(by, 'shipments', method, [id, ...args])), 'CallerNot', `${method} by ${by}`);
    }
  };
  await others('accept', placed, 'supplier');
  await others('decline', placed, 'supplier');
  await others('cancel', placed, 'buyer');
  await others('deliver', orderId, 'buyer');
  await market.send('supplier', 'shipments', 'accept', [placed]);
  await others('dispatchOrder', placed, 'carrier', [hex(new VoyageDevice(1).device), truck]);
});

t.test(
  'one excursion: one cancellation, one funded replacement, one ticket; a second report finds it done',
  async (t) => {
    const market = await Market.open();
    t.teardown(() => market.stop());
    const { orderId, device } = await market.sail();
    const evidence = excursionOf(new VoyageDevice(1), [15, 1]);
    const { events } = await market.report(orderId, evidence);
    t.same(
      events.map(({ name }) => name),
      ['OrderCancelled', 'OrderReplaced', 'RepairRequested'],
    );
    const order = await market.order(orderId);
    const replacement = await market.order(order.replacementId);
    t.match(replacement, { state: 'Placed', supplier: market.address('secondSupplier'), replacementOf: orderId });
    t.equal(await market.held(), price, 'the escrow went over; no token moved');
    t.equal(await market.call('fleet', 'isLocked', [truck]), true);

    t.equal(await refusal(market.report(orderId, evidence)), 'EvidenceAlreadyUsed');
    const longer = excursionOf(new VoyageDevice(1), [15, 2]);
    t.equal(await refusal(market.report(orderId, longer)), 'OrderStateNot', 'other evidence for a cancelled order');
    t.equal(await market.call('shipments', 'orderCount'), 2n, 'no second replacement');

    await market.send('secondSupplier', 'shipments', 'accept', [order.replacementId]);
    const locked = market.send('carrier', 'shipments', 'dispatchOrder', [
      order.replacementId,
      hex(device.device),
      truck,
    ]);
    t.equal(await refusal(locked), 'TruckInRepair');
    const inspection = `0x${'77'.repeat(32)}`;
    t.equal(await refusal(market.send('carrier', 'fleet', 'closeTicket', [1n, inspection])), 'NotWorkshop');
    await market.send('workshop', 'fleet', 'closeTicket', [1n, inspection]);
    await market.send('carrier', 'shipments', 'dispatchOrder', [order.replacementId, hex(device.device), truck]);
    const old = market.report(order.replacementId, evidence);
    t.equal(await refusal(old), 'SampleBeforeDispatch', 'evidence of another shipment’s window of the same device');
    t.equal(await market.held(), await market.owed());
  },
);

t.test('the last supplier’s order has no replacement: the buyer has the money back, by pulling it', async (t) => {
  const market = await Market.open();
  t.teardown(() => market.stop());
  const { orderId } = await market.sail(1, { suppliers: [market.address('supplier')] });
  await market.report(orderId, excursionOf(new VoyageDevice(1)));
  t.match(await market.order(orderId), { state: 'Cancelled', replacementId: 0n });
  t.equal(await market.credit('buyer'), price);
  await market.send('buyer', 'shipments', 'withdraw', [market.contracts.token.target]);
  t.equal(await market.balance(market.address('buyer')), price);
  const again = market.send('buyer', 'shipments', 'withdraw', [market.contracts.token.target]);
  t.equal(await refusal(again), 'CreditZero');
});

t.test('a revoked device: samples from the time of the theft prove nothing, those before it do', async (t) => {
  const market = await Market.open();
  t.teardown(() => market.stop());
  const { orderId, device } = await market.sail();
  const evidence = excursionOf(new VoyageDevice(1));
  const snapshot = await market.chain.snapshot();
  await market.send('carrier', 'registry', 'revoke', [hex(device.device), dispatchedAtSec + 900]);
  t.equal(await refusal(market.report(orderId, evidence)), 'DeviceNotValid', 'the last sample is of that second');
  await market.chain.revert(snapshot);
  await market.send('carrier', 'registry', 'revoke', [hex(device.device), dispatchedAtSec + 901]);
  await market.report(orderId, evidence);
  t.equal(await market.state(orderId), 'Cancelled');
});

function forbidden(state: OrderState, move: string): RegExp {
  // A repeat of the very evidence that cancelled an order has a reason of its own, and so has a second repair.
  if (state === 'Cancelled' && move === 'reportExcursion') return /^EvidenceAlreadyUsed$/;
  if (state === 'Cancelled' && move === 'requestRepair') return /^RepairAlreadyRequested$/;
  return /^OrderStateNot$/;
}

/** The custom error's name, or "accepted". */
async function refusal(sent: Promise<unknown>): Promise<string> {
  try {
    await sent;
    return 'accepted';
  } catch (error) {
    if (error instanceof RevertError) return error.reason;
    throw error;
  }
}
