/** Proofs that a device lived, made by a device of the test's own, in wire's form and in the contract's. */
import { envelopePreimage, noPrevious, sealBatch, type Heartbeat } from '@coldproof/wire';
import type { VoyageDevice } from '../helpers/voyage-device.ts';
import { hex } from './fixture.ts';

/** A batch without series: the device lives at `timeSec`. */
export function sealHeartbeat(device: VoyageDevice, timeSec: number, flags = 0): Heartbeat {
  const link = { device: device.device, sequence: 0, previous: noPrevious, flags, sealedAtSec: timeSec };
  const { batch, encoded } = sealBatch([], link);
  return { publicKey: device.publicKey, batch, signature: device.sign(envelopePreimage(encoded)) };
}

/** As Silence takes it. */
export function abiHeartbeat({ publicKey, batch, signature }: Heartbeat): unknown {
  return {
    x: hex(publicKey.subarray(0, 32)),
    y: hex(publicKey.subarray(32)),
    batch: {
      sequence: batch.sequence,
      previous: hex(batch.previous),
      first: batch.firstSec,
      last: batch.lastSec,
      root: hex(batch.root),
      seriesCount: batch.seriesCount,
      flags: batch.flags,
      r: hex(signature.subarray(0, 32)),
      s: hex(signature.subarray(32)),
    },
  };
}
