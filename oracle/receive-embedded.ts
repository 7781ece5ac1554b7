/** The embedded broker's messages -> the same bounded queue as receive.ts has, without a link in between. */
import { formatTopic } from '@coldproof/wire';
import type { Broker } from './broker.ts';
import { inflateEnvelope } from './inflate.ts';
import { BoundedQueue, type ReceiveReason, type Receiver, type ReceiverSettings } from './receive.ts';

export function receiveEmbedded(
  broker: Broker,
  { queueMax, onLive }: Pick<ReceiverSettings, 'queueMax' | 'onLive'>,
): Receiver {
  const queue = new BoundedQueue(queueMax);
  const refused = new Map<ReceiveReason, number>();
  const refuse = (reason: ReceiveReason) => void refused.set(reason, (refused.get(reason) ?? 0) + 1);
  broker.receive(({ device, kind }, payload) => {
    const inflated = inflateEnvelope(payload);
    if (!inflated.ok) refuse(inflated.reason);
    else if (kind === 'live') onLive(device, inflated.value);
    else if (!queue.push({ device, bytes: inflated.value })) refuse('queue-full');
  });
  return {
    take: (countMax, signal, waitMs) => queue.take(countMax, signal, waitMs),
    offer: (message) => queue.push(message),
    publishReceipts(receipts) {
      broker.publish(
        receipts.map(({ device, receipt }) => ({ topic: formatTopic(device, 'receipt'), payload: receipt })),
      );
    },
    get queued() {
      return queue.length;
    },
    isConnected: true,
    refused,
    close: () => Promise.resolve(),
  };
}
