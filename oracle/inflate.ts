/** What came by the road -> its envelope (wire/WIRE.md, Deflated). No bomb: zlib stops at the envelope's bound. */
import { inflateRawSync } from 'node:zlib';
import { accept, deflatedMark, envelopeBytesMax, reject, type Verdict } from '@coldproof/wire';
import { describeError } from './operating-error.ts';

export type InflateReason =
  /** More than envelopeBytesMax, as it came or inflated. */
  | 'envelope-too-large'
  /** Not a whole stream of RFC 1951, or bytes after its end. */
  | 'deflate-malformed';

export function inflateEnvelope(bytes: Uint8Array): Verdict<Uint8Array, InflateReason> {
  if (bytes.length > envelopeBytesMax) {
    return reject('envelope-too-large', `expected <= ${envelopeBytesMax} bytes, got ${bytes.length}`);
  }
  if (bytes[0] !== deflatedMark) return accept(bytes);
  try {
    const options = { maxOutputLength: envelopeBytesMax, info: true } as const;
    // With `info` it answers with the engine too, which knows how much it has read; Node's types do not say so.
    const { buffer, engine } = inflateRawSync(bytes.subarray(1), options) as unknown as Inflated;
    if (engine.bytesWritten === bytes.length - 1) return accept(buffer);
    return reject(
      'deflate-malformed',
      `expected ${bytes.length - 1} bytes, the stream ended at ${engine.bytesWritten}`,
    );
  } catch (error) {
    const isTooLarge = error instanceof RangeError;
    return reject(isTooLarge ? 'envelope-too-large' : 'deflate-malformed', describeError(error));
  }
}

type Inflated = { readonly buffer: Buffer; readonly engine: { readonly bytesWritten: number } };
