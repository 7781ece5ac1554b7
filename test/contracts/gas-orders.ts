/** Gas of an order's rarer moves, whole transactions, on Osaka. gas.test.ts calls it. */
import type { MethodOf } from '@coldproof/contracts';
import { addressOf } from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { abiEvidence, dispatchedAtSec, makeEvidence } from './fixture.ts';
import { deployCover, insure } from './covered-order.ts';
import { excursionOf, Market, quantity, type PartyName } from './market.ts';
import { prepare, reach, reasonDigest, wholeTerms, type Mode } from './order-moves.ts';
import { dispositions } from './terms.ts';

const evidence = (): unknown => abiEvidence(excursionOf(new VoyageDevice(1)));

export async function measure(): Promise<Record<string, bigint>> {
  return { ...(await measureEnds()), ...(await measureQuarantine()), ...(await measureHeld()) };
}

async function opened<T>(mode: Mode, body: (market: Market) => Promise<T>): Promise<T> {
  const market = await Market.open();
  try {
    await prepare(market, mode);
    return await body(market);
  } finally {
    await market.stop();
  }
}

async function used(
  market: Market,
  by: PartyName,
  method: MethodOf<'Shipments'>,
  args: readonly unknown[],
): Promise<bigint> {
  return (await market.send(by, 'shipments', method, args)).gasUsed;
}

function measureEnds(): Promise<Record<string, bigint>> {
  return opened('reorder', async (market) => {
    const orderId = await reach(market, 'InTransit', 'reorder');
    const snapshot = await market.chain.snapshot();
    const signature = await market.signDelivery(orderId, quantity);
    const signed = await used(market, 'carrier', 'deliverSigned', [orderId, quantity, signature]);
    await market.chain.revert(snapshot);
    const device = new VoyageDevice(1);
    const runs = [dispatchedAtSec, dispatchedAtSec + 1_200].map((fromSec) =>
      abiEvidence(makeEvidence(device, { sizes: [8], fromSec })),
    );
    const cumulative = await used(market, 'stranger', 'reportCumulative', [orderId, runs]);
    return { deliverSigned: signed, 'report 2 runs of 8 samples': cumulative, ...(await measureCovered(market)) };
  });
}

/** The second order of a carrier that breaks its terms, with a policy on it. */
async function measureCovered(market: Market): Promise<Record<string, bigint>> {
  const cover = await deployCover(market);
  const truck = `0x${'c0'.repeat(32)}`;
  await market.registerTruck(truck);
  const orderId = await market.place({ ...wholeTerms(market, 'reorder'), cover: addressOf(cover) });
  await insure(market, cover, orderId);
  await market.send('supplier', 'shipments', 'accept', [orderId]);
  await market.dispatch(orderId, new VoyageDevice(1), truck);
  const fromSec = await market.chain.nowSec();
  await market.chain.mineAt(fromSec + 3_600);
  const late = abiEvidence(makeEvidence(new VoyageDevice(1), { fromSec }));
  return {
    'report 16 samples in 1 batch, with cover': await used(market, 'stranger', 'reportExcursion', [orderId, late]),
  };
}

function measureQuarantine(): Promise<Record<string, bigint>> {
  return opened('quarantine', async (market) => {
    const orderId = await reach(market, 'InTransit', 'quarantine');
    const quarantined = await used(market, 'stranger', 'reportExcursion', [orderId, evidence()]);
    const gas: Record<string, bigint> = { 'report 16 samples in 1 batch, to quarantine': quarantined };
    for (const [name, released] of [
      ['released', quantity],
      ['partlyReleased', 10n],
      ['rejected', 0n],
    ] as const) {
      const snapshot = await market.chain.snapshot();
      const args = [orderId, dispositions[name], released, reasonDigest];
      gas[`dispose: ${name}`] = await used(market, 'authority', 'dispose', args);
      await market.chain.revert(snapshot);
    }
    return gas;
  });
}

function measureHeld(): Promise<Record<string, bigint>> {
  return opened('tripped', async (market) => {
    const orderId = await reach(market, 'InTransit', 'tripped');
    return {
      'report 16 samples in 1 batch, to be held': await used(market, 'stranger', 'reportExcursion', [
        orderId,
        evidence(),
      ]),
      'approveHeld, the first': await used(market, 'approver', 'approveHeld', [orderId]),
      'approveHeld, the second': await used(market, 'secondApprover', 'approveHeld', [orderId]),
    };
  });
}
