/** A journal event as CloudEvents 1.0 structured JSON: what streams and webhooks carry. Pure. */
import type { JournalEvent } from './store-event.ts';

export type CloudEvent = {
  readonly specversion: '1.0';
  /** With `source`, the same event for ever, however often it comes. */
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject: string;
  readonly time: string;
  readonly datacontenttype: 'application/json';
  readonly data: unknown;
};

/** `log` is the SHA-256 of the oracle's log key, hex: an event id counts within one oracle. */
export function cloudEventOf({ id, timeMs, type, orderId, device, content }: JournalEvent, log: string): CloudEvent {
  return {
    specversion: '1.0',
    id: String(id),
    source: `urn:coldproof:log:${log}`,
    type: `coldproof.${type}.v1`,
    subject: orderId === '' ? `device/${device}` : `order/${orderId}`,
    time: new Date(timeMs).toISOString(),
    datacontenttype: 'application/json',
    // Written by announce.ts only.
    data: JSON.parse(content) as unknown,
  };
}
