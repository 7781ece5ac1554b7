/** Who asks, and what they may see. Pure. A thing that a caller may not see is not there for them: 404, not 403. */
import type { Order } from '../store-chain.ts';
import { scopes, type Scope, type Token } from '../token-file.ts';

export type Principal = {
  /** A token's id, 'loopback' while there are no tokens, or 'nobody'. */
  readonly id: string;
  readonly scopes: ReadonlySet<Scope>;
  /** Lower-case address; undefined for all parties. */
  readonly party?: string;
  readonly orders?: ReadonlySet<string>;
  readonly channels?: ReadonlySet<number>;
};

/** While no token exists, who is on this machine may do everything: as with every file of the oracle. */
export const loopback: Principal = { id: 'loopback', scopes: new Set(scopes) };
export const nobody: Principal = { id: 'nobody', scopes: new Set() };

export function principalOf({ id, scopes: granted, party, orders, channels }: Token): Principal {
  return {
    id,
    scopes: new Set(granted),
    ...(party === null ? {} : { party }),
    ...(orders === null ? {} : { orders: new Set(orders) }),
    ...(channels === null ? {} : { channels: new Set(channels) }),
  };
}

/** Sees every order and every device. */
export function isUnrestricted({ party, orders }: Principal): boolean {
  return party === undefined && orders === undefined;
}

export function canSeeOrder({ party, orders }: Principal, order: Order): boolean {
  if (orders?.has(order.orderId) === false) return false;
  if (party === undefined) return true;
  const { buyer, carrier, consignee } = order.terms;
  return [buyer, order.buyer.toLowerCase(), order.supplier.toLowerCase(), carrier, consignee].includes(party);
}

/** The owner sees its devices; who is restricted to orders sees theirs through the orders. */
export function canSeeDevice(principal: Principal, owner: string): boolean {
  if (isUnrestricted(principal)) return true;
  return principal.orders === undefined && principal.party === owner.toLowerCase();
}

export function canSeeChannel({ channels }: Principal, channel: number): boolean {
  return channels?.has(channel) !== false;
}
