/**
 * Whether compressing an envelope would pay: bytes as they are, and as each compressor of Node makes them. The samples
 * are those of a simulated voyage with a sensor's noise, since a smooth curve would flatter every compressor.
 */
import * as zlib from 'node:zlib';
import { cargoProbe, channels } from '@coldproof/wire';
import { Random } from '../helpers/seed.ts';
import { regularSeries, VoyageDevice } from '../helpers/voyage-device.ts';

const numbers = [channels.supplyAir, channels.returnAir, channels.setpoint, cargoProbe(1)];

/** By samples in each of four channels: bytes, and bytes of the compressed to bytes of the plain. */
export function measureCompression(): Record<string, Record<string, number>> {
  const sizes = [15, 60, 240, 1_440].map((samples) => [`${samples} samples of 4 channels`, measure(samples)] as const);
  return Object.fromEntries(sizes);
}

function measure(samples: number): Record<string, number> {
  const random = new Random(7);
  const series = numbers.map((channel) => {
    // A compressor's cycle of about 40 minutes, and noise of some hundredths; a set point is flat.
    const value = (i: number) => 450 + 30 * Math.sin(i / 6) + 6 * (random.next() - 0.5);
    const values = Array.from({ length: samples }, (_, i) =>
      channel === channels.setpoint ? 500 : Math.round(value(i)),
    );
    return regularSeries(channel, 1_767_225_600, values);
  });
  const plain = new VoyageDevice(1).sealEncoded(series);
  const ratio = (compressed: Uint8Array) => Math.round((compressed.length / plain.length) * 1_000) / 1_000;
  return {
    bytes: plain.length,
    deflateRaw: ratio(zlib.deflateRawSync(plain, { level: 9 })),
    brotli: ratio(zlib.brotliCompressSync(plain)),
    // Node 22.15 and later only.
    ...('zstdCompressSync' in zlib
      ? { zstd: ratio((zlib.zstdCompressSync as typeof zlib.brotliCompressSync)(plain)) }
      : {}),
  };
}
