/** Sensors that sign for themselves: whose envelopes are taken, on which topic of the local broker. */
import { isP256Point, parseHex } from '@coldproof/wire';
import { described, name, record, text, type Field } from './config-field.ts';

export type SignedSensorConfig = {
  readonly name: string;
  /** x ‖ y, P-256. */
  readonly publicKey: Uint8Array;
  readonly topic: string;
};

const publicKey: Field<Uint8Array> = described({ type: 'string', pattern: '^[0-9a-f]{128}$' }, (value, place) => {
  const bytes = typeof value === 'string' ? parseHex(value, 64) : undefined;
  if (bytes !== undefined && isP256Point(bytes)) return bytes;
  return place.problem(value, '128 lower-case hex digits, in quotes: x and y of a point of P-256');
});

/** One topic, not many: each sensor has its own chain. */
const topic = text(
  /^(?!\$|agent\/)[^+#\0]{1,256}$/,
  'a topic of 1 to 256 characters without + and #, not under agent/',
);

export const signedSensor: Field<SignedSensorConfig> = record({ name, publicKey, topic });
