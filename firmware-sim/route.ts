/** Where the truck is: the road from Hamburg to Munich as a straight line, the whole voyage long. */
import { voyageSec } from './scenario.ts';

const from = { latitude: 53.5511, longitude: 9.9937 };
const to = { latitude: 48.1372, longitude: 11.5756 };

export type Position = { readonly latitude: number; readonly longitude: number };

/** Degrees, WGS 84. */
export function positionAt(atSec: number): Position {
  const way = Math.min(1, Math.max(0, atSec / voyageSec));
  return {
    latitude: from.latitude + (to.latitude - from.latitude) * way,
    longitude: from.longitude + (to.longitude - from.longitude) * way,
  };
}
