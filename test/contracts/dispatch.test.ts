/** What the carrier needs to send an order off. */
import { ZeroHash } from 'ethers';
import t, { type Test } from 'tap';
import { addressOf, deploy, refusal, send, type RevertError } from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { dispatchedAtSec, hex } from './fixture.ts';
import { calibrationUntilSec, Market, truck } from './market.ts';
import { prepare, reach } from './order-moves.ts';
import type { Terms } from './terms.ts';

async function opened(t: Test): Promise<Market> {
  const market = await Market.open();
  t.teardown(() => market.stop());
  await prepare(market, 'reorder');
  return market;
}

t.test('dispatch asks for a device and a truck of the carrier, in order', async (t) => {
  const market = await opened(t);
  const orderId = await reach(market, 'Accepted', 'reorder');
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
  t.equal(await market.state(orderId), 'Accepted');
});

t.test('a device is dispatched until its calibration runs out, to the second', async (t) => {
  const market = await opened(t);
  const orderId = await market.place({ dispatchSecMax: 366 * 86_400 });
  await market.send('supplier', 'shipments', 'accept', [orderId]);
  const args = [orderId, hex(new VoyageDevice(1).device), truck];
  await market.chain.mineAt(calibrationUntilSec);
  const refused = await refusal(market.send('carrier', 'shipments', 'dispatchOrder', args));
  t.equal(refused?.reason, 'DeviceNotCalibrated');
  t.equal(refused?.args[1], BigInt(calibrationUntilSec));
});

t.test('the last second of the calibration is enough', async (t) => {
  const market = await opened(t);
  const orderId = await market.place({ dispatchSecMax: 366 * 86_400 });
  await market.send('supplier', 'shipments', 'accept', [orderId]);
  await market.chain.setNextTime(calibrationUntilSec - 1);
  await market.send('carrier', 'shipments', 'dispatchOrder', [orderId, hex(new VoyageDevice(1).device), truck]);
  t.equal(await market.state(orderId), 'InTransit');
});

t.test('an order whose terms ask for it is dispatched once its copies agree', async (t) => {
  const market = await opened(t);
  const reconciliation = await deploy(market.parties.deployer, 'ReconciliationDouble');
  const terms: Partial<Terms> = { reconciliation: addressOf(reconciliation) };
  const orderId = await market.place(terms);
  await market.send('supplier', 'shipments', 'accept', [orderId]);
  const device = new VoyageDevice(1);
  const refused = await refusal(market.dispatch(orderId, device));
  t.same([refused?.reason, refused?.args], ['NotReconciled', [orderId, reconciliation.target]]);
  await send(reconciliation, 'reconcile', [orderId]);
  await market.dispatch(orderId, device);
  const order = await market.order(orderId);
  t.match(order, { state: 'InTransit', device: hex(device.device), truck, evidenceDigest: ZeroHash });
  t.ok(order.dispatchedAt >= BigInt(dispatchedAtSec));
  t.equal(order.judgedFrom, order.dispatchedAt);
});
