/** An order with a policy on it, over the real contracts. */
import { addressOf, deploy, send, type Deployed } from '../helpers/chain.ts';
import { quoteTypes } from './insurance.ts';
import { price, type Market } from './market.ts';
import { domainOf } from './truck-book.ts';

export const premium = price / 50n;

export async function deployCover(market: Market): Promise<Deployed<'CargoCover'>> {
  return deploy(market.parties.deployer, 'CargoCover', [market.contracts.shipments.target]);
}

/** The arbiter's house insures the goods at their price; the buyer takes it. */
export async function insure(market: Market, cover: Deployed<'CargoCover'>, orderId: bigint): Promise<void> {
  const { arbiter: insurer, buyer } = market.parties;
  const { token } = market.contracts;
  await send(token, 'mint', [insurer.address, price]);
  await send(token, 'approve', [cover.target, price], { by: insurer });
  await send(cover, 'deposit', [token.target, price], { by: insurer });
  await send(token, 'mint', [buyer.address, premium]);
  await send(token, 'approve', [cover.target, premium], { by: buyer });
  const quote = {
    insurer: insurer.address,
    buyer: buyer.address,
    orderId,
    token: token.target,
    premium,
    payout: price,
    validUntil: (await market.chain.nowSec()) + 3_600,
  };
  const domain = domainOf(addressOf(cover), market.chain.chainId);
  await send(cover, 'take', [quote, await insurer.signTypedData(domain, quoteTypes, quote)], { by: buyer });
}
