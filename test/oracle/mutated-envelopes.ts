/** Envelopes as an adversary may send them, to the oracle's threads with OpenSSL and to wire's reference. */
import { bytesToHex, referenceCrypto, type Verdict } from '@coldproof/wire';
import { verifyBatch, type DeviceRecord, type Verified } from '@coldproof/oracle/verify';
import { verifyPool } from '@coldproof/oracle/verify-pool';
import type { Random } from '../helpers/seed.ts';
import { regularSeries, VoyageDevice } from '../helpers/voyage-device.ts';

const nowSec = 1_767_225_600;
/** As many as go to the threads at once. */
const groupSize = 500;

export type Compared = {
  /** Where the two do not agree, or not in the order of the messages: what either said. */
  readonly differing: readonly string[];
  /** How often the reference gave each reason; 'ok' for an envelope that it took. */
  readonly reasons: ReadonlyMap<string, number>;
};

/** One in a hundred is left as it was. */
export async function compareMutated(count: number, random: Random): Promise<Compared> {
  const device = new VoyageDevice(3);
  const honest = Array.from({ length: 8 }, (_, i) =>
    device.sealEncoded(
      [1, 16, 6].map((channel) => regularSeries(channel, nowSec - 50_000 + i * 4_500, new Array<number>(75).fill(500))),
    ),
  );
  const record: DeviceRecord = { publicKey: device.publicKey };
  const pool = verifyPool({ workers: 2, devices: () => record, nowSec: () => nowSec });
  const differing: string[] = [];
  const reasons = new Map<string, number>();
  try {
    for (let done = 0; done < count; done += groupSize) {
      const messages = Array.from({ length: Math.min(groupSize, count - done) }, () => {
        const bytes = random.pick(honest);
        return { device: device.device, bytes: random.integer(0, 99) === 0 ? bytes : mutated(bytes, random) };
      });
      const verdicts = await pool.verify(messages);
      for (const [i, { bytes }] of messages.entries()) {
        const expected = verifyBatch({ device: device.device, bytes, record, nowSec }, referenceCrypto);
        const [got, want] = [describe(verdicts[i]!), describe(expected)];
        if (got !== want) differing.push(`${bytesToHex(bytes)}: threads ${got}, reference ${want}`);
        const name = expected.ok ? 'ok' : expected.reason;
        reasons.set(name, (reasons.get(name) ?? 0) + 1);
      }
    }
  } finally {
    await pool.close();
  }
  return { differing, reasons };
}

/** One of: flip a bit, set a byte, cut, extend, splice. */
export function mutated(bytes: Uint8Array, random: Random): Uint8Array {
  const copy = Uint8Array.from(bytes);
  const at = random.integer(0, bytes.length - 1);
  switch (random.integer(0, 9)) {
    case 0:
      return copy.subarray(0, at);
    case 1:
      return Uint8Array.from([...copy, random.integer(0, 255)]);
    case 2:
      copy[at] = random.integer(0, 255);
      return copy;
    case 3:
      copy.copyWithin(at, random.integer(0, bytes.length - 1), random.integer(0, bytes.length));
      return copy;
    default:
      copy[at]! ^= 1 << random.integer(0, 7);
      return copy;
  }
}

function describe(verdict: Verdict<Verified, string>): string {
  if (!verdict.ok) return verdict.reason;
  const { sequence, previous, digest, firstSec, lastSec } = verdict.value;
  return `${sequence} ${bytesToHex(previous)} ${bytesToHex(digest)} ${firstSec} ${lastSec}`;
}
