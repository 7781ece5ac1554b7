/** The few forms that a field of a message can have, as checks that narrow its type. */

export function isDigest(item: unknown): item is Uint8Array {
  return item instanceof Uint8Array && item.length === 32;
}

export function isUint(item: unknown, max: number): item is number {
  return typeof item === 'number' && Number.isInteger(item) && item >= 0 && item <= max;
}

/** A refused value, short enough for a message. */
export function describeValue(value: unknown): string {
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  return typeof value === 'number' || typeof value === 'string' ? String(value) : `a ${typeof value}`;
}
