/** Cover and reconciliation beside the real orders: what a voyage makes of them. */
import t, { type Test } from 'tap';
import { addressOf, call, deploy, refusal, send, type Deployed } from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { dispatchedAtSec, startSec } from './fixture.ts';
import { quoteTypes } from './insurance.ts';
import { excursionOf, Market, price, type PartyName } from './market.ts';
import { domainOf } from './truck-book.ts';

const device = new VoyageDevice(1);
const premium = 100n;
const payout = price;
const copy = Array.from({ length: 8 }, (_, i) => `0x${String(i + 1).repeat(64)}`);

/** A market with a device, a truck, and an insurer (the stranger) with enough capital for two payouts. */
async function insured(t: Test): Promise<{ market: Market; cover: Deployed<'CargoCover'> }> {
  const market = await Market.open();
  t.teardown(() => market.stop());
  await market.enrol(device);
  await market.registerTruck();
  const cover = await deploy(market.parties.deployer, 'CargoCover', [market.contracts.shipments.target]);
  const { token } = market.contracts;
  await send(token, 'mint', [market.address('stranger'), 2n * payout]);
  await send(token, 'approve', [cover.target, 2n * payout], { by: market.parties.stranger });
  await send(cover, 'deposit', [token.target, 2n * payout], { by: market.parties.stranger });
  return { market, cover };
}

async function take(market: Market, cover: Deployed<'CargoCover'>, orderId: bigint): Promise<void> {
  const { token } = market.contracts;
  await send(token, 'mint', [market.address('buyer'), premium]);
  await send(token, 'approve', [cover.target, premium], { by: market.parties.buyer });
  const quote = {
    insurer: market.address('stranger'),
    buyer: market.address('buyer'),
    orderId,
    token: addressOf(token),
    premium,
    payout,
    validUntil: startSec + 30 * 86_400,
  };
  const domain = domainOf(addressOf(cover), market.chain.chainId);
  const signature = await market.parties.stranger.signTypedData(domain, quoteTypes, quote);
  await send(cover, 'take', [quote, signature], { by: market.parties.buyer });
}

async function acceptAndDispatch(market: Market, orderId: bigint): Promise<void> {
  await market.send('supplier', 'shipments', 'accept', [orderId]);
  await market.dispatch(orderId, device);
  await market.chain.mineAt(dispatchedAtSec + 86_400);
}

const creditOf = (market: Market, cover: Deployed<'CargoCover'>, party: PartyName): Promise<unknown> =>
  call(cover, 'creditOf', [market.address(party), market.contracts.token.target]);

t.test('one report ends the order, and the buyer has the payout', async (t) => {
  const { market, cover } = await insured(t);
  const orderId = await market.place({ cover: addressOf(cover) });
  await take(market, cover, orderId);
  await acceptAndDispatch(market, orderId);
  t.equal((await refusal(take(market, cover, orderId)))?.reason, 'PolicyAlreadyTaken');
  const { events } = await market.report(orderId, excursionOf(new VoyageDevice(1)));
  t.ok(events.some(({ name }) => name === 'CoverRequested'));
  t.equal(await creditOf(market, cover, 'buyer'), payout);
  t.equal(await creditOf(market, cover, 'stranger'), payout + premium);
  const again = await refusal(market.send('stranger', 'shipments', 'requestCover', [orderId]));
  t.equal(again?.reason, 'CoverAlreadyRequested');
  const settled = await refusal(send(cover, 'settleClaim', [orderId], { by: market.parties.buyer }));
  t.equal(settled?.reason, 'PolicyNotActive', 'nor by the other way');
  await take(market, cover, 2n);
  t.equal(await creditOf(market, cover, 'stranger'), 2n * premium, 'the replacement has a policy of its own');
  t.equal(await market.held(), await market.owed());
});

t.test('a policy over an order whose terms do not name the cover pays when it is asked', async (t) => {
  const { market, cover } = await insured(t);
  const orderId = await market.place();
  await take(market, cover, orderId);
  await acceptAndDispatch(market, orderId);
  const early = await refusal(send(cover, 'settleClaim', [orderId]));
  t.equal(early?.reason, 'ExcursionNotProved');
  await market.report(orderId, excursionOf(new VoyageDevice(1)));
  t.equal(await creditOf(market, cover, 'buyer'), 0n);
  await send(cover, 'settleClaim', [orderId]);
  t.equal(await creditOf(market, cover, 'buyer'), payout);
});

t.test('cover is taken before dispatch, and is free again when the goods have been paid for', async (t) => {
  const { market, cover } = await insured(t);
  const orderId = await market.place({ cover: addressOf(cover) });
  await take(market, cover, orderId);
  await acceptAndDispatch(market, orderId);
  const bare = await market.place({ cover: addressOf(cover) });
  await market.send('supplier', 'shipments', 'accept', [bare]);
  await market.dispatch(bare, device);
  t.equal((await refusal(take(market, cover, bare)))?.reason, 'OrderNotCoverable');
  await market.deliver(orderId);
  t.equal((await refusal(send(cover, 'release', [orderId])))?.reason, 'PolicyNotReleasable');
  await market.send('buyer', 'shipments', 'settle', [orderId]);
  await send(cover, 'release', [orderId]);
  t.equal(await creditOf(market, cover, 'stranger'), 2n * payout + premium);
});

t.test('an order is dispatched once the three copies agree, and expires when they never do', async (t) => {
  const { market } = await insured(t);
  const reconciliation = await deploy(market.parties.deployer, 'Reconciliation', [market.contracts.shipments.target]);
  const orderId = await market.place({ reconciliation: addressOf(reconciliation) });
  await market.send('supplier', 'shipments', 'accept', [orderId]);
  const submit = (by: PartyName, changed = copy) =>
    send(reconciliation, 'submit', [orderId, changed], { by: market.parties[by] });
  const before = await market.chain.snapshot();
  await submit('buyer');
  await submit('supplier');
  await submit('carrier', [...copy.slice(1), copy[0]!]);
  t.equal((await refusal(market.dispatch(orderId, device)))?.reason, 'NotReconciled');
  await submit('carrier');
  await market.dispatch(orderId, device);
  t.equal((await refusal(submit('buyer')))?.reason, 'SubmissionClosed');
  await market.chain.revert(before);
  await market.chain.mineAt(Number(await market.call('shipments', 'deadlineOf', [orderId])) + 1);
  await market.send('stranger', 'shipments', 'expire', [orderId]);
  t.equal(await market.credit('buyer'), price, 'no copy holds money back');
});
