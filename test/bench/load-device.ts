/** Devices that sign as fast as OpenSSL does: a load of honest batches, each of 15 samples of 4 channels. */
import { createPrivateKey, sign, type KeyObject } from 'node:crypto';
import {
  bytesToHex,
  cargoProbe,
  channels,
  concatBytes,
  deviceOf,
  digestBatch,
  encodeEnvelope,
  envelopePreimage,
  hexToBytes,
  noPrevious,
  sealBatch,
} from '@coldproof/wire';
import { p256 } from '@noble/curves/nist.js';
import { opensslSha256 } from '@coldproof/oracle/openssl-crypto';
import { regularSeries } from '../helpers/voyage-device.ts';

export const samplesPerBatch = 15;
const batchSec = samplesPerBatch * 60;
const order = p256.Point.Fn.ORDER;

export class LoadDevice {
  readonly device: Uint8Array;
  /** x ‖ y */
  readonly publicKey: Uint8Array;
  readonly #key: KeyObject;
  readonly #startSec: number;
  #sequence = 0;
  #previous: Uint8Array = noPrevious;

  constructor(seed: number, startSec: number) {
    const secret = p256.utils.randomSecretKey(
      Uint8Array.from({ length: 48 }, (_, i) => (seed >> (8 * (i % 4))) & 0xff),
    );
    this.publicKey = p256.getPublicKey(secret, false).subarray(1);
    this.device = deviceOf(this.publicKey);
    const coordinate = (from: number) => Buffer.from(this.publicKey.subarray(from, from + 32)).toString('base64url');
    const d = Buffer.from(secret).toString('base64url');
    this.#key = createPrivateKey({
      key: { kty: 'EC', crv: 'P-256', x: coordinate(0), y: coordinate(32), d },
      format: 'jwk',
    });
    this.#startSec = startSec;
  }

  sign(preimage: Uint8Array): Uint8Array {
    return lowS(sign('sha256', preimage, { key: this.#key, dsaEncoding: 'ieee-p1363' }));
  }

  /** The next envelope of the device's chain, encoded. */
  next(): Uint8Array {
    const sequence = this.#sequence++;
    const firstSec = this.#startSec + sequence * batchSec;
    const values = Array.from({ length: samplesPerBatch }, (_, i) => 480 + ((sequence + i) % 7));
    const numbers = [channels.supplyAir, channels.returnAir, channels.setpoint, cargoProbe(1)];
    const series = numbers.map((channel) => regularSeries(channel, firstSec, values));
    const link = {
      device: this.device,
      sequence,
      previous: this.#previous,
      flags: 0,
      sealedAtSec: firstSec + batchSec,
    };
    const { encoded, series: encodedSeries } = sealBatch(series, link);
    this.#previous = digestBatch(encoded, opensslSha256);
    return encodeEnvelope({ batch: encoded, signature: this.sign(envelopePreimage(encoded)), series: encodedSeries });
  }
}

/** The format takes only the lower of the two s (WIRE.md); OpenSSL gives either. */
function lowS(signature: Uint8Array): Uint8Array {
  const s = BigInt(`0x${bytesToHex(signature.subarray(32))}`);
  if (s <= order / 2n) return signature;
  return concatBytes(signature.subarray(0, 32), hexToBytes((order - s).toString(16).padStart(64, '0')));
}
