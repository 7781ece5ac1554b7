/** A device with a key of its own, made from a seed, that seals and signs one batch after the other. */
import { p256 } from '@noble/curves/nist.js';
import {
  deviceOf,
  digestBatch,
  encodeEnvelope,
  envelopePreimage,
  noPrevious,
  sealBatch,
  type Envelope,
  type Privacy,
  type Series,
} from '@coldproof/wire';

export class VoyageDevice {
  readonly secretKey: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly device: Uint8Array;
  #sequence = 0;
  #previous: Uint8Array = noPrevious;

  constructor(seed: number) {
    this.secretKey = p256.utils.randomSecretKey(Uint8Array.from({ length: 48 }, (_, i) => (seed * 31 + i * 7) & 0xff));
    this.publicKey = p256.getPublicKey(this.secretKey, false).subarray(1);
    this.device = deviceOf(this.publicKey);
  }

  sign(preimage: Uint8Array): Uint8Array {
    return p256.sign(preimage, this.secretKey);
  }

  /** The next envelope of the device's chain. */
  seal(series: readonly Series[], flags = 0, sealedAtSec = 0, privacy?: Privacy): Envelope {
    const link = { device: this.device, sequence: this.#sequence, previous: this.#previous, flags, sealedAtSec };
    const { encoded, series: encodedSeries } = sealBatch(series, link, privacy);
    this.#sequence += 1;
    this.#previous = digestBatch(encoded);
    return { batch: encoded, signature: this.sign(envelopePreimage(encoded)), series: encodedSeries };
  }

  sealEncoded(series: readonly Series[]): Uint8Array {
    return encodeEnvelope(this.seal(series));
  }
}

/** A series with one sample each `periodSec`, from `startSec` on. */
export function regularSeries(channel: number, startSec: number, values: readonly number[], periodSec = 60): Series {
  return { channel, marks: 0, samples: values.map((value, i) => ({ timeSec: startSec + i * periodSec, value })) };
}
