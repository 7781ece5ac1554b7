/** A policy and three copies of an order over the real contracts, beside the plain way of covered-order.test. */
import t, { type Test } from 'tap';
import { addressOf, call, deploy, refusal, send, type Deployed } from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { deployCover, insure, premium } from './covered-order.ts';
import { dispatchedAtSec } from './fixture.ts';
import { excursionOf, Market, price, type PartyName } from './market.ts';

const device = new VoyageDevice(1);

async function opened(t: Test): Promise<{ market: Market; cover: Deployed<'CargoCover'> }> {
  const market = await Market.open();
  t.teardown(() => market.stop());
  await market.enrol(device);
  await market.registerTruck();
  return { market, cover: await deployCover(market) };
}

async function acceptAndDispatch(market: Market, orderId: bigint): Promise<void> {
  await market.send('supplier', 'shipments', 'accept', [orderId]);
  await market.dispatch(orderId, device);
  await market.chain.mineAt(dispatchedAtSec + 86_400);
}

const creditOf = (market: Market, cover: Deployed<'CargoCover'>, party: PartyName): Promise<unknown> =>
  call(cover, 'creditOf', [market.address(party), market.contracts.token.target]);

t.test('a payout comes once, and the replacement can have a policy of its own', async (t) => {
  const { market, cover } = await opened(t);
  const orderId = await market.place({ cover: addressOf(cover) });
  await insure(market, cover, orderId);
  await acceptAndDispatch(market, orderId);
  await market.report(orderId, excursionOf(new VoyageDevice(1)));
  t.equal(await creditOf(market, cover, 'buyer'), price);
  const asked = await refusal(market.send('stranger', 'shipments', 'requestCover', [orderId]));
  t.equal(asked?.reason, 'CoverAlreadyRequested');
  t.equal((await refusal(send(cover, 'settleClaim', [orderId])))?.reason, 'PolicyNotActive', 'nor by the other way');
  await insure(market, cover, 2n);
  t.equal(await creditOf(market, cover, 'arbiter'), 2n * premium);
});

t.test('a policy over an order whose terms do not name the cover pays when it is asked', async (t) => {
  const { market, cover } = await opened(t);
  const orderId = await market.place();
  await insure(market, cover, orderId);
  await acceptAndDispatch(market, orderId);
  t.equal((await refusal(send(cover, 'settleClaim', [orderId])))?.reason, 'ExcursionNotProved');
  await market.report(orderId, excursionOf(new VoyageDevice(1)));
  t.equal(await creditOf(market, cover, 'buyer'), 0n);
  await send(cover, 'settleClaim', [orderId]);
  t.equal(await creditOf(market, cover, 'buyer'), price);
});

t.test('cover is taken before dispatch, and is free again when the goods have been paid for', async (t) => {
  const { market, cover } = await opened(t);
  const orderId = await market.place({ cover: addressOf(cover) });
  await insure(market, cover, orderId);
  await acceptAndDispatch(market, orderId);
  const bare = await market.place({ cover: addressOf(cover) });
  await market.send('supplier', 'shipments', 'accept', [bare]);
  await market.dispatch(bare, device);
  t.equal((await refusal(insure(market, cover, bare)))?.reason, 'OrderNotCoverable');
  await market.deliver(orderId);
  t.equal((await refusal(send(cover, 'release', [orderId])))?.reason, 'PolicyNotReleasable');
  await market.send('buyer', 'shipments', 'settle', [orderId]);
  await send(cover, 'release', [orderId]);
  t.equal(await call(cover, 'reservedOf', [market.address('arbiter'), market.contracts.token.target]), 0n);
});

t.test('an order that is never reconciled expires, and its buyer is refunded', async (t) => {
  const { market } = await opened(t);
  const reconciliation = await deploy(market.parties.deployer, 'Reconciliation', [market.contracts.shipments.target]);
  const orderId = await market.place({ reconciliation: addressOf(reconciliation) });
  await market.send('supplier', 'shipments', 'accept', [orderId]);
  t.equal((await refusal(market.dispatch(orderId, device)))?.reason, 'NotReconciled');
  await market.chain.mineAt(Number(await market.call('shipments', 'deadlineOf', [orderId])) + 1);
  await market.send('stranger', 'shipments', 'expire', [orderId]);
  t.equal(await market.credit('buyer'), price);
});
