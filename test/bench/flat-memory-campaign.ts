/**
 * `npm run campaign:flat-memory -- [batches]`: the oracle's memory while millions of batches go through its broker into
 * its log, with envelopes removed after a day of a clock that runs 1,440 times as fast: a minute. The same devices go
 * on and on, in rounds; one is signed while the one before is sent. Prints a line a round; exits 1 when memory is over
 * its bound or grows.
 */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatDemonstrationClock } from '@coldproof/wire';
import { makeLogKey } from '@coldproof/oracle/log-key';
import { SqliteDatabase } from '@coldproof/oracle/store-sqlite';
import { Child } from './child.ts';

const wanted = Number(process.argv[2] ?? 10_000_000);
const roundBatches = 50_000;
const gateways = 8;
const deviceCount = 512;
const window = 4_096;
/** Sent before the round's rate is taken. */
const warmUp = 1_000;
const speed = 1_440;
const retentionDays = 1;
const rssMbMax = 400;
/** Between the second quarter and the last: what a collector leaves for later, and no more. */
const growthMax = 1.1;
const yearMs = 365 * 86_400_000;

if (!(wanted >= 4 * roundBatches)) throw new RangeError(`batches: expected >= ${4 * roundBatches}, got ${wanted}`);

const folder = mkdtempSync(join(tmpdir(), 'coldproof-flat-'));
const place = join(folder, 'oracle.db');
makeLogKey(join(folder, 'log-key.json'), 'benchmark');
// All samples are from before the clock's start.
const startSec = Math.floor((Date.now() - yearMs) / 1_000);
const clock = { voyageStartMs: Date.now(), realStartMs: Date.now(), speed };
process.env['COLDPROOF_DEMONSTRATION_CLOCK'] = formatDemonstrationClock(clock);
const counts = [deviceCount, gateways, roundBatches, startSec];
const writer = new Child('load-writer.js', [folder, ...counts.map(String)]);
const oracle = new Child('throughput-oracle.js', [await writer.line(), folder, place, '', '', String(retentionDays)]);
const rssMb: number[] = [];
try {
  const { port } = await oracle.json<{ port: number }>();
  writer.go();
  for (let sent = 0; sent < wanted; sent += roundBatches) {
    const load = await writer.line();
    writer.go();
    const generator = new Child('load-generator.js', [String(port), load, String(window), String(warmUp)]);
    for (let step = 0; step < 2; step++) {
      await generator.line();
      generator.go();
    }
    const { seconds } = await generator.json<{ seconds: number }>();
    await generator.end();
    rssMb.push(residentMb(oracle.pid));
    const row = {
      batches: sent + roundBatches,
      perSec: Math.round((roundBatches - warmUp) / seconds),
      rssMb: rssMb.at(-1),
    };
    process.stdout.write(`${JSON.stringify({ ...row, databaseMb: Math.round(statSync(place).size / 2 ** 20) })}\n`);
  }
  oracle.go();
  await oracle.line();
  oracle.go();
  const { size } = await oracle.json<{ size: number }>();
  await oracle.end();
  const envelopes = countEnvelopes();
  const [before, after] = [medianOf(quarter(1)), medianOf(quarter(3))];
  const most = Math.max(...rssMb);
  const isFlat = most < rssMbMax && after <= before * growthMax;
  const verdict = {
    leaves: size,
    envelopes,
    rssMbMax: most,
    rssMbSecondQuarter: before,
    rssMbLastQuarter: after,
    isFlat,
  };
  process.stdout.write(`${JSON.stringify(verdict)}\n`);
  process.exitCode = isFlat && size >= wanted ? 0 : 1;
} finally {
  writer.kill();
  oracle.kill();
  rmSync(folder, { recursive: true, force: true });
}

function quarter(index: number): number[] {
  const length = Math.floor(rssMb.length / 4);
  return rssMb.slice(index * length, (index + 1) * length);
}

function medianOf(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/** VmRSS of proc_pid_status(5), in kB there. */
function residentMb(pid: number): number {
  const [, kb] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Math.round(Number(kb) / 1_024);
}

function countEnvelopes(): number {
  const database = new SqliteDatabase(place, { readonly: true });
  try {
    return (database.prepare('SELECT count(*) AS count FROM envelope').get() as { count: number }).count;
  } finally {
    database.close();
  }
}
