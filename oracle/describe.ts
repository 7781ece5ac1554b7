/** Orders, actions and devices as the API and the events say them. Times are Unix seconds, but for those in ms. */
import type { ChainHead, Device, Order } from './store-chain.ts';
import type { ActionSummary } from './store-page.ts';
import type { Store } from './store.ts';
import { describeOrder, finalityOf } from './status.ts';

export { describeFinding } from './status.ts';

export type Finality = 'provisional' | 'safe' | 'final';

/** Without its actions, which have a life of their own. */
export function describeShipment(store: Store, order: Order, head: ChainHead | undefined) {
  const { carrier, consignee } = order.terms;
  const deliveredAt = order.deliveredAtSec === 0 ? null : order.deliveredAtSec;
  return { ...describeOrder(store, order, head), action: undefined, carrier, consignee, deliveredAt };
}

/** What the oracle does on the chain about an order, and how far that has got. */
export function describeAction(action: ActionSummary, head: ChainHead | undefined) {
  const { id, orderId, state, reason, createdMs, transactionHash, blockNumber, blockHash, gasUsed } = action;
  const finality: Finality | null = blockNumber === null ? null : finalityOf(blockNumber, head);
  return { id, orderId, state, reason, createdMs, transactionHash, blockNumber, blockHash, gasUsed, finality };
}

export function describeDevice(device: Device, nowSec: number) {
  const { device: id, publicKey, owner, asset, validFromSec, revokedFromSec } = device;
  const { calibrationDigest, calibrationUntilSec } = device;
  return {
    ...{ device: id, publicKey, owner, asset, validFrom: validFromSec, revokedFrom: revokedFromSec ?? null },
    ...{ calibrationDigest, calibrationUntil: calibrationUntilSec, isCalibrated: nowSec < calibrationUntilSec },
  };
}
