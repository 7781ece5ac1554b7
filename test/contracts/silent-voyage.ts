/** An order in transit whose terms name a Silence contract as their monitor, over the real contracts. */
import type { MethodOf } from '@coldproof/contracts';
import { addressOf, deploy, send, type Deployed, type FleetName, type Sent } from '../helpers/chain.ts';
import type { VoyageDevice } from '../helpers/voyage-device.ts';
import { dispatchedAtSec } from './fixture.ts';
import { Market } from './market.ts';
import type { Terms } from './terms.ts';

export const silenceSecMax = 6 * 3_600;
export const challengeSecMax = 12 * 3_600;
/** Market.sail leaves the clock here. */
export const sailedSec = dispatchedAtSec + 86_400;

export type SilentVoyage = { market: Market; silence: Deployed<'Silence'>; orderId: bigint; device: VoyageDevice };

export async function openVoyage(
  changesFor: (market: Market) => Partial<Terms> = () => ({}),
  fleetName: FleetName = 'Fleet',
): Promise<SilentVoyage> {
  const market = await Market.open({ fleetName });
  const silence = await deploy(market.parties.deployer, 'Silence', [market.contracts.shipments.target]);
  const watched = { monitor: addressOf(silence), silenceSecMax, challengeSecMax };
  return { market, silence, ...(await market.sail(1, { silence: watched, ...changesFor(market) })) };
}

/** By a stranger, at this time. */
export async function at(
  { market, silence }: SilentVoyage,
  timeSec: number,
  method: MethodOf<'Silence'>,
  args: readonly unknown[],
): Promise<Sent<'Silence'>> {
  await market.chain.setNextTime(timeSec);
  return send(silence, method, args, { by: market.parties.stranger });
}

/** Reports at this time and declares the breach as soon as may be. */
export async function breach(voyage: SilentVoyage, reportedSec: number): Promise<Sent<'Silence'>> {
  await at(voyage, reportedSec, 'reportSilence', [voyage.orderId]);
  return at(voyage, reportedSec + challengeSecMax + 1, 'declareBreach', [voyage.orderId]);
}
