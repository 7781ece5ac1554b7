/** Silence over the real contracts: what it does to the order, the money, the truck and the parties. */
import t, { type Test } from 'tap';
import { addressOf, call, deploy, refusal, send, type Deployed, type FleetName } from '../helpers/chain.ts';
import { dispatchedAtSec, hex } from './fixture.ts';
import { excursionOf, quantity, truck, type Market } from './market.ts';
import { abiHeartbeat, sealHeartbeat } from './signs-of-life.ts';
import {
  at,
  breach,
  challengeSecMax,
  openVoyage,
  sailedSec,
  silenceSecMax,
  type SilentVoyage,
} from './silent-voyage.ts';
import { causes, consequences, dispositions, type Terms } from './terms.ts';

async function sail(
  t: Test,
  changesFor?: (market: Market) => Partial<Terms>,
  fleetName?: FleetName,
): Promise<SilentVoyage> {
  const voyage = await openVoyage(changesFor, fleetName);
  t.teardown(() => voyage.market.stop());
  return voyage;
}

async function conserved(t: Test, market: Market): Promise<void> {
  t.equal(await market.owed(), await market.held(), 'the money is all there');
}

t.test('a truck that is never heard of again: the order goes to the next supplier', async (t) => {
  const voyage = await sail(t);
  const { market, silence, orderId, device } = voyage;
  const lastSec = sailedSec - 60;
  await at(voyage, sailedSec + 1, 'proveHeartbeat', [orderId, abiHeartbeat(sealHeartbeat(device, lastSec))]);
  const reportedSec = lastSec + silenceSecMax + 1;
  const { events } = await breach(voyage, reportedSec);
  const order = await market.order(orderId);
  const digest = events[0]!.args['factDigest'];
  t.match(order, { state: 'Cancelled', cause: BigInt(causes.silence), evidenceDigest: digest, replacementId: 2n });
  t.match(await market.order(2n), { state: 'Placed', supplier: market.address('secondSupplier') });
  t.equal(await market.call('fleet', 'isLocked', [truck]), true, 'the truck goes to the workshop');
  await conserved(t, market);
  const again = { reason: 'OrderNotInTransit', args: [orderId, 6n] };
  t.match(await refusal(send(silence, 'declareBreach', [orderId])), again, 'once');
  t.match(await refusal(send(silence, 'reportSilence', [2n])), { reason: 'OrderNotInTransit' });
});

t.test('a device that was offline, and is heard of within the challenge', async (t) => {
  const voyage = await sail(t);
  const { market, orderId, device } = voyage;
  await at(voyage, sailedSec + 1, 'reportSilence', [orderId]);
  const proof = abiHeartbeat(sealHeartbeat(device, sailedSec - 600));
  await at(voyage, sailedSec + 1 + challengeSecMax, 'disprove', [orderId, proof]);
  t.equal(await market.state(orderId), 'InTransit');
  await market.deliver(orderId);
  await market.send('buyer', 'shipments', 'settle', [orderId]);
  t.equal(await market.state(orderId), 'Settled');
  await conserved(t, market);
});

t.test('a carrier revokes its own device to void the evidence against it', async (t) => {
  const voyage = await sail(t);
  const { market, orderId, device } = voyage;
  const evidence = excursionOf(device);
  await market.send('carrier', 'registry', 'revoke', [hex(device.device), dispatchedAtSec]);
  t.match(await refusal(market.report(orderId, evidence)), { reason: 'DeviceNotValid' }, 'which it does');
  await at(voyage, sailedSec + 1, 'reportSilence', [orderId]);
  const proof = abiHeartbeat(sealHeartbeat(device, sailedSec));
  const disproof = refusal(at(voyage, sailedSec + 60, 'disprove', [orderId, proof]));
  t.match(await disproof, { reason: 'DeviceNotValid' }, 'and its signs of life as well');
  await at(voyage, sailedSec + 2 + challengeSecMax, 'declareBreach', [orderId]);
  t.match(await market.order(orderId), { state: 'Cancelled', cause: BigInt(causes.silence), replacementId: 2n });
  await conserved(t, market);
});

t.test('goods set aside for silence, and released: the watch begins anew', async (t) => {
  const voyage = await sail(t, (market) => ({
    consequence: consequences.quarantine,
    quality: { authority: market.address('authority'), decisionSecMax: 86_400 },
  }));
  const { market, silence, orderId } = voyage;
  await breach(voyage, sailedSec + 1);
  t.match(await market.order(orderId), { state: 'Quarantined', cause: BigInt(causes.silence) });
  const watch = async (): Promise<unknown> => ((await call(silence, 'watchOf', [orderId])) as { state: bigint }).state;
  t.equal(await watch(), 3n, 'breached');
  await conserved(t, market);
  const releasedSec = sailedSec + challengeSecMax + 100;
  await market.chain.setNextTime(releasedSec);
  const reason = `0x${'11'.repeat(32)}`;
  await market.send('authority', 'shipments', 'dispose', [orderId, dispositions.released, quantity, reason]);
  t.equal(await watch(), 1n, 'monitored');
  const early = refusal(at(voyage, releasedSec + silenceSecMax, 'reportSilence', [orderId]));
  t.match(await early, { reason: 'SilenceTooShort' });
  await breach(voyage, releasedSec + silenceSecMax + 1);
  t.equal(await market.state(orderId), 'Quarantined', 'by a silence of its own');
});

t.test('goods that arrive while the silence may be disproved have arrived', async (t) => {
  const voyage = await sail(t);
  const { market, orderId } = voyage;
  await at(voyage, sailedSec + 1, 'reportSilence', [orderId]);
  await market.deliver(orderId);
  const late = refusal(at(voyage, sailedSec + 2 + challengeSecMax, 'declareBreach', [orderId]));
  t.match(await late, { reason: 'OrderNotInTransit', args: [orderId, 4n] });
  t.equal(await market.state(orderId), 'Delivered');
});

t.test('a breach with too little gas is none', async (t) => {
  const voyage = await sail(t);
  const { market, silence, orderId } = voyage;
  await at(voyage, sailedSec + 1, 'reportSilence', [orderId]);
  await market.chain.mineAt(sailedSec + 2 + challengeSecMax);
  for (const gasLimit of [60_000n, 150_000n, 280_000n]) {
    const sent = refusal(send(silence, 'declareBreach', [orderId], { by: market.parties.stranger, gasLimit }));
    t.ok(await sent, `${gasLimit}`);
    t.equal(await market.state(orderId), 'InTransit');
  }
  await send(silence, 'declareBreach', [orderId]);
  t.equal(await market.call('fleet', 'isLocked', [truck]), true, 'with the repair, which no caller can starve');
});

t.test('a Fleet that declares the breach again, from within', async (t) => {
  const voyage = await sail(t, undefined, 'RelapsingFleet');
  const { market, silence } = voyage;
  const fleet = market.contracts.fleet as Deployed<'RelapsingFleet'>;
  await send(fleet, 'setSilence', [silence.target]);
  await breach(voyage, sailedSec + 1);
  const refused = await call(fleet, 'refusal');
  t.equal(refused, silence.interface.getError('OrderNotInTransit')!.selector, 'finds the order ended');
  t.equal(await market.call('shipments', 'orderCount'), 2n, 'and replaced once');
  t.equal(await market.call('fleet', 'isLocked', [truck]), true, 'with one repair');
  await conserved(t, market);
});

t.test('nobody else is a monitor', async (t) => {
  const voyage = await sail(t);
  const { market, orderId } = voyage;
  const other = await deploy(market.parties.stranger, 'Silence', [market.contracts.shipments.target]);
  const sent = refusal(send(other, 'reportSilence', [orderId]));
  t.match(await sent, { reason: 'MonitorNot', args: [orderId, addressOf(voyage.silence)] });
});
