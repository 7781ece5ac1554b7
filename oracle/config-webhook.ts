/** The webhooks of the configuration: where events go, and how the receiver knows that they are ours. */
import { eventTypes } from './announce.ts';
import type { Section } from './config-section.ts';
import type { WebhookSettings } from './webhook.ts';

/** Shorter ones can be guessed from one signed message. */
const secretLengthMin = 16;

export function checkWebhooks(root: Section): WebhookSettings[] {
  const urls = new Set<string>();
  return root.list('webhooks', { isOptional: true }).map((entry) => {
    const url = entry.text('url');
    if (url !== '' && !isReceiver(url)) entry.problem('url', url, 'an https URL, or http to this machine');
    if (urls.has(url)) entry.problem('url', url, 'a URL that no other entry has');
    urls.add(url);
    const secret = entry.secret('secretEnv');
    if (secret !== '' && secret.length < secretLengthMin) {
      entry.problem('secretEnv', `${secret.length} characters`, `a secret of at least ${secretLengthMin}`);
    }
    const events = entry.optionalTexts('events');
    const known: readonly string[] = eventTypes;
    for (const type of events ?? []) {
      if (!known.includes(type)) entry.problem('events', type, `one of ${known.join(', ')}`);
    }
    const orders = entry.optionalTexts('orders');
    for (const order of orders ?? []) {
      if (!/^[1-9][0-9]{0,77}$/.test(order)) entry.problem('orders', order, 'orders, as decimal text');
    }
    return { url, secret, ...(events === undefined ? {} : { events }), ...(orders === undefined ? {} : { orders }) };
  });
}

/** Events tell about cargo and parties, and go over open lines as little as passwords do. */
function isReceiver(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== '' || password !== '') return false;
  const isHere = hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
  return protocol === 'https:' || (protocol === 'http:' && isHere);
}
