/** What the transmitter's parts share: their settings, their ports, and how an action becomes a call. */
import { assert } from '@coldproof/wire';
import type { Call, Chain } from './chain.ts';
import type { Transmitter } from './chain-account.ts';
import type { Clock } from './clock.ts';
import type { Fence } from './lease.ts';
import type { Log } from './log-line.ts';
import type { OrderState } from './store-chain.ts';
import type { Action, ActionRecord } from './store-outbox.ts';
import type { Store } from './store.ts';

/** Places where a test kills the process. Does nothing in production. */
export type CrashPoint = (
  name:
    | 'log-committed'
    | 'evaluation-committed'
    | 'transmit-planned'
    | 'transmit-signed'
    | 'transmit-stored'
    | 'transmit-sent'
    | 'transmit-recorded'
    | 'transmit-mined'
    | 'transmit-confirmed',
) => void;

export type TransmitPolicy = {
  /** Most that a unit of gas may cost. */
  readonly feeWeiMax: bigint;
  /** Most that may be spent in any 24 hours: what was spent, and what open transactions may come to. */
  readonly spendWeiMaxPerDay?: bigint | undefined;
  /** An attempt that is in no block after this is sent again, byte for byte. */
  readonly resendMs: number;
  /** The lowest nonce that is in no block after this gets a dearer attempt. */
  readonly bumpMs: number;
  /** What cannot be done now is looked at again after this. */
  readonly retryMs: number;
};

export type TransmitDeps = {
  readonly chain: Chain;
  readonly transmitter: Transmitter;
  readonly store: Store;
  /** Real time: blocks do not follow a demonstration's clock. */
  readonly pace: Clock;
  readonly log: Log;
  readonly crashPoint: CrashPoint;
  readonly fence?: Fence;
};

/** A fact can still end the order. */
export const openStates: readonly OrderState[] = ['InTransit', 'Delivered'];
/** A fact has. */
export const endedStates: readonly OrderState[] = ['Cancelled', 'Quarantined', 'Held'];

/** Written by the evaluation and by the network only. */
export function recordOf({ evidence }: Action): ActionRecord {
  return JSON.parse(evidence) as ActionRecord;
}

export function callOf(action: Action, { contracts }: Chain): Call {
  const record = recordOf(action);
  const contract = 'contract' in record ? record.contract : 'Shipments';
  const to = contracts[contract];
  assert(to !== undefined, `an action for ${contract} is made only when its address is configured`);
  return { to, calldata: record.calldata };
}
