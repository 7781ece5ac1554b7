/** What the parties of the demonstration sign before anything is placed: the terms, and how each of them agrees. */
import { randomBytes } from 'node:crypto';
import type { Limit } from '@coldproof/wire';
import type { Address } from '../chain-abi.ts';
import type { Signatory, Transmitter } from '../chain-account.ts';
import type { DeployedContract, DevelopmentChain } from '../development-chain.ts';

export type Offer = {
  readonly token: Address;
  /** In the token's smallest unit. */
  readonly price: bigint;
  /** Pallets. */
  readonly quantity: number;
  readonly buyer: Signatory;
  readonly carrier: Signatory & Transmitter;
  /** In the order in which they are asked. */
  readonly suppliers: readonly Signatory[];
  readonly limit: Limit;
};

const nobody = `0x${'00'.repeat(20)}`;
const daySec = 86_400;

/**
 * IAgreements.Terms. The buyer takes the goods itself, an excursion reorders them at once, and neither silence nor
 * attested facts have a consequence: everything in the demonstration is proved.
 */
export function termsOf({ token, price, quantity, buyer, carrier, suppliers, limit }: Offer, offerUntilSec: number) {
  const { sampleGapSecMax, ...allowance } = limit;
  return {
    ...{ token, price, quantity, buyer: buyer.address, consignee: buyer.address, carrier: carrier.address },
    suppliers: suppliers.map(({ address }) => address),
    limits: [allowance],
    sampleGapSecMax,
    ...{ dispatchSecMax: 2 * daySec, transitSecMax: 7 * daySec, claimSecMax: daySec },
    ...{ consequence: 0, reorderCountMax: suppliers.length - 1 },
    quality: { authority: nobody, decisionSecMax: 0 },
    silence: { monitor: nobody, silenceSecMax: 0, challengeSecMax: 0 },
    attested: {
      ...{ disputes: nobody, arbiter: nobody, bond: 0, livenessSecMin: 0, arbitrationSecMax: 0 },
      cryptlets: [],
    },
    ...{ cover: nobody, reconciliation: nobody },
    offerUntil: offerUntilSec,
    salt: `0x${randomBytes(32).toString('hex')}`,
  };
}

/** All parties sign the same digest (EIP-712), and the carrier, like anybody could, lodges the agreement. */
export async function agree(chain: DevelopmentChain, agreements: DeployedContract, offer: Offer): Promise<bigint> {
  const terms = termsOf(offer, (await chain.nowSec()) + daySec);
  const digest = await chain.view(agreements, 'digestTerms', [terms]);
  if (typeof digest !== 'string') throw new TypeError('digestTerms: expected 32 bytes');
  const parties = [offer.buyer, offer.carrier, ...offer.suppliers];
  const signatures = parties.map((party) => party.signDigest(digest));
  const { events } = await chain.sendAs(offer.carrier, agreements, 'agree', [terms, signatures]);
  const agreementId = events.find(({ name }) => name === 'AgreementMade')?.args['agreementId'];
  if (typeof agreementId !== 'bigint') throw new Error('agree: no event AgreementMade');
  return agreementId;
}
