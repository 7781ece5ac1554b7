/** Goods set aside: who disposes of them, what it does to the money, and what of the past still counts. */
import t, { type Test } from 'tap';
import { refusal } from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { makeEvidence } from './fixture.ts';
import { excursionOf, Market, price, quantity, truck } from './market.ts';
import { factDigest, prepare, reach, reasonDigest, wholeTerms } from './order-moves.ts';
import { causes, dispositions } from './terms.ts';

async function opened(t: Test): Promise<Market> {
  const market = await Market.open();
  t.teardown(() => market.stop());
  await prepare(market, 'quarantine');
  return market;
}

const dispose = (market: Market, orderId: bigint, disposition: number, released: bigint) =>
  market.send('authority', 'shipments', 'dispose', [orderId, disposition, released, reasonDigest]);

t.test('quarantine moves no money, and locks the truck', async (t) => {
  const market = await opened(t);
  const orderId = await reach(market, 'InTransit', 'quarantine');
  const { events } = await market.report(orderId, excursionOf(new VoyageDevice(1)));
  t.same(
    events.map(({ name }) => name),
    ['ExcursionProved', 'OrderQuarantined', 'RepairRequested'],
  );
  const suspendedAt = BigInt(await market.chain.nowSec());
  t.match(await market.order(orderId), { state: 'Quarantined', cause: 1n, ticketId: 1n, suspendedAt });
  t.equal(await market.call('fleet', 'isLocked', [truck]), true);
  t.equal(await market.held(), price);
  t.equal(await market.credit('buyer'), 0n);
});

t.test('a disposition and its quantity must fit', async (t) => {
  const market = await opened(t);
  const orderId = await reach(market, 'Quarantined', 'quarantine');
  const rows: [number, bigint][] = [
    [dispositions.released, 0n],
    [dispositions.released, quantity - 1n],
    [dispositions.released, quantity + 1n],
    [dispositions.partlyReleased, 0n],
    [dispositions.partlyReleased, quantity],
    [dispositions.partlyReleased, quantity + 1n],
    [dispositions.rejected, 1n],
    [dispositions.rejected, quantity],
  ];
  for (const [disposition, released] of rows) {
    const refused = await refusal(dispose(market, orderId, disposition, released));
    t.same(
      [refused?.reason, refused?.args],
      ['DispositionInvalid', [BigInt(disposition), released, quantity]],
      `${disposition}: ${released}`,
    );
  }
  t.equal(await market.state(orderId), 'Quarantined');
});

t.test('a part is paid to the unit, rounded down for the supplier', async (t) => {
  const market = await opened(t);
  const snapshots = [await market.chain.snapshot()];
  for (const released of [1n, 10n, quantity - 1n]) {
    const orderId = await reach(market, 'Quarantined', 'quarantine');
    const { events } = await dispose(market, orderId, dispositions.partlyReleased, released);
    const amount = (price * released) / quantity;
    t.match(events, [
      { name: 'OrderDisposed', args: { disposition: 1n, quantityReleased: released, reasonDigest } },
      { name: 'OrderSettled', args: { supplier: market.address('supplier'), amount } },
      { name: 'OrderRefunded', args: { buyer: market.address('buyer'), amount: price - amount } },
    ]);
    t.equal(await market.credit('supplier'), amount, `${released} of ${quantity}`);
    t.equal(await market.credit('buyer'), price - amount);
    t.equal(await market.held(), await market.owed());
    await market.chain.revert(snapshots.pop()!);
    snapshots.push(await market.chain.snapshot());
  }
});

t.test('released goods go on, and are not judged twice', async (t) => {
  const market = await opened(t);
  const orderId = await reach(market, 'Quarantined', 'quarantine');
  const evidence = excursionOf(new VoyageDevice(1));
  t.equal((await refusal(market.report(orderId, evidence)))?.reason, 'EvidenceAlreadyUsed');
  await dispose(market, orderId, dispositions.released, quantity);
  const releasedAt = await market.chain.nowSec();
  t.match(await market.order(orderId), { state: 'InTransit', judgedFrom: BigInt(releasedAt) });
  const transit = BigInt(releasedAt + 14 * 86_400);
  t.equal(await market.call('shipments', 'deadlineOf', [orderId]), transit, 'with the whole transit time');
  t.equal((await refusal(market.report(orderId, evidence)))?.reason, 'SampleBeforeDispatch');
  await market.chain.mineAt(releasedAt + 3_600);
  const before = makeEvidence(new VoyageDevice(1), { fromSec: releasedAt - 1 });
  const refused = await refusal(market.report(orderId, before));
  t.same([refused?.reason, refused?.args], ['SampleBeforeDispatch', [BigInt(releasedAt - 1), BigInt(releasedAt)]]);
  await market.report(orderId, makeEvidence(new VoyageDevice(1), { fromSec: releasedAt }));
  t.match(await market.order(orderId), { state: 'Quarantined', ticketId: 2n }, 'what comes after it is');
});

t.test('no evidence is left for delivered goods that were released', async (t) => {
  const market = await opened(t);
  const orderId = await reach(market, 'Delivered', 'quarantine');
  const { deliveredAt } = await market.order(orderId);
  await market.report(orderId, excursionOf(new VoyageDevice(1)));
  await market.chain.mineAt((await market.chain.nowSec()) + 86_400);
  await dispose(market, orderId, dispositions.released, quantity);
  const releasedAt = await market.chain.nowSec();
  t.match(await market.order(orderId), { state: 'Delivered', deliveredAt, judgedFrom: BigInt(releasedAt) });
  await market.chain.mineAt(releasedAt + 3_600);
  const early = makeEvidence(new VoyageDevice(1), { fromSec: Number(deliveredAt) - 900 });
  t.equal((await refusal(market.report(orderId, early)))?.reason, 'SampleBeforeDispatch');
  const late = makeEvidence(new VoyageDevice(1), { fromSec: releasedAt });
  t.equal((await refusal(market.report(orderId, late)))?.reason, 'SampleInFuture');
  await market.send('disputes', 'shipments', 'conclude', [orderId, factDigest, causes.attested]);
  t.match(await market.order(orderId), { state: 'Quarantined', cause: 4n }, 'an attested fact still counts');
});

t.test('rejected goods are replaced, with the escrow', async (t) => {
  const market = await opened(t);
  const orderId = await reach(market, 'Quarantined', 'quarantine');
  const { events } = await dispose(market, orderId, dispositions.rejected, 0n);
  t.match(events, [
    { name: 'OrderDisposed', args: { disposition: 2n, quantityReleased: 0n } },
    { name: 'OrderCancelled', args: { cause: 1n, reporter: market.address('authority') } },
    { name: 'OrderReplaced', args: { replacementId: 2n, supplier: market.address('secondSupplier') } },
  ]);
  t.match(await market.order(2n), { state: 'Placed', replacementOf: orderId, reorderCount: 1n });
  t.equal(await market.call('fleet', 'ticketCount'), 1n, 'the truck is in repair since the quarantine');
});

t.test('a truck whose repair failed at the quarantine is asked for again', async (t) => {
  const market = await Market.open({ fleetName: 'MoodyFleet' });
  t.teardown(() => market.stop());
  await prepare(market, 'quarantine');
  const orderId = await market.place(wholeTerms(market, 'quarantine'));
  await market.send('supplier', 'shipments', 'accept', [orderId]);
  await market.dispatch(orderId, new VoyageDevice(1));
  await market.send('stranger', 'fleet', 'setMood', [1]);
  await market.send('monitor', 'shipments', 'conclude', [orderId, factDigest, causes.silence]);
  t.match(await market.order(orderId), { state: 'Quarantined', ticketId: 0n });
  await market.send('stranger', 'fleet', 'setMood', [0]);
  await market.send('stranger', 'shipments', 'requestRepair', [orderId]);
  t.equal((await market.order(orderId)).ticketId, 1n);
});
