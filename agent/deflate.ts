/** An envelope for the road, wire/WIRE.md "Deflated": where `compress` is on and it is worth it. */
import { deflateRawSync } from 'node:zlib';
import { deflatedMark } from '@coldproof/wire';

/** Below this the oracle's work to inflate it would buy nothing. */
const ratioMax = 0.9;

export function deflateEnvelope(envelope: Uint8Array): Uint8Array {
  const deflated = deflateRawSync(envelope, { level: 9 });
  if (deflated.length + 1 > envelope.length * ratioMax) return envelope;
  return Buffer.concat([Uint8Array.of(deflatedMark), deflated]);
}
