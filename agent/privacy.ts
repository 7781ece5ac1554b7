/** What of a batch is encrypted, to whom, and from which secret. */
import type { Privacy } from '@coldproof/wire';
import type { DeviceConfig } from './config.ts';
import type { Journal } from './journal.ts';
import type { Reading } from './sample.ts';

/** Undefined where nothing of the readings is private: then there is no secret to draw, and no fsync for it. */
export function privacyOf(
  config: Pick<DeviceConfig, 'private'>,
  device: Uint8Array,
  readings: readonly Reading[],
  { secrets }: Pick<Journal, 'secrets'>,
): Privacy | undefined {
  const groups = (config.private ?? []).map(({ channels, to }) => ({ channels, parties: to.map(({ key }) => key) }));
  const isAny = groups.some(({ channels }) => readings.some(({ channel }) => channels.includes(channel)));
  return isAny ? { groups, secret: secrets.next(device) } : undefined;
}
