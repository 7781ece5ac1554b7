/**
 * Sizes and times of the log's proofs, from the store as it lies on disk, at growing sizes of the log. Both are to grow
 * with the logarithm. The leaves are written as the log writes them, without envelopes; sizes above PROOF_LEAVES_MAX
 * (10^6 unless it says otherwise) are left out: 10^7 leaves take minutes to write.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noPrevious } from '@coldproof/wire';
import { Log, type Loggable } from '@coldproof/oracle/log';
import { makeLogKey, openLogKey } from '@coldproof/oracle/log-key';
import { Store } from '@coldproof/oracle/store';
import { Random } from '../helpers/seed.ts';

const sizes = [1e4, 1e5, 1e6, 1e7];
const groupSize = 4_096;
const queries = 400;
const seed = 9162;

export type ProofRow = {
  readonly leaves: number;
  readonly inclusionBytes: number;
  readonly consistencyBytes: number;
  /** Median and 99th percentile of one query, in microseconds. */
  readonly inclusionUs: readonly [number, number];
  readonly consistencyUs: readonly [number, number];
};

export function measureProofs(leavesMax = Number(process.env['PROOF_LEAVES_MAX'] ?? 1e6)): ProofRow[] {
  const folder = mkdtempSync(join(tmpdir(), 'coldproof-proofs-'));
  const keyFile = join(folder, 'log-key.json');
  makeLogKey(keyFile, 'benchmark');
  const store = new Store(join(folder, 'oracle.db'));
  const log = new Log({ store, key: openLogKey(keyFile, 'benchmark'), origin: 'benchmark' });
  const random = new Random(seed);
  const rows: ProofRow[] = [];
  const device = new Uint8Array(32).fill(1);
  let previous: Uint8Array = noPrevious;
  try {
    for (const leaves of sizes.filter((size) => size <= leavesMax)) {
      while (log.size < leaves) {
        const group: Loggable[] = [];
        for (let i = 0; i < Math.min(groupSize, leaves - log.size); i++) {
          const sequence = log.size + i;
          const digest = digestOf(sequence);
          group.push({ device, sequence, previous, digest, firstSec: 0, lastSec: 0, envelope: new Uint8Array() });
          previous = digest;
        }
        log.append(group, 0);
      }
      rows.push(measure(log, random));
    }
  } finally {
    store.close();
    rmSync(folder, { recursive: true, force: true });
  }
  return rows;
}

/** Of no batch: what counts is that each leaf is another. */
function digestOf(sequence: number): Uint8Array {
  const digest = Buffer.alloc(32);
  digest.writeUInt32BE(sequence);
  return new Uint8Array(digest);
}

function measure(log: Log, random: Random): ProofRow {
  const ask = (make: () => Uint8Array[]) => {
    const times: number[] = [];
    let bytesMax = 0;
    for (let i = 0; i < queries; i++) {
      const startMs = performance.now();
      const path = make();
      times.push((performance.now() - startMs) * 1_000);
      bytesMax = Math.max(bytesMax, 32 * path.length);
    }
    times.sort((a, b) => a - b);
    const at = (share: number) => Math.round(times[Math.floor(share * (times.length - 1))]!);
    return { bytesMax, us: [at(0.5), at(0.99)] as const };
  };
  const inclusion = ask(() => log.inclusionProof(random.integer(0, log.size - 1), log.size));
  const consistency = ask(() => log.consistencyProof(random.integer(1, log.size), log.size));
  return {
    leaves: log.size,
    inclusionBytes: inclusion.bytesMax,
    consistencyBytes: consistency.bytesMax,
    inclusionUs: inclusion.us,
    consistencyUs: consistency.us,
  };
}
