/** Whose word is taken from afar. */
import { isP256Point, parseHex } from '@coldproof/wire';
import { described, record, type Field } from './config-field.ts';

/** x ‖ y of P-256, or the 32 bytes of Ed25519. Without it nobody sets anything. */
export type OwnerConfig = { readonly publicKey: Uint8Array };

const publicKey: Field<Uint8Array> = described(
  { type: 'string', pattern: '^([0-9a-f]{64}|[0-9a-f]{128})$' },
  (value, place) => {
    const text = typeof value === 'string' ? value : '';
    const key = parseHex(text, text.length === 64 ? 32 : 64);
    if (key !== undefined && (key.length === 32 || isP256Point(key))) return key;
    return place.problem(value, '64 hex digits of an Ed25519 key or 128 of a P-256 key (x and y), in quotes');
  },
);

export const owner: Field<OwnerConfig> = record({ publicKey });
