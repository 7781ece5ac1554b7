/** The owner's part of an uplink session: what is heard from the owner, and what is said to it. */
import type { LinkSession } from './link.ts';
import type { OwnerPort } from './owner-desk.ts';

export type OwnerSession = {
  /** Undefined where nobody may set anything from afar. */
  readonly owner?: OwnerPort | undefined;
};

/** Gives the way to end it. An oracle that does not grant the owner's topics is an oracle all the same. */
export function listenToOwner(
  { owner }: OwnerSession,
  session: LinkSession,
  onLost: (why: unknown) => void,
): () => void {
  if (owner === undefined) return () => undefined;
  for (const topic of owner.topics) session.subscribe(topic).catch(onLost);
  return owner.attach((topic, payload, options) => {
    session.publish(topic, payload, options).catch(onLost);
  });
}

/** From a socket's callback, where a fault of the disk would go nowhere. */
export function tellOwner(
  { owner }: OwnerSession,
  topic: string,
  payload: Uint8Array,
  onFault: (error: unknown) => void,
): void {
  try {
    owner?.take(topic, payload);
  } catch (error) {
    onFault(error);
  }
}
