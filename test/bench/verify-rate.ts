/**
 * How fast the oracle's threads verify, beside what the machine's OpenSSL can do at all. `openssl speed` counts CPU
 * time by itself, and so do the loops here. A worker is measured twice: `oneWorker` is what one thread that is never
 * idle gets through in a second, and `wholeProcess` the same per second of CPU time of all threads, the main thread's
 * packing included. The contenders take turns, and the median of the rounds counts. Wants a quiet machine.
 */
import { spawnSync } from 'node:child_process';
import { createPublicKey, verify } from 'node:crypto';
import {
  bytesToHex,
  cargoProbe,
  channels,
  concatBytes,
  decodeEnvelope,
  envelopePreimage,
  hexToBytes,
  referenceCrypto,
  type Envelope,
} from '@coldproof/wire';
import { verifyPool, type VerifyPool } from '@coldproof/oracle/verify-pool';
import { regularSeries, VoyageDevice } from '../helpers/voyage-device.ts';

const rounds = 5;
const roundMs = 1_000;
const deviceCount = 16;
const envelopesPerDevice = 32;
const startSec = 1_767_225_600;
/** SubjectPublicKeyInfo of a P-256 key up to the point (RFC 5480 §2). */
const spkiPrefix = hexToBytes('3059301306072a8648ce3d020106082a8648ce3d03010703420004');

export type VerifyRates = {
  /** Verifications per second of CPU time; medians. */
  readonly perSecond: Readonly<Record<string, number>>;
  /** Against opensslSpeed, of the same rounds. */
  readonly ratio: Readonly<Record<string, number>>;
};

export async function measureVerifyRates(): Promise<VerifyRates> {
  const devices = Array.from({ length: deviceCount }, (_, i) => new VoyageDevice(i + 1));
  const messages = devices.flatMap((device) =>
    Array.from({ length: envelopesPerDevice }, () => ({ device: device.device, bytes: sealedBatch(device) })),
  );
  const keys = new Map(devices.map(({ device, publicKey }) => [bytesToHex(device), { publicKey }]));
  const pool = (workers: number): VerifyPool =>
    verifyPool({ workers, devices: (device) => keys.get(device), nowSec: () => startSec + 86_400 });
  const [one, two] = [pool(1), pool(2)];
  const first = envelopeOf(messages[0]!.bytes);
  const contenders: Record<string, () => Promise<number> | number> = {
    opensslSpeed,
    cryptoVerifyLoop: () => rateOf(cryptoVerify(first, devices[0]!.publicKey)),
    oneWorker: async () => (await poolRate(one, messages)).perSecond,
    wholeProcess: async () => (await poolRate(one, messages)).perCpuSecond,
    wholeProcessOfTwo: async () => (await poolRate(two, messages)).perCpuSecond,
    nobleReference: () =>
      rateOf(() => referenceCrypto.verifyP256(devices[0]!.publicKey, first.preimage, first.signature)),
  };
  const found = new Map(Object.keys(contenders).map((name) => [name, [] as number[]]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(contenders)) found.get(name)!.push(await run());
  }
  await Promise.all([one.close(), two.close()]);
  const medians = [...found].map(([name, rates]) => [name, Math.round(median(rates))] as const);
  const speed = found.get('opensslSpeed')!;
  const ratios = [...found].map(
    ([name, rates]) => [name, rounded(median(rates.map((rate, i) => rate / speed[i]!)))] as const,
  );
  return { perSecond: Object.fromEntries(medians), ratio: Object.fromEntries(ratios) };
}

/** 15 samples of 4 channels: what a reefer seals in a quarter of an hour. */
function sealedBatch(device: VoyageDevice): Uint8Array {
  const values = Array.from({ length: 15 }, (_, i) => 480 + i);
  const numbers = [channels.supplyAir, channels.returnAir, channels.setpoint, cargoProbe(1)];
  return device.sealEncoded(numbers.map((channel) => regularSeries(channel, startSec, values)));
}

function envelopeOf(bytes: Uint8Array): Envelope & { readonly preimage: Uint8Array } {
  const decoded = decodeEnvelope(bytes);
  if (!decoded.ok) throw new Error(decoded.detail);
  return { ...decoded.value, preimage: envelopePreimage(decoded.value.batch) };
}

/** "256 bits ecdsa (nistp256)  0.0000s  0.0001s  48668.7  15336.0": signatures and verifications per second. */
export function opensslSpeed(): number {
  const { stdout } = spawnSync('openssl', ['speed', '-seconds', '1', 'ecdsap256'], { encoding: 'utf8' });
  const line = stdout.split('\n').find((each) => each.includes('nistp256')) ?? '';
  const rate = Number(line.trim().split(/\s+/).at(-1));
  if (!(rate > 0)) throw new Error(`openssl speed: expected a rate, got "${line}"`);
  return rate;
}

function cryptoVerify({ preimage, signature }: { preimage: Uint8Array; signature: Uint8Array }, publicKey: Uint8Array) {
  const key = createPublicKey({ key: Buffer.from(concatBytes(spkiPrefix, publicKey)), format: 'der', type: 'spki' });
  return () => verify('sha256', preimage, { key, dsaEncoding: 'ieee-p1363' }, signature);
}

function rateOf(verifyOnce: () => boolean): number {
  const startMs = performance.now();
  const before = process.cpuUsage();
  let count = 0;
  while (performance.now() - startMs < roundMs) {
    for (let i = 0; i < 20; i++) if (!verifyOnce()) throw new Error('a valid signature was refused');
    count += 20;
  }
  return perCpuSecond(count, before);
}

/** Two groups are always under way, as in the oracle's loop: one is verified while the next is packed. */
async function poolRate(
  pool: VerifyPool,
  messages: readonly { device: Uint8Array; bytes: Uint8Array }[],
): Promise<{ perSecond: number; perCpuSecond: number }> {
  const startMs = performance.now();
  const before = process.cpuUsage();
  let count = 0;
  const run = async (): Promise<void> => {
    while (performance.now() - startMs < roundMs) {
      const verdicts = await pool.verify(messages);
      if (!verdicts.every((verdict) => verdict.ok)) throw new Error('a valid envelope was refused');
      count += verdicts.length;
    }
  };
  await Promise.all([run(), run()]);
  const perSecond = (count * 1_000) / (performance.now() - startMs);
  return { perSecond, perCpuSecond: perCpuSecond(count, before) };
}

/** CPU time of all threads of this process. */
function perCpuSecond(count: number, before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (count * 1e6) / (user + system);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

function rounded(ratio: number): number {
  return Math.round(ratio * 1_000) / 1_000;
}
