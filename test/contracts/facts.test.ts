/** Which facts count for an order, from whom, and until when. */
import { id, ZeroAddress } from 'ethers';
import t, { type Test } from 'tap';
import { refusal } from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { abiEvidence, channel, dispatchedAtSec, hex, makeEvidence } from './fixture.ts';
import { excursionOf, Market } from './market.ts';
import { factDigest, prepare, reach, wholeTerms } from './order-moves.ts';
import { causes, limit } from './terms.ts';

async function opened(t: Test): Promise<Market> {
  const market = await Market.open();
  t.teardown(() => market.stop());
  await prepare(market, 'reorder');
  return market;
}

t.test('of two who report the same evidence the first is heard, and nothing moves twice', async (t) => {
  const market = await opened(t);
  const orderId = await reach(market, 'InTransit', 'reorder');
  const evidence = excursionOf(new VoyageDevice(1));
  const { events } = await market.report(orderId, evidence, 'stranger');
  t.match(events[0], {
    name: 'ExcursionProved',
    args: { channel: BigInt(channel), reporter: market.address('stranger') },
  });
  t.match(events[1], { name: 'OrderCancelled', args: { cause: 1n, reporter: market.address('stranger') } });
  const before = await market.order(orderId);
  const second = await refusal(market.report(orderId, evidence, 'buyer'));
  t.same([second?.reason, second?.args], ['EvidenceAlreadyUsed', [before.evidenceDigest]]);
  t.same(await market.order(orderId), before);
  t.equal(await market.call('shipments', 'orderCount'), 2n, 'one replacement');
  t.equal(await market.call('fleet', 'ticketCount'), 1n, 'one repair');
  t.equal(await market.held(), await market.owed());
});

t.test('evidence of the transit counts after the delivery, to its second, until the order is settled', async (t) => {
  const market = await opened(t);
  const orderId = await reach(market, 'InTransit', 'reorder');
  const deliveredAt = (await market.chain.nowSec()) + 60;
  await market.chain.setNextTime(deliveredAt);
  await market.deliver(orderId);
  await market.chain.mineAt(deliveredAt + 3_600);
  const upTo = (lastSec: number) => makeEvidence(new VoyageDevice(1), { fromSec: lastSec - 900 });
  const late = await refusal(market.report(orderId, upTo(deliveredAt + 1)));
  t.same([late?.reason, late?.args], ['SampleInFuture', [BigInt(deliveredAt + 1), BigInt(deliveredAt)]]);
  const snapshot = await market.chain.snapshot();
  await market.report(orderId, upTo(deliveredAt));
  t.equal(await market.state(orderId), 'Cancelled');
  await market.chain.revert(snapshot);
  await market.chain.mineAt(deliveredAt + 3 * 86_400 + 1);
  await market.send('supplier', 'shipments', 'settle', [orderId]);
  const settled = await refusal(market.report(orderId, upTo(deliveredAt)));
  t.equal(settled?.reason, 'OrderStateNot');
});

t.test('each limited channel has limits of its own; others have none', async (t) => {
  const market = await opened(t);
  const strict = { ...limit, channel: 17, excursionSecMin: 1_800 };
  const orderId = await market.place({ limits: [strict, limit] });
  await market.send('supplier', 'shipments', 'accept', [orderId]);
  await market.dispatch(orderId, new VoyageDevice(1));
  await market.chain.mineAt(dispatchedAtSec + 3_600);
  const evidence = excursionOf(new VoyageDevice(1));
  const other = await refusal(market.report(orderId, { ...evidence, channel: 18 }));
  t.same([other?.reason, other?.args], ['ChannelNotInTerms', [18n, 0n]]);
  t.equal((await refusal(market.report(orderId, { ...evidence, channel: 0 })))?.reason, 'ChannelNotInTerms');
  t.equal((await refusal(market.report(orderId, { ...evidence, channel: 17 })))?.reason, 'SeriesNotInBatch');
  await market.report(orderId, evidence);
  t.equal(await market.state(orderId), 'Cancelled');
});

t.test('short excursions break the terms together', async (t) => {
  const market = await opened(t);
  const orderId = await reach(market, 'InTransit', 'reorder');
  const device = new VoyageDevice(1);
  const runs = [dispatchedAtSec, dispatchedAtSec + 1_200].map((fromSec) =>
    abiEvidence(makeEvidence(device, { sizes: [6], fromSec })),
  );
  const report = (...some: unknown[]) => market.send('stranger', 'shipments', 'reportCumulative', [orderId, some]);
  t.equal((await refusal(report(runs[0])))?.reason, 'CumulativeTooShort', '300 s of 600');
  const none = await refusal(report());
  t.same([none?.reason, none?.args], ['RunCountOutOfRange', [0n, 32n]]);
  const { events } = await report(...runs);
  t.match(events[0], { name: 'ExcursionProved', args: { startedAt: BigInt(dispatchedAtSec), durationSec: 600n } });
  t.match(await market.order(orderId), {
    state: 'Cancelled',
    cause: 2n,
    evidenceDigest: events[0]!.args['evidenceDigest'],
  });
  t.equal((await refusal(report(...runs)))?.reason, 'OrderStateNot', 'once');
});

t.test('terms without a cumulative allowance have none', async (t) => {
  const market = await opened(t);
  const orderId = await market.place();
  await market.send('supplier', 'shipments', 'accept', [orderId]);
  await market.dispatch(orderId, new VoyageDevice(1));
  await market.chain.mineAt(dispatchedAtSec + 3_600);
  const runs = [abiEvidence(excursionOf(new VoyageDevice(1)))];
  const refused = await refusal(market.send('stranger', 'shipments', 'reportCumulative', [orderId, runs]));
  t.same([refused?.reason, refused?.args], ['CumulativeNotInTerms', [BigInt(channel)]]);
});

t.test('a device must be valid to the end of the last of several runs', async (t) => {
  const market = await opened(t);
  const orderId = await reach(market, 'InTransit', 'reorder');
  const device = new VoyageDevice(1);
  const runs = [dispatchedAtSec, dispatchedAtSec + 1_200].map((fromSec) =>
    abiEvidence(makeEvidence(device, { sizes: [6], fromSec })),
  );
  const report = () => market.send('stranger', 'shipments', 'reportCumulative', [orderId, runs]);
  const endedAt = dispatchedAtSec + 1_500;
  await market.send('carrier', 'registry', 'revoke', [hex(device.device), endedAt + 1]);
  const snapshot = await market.chain.snapshot();
  await report();
  t.equal(await market.state(orderId), 'Cancelled', 'valid to the second before');
  await market.chain.revert(snapshot);
  await market.send('carrier', 'registry', 'revoke', [hex(device.device), endedAt]);
  const refused = await refusal(report());
  t.same(
    [refused?.reason, refused?.args],
    ['DeviceNotValid', [hex(device.device), BigInt(dispatchedAtSec), BigInt(endedAt)]],
  );
});

t.test('each cause is concluded by the one contract that the terms name for it', async (t) => {
  const market = await opened(t);
  const orderId = await reach(market, 'InTransit', 'reorder');
  const named: Record<number, string> = {
    [causes.silence]: market.address('monitor'),
    [causes.attested]: market.address('disputes'),
  };
  for (const cause of Object.values(causes)) {
    for (const party of ['monitor', 'disputes', 'deployer', 'arbiter', 'buyer'] as const) {
      const want = named[cause] ?? ZeroAddress;
      if (want === market.address(party)) continue;
      const refused = await refusal(market.send(party, 'shipments', 'conclude', [orderId, factDigest, cause]));
      t.same([refused?.reason, refused?.args], ['CauseNotOfCaller', [BigInt(cause), market.address(party), want]]);
    }
  }
  await market.send('disputes', 'shipments', 'conclude', [orderId, factDigest, causes.attested]);
  t.match(await market.order(orderId), { state: 'Cancelled', cause: 4n, evidenceDigest: factDigest });
});

t.test('terms that name nobody leave nothing to conclude', async (t) => {
  const market = await opened(t);
  const { limits } = wholeTerms(market, 'reorder');
  const orderId = await market.place({ limits: limits! });
  await market.send('supplier', 'shipments', 'accept', [orderId]);
  await market.dispatch(orderId, new VoyageDevice(1));
  for (const cause of [causes.silence, causes.attested]) {
    const refused = await refusal(market.send('monitor', 'shipments', 'conclude', [orderId, id('fact'), cause]));
    t.equal(refused?.reason, 'CauseNotOfCaller');
  }
  t.equal((await refusal(market.send('disputes', 'shipments', 'postpone', [orderId, 1])))?.reason, 'CallerNot');
});
