/**
 * Signed batches (15 samples of 4 channels) per second, from an MQTT broker to the durable log and back to the gateway
 * as a verified position: all on this machine, the load generator included and named. In the same run: what OpenSSL
 * verifies on one core, and what a broker passes through that does nothing else. SQLite with the embedded broker, then
 * PostgreSQL and mosquitto with a shared subscription and 1, 2 and 4 workers. The first third of the batches is for
 * warming up. Wants a quiet machine, and Linux, which counts CPU time by thread.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeLogKey } from '@coldproof/oracle/log-key';
import { Mosquitto } from '../helpers/mosquitto.ts';
import { Postgres } from '../helpers/postgres.ts';
import { Child } from './child.ts';
import { makeLoad, writeLoad } from './load-file.ts';
import { opensslSpeed } from './verify-rate.ts';

const measured = Number(process.env['THROUGHPUT_BATCHES'] ?? 60_000);
const warmUp = Math.ceil(measured / 2);
const counts = { gateways: 8, devices: 512, batches: measured + warmUp };
/** Batches without a receipt, over all gateways: below the oracle's queue, as agents keep it. */
const window = 4_096;
const yearSec = 365 * 86_400;

export type ThroughputRow = {
  readonly setting: string;
  readonly batchesPerSec: number;
  /** Against what OpenSSL verifies per second on one core, by its own count. */
  readonly ofOneCore: number;
  /**
   * CPU time of one batch in microseconds: of the generator, and of the oracle's threads by what they are there for
   * (`node`: collector and compiler). Brokers and servers of others are not in it.
   */
  readonly cpuUsPerBatch: Readonly<Record<string, number>>;
  /** Of all oracle processes together. */
  readonly rssMb: number;
};

type Generated = { batches: number; seconds: number; cpuSec: number };
type Logged = { size: number; cpuSec: Record<string, number>; rssMb: number };

export async function measureThroughput(): Promise<{ opensslVerifyPerSec: number; rows: ThroughputRow[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'coldproof-throughput-'));
  const file = join(folder, 'load');
  const nowSec = Math.floor(Date.now() / 1_000);
  writeFileSync(file, writeLoad(makeLoad(counts, nowSec - yearSec)));
  makeLogKey(join(folder, 'log-key.json'), 'benchmark');
  const cleanUp: (() => unknown)[] = [];
  const opensslVerifyPerSec = opensslSpeed();
  const rows: ThroughputRow[] = [];
  const add = (setting: string, generated: Generated, oracles: readonly Logged[]) => {
    const rate = generated.batches / generated.seconds;
    const perBatch = (cpuSec: number) => Math.round((cpuSec * 1e6) / generated.batches);
    rows.push({
      setting,
      batchesPerSec: Math.round(rate),
      ofOneCore: Math.round((rate / opensslVerifyPerSec) * 1_000) / 1_000,
      cpuUsPerBatch: {
        generator: perBatch(generated.cpuSec),
        ...Object.fromEntries(
          [...new Set(oracles.flatMap(({ cpuSec }) => Object.keys(cpuSec)))].map((purpose) => {
            return [purpose, perBatch(oracles.reduce((sum, { cpuSec }) => sum + (cpuSec[purpose] ?? 0), 0))];
          }),
        ),
      },
      rssMb: Math.round(oracles.reduce((sum, { rssMb }) => sum + rssMb, 0)),
    });
  };
  try {
    const bare = await runOracles(folder, file, [['bare', '', '']]);
    add('a broker that passes on, nothing verified or stored', bare.generated, bare.logged);
    const embedded = await runOracles(folder, file, [[join(folder, 'oracle.db'), '', '']]);
    add('SQLite, embedded broker', embedded.generated, embedded.logged);
    const postgres = await Postgres.start();
    cleanUp.push(() => postgres.stop());
    const broker = await Mosquitto.start({ teardown: (run) => void cleanUp.push(run) });
    for (const workers of [1, 2, 4]) {
      const database = await postgres.makeDatabase();
      const url = `mqtt://127.0.0.1:${broker.port}`;
      const names = Array.from({ length: workers }, (_, i) => [database, url, `worker-${i}`] as const);
      const run = await runOracles(folder, file, names, broker.port);
      add(`PostgreSQL, mosquitto, workers: ${workers}`, run.generated, run.logged);
    }
  } finally {
    for (const step of cleanUp.reverse()) await step();
    rmSync(folder, { recursive: true, force: true });
  }
  return { opensslVerifyPerSec, rows };
}

/** Each oracle by its place, its broker's URL ('' for the embedded one), and its name as a worker. */
async function runOracles(
  folder: string,
  file: string,
  oracles: readonly (readonly [place: string, brokerUrl: string, name: string])[],
  brokerPort?: number,
): Promise<{ generated: Generated; logged: Logged[] }> {
  const children: Child[] = [];
  const start = (module: string, args: readonly string[]) => {
    const child = new Child(module, args);
    children.push(child);
    return child;
  };
  try {
    const running: Child[] = [];
    let port = brokerPort;
    for (const oracle of oracles) {
      const child = start('throughput-oracle.js', [file, folder, ...oracle]);
      port = (await child.json<{ port?: number }>()).port ?? port;
      running.push(child);
    }
    const generator = start('load-generator.js', [String(port), file, String(window), String(warmUp)]);
    await generator.line();
    generator.go();
    await generator.line();
    for (const child of running) {
      child.go();
      await child.line();
    }
    generator.go();
    const generated = await generator.json<Generated>();
    const logged: Logged[] = [];
    for (const child of running) {
      child.go();
      logged.push(await child.json<Logged>());
      await child.end();
    }
    return { generated, logged };
  } finally {
    for (const child of children) child.kill();
  }
}
