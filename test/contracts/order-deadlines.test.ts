/** Each wait of an order ends, to the second, and then anybody ends it. */
import t, { type Test } from 'tap';
import type { MethodOf } from '@coldproof/contracts';
import { refusal } from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { hex } from './fixture.ts';
import { Market, price, truck, type PartyName } from './market.ts';
import { prepare, reach, type Mode } from './order-moves.ts';
import { type OrderState } from './order-state.ts';

const daySec = 86_400;

async function opened(t: Test, mode: Mode = 'reorder'): Promise<Market> {
  const market = await Market.open();
  t.teardown(() => market.stop());
  await prepare(market, mode);
  return market;
}

type Field = 'placedAt' | 'judgedFrom' | 'deliveredAt' | 'suspendedAt';

/** What a state waits for, from when on, for how long, and what anyone's call makes of it then. */
const waits: readonly [OrderState, Mode, Field, number, MethodOf<'Shipments'>, OrderState][] = [
  ['Placed', 'reorder', 'placedAt', 7 * daySec, 'expire', 'Refunded'],
  ['Accepted', 'reorder', 'placedAt', 7 * daySec, 'expire', 'Refunded'],
  ['InTransit', 'reorder', 'judgedFrom', 14 * daySec, 'expire', 'Refunded'],
  ['Delivered', 'reorder', 'deliveredAt', 3 * daySec, 'settle', 'Settled'],
  ['Quarantined', 'quarantine', 'suspendedAt', 2 * daySec, 'expire', 'Cancelled'],
  ['Held', 'tripped', 'suspendedAt', 3 * daySec, 'applyHeld', 'Cancelled'],
];

for (const [state, mode, since, secMax, method, to] of waits) {
  t.test(`${state} waits ${secMax} s, and then anybody's ${method} ends it`, async (t) => {
    const market = await opened(t, mode);
    const orderId = await reach(market, state, mode);
    const deadline = (await market.order(orderId))[since] + BigInt(secMax);
    t.equal(await market.call('shipments', 'deadlineOf', [orderId]), deadline);
    await market.chain.mineAt(Number(deadline));
    const early = await refusal(market.call('shipments', method, [orderId]));
    t.same([early?.reason, early?.args], ['DeadlineNotPassed', [orderId, deadline, deadline]]);
    await market.chain.setNextTime(Number(deadline) + 1);
    await market.send('stranger', 'shipments', method, [orderId]);
    t.equal(await market.state(orderId), to);
    t.equal(await market.call('shipments', 'deadlineOf', [orderId]), 0n, 'nothing is waited for any more');
    t.equal(await market.held(), await market.owed());
  });
}

const lastSeconds: readonly [OrderState, PartyName, MethodOf<'Shipments'>, readonly unknown[], OrderState][] = [
  ['Placed', 'supplier', 'accept', [], 'Accepted'],
  ['Accepted', 'carrier', 'dispatchOrder', [hex(new VoyageDevice(1).device), truck], 'InTransit'],
];

for (const [state, by, method, args, to] of lastSeconds) {
  t.test(`${method} is in time in the dispatch deadline's second, and not in the next`, async (t) => {
    const market = await opened(t);
    const orderId = await reach(market, state, 'reorder');
    const deadline = Number(await market.call('shipments', 'deadlineOf', [orderId]));
    const snapshot = await market.chain.snapshot();
    await market.chain.mineAt(deadline + 1);
    const late = await refusal(market.send(by, 'shipments', method, [orderId, ...args]));
    t.equal(late?.reason, 'DeadlinePassed', 'a second after it');
    t.same(late?.args.slice(0, 2), [orderId, BigInt(deadline)]);
    await market.chain.revert(snapshot);
    await market.chain.setNextTime(deadline);
    await market.send(by, 'shipments', method, [orderId, ...args], 400_000n);
    t.equal(await market.state(orderId), to);
  });
}

t.test('there is nothing to wait for without an order', async (t) => {
  const market = await opened(t);
  t.equal(await market.call('shipments', 'deadlineOf', [99n]), 0n);
});

t.test('a replacement has deadlines of its own', async (t) => {
  const market = await opened(t);
  const orderId = await reach(market, 'Cancelled', 'reorder');
  const { replacementId } = await market.order(orderId);
  const { placedAt } = await market.order(replacementId);
  t.equal(placedAt, BigInt(await market.chain.nowSec()));
  t.equal(await market.call('shipments', 'deadlineOf', [replacementId]), placedAt + BigInt(7 * daySec));
});

t.test('a dispute postpones settlement by anyone, by 30 days beyond the claim window at most', async (t) => {
  const market = await opened(t);
  const orderId = await reach(market, 'Delivered', 'reorder');
  const claimUntil = Number((await market.order(orderId)).deliveredAt) + 3 * daySec;
  const most = claimUntil + 30 * daySec;
  const rows: [number, number][] = [
    [claimUntil, claimUntil],
    [claimUntil + 1, claimUntil + 1],
    [most, most],
    [most + 1, most],
    [2 ** 32 - 1, most],
  ];
  for (const [until, deadline] of rows) {
    await market.send('disputes', 'shipments', 'postpone', [orderId, until]);
    t.equal(await market.call('shipments', 'deadlineOf', [orderId]), BigInt(deadline), `${until - claimUntil} s`);
  }
  const back = await market.send('disputes', 'shipments', 'postpone', [orderId, claimUntil]);
  t.same(back.events, [], 'it never moves back');
  t.equal((await market.order(orderId)).postponedUntil, BigInt(2 ** 32 - 1));
  const early = await refusal(market.send('supplier', 'shipments', 'settle', [orderId]));
  t.equal(early?.reason, 'DeadlineNotPassed');
  const snapshot = await market.chain.snapshot();
  await market.send('buyer', 'shipments', 'settle', [orderId]);
  t.equal(await market.credit('supplier'), price, 'the buyer needs not wait');
  await market.chain.revert(snapshot);
  await market.chain.mineAt(most + 1);
  await market.send('supplier', 'shipments', 'settle', [orderId]);
  t.equal(await market.credit('supplier'), price);
});

t.test('what was postponed on the road holds after delivery', async (t) => {
  const market = await opened(t);
  const orderId = await reach(market, 'InTransit', 'reorder');
  const transit = await market.call('shipments', 'deadlineOf', [orderId]);
  const until = (await market.chain.nowSec()) + 10 * daySec;
  const { events } = await market.send('disputes', 'shipments', 'postpone', [orderId, until]);
  t.match(events, [{ name: 'SettlementPostponed', args: { orderId, until: BigInt(until) } }]);
  t.equal(await market.call('shipments', 'deadlineOf', [orderId]), transit, 'the goods are to arrive as before');
  await market.deliver(orderId);
  t.equal(await market.call('shipments', 'deadlineOf', [orderId]), BigInt(until));
});

t.test('with no claim window anybody settles from the second after the delivery on', async (t) => {
  const market = await opened(t);
  const orderId = await market.place({ claimSecMax: 0 });
  await market.send('supplier', 'shipments', 'accept', [orderId]);
  await market.dispatch(orderId, new VoyageDevice(1));
  await market.deliver(orderId);
  const { deliveredAt } = await market.order(orderId);
  const early = await refusal(market.call('shipments', 'settle', [orderId]));
  t.same([early?.reason, early?.args], ['DeadlineNotPassed', [orderId, deliveredAt, deliveredAt]]);
  await market.chain.mineAt(Number(deliveredAt) + 1);
  await market.send('stranger', 'shipments', 'settle', [orderId]);
  t.equal(await market.state(orderId), 'Settled');
});
