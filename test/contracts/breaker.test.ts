/** Too many of a carrier's orders cancelled of late: the next is held, for two approvers or three days. */
import { encodeBytes32String, id, ZeroAddress } from 'ethers';
import t, { type Test } from 'tap';
import { refusal, type Sent } from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { hex, startSec } from './fixture.ts';
import { excursionOf, Market, price } from './market.ts';
import { prepare, reach, trip, wholeTerms } from './order-moves.ts';
import { causes, type Terms } from './terms.ts';

const hourSec = 3_600;
const daySec = 86_400;

async function opened(t: Test): Promise<Market> {
  const market = await Market.open();
  t.teardown(() => market.stop());
  await prepare(market, 'reorder');
  return market;
}

/** On the road, in a truck of its own. */
async function sail(market: Market, truck: string, changes: Partial<Terms> = {}): Promise<bigint> {
  const orderId = await market.place({ ...wholeTerms(market, 'reorder'), ...changes });
  const name = encodeBytes32String(truck);
  await market.registerTruck(name);
  await market.send('supplier', 'shipments', 'accept', [orderId]);
  await market.send('carrier', 'shipments', 'dispatchOrder', [orderId, hex(new VoyageDevice(1).device), name]);
  return orderId;
}

async function concludeAt(market: Market, timeSec: number, orderId: bigint): Promise<Sent> {
  await market.chain.setNextTime(timeSec);
  const args = [orderId, id(`fact ${orderId}`), causes.silence];
  return market.send('monitor', 'shipments', 'conclude', args, 700_000n);
}

t.test('the breaker has bounds, and is set by the risk officer alone', async (t) => {
  const market = await opened(t);
  t.same([...((await market.call('shipments', 'breaker')) as bigint[])], [8n, BigInt(daySec)], 'as deployed');
  const rows: [number, number][] = [
    [0, daySec],
    [9, daySec],
    [1, hourSec - 1],
    [1, 30 * daySec + 1],
  ];
  for (const [countMax, windowSec] of rows) {
    const refused = await refusal(market.send('riskOfficer', 'shipments', 'setBreaker', [countMax, windowSec]));
    t.same([refused?.reason, refused?.args], ['BreakerOutOfRange', [BigInt(countMax), BigInt(windowSec)]]);
  }
  for (const party of ['deployer', 'guardian', 'approver', 'carrier', 'stranger'] as const) {
    const refused = await refusal(market.send(party, 'shipments', 'setBreaker', [8, daySec]));
    t.equal(refused?.reason, 'AccessManagedUnauthorized', party);
  }
  for (const [countMax, windowSec] of [
    [1, hourSec],
    [8, 30 * daySec],
  ]) {
    const { events } = await market.send('riskOfficer', 'shipments', 'setBreaker', [countMax, windowSec]);
    t.match(events, [{ name: 'BreakerSet', args: { countMax: BigInt(countMax!), windowSec: BigInt(windowSec!) } }]);
  }
});

t.test('the window slides: each order is held that would be one too many in it, to the second', async (t) => {
  const market = await opened(t);
  await market.send('riskOfficer', 'shipments', 'setBreaker', [2, hourSec]);
  const orders: bigint[] = [];
  for (let i = 0; i < 4; i++) orders.push(await sail(market, `TRUCK-1${i}`));
  const [first, second, third, fourth] = orders;
  const firstAt = startSec + daySec;
  await concludeAt(market, firstAt, first!);
  await concludeAt(market, firstAt + 1_800, second!);
  t.equal(await market.state(second!), 'Cancelled', 'two are allowed');
  const snapshot = await market.chain.snapshot();
  await concludeAt(market, firstAt + hourSec, third!);
  t.equal(await market.state(third!), 'Held', 'the third within the hour is held');
  await concludeAt(market, firstAt + hourSec + 1, fourth!);
  t.equal(await market.state(fourth!), 'Cancelled', 'a held one does not count');
  await market.chain.revert(snapshot);
  await concludeAt(market, firstAt + hourSec + 1, third!);
  t.equal(await market.state(third!), 'Cancelled', 'a second later the first is out of the window');
  await concludeAt(market, firstAt + 1_800 + hourSec, fourth!);
  t.equal(await market.state(fourth!), 'Held', 'and the second is still in it');
});

t.test('eight are counted', async (t) => {
  const market = await opened(t);
  for (let i = 0; i < 9; i++) {
    const orderId = await sail(market, `TRUCK-1${i}`);
    await concludeAt(market, (await market.chain.nowSec()) + 60, orderId);
    t.equal(await market.state(orderId), i < 8 ? 'Cancelled' : 'Held', `order ${i + 1}`);
  }
});

t.test("one carrier's breaker is not another's", async (t) => {
  const market = await opened(t);
  await trip(market);
  const device = new VoyageDevice(2);
  await market.enrol(device, 'stranger');
  const truck = encodeBytes32String('TRUCK-9');
  await market.send('stranger', 'fleet', 'registerTruck', [truck, 1]);
  const orderId = await market.place({ ...wholeTerms(market, 'reorder'), carrier: market.address('stranger') });
  await market.send('supplier', 'shipments', 'accept', [orderId]);
  await market.send('stranger', 'shipments', 'dispatchOrder', [orderId, hex(device.device), truck]);
  await market.send('monitor', 'shipments', 'conclude', [orderId, id('fact'), causes.silence]);
  t.equal(await market.state(orderId), 'Cancelled');
});

t.test('held: nothing happens but that the fact is kept', async (t) => {
  const market = await opened(t);
  await trip(market);
  const tickets = await market.call('fleet', 'ticketCount');
  const orderId = await reach(market, 'InTransit', 'tripped');
  const { events } = await market.report(orderId, excursionOf(new VoyageDevice(1)));
  t.same(
    events.map(({ name }) => name),
    ['ExcursionProved', 'OrderHeld'],
  );
  const held = await market.order(orderId);
  t.match(held, { state: 'Held', cause: 1n, replacementId: 0n, ticketId: 0n, approver: ZeroAddress });
  t.equal(held.evidenceDigest, events[0]!.args['evidenceDigest']);
  t.equal(await market.call('fleet', 'ticketCount'), tickets);
  t.equal(await market.held(), await market.owed());
});

t.test('two distinct approvers apply it', async (t) => {
  const market = await opened(t);
  await trip(market);
  const orderId = await reach(market, 'Held', 'tripped');
  const first = await market.send('approver', 'shipments', 'approveHeld', [orderId]);
  t.match(first.events, [{ name: 'HeldApproved', args: { orderId, approver: market.address('approver') } }]);
  t.match(await market.order(orderId), { state: 'Held', approver: market.address('approver') });
  const again = await refusal(market.send('approver', 'shipments', 'approveHeld', [orderId]));
  t.same([again?.reason, again?.args], ['ApproverNotDistinct', [orderId, market.address('approver')]]);
  const second = await market.send('secondApprover', 'shipments', 'approveHeld', [orderId]);
  t.same(
    second.events.map(({ name }) => name),
    ['HeldApproved', 'OrderCancelled', 'OrderReplaced', 'RepairRequested'],
  );
  t.match(await market.order(orderId), { state: 'Cancelled', cause: 1n });
  const late = await refusal(market.send('secondApprover', 'shipments', 'approveHeld', [orderId]));
  t.equal(late?.reason, 'OrderStateNot', 'once');
});

t.test('nobody can deny a fact: after three days anybody applies it, without any approver', async (t) => {
  const market = await opened(t);
  await trip(market);
  const orderId = await reach(market, 'Held', 'tripped');
  await market.chain.mineAt((await market.chain.nowSec()) + 3 * daySec + 1);
  const { events } = await market.send('stranger', 'shipments', 'applyHeld', [orderId]);
  t.same(
    events.map(({ name }) => name),
    ['OrderCancelled', 'OrderReplaced', 'RepairRequested'],
  );
  t.equal(await market.held(), await market.owed());
});

t.test('the list of suppliers is walked as often as the terms allow, then the buyer is refunded', async (t) => {
  const market = await opened(t);
  const suppliers = ['supplier', 'secondSupplier', 'workshop'] as const;
  const addresses = suppliers.map((each) => market.address(each));
  for (const [reorderCountMax, walked] of [
    [0, 1],
    [1, 2],
    [2, 3],
    [8, 3],
  ] as const) {
    const snapshot = await market.chain.snapshot();
    let orderId = await market.place({ ...wholeTerms(market, 'reorder'), suppliers: addresses, reorderCountMax });
    for (let i = 0; i < walked; i++) {
      const truck = encodeBytes32String(`TRUCK-1${i}`);
      await market.registerTruck(truck);
      await market.send(suppliers[i]!, 'shipments', 'accept', [orderId]);
      await market.send('carrier', 'shipments', 'dispatchOrder', [orderId, hex(new VoyageDevice(1).device), truck]);
      await market.send('monitor', 'shipments', 'conclude', [orderId, id('fact'), causes.silence]);
      t.equal(await market.held(), await market.owed());
      const { replacementId } = await market.order(orderId);
      if (i < walked - 1) orderId = replacementId;
      else t.equal(replacementId, 0n, `${reorderCountMax} replacements at most`);
    }
    t.equal((await market.order(orderId)).reorderCount, BigInt(walked - 1));
    t.equal(await market.credit('buyer'), price);
    await market.chain.revert(snapshot);
  }
});
