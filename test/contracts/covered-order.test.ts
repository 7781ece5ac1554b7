/** One order through all the contracts that its terms may name: reconciled, insured, warm, cancelled, paid out. */
import { id, toBeHex } from 'ethers';
import t from 'tap';
import { addressOf, call, deploy, refusal, send } from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { makeEvidence } from './fixture.ts';
import { deployCover, insure } from './covered-order.ts';
import { Market, price, truck } from './market.ts';
import { prepare, wholeTerms } from './order-moves.ts';

t.test('an order that is reconciled and insured, and breaks its terms', async (t) => {
  const market = await Market.open();
  t.teardown(() => market.stop());
  await prepare(market, 'reorder');
  const { deployer, buyer, supplier, carrier } = market.parties;
  const cover = await deployCover(market);
  const reconciliation = await deploy(deployer, 'Reconciliation', [market.contracts.shipments.target]);
  const named = { cover: addressOf(cover), reconciliation: addressOf(reconciliation) };
  const orderId = await market.place({ ...wholeTerms(market, 'reorder'), ...named });
  await insure(market, cover, orderId);
  await market.send('supplier', 'shipments', 'accept', [orderId]);
  const device = new VoyageDevice(1);
  const copy = Array.from({ length: 8 }, (_, field) => toBeHex(field + 1, 32));
  for (const by of [buyer, supplier]) await send(reconciliation, 'submit', [orderId, copy], { by });
  await send(reconciliation, 'submit', [orderId, copy.with(2, id('another quantity'))], { by: carrier });
  t.equal((await refusal(market.dispatch(orderId, device)))?.reason, 'NotReconciled', 'while the copies differ');
  await send(reconciliation, 'submit', [orderId, copy], { by: carrier });
  await market.dispatch(orderId, device);
  const fromSec = await market.chain.nowSec();
  await market.chain.mineAt(fromSec + 3_600);

  const { events } = await market.report(orderId, makeEvidence(new VoyageDevice(1), { fromSec }));
  t.same(
    events.map(({ name }) => name),
    ['ExcursionProved', 'OrderCancelled', 'OrderReplaced', 'RepairRequested', 'CoverRequested'],
  );
  t.equal(await call(cover, 'creditOf', [buyer.address, market.contracts.token.target]), price, 'the payout');
  t.equal(await market.call('fleet', 'isLocked', [truck]), true);
  t.match(await market.order(2n), { state: 'Placed', replacementOf: orderId }, 'the replacement, uninsured');
  t.equal(await market.held(), await market.owed());
});
