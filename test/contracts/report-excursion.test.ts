/** Cancel, carry over, reorder, repair: once, in one transaction, whatever an attacker or a side effect does. */
import t, { type Test } from 'tap';
import { bytesEqual, type Evidence, type ExcursionClaim } from '@coldproof/wire';
import { refusal } from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { abiEvidence, claimFor, dispatchedAtSec, hex, makeEvidence } from './fixture.ts';
import { listCases } from './evidence-attacks.ts';
import { excursionOf, Market, price, truck } from './market.ts';
import { closeTicket } from './truck-book.ts';

/** Some attacks are on claims of their own: another device, other terms, another now. */
function isOfThisOrder({ device, terms, dispatchedAtSec: atSec, nowSec }: ExcursionClaim): boolean {
  const own = claimFor(new VoyageDevice(1));
  return (
    bytesEqual(device, own.device) && terms === own.terms && atSec === own.dispatchedAtSec && nowSec === own.nowSec
  );
}

const noDigest = `0x${'00'.repeat(32)}`;

async function sailing(t: Test, options: Parameters<typeof Market.open>[0] = {}, terms: Record<string, unknown> = {}) {
  const market = await Market.open(options);
  t.teardown(() => market.stop());
  return { market, ...(await market.sail(1, terms)) };
}

/** A device that sealed nothing before, with the key of seed 1. */
function evidence(sizes: readonly number[] = [16]): Evidence {
  return excursionOf(new VoyageDevice(1), sizes);
}

for (const hardFork of ['osaka', 'prague'] as const) {
  t.test(`one report does everything, on ${hardFork}`, async (t) => {
    const { market, orderId } = await sailing(t, { hardFork });
    const heldBefore = await market.held();
    const { events } = await market.report(orderId, evidence([4, 12]));
    t.same(
      events.map(({ name }) => name),
      ['ExcursionProved', 'OrderCancelled', 'OrderReplaced', 'RepairRequested'],
    );
    t.match(events[0]!.args, { startedAt: BigInt(dispatchedAtSec), durationSec: 900n, peakCentiC: 825n });
    const cancelled = await market.order(orderId);
    const replacement = await market.order(2n);
    t.match(cancelled, { state: 'Cancelled', replacementId: 2n, replacementOf: 0n, ticketId: 1n });
    t.equal(
      cancelled.evidenceDigest,
      await market.call('shipments', 'digestEvidence', [abiEvidence(evidence([4, 12]))]),
    );
    const supplier = market.address('secondSupplier');
    t.match(replacement, {
      state: 'Placed',
      supplier,
      replacementOf: orderId,
      replacementId: 0n,
      evidenceDigest: noDigest,
    });
    t.equal(replacement.buyer, market.address('buyer'));
    t.equal(await market.held(), heldBefore, 'no money moved');
    t.equal(await market.held(), await market.owed());
    t.equal(await market.call('fleet', 'isLocked', [truck]), true);
  });
}

t.test('each attack is refused by the order with its own reason and changes nothing', async (t) => {
  const { market, orderId } = await sailing(t);
  const before = await market.order(orderId);
  for (const { name, reason, evidence, claim } of listCases()) {
    if (reason === 'accepted' || !isOfThisOrder(claim)) continue;
    const refused = await refusal(market.call('shipments', 'reportExcursion', [orderId, abiEvidence(evidence)]));
    t.equal(refused?.reason, reason, name);
    const sent = await refusal(market.report(orderId, evidence));
    t.equal(sent?.reason, reason, `${name}, sent`);
  }
  t.same(await market.order(orderId), before);
  t.equal(await market.call('shipments', 'orderCount'), 1n);
  t.equal(await market.call('fleet', 'ticketCount'), 0n);
  t.equal(await market.held(), await market.owed());
});

t.test('the same evidence twice, other evidence after it, and evidence of a replacement', async (t) => {
  const { market, orderId } = await sailing(t);
  await market.report(orderId, evidence());
  t.equal((await refusal(market.report(orderId, evidence())))?.reason, 'EvidenceAlreadyUsed');
  const sameBatches = { ...evidence(), count: 1 };
  t.equal((await refusal(market.report(orderId, sameBatches)))?.reason, 'EvidenceAlreadyUsed', 'however it is cut');
  t.equal((await refusal(market.report(orderId, evidence([3, 13]))))?.reason, 'OrderStateNot', 'other evidence');
  t.equal(
    (await refusal(market.report(2n, evidence())))?.reason,
    'OrderStateNot',
    'a replacement that is not on the road',
  );
  t.equal(await market.call('shipments', 'orderCount'), 2n);
  t.equal(await market.call('fleet', 'ticketCount'), 1n);
});

t.test('evidence from an earlier shipment of the same device does not end a later one', async (t) => {
  const { market, orderId, device } = await sailing(t);
  const early = evidence();
  await market.report(orderId, early);
  await market.send('secondSupplier', 'shipments', 'accept', [2n]);
  const locked = await refusal(market.dispatch(2n, device));
  t.equal(locked?.reason, 'TruckInRepair');
  await closeTicket(market, 1n);
  await market.dispatch(2n, device);
  t.equal((await refusal(market.report(2n, early)))?.reason, 'SampleBeforeDispatch');
  const nowSec = await market.chain.nowSec();
  await market.chain.mineAt(nowSec + 3_600);
  const late = makeEvidence(new VoyageDevice(1), { fromSec: nowSec });
  t.equal((await refusal(market.report(orderId, late)))?.reason, 'OrderStateNot', 'nor the later the earlier');
  await market.report(2n, late);
  t.match(await market.order(2n), { state: 'Cancelled', replacementId: 0n }, 'no supplier is left');
  t.equal(await market.credit('buyer'), price, 'so the buyer is refunded');
  t.equal(await market.held(), await market.owed());
});

t.test('a device that is revoked for the time of the run proves nothing; revoked after it, it does', async (t) => {
  const { market, orderId, device } = await sailing(t);
  await market.send('carrier', 'registry', 'revoke', [hex(device.device), dispatchedAtSec + 901]);
  const snapshot = await market.chain.snapshot();
  await market.report(orderId, evidence());
  t.equal(await market.state(orderId), 'Cancelled', 'valid to the second before');
  await market.chain.revert(snapshot);
  await market.send('carrier', 'registry', 'revoke', [hex(device.device), dispatchedAtSec + 900]);
  const refused = await refusal(market.report(orderId, evidence()));
  t.equal(refused?.reason, 'DeviceNotValid');
  t.same(refused?.args, [hex(device.device), BigInt(dispatchedAtSec), BigInt(dispatchedAtSec + 900)]);
});

const moods = ['Reverting', 'BurningAllGas', 'AnsweringNothing', 'AnsweringTooMuch', 'AnsweringTheImpossible'] as const;

for (const [index, mood] of moods.entries()) {
  t.test(`a Fleet that is ${mood} does not stop the cancellation`, async (t) => {
    const { market, orderId } = await sailing(t, { fleetName: 'MoodyFleet' });
    await market.send('stranger', 'fleet', 'setMood', [index + 1]);
    const { events } = await market.report(orderId, evidence());
    t.same(
      events.map(({ name }) => name),
      ['ExcursionProved', 'OrderCancelled', 'OrderReplaced', 'RepairRequestFailed'],
    );
    t.match(await market.order(orderId), { state: 'Cancelled', replacementId: 2n, ticketId: 0n });
    t.equal(await market.held(), await market.owed());
    if (mood === 'Reverting') {
      const retried = await refusal(market.send('stranger', 'shipments', 'requestRepair', [orderId]));
      t.ok(retried, 'a repair that fails again says so');
    }
    await market.send('stranger', 'fleet', 'setMood', [0]);
    await market.send('stranger', 'shipments', 'requestRepair', [orderId]);
    t.equal((await market.order(orderId)).ticketId, 1n, 'anyone may ask again');
    const again = await refusal(market.send('stranger', 'shipments', 'requestRepair', [orderId]));
    t.equal(again?.reason, 'RepairAlreadyRequested', 'once');
    t.equal(await market.call('fleet', 'isLocked', [truck]), true);
  });
}

t.test('no choice of gas makes the repair fail by itself', async (t) => {
  const { market, orderId } = await sailing(t);
  const snapshots = [await market.chain.snapshot()];
  let isDone = 0;
  for (let gasLimit = 60_000n; gasLimit <= 520_000n; gasLimit += 10_000n) {
    const args = [orderId, abiEvidence(evidence())];
    const refused = await refusal(market.send('stranger', 'shipments', 'reportExcursion', args, gasLimit));
    if (refused === undefined) {
      isDone += 1;
      t.equal((await market.order(orderId)).ticketId, 1n, `with ${gasLimit} gas the ticket stands`);
    } else {
      t.equal(await market.state(orderId), 'InTransit', `with ${gasLimit} gas nothing has happened`);
    }
    await market.chain.revert(snapshots.pop()!);
    snapshots.push(await market.chain.snapshot());
  }
  t.ok(isDone > 0, `${isDone} reports had enough gas`);
  const args = [orderId, abiEvidence(evidence())];
  const refused = await refusal(market.call('shipments', 'reportExcursion', args, { gasLimit: 320_000n }));
  t.equal(refused?.reason, 'GasTooLow', 'and the caller is told');
});

t.test('requestRepair is for cancelled orders', async (t) => {
  const { market, orderId } = await sailing(t);
  t.equal((await refusal(market.send('stranger', 'shipments', 'requestRepair', [orderId])))?.reason, 'OrderStateNot');
});

t.test('verifyExcursion answers as reportExcursion acts, and stores nothing', async (t) => {
  const { market, orderId } = await sailing(t);
  const proved = await market.call('shipments', 'verifyExcursion', [orderId, abiEvidence(evidence())]);
  t.same([...(proved as bigint[])], [BigInt(dispatchedAtSec), 900n, 825n]);
  t.equal(await market.state(orderId), 'InTransit');
  await market.report(orderId, evidence());
  const refused = await refusal(market.call('shipments', 'verifyExcursion', [orderId, abiEvidence(evidence())]));
  t.equal(refused?.reason, 'EvidenceAlreadyUsed');
});
