/** Batches that were signed before the measurement, in one file, so that signing is no part of it. */
import { bytesToHex } from '@coldproof/wire';
import { LoadDevice } from './load-device.ts';

/** Of every gateway of the benchmark, whose broker listens on loopback. */
export const gatewayPassword = 'benchmark';

export type LoadBatch = { readonly device: string; readonly bytes: Uint8Array };
export type LoadGateway = { readonly username: string; readonly devices: readonly string[] };
export type Load = {
  readonly gateways: readonly LoadGateway[];
  /** With the public keys, for the oracle's registry. */
  readonly devices: readonly { readonly device: string; readonly publicKey: string }[];
  readonly batches: readonly LoadBatch[];
};

/** Batch by batch through all devices, as a fleet's come in. */
export function makeLoad(counts: { gateways: number; devices: number; batches: number }, startSec: number): Load {
  return loadOf(makeLoadDevices(counts.devices, startSec), counts);
}

export function makeLoadDevices(count: number, startSec: number): LoadDevice[] {
  return Array.from({ length: count }, (_, i) => new LoadDevice(i + 1, startSec));
}

export function loadOf(devices: readonly LoadDevice[], counts: { gateways: number; batches: number }): Load {
  const names = devices.map(({ device }) => bytesToHex(device));
  return {
    gateways: Array.from({ length: counts.gateways }, (_, i) => ({
      username: `gateway-${i}`,
      devices: names.filter((_name, j) => j % counts.gateways === i),
    })),
    devices: devices.map(({ publicKey }, i) => ({ device: names[i]!, publicKey: bytesToHex(publicKey) })),
    batches: Array.from({ length: counts.batches }, (_, i) => {
      const at = i % devices.length;
      return { device: names[at]!, bytes: devices[at]!.next() };
    }),
  };
}

/** One line of JSON, then for each batch the number of its device and its size in 4 bytes each, and its bytes. */
export function writeLoad({ gateways, devices, batches }: Load): Uint8Array {
  const numbers = new Map(devices.map(({ device }, i) => [device, i]));
  const parts = batches.flatMap(({ device, bytes }) => {
    const head = Buffer.alloc(8);
    head.writeUInt32BE(numbers.get(device)!, 0);
    head.writeUInt32BE(bytes.length, 4);
    return [head, bytes];
  });
  return Buffer.concat([Buffer.from(`${JSON.stringify({ gateways, devices })}\n`), ...parts]);
}

export function readLoad(file: Buffer): Load {
  const lineEnd = file.indexOf(0x0a);
  // Written by writeLoad only.
  const { gateways, devices } = JSON.parse(file.subarray(0, lineEnd).toString()) as Omit<Load, 'batches'>;
  const batches: LoadBatch[] = [];
  for (let at = lineEnd + 1; at < file.length;) {
    const end = at + 8 + file.readUInt32BE(at + 4);
    batches.push({ device: devices[file.readUInt32BE(at)]!.device, bytes: file.subarray(at + 8, end) });
    at = end;
  }
  return { gateways, devices, batches };
}
