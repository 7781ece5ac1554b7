import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js';

export { bytesToHex, hexToBytes, concatBytes, utf8ToBytes } from '@noble/hashes/utils.js';

export function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Lower-case hex of exactly `size` bytes, or undefined. Upper case is refused: one device has one spelling. */
export function parseHex(text: string, size: number): Uint8Array | undefined {
  if (text.length !== 2 * size || !/^[0-9a-f]*$/.test(text)) return undefined;
  return hexToBytes(text);
}

/** The first eight hex digits, for a person to read. Never compare by it. */
export function shortHex(digest: Uint8Array): string {
  return bytesToHex(digest.subarray(0, 4));
}
