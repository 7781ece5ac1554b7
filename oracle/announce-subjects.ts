/** What events are about: orders, devices, findings and actions, and what the store has to say of one of them now. */
import { channelName } from '@coldproof/wire';
import type { Changed } from './changed.ts';
import { describeAction, describeFinding, describeShipment } from './describe.ts';
import type { Store } from './store.ts';

export type Said = {
  /** Nothing more is to come while its row stays. */
  readonly isSettled: boolean;
  /** '' for a subject of no order; likewise the device. */
  readonly orderId: string;
  readonly device: string;
  readonly content: object;
};

export type Subjects = {
  readonly kind: 'order' | 'device' | 'finding' | 'action';
  /** Written since they were last taken. */
  readonly changed: Changed;
  /** Rows come and go with the chain's head, and with nothing else. */
  readonly isOfChain: boolean;
  /** What is said of one that is not settled moves with the chain's head. */
  readonly hasFinality: boolean;
  /** Undefined when there is none such. */
  readonly say: (subject: string) => Said | undefined;
  /** What is left to say of one that was announced and is gone. Not for a kind of which nothing goes. */
  readonly gone?: (subject: string) => Omit<Said, 'isSettled'>;
};

/** In the order in which they are announced. */
export function subjectsOf(store: Store): readonly Subjects[] {
  return [devicesOf(store), ordersOf(store), findingsOf(store), actionsOf(store)];
}

function devicesOf({ chain }: Store): Subjects {
  return {
    ...{ kind: 'device', changed: chain.changedDevices, isOfChain: true, hasFinality: false },
    say: (device) => {
      const content = chain.device(device);
      return content === undefined ? undefined : { isSettled: true, orderId: '', device, content };
    },
    gone: (device) => ({ orderId: '', device, content: { device } }),
  };
}

function ordersOf(store: Store): Subjects {
  const { chain } = store;
  return {
    ...{ kind: 'order', changed: chain.changedOrders, isOfChain: true, hasFinality: true },
    say: (orderId) => {
      const order = chain.order(orderId)?.order;
      if (order === undefined) return undefined;
      const content = describeShipment(store, order, chain.head());
      return { isSettled: content.finality === 'final', orderId, device: order.device, content };
    },
    gone: (orderId) => ({ orderId, device: '', content: { orderId } }),
  };
}

function findingsOf({ evaluation, pages }: Store): Subjects {
  return {
    ...{ kind: 'finding', changed: evaluation.changed, isOfChain: false, hasFinality: false },
    say: (subject) => {
      const [orderId = '', rule = '', channel, openedAtSec] = subject.split(':');
      const finding = pages.finding([orderId, rule, Number(channel), Number(openedAtSec)]);
      if (finding === undefined) return undefined;
      const isSettled = finding.closedAtSec !== undefined;
      return { isSettled, orderId, device: '', content: describeFinding(finding) };
    },
    gone: (subject) => {
      const [orderId = '', kind = '', channel, startedAt] = subject.split(':');
      const content = { orderId, kind, channel: channelName(Number(channel)), startedAt: Number(startedAt) };
      return { orderId, device: '', content };
    },
  };
}

function actionsOf({ chain, outbox, pages }: Store): Subjects {
  return {
    ...{ kind: 'action', changed: outbox.changed, isOfChain: false, hasFinality: true },
    say: (id) => {
      const action = pages.action(id);
      if (action === undefined) return undefined;
      const content = describeAction(action, chain.head());
      // A refusal may be taken back with the block that it was given on.
      const isFinal = content.finality === 'final' || content.finality === null;
      const isSettled = action.state === 'finalized' || (action.state === 'fatal' && isFinal);
      return { isSettled, orderId: action.orderId, device: '', content };
    },
  };
}
