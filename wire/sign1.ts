/** COSE_Sign1 (RFC 9052 §4.2), tag 18, with one fixed protected header and nothing unprotected. */
import { bytesEqual } from './bytes.ts';
import { emptyMap, isCborArray, type Cbor } from './cbor.ts';

const coseSign1Tag = 18;

export function sign1(protectedHeader: Uint8Array, payload: Uint8Array, signature: Uint8Array): Cbor {
  return { tag: coseSign1Tag, item: [protectedHeader, emptyMap, payload, signature] };
}

/** Payload and 64-byte signature of a COSE_Sign1 in our one profile, or undefined. */
export function openSign1(
  item: Cbor,
  protectedHeader: Uint8Array,
): { readonly payload: Uint8Array; readonly signature: Uint8Array } | undefined {
  if (typeof item !== 'object' || !('tag' in item) || item.tag !== coseSign1Tag) return undefined;
  const parts = item.item;
  if (!isCborArray(parts) || parts.length !== 4) return undefined;
  const [header, unprotected, payload, signature] = parts;
  if (!(header instanceof Uint8Array) || !bytesEqual(header, protectedHeader)) return undefined;
  if (unprotected !== emptyMap) return undefined;
  if (!(payload instanceof Uint8Array) || !(signature instanceof Uint8Array)) return undefined;
  return signature.length === 64 ? { payload, signature } : undefined;
}
