/** The cover that an order's terms name: whatever it does, the fact's consequence stands. */
import { id } from 'ethers';
import t, { type Test } from 'tap';
import { addressOf, call, deploy, refusal, send, type Deployed } from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { abiEvidence, dispatchedAtSec } from './fixture.ts';
import { excursionOf, Market, price } from './market.ts';
import { factDigest, prepare, wholeTerms, type Mode } from './order-moves.ts';
import { causes, dispositions } from './terms.ts';

const moods = ['Honest', 'Reverting', 'BurningAllGas', 'AnsweringTooMuch', 'CallingBack'] as const;

type Covered = { market: Market; cover: Deployed<'MoodyCover'>; orderId: bigint };

async function covered(t: Test, mode: Mode = 'reorder'): Promise<Covered> {
  const market = await Market.open();
  t.teardown(() => market.stop());
  await prepare(market, mode);
  const cover = await deploy(market.parties.deployer, 'MoodyCover');
  const orderId = await market.place({ ...wholeTerms(market, mode), cover: addressOf(cover) });
  await market.send('supplier', 'shipments', 'accept', [orderId]);
  await market.dispatch(orderId, new VoyageDevice(1));
  await market.chain.mineAt(dispatchedAtSec + 3_600);
  return { market, cover, orderId };
}

const evidence = () => excursionOf(new VoyageDevice(1));

for (const mood of moods) {
  t.test(`a cover that is ${mood} does not stop the cancellation`, async (t) => {
    const { market, cover, orderId } = await covered(t);
    const { shipments } = market.contracts;
    const reenter = shipments.interface.encodeFunctionData('reportExcursion', [orderId, abiEvidence(evidence())]);
    await send(cover, 'setMood', [moods.indexOf(mood), reenter]);
    const { events } = await market.report(orderId, evidence());
    const isDone = mood !== 'Reverting' && mood !== 'BurningAllGas';
    t.same(
      events.map(({ name }) => name),
      [
        ...['ExcursionProved', 'OrderCancelled', 'OrderReplaced', 'RepairRequested'],
        isDone ? 'CoverRequested' : 'CoverRequestFailed',
      ],
    );
    t.match(await market.order(orderId), { state: 'Cancelled', ticketId: 1n, isCoverRequested: isDone });
    t.equal(await market.held(), await market.owed());
    const guard = id('ReentrancyGuardReentrantCall()').slice(0, 10);
    if (mood === 'CallingBack') t.equal(await call(cover, 'answer'), guard, 'it cannot come back in');
    if (mood === 'Reverting') {
      const retried = await refusal(market.send('stranger', 'shipments', 'requestCover', [orderId]));
      t.ok(retried, 'a request that fails again says so');
    }
    if (!isDone) {
      await send(cover, 'setMood', [0, '0x']);
      await market.send('stranger', 'shipments', 'requestCover', [orderId]);
    }
    t.equal(await call(cover, 'requestCount'), 1n, 'anyone may ask again');
    const again = await refusal(market.send('stranger', 'shipments', 'requestCover', [orderId]));
    t.same([again?.reason, again?.args], ['CoverAlreadyRequested', [orderId, addressOf(cover)]], 'once');
  });
}

t.test('a cover that comes back by another door changes nothing that is decided', async (t) => {
  const { market, cover, orderId } = await covered(t, 'quarantine');
  const { shipments } = market.contracts;
  const rows = [
    ['expire', [orderId]],
    ['settle', [orderId]],
    ['dispose', [orderId, dispositions.rejected, 0n, factDigest]],
    ['deliver', [orderId, 33n]],
  ] as const;
  for (const [method, args] of rows) {
    const snapshot = await market.chain.snapshot();
    await send(cover, 'setMood', [moods.indexOf('CallingBack'), shipments.interface.encodeFunctionData(method, args)]);
    await market.report(orderId, evidence());
    t.match(await market.order(orderId), { state: 'Quarantined', isCoverRequested: true }, method);
    t.equal(await market.held(), price);
    await market.chain.revert(snapshot);
  }
});

t.test('a quarantine asks the cover too', async (t) => {
  const { market, cover, orderId } = await covered(t, 'quarantine');
  await market.report(orderId, evidence());
  t.match(await market.order(orderId), { state: 'Quarantined', isCoverRequested: true });
  t.equal(await call(cover, 'requestCount'), 1n);
});

t.test('a cover is for what a device proved, several runs together included', async (t) => {
  const { market, cover, orderId } = await covered(t);
  const snapshot = await market.chain.snapshot();
  await market.send('stranger', 'shipments', 'reportCumulative', [orderId, [abiEvidence(evidence())]]);
  t.equal(await call(cover, 'requestCount'), 1n);
  await market.chain.revert(snapshot);
  const rows = [
    ['monitor', causes.silence],
    ['disputes', causes.attested],
  ] as const;
  for (const [party, cause] of rows) {
    const before = await market.chain.snapshot();
    await market.send(party, 'shipments', 'conclude', [orderId, factDigest, cause]);
    t.match(await market.order(orderId), { state: 'Cancelled', ticketId: 1n, isCoverRequested: false });
    const refused = await refusal(market.send('stranger', 'shipments', 'requestCover', [orderId]));
    t.same([refused?.reason, refused?.args], ['CoverNotDue', [orderId, addressOf(cover), BigInt(cause)]]);
    await market.chain.revert(before);
  }
  t.equal(await call(cover, 'requestCount'), 0n);
});

t.test('a held order asks nobody before it is cancelled', async (t) => {
  const { market, cover, orderId } = await covered(t, 'tripped');
  await market.report(orderId, evidence());
  t.equal(await call(cover, 'requestCount'), 0n);
  await market.send('approver', 'shipments', 'approveHeld', [orderId]);
  await market.send('secondApprover', 'shipments', 'approveHeld', [orderId]);
  t.equal(await call(cover, 'requestCount'), 1n);
});

t.test('no choice of gas makes the cover or the repair fail by itself', async (t) => {
  const { market, cover, orderId } = await covered(t);
  const args = [orderId, abiEvidence(evidence())];
  let isDone = 0;
  for (let gasLimit = 240_000n; gasLimit <= 600_000n; gasLimit += 7_500n) {
    const snapshot = await market.chain.snapshot();
    const refused = await refusal(market.send('stranger', 'shipments', 'reportExcursion', args, gasLimit));
    if (refused === undefined) {
      isDone += 1;
      t.match(await market.order(orderId), { ticketId: 1n, isCoverRequested: true }, `with ${gasLimit} gas both stand`);
    } else {
      t.equal(await market.state(orderId), 'InTransit', `with ${gasLimit} gas nothing has happened`);
    }
    await market.chain.revert(snapshot);
  }
  t.ok(isDone > 0, `${isDone} reports had enough gas`);
  t.equal(await call(cover, 'requestCount'), 0n);
});
