/** Tokens that call back, take a fee, answer false or freeze: none of them costs another party anything. */
import { id } from 'ethers';
import t, { type Test } from 'tap';
import { addressOf, call, deploy, refusal, send, type TokenName } from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { abiEvidence } from './fixture.ts';
import { excursionOf, Market, price } from './market.ts';

async function opened(t: Test, tokenName: TokenName): Promise<Market> {
  const market = await Market.open({ tokenName });
  t.teardown(() => market.stop());
  return market;
}

t.test('a token that takes a fee is refused with what came in', async (t) => {
  const market = await opened(t, 'FeeToken');
  const refused = await refusal(market.place());
  t.equal(refused?.reason, 'AmountReceivedNot');
  t.same(refused?.args, [(price * 99n) / 100n, price]);
  t.equal(await market.held(), 0n);
  t.equal(await market.call('shipments', 'orderCount'), 0n);
});

t.test('a token that answers false is refused', async (t) => {
  const market = await opened(t, 'FalseToken');
  t.equal((await refusal(market.place()))?.reason, 'SafeERC20FailedOperation');
  t.equal(await market.call('shipments', 'orderCount'), 0n);
});

t.test('a token cannot make a guarded move from within a transfer', async (t) => {
  const market = await opened(t, 'ReentrantToken');
  const { token, shipments } = market.contracts;
  const evidence = abiEvidence(excursionOf(new VoyageDevice(1)));
  const second = await market.agree({ buyer: addressOf(token) });
  const rows: [string, unknown[]][] = [
    ['place', [second]],
    ['withdraw', [token.target]],
    ['reportExcursion', [1n, evidence]],
    ['reportCumulative', [1n, [evidence]]],
    ['conclude', [1n, id('fact'), 3]],
    ['applyHeld', [1n]],
    ['requestRepair', [1n]],
    ['requestCover', [1n]],
  ];
  for (const [method, args] of rows) {
    const snapshot = await market.chain.snapshot();
    const agreementId = await market.agree();
    await market.fund(price);
    await send(token, 'arm', [shipments.target, shipments.interface.encodeFunctionData(method, args)]);
    await market.send('buyer', 'shipments', 'place', [agreementId]);
    t.equal(await market.call('token', 'hasSucceeded'), false, `${method} from within place`);
    t.equal(await market.call('token', 'answer'), id('ReentrancyGuardReentrantCall()').slice(0, 10), method);
    t.equal(await market.call('shipments', 'orderCount'), 1n);
    await market.chain.revert(snapshot);
  }
});

t.test('a token that is its own supplier withdraws its credit once', async (t) => {
  const market = await opened(t, 'ReentrantToken');
  const { token, shipments } = market.contracts;
  const { orderId, device } = await market.sail(1);
  await market.deliver(orderId);
  await market.send('buyer', 'shipments', 'settle', [orderId]);
  const own = await market.place({ suppliers: [addressOf(token)] });
  await market.send('stranger', 'token', 'accept', [shipments.target, own]);
  await market.dispatch(own, device);
  await market.deliver(own);
  await market.send('buyer', 'shipments', 'settle', [own]);
  const reenter = token.interface.encodeFunctionData('withdraw', [shipments.target]);
  await send(token, 'arm', [token.target, reenter]);
  await market.send('stranger', 'token', 'withdraw', [shipments.target]);
  t.equal(await market.call('token', 'hasSucceeded'), false, 'withdraw from within withdraw');
  t.equal(await market.balance(addressOf(token)), price, 'its own credit and no more');
  t.equal(await market.held(), price, "the first supplier's credit is untouched");
});

t.test('a token that freezes stops its own holders alone', async (t) => {
  const market = await opened(t, 'FrozenToken');
  const { orderId } = await market.sail();
  const good = await deploy(market.parties.deployer, 'TestToken');
  await send(good, 'mint', [market.address('buyer'), price]);
  await send(good, 'approve', [market.contracts.shipments.target, price], { by: market.parties.buyer });
  const agreementId = await market.agree({ token: addressOf(good) });
  await market.send('buyer', 'shipments', 'place', [agreementId]);
  await market.report(orderId, excursionOf(new VoyageDevice(1)));
  t.equal(await market.state(orderId), 'Cancelled', 'the cancellation moves no token');
  await market.send('buyer', 'shipments', 'cancel', [3n]);
  t.ok(await refusal(market.send('buyer', 'shipments', 'withdraw', [market.contracts.token.target])), 'frozen');
  t.equal(await market.credit('buyer'), price, 'and still credited');
  await market.send('buyer', 'shipments', 'cancel', [2n]);
  await market.send('buyer', 'shipments', 'withdraw', [good.target]);
  t.equal(await call(good, 'balanceOf', [market.address('buyer')]), price, 'the other token is paid out');
});
