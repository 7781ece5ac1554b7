/**
 * A gateway without a link for days: 50 sensors at 10 s, the whole agent with a real journal and a simulated clock,
 * then a real broker and a receiver that checks each batch and gives a signed receipt.
 */
import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectAsync } from 'mqtt';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import {
  bytesEqual,
  bytesToHex,
  decodeEnvelope,
  formatTopic,
  noPrevious,
  openEnvelope,
  parseTopic,
  topicFilter,
  verifyEnvelope,
} from '@coldproof/wire';
import { Mosquitto } from '../helpers/mosquitto.ts';
import { makeKey, makeLogKey, passphrase, sensorPassword, voyageStartSec, type LogKey } from './fixture.ts';
import { readUnit } from './unit.ts';

export const devicesCount = 5;
export const sensorsPerDevice = 10;
export const periodSec = 10;

/** Ticks that are under way at a time: a minute, as from sensors that report with their own times. */
const ticksAtOnce = 6;

/** What offline-agent.ts is told. */
export type Order = { readonly event: 'clock'; readonly nowSec: number } | { readonly event: 'fed' };

/** What it tells. Memory is the most that there has been, processor time is since the report before. */
export type Report =
  | { readonly event: 'ready'; readonly brokerPort: number; readonly rssMiBMax: number }
  | { readonly event: 'clock' }
  | {
      readonly event: 'fed';
      readonly unsealed: number;
      readonly queued: number;
      readonly journalBytes: number;
      readonly rssMiBMax: number;
      readonly cpuSec: number;
    }
  | { readonly event: 'drained'; readonly drainSec: number; readonly rssMiBMax: number; readonly cpuSec: number };

export type OfflineVoyage = {
  readonly readings: number;
  readonly received: number;
  readonly batches: number;
  readonly feedPerSec: number;
  readonly drainPerSec: number;
  /** Of the agent's processor time, for each reading. */
  readonly feedCpuMicroSec: number;
  readonly drainCpuMicroSec: number;
  /** At the start, before the drain, at the end. */
  readonly rssMiBMax: readonly [number, number, number];
  readonly journalMiB: number;
  /** Empty: nothing lost, nothing twice, all in order. */
  readonly problems: readonly string[];
};

export function offlineYaml(stateDir: string, port: number, logPublicKey: string): string {
  const devices = Array.from({ length: devicesCount }, (_, device) => {
    const sensors = Array.from({ length: sensorsPerDevice }, (_, i) => {
      const channel = `cargo-probe-${i + 1}`;
      return `      - { channel: ${channel}, mqtt: { topic: sensors/${device}, name: ZONE-${device}/${channel} } }`;
    });
    return `  - name: ZONE-${device}\n    sensors:\n${sensors.join('\n')}`;
  });
  return `
stateDir: ${stateDir}
passphraseEnv: COLDPROOF_PASSPHRASE
devices:
${devices.join('\n')}
sensorBroker:
  port: 0
  credentials:
    - { username: sensors, passwordEnv: SENSOR_PASSWORD, topics: ['sensors/+'] }
uplink:
  url: mqtt://127.0.0.1:${port}
  logPublicKey: '${logPublicKey}'
  windowBatches: 64
  resendSec: 1
  reconnectSecMax: 1
http: { port: 0 }
`;
}

export async function offlineVoyage(days: number): Promise<OfflineVoyage> {
  const folder = mkdtempSync(join(tmpdir(), 'coldproof-offline-'));
  const ticks = Math.round((days * 86_400) / periodSec);
  const receiver = new Receiver(makeLogKey());
  for (let device = 0; device < devicesCount; device++) {
    const key = makeKey(folder, `ZONE-${device}`);
    receiver.publicKeys.set(bytesToHex(key.device()), key.publicKey());
  }
  const endings: (() => unknown)[] = [];
  const broker = await Mosquitto.start({ teardown: (ending: () => unknown) => endings.push(ending) }, [
    'allow_anonymous true',
    'max_queued_messages 10000',
  ]);
  await broker.stop();
  const args = [folder, String(broker.port), bytesToHex(receiver.logKey.publicKey)];
  const { flags, variables } = readUnit();
  const child = fork(fileURLToPath(new URL('offline-agent.js', import.meta.url)), args, {
    execArgv: flags,
    env: { ...process.env, ...variables, COLDPROOF_PASSPHRASE: passphrase, SENSOR_PASSWORD: sensorPassword },
  });
  const told = reports(child);
  try {
    const { brokerPort, rssMiBMax: rssAtStart } = await told('ready');
    const startedMs = performance.now();
    await feed(brokerPort, ticks, async (nowSec) => {
      child.send({ event: 'clock', nowSec } satisfies Order);
      await told('clock');
    });
    const feedSec = (performance.now() - startedMs) / 1_000;
    child.send({ event: 'fed' } satisfies Order);
    const fed = await told('fed');
    await broker.restart();
    const stop = await receiver.listen(broker.port);
    const drained = await told('drained');
    if (child.exitCode === null) await once(child, 'exit');
    await stop();
    const readings = ticks * devicesCount * sensorsPerDevice;
    const problems = [...receiver.problems];
    const expected = readings - fed.unsealed;
    if (receiver.readings !== expected) problems.push(`expected ${expected} readings, got ${receiver.readings}`);
    return {
      readings,
      received: receiver.readings,
      batches: receiver.batches,
      feedPerSec: Math.round(readings / feedSec),
      drainPerSec: Math.round(receiver.readings / drained.drainSec),
      feedCpuMicroSec: Math.round((10_000_000 * fed.cpuSec) / readings) / 10,
      drainCpuMicroSec: Math.round((10_000_000 * drained.cpuSec) / readings) / 10,
      rssMiBMax: [Math.round(rssAtStart), Math.round(fed.rssMiBMax), Math.round(drained.rssMiBMax)],
      journalMiB: Math.round((10 * fed.journalBytes) / 1_048_576) / 10,
      problems,
    };
  } finally {
    child.kill('SIGKILL');
    for (const ending of endings) await ending();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** One message of each device at each tick, with the time of the tick; all are acknowledged when this returns. */
async function feed(port: number, ticks: number, setClock: (nowSec: number) => Promise<void>): Promise<void> {
  const login = { username: 'sensors', password: sensorPassword, reconnectPeriod: 0 };
  const sensors = await connectAsync(`mqtt://127.0.0.1:${port}`, login);
  // With Nagle's algorithm every minute would wait 40 ms for an ACK.
  if (sensors.stream instanceof Socket) sensors.stream.setNoDelay(true);
  for (let first = 0; first < ticks; first += ticksAtOnce) {
    const end = Math.min(ticks, first + ticksAtOnce);
    await setClock(voyageStartSec + (end - 1) * periodSec);
    const sent: Promise<unknown>[] = [];
    for (let tick = first; tick < end; tick++) {
      for (let device = 0; device < devicesCount; device++) {
        const pack = formatPack(device, tick);
        sent.push(sensors.publishAsync(`sensors/${device}`, pack, { qos: 1 }));
      }
    }
    await Promise.all(sent);
  }
  await sensors.endAsync();
}

/** RFC 8428 §4.1: base name and base time, then what differs. */
function formatPack(device: number, tick: number): string {
  const base = { bn: `ZONE-${device}/cargo-probe-`, bt: voyageStartSec + tick * periodSec };
  const records = Array.from({ length: sensorsPerDevice }, (_, i) => ({
    n: String(i + 1),
    v: 4 + ((tick + i) % 100) / 100,
  }));
  return JSON.stringify([{ ...base, ...records[0] }, ...records.slice(1)]);
}

/** Takes what is the next batch of its device, as an oracle does, and notes all that is not as it should be. */
class Receiver {
  readonly logKey: LogKey;
  readonly publicKeys = new Map<string, Uint8Array>();
  readonly problems: string[] = [];
  readings = 0;
  batches = 0;
  readonly #crypto = opensslCrypto();
  /** By device: digest of each batch, in order. */
  readonly #chains = new Map<string, Uint8Array[]>();
  /** By device and channel. */
  readonly #newestSec = new Map<string, number>();

  constructor(logKey: LogKey) {
    this.logKey = logKey;
  }

  async listen(port: number): Promise<() => Promise<void>> {
    const client = await connectAsync(`mqtt://127.0.0.1:${port}`);
    client.on('message', (topic, payload) => {
      const device = parseTopic(topic)?.device;
      const receipt = device === undefined ? undefined : this.#take(device, payload);
      if (receipt !== undefined) client.publish(formatTopic(device!, 'receipt'), Buffer.from(receipt));
    });
    await client.subscribeAsync(topicFilter('batch'), { qos: 0 });
    return () => client.endAsync();
  }

  #take(device: Uint8Array, bytes: Uint8Array): Uint8Array | undefined {
    const id = bytesToHex(device);
    const chain = this.#chains.get(id) ?? [];
    this.#chains.set(id, chain);
    const decoded = decodeEnvelope(new Uint8Array(bytes));
    const opened = decoded.ok ? openEnvelope(decoded.value, this.#crypto) : decoded;
    if (!decoded.ok || !opened.ok) {
      this.#fail(`${id}: no envelope`);
      return;
    }
    const { batch, digest, series } = opened.value;
    const { sequence } = batch;
    if (sequence > chain.length) return undefined;
    if (sequence < chain.length && !bytesEqual(chain[sequence]!, digest)) {
      this.#fail(`${id}/${sequence}: twice`);
      return;
    }
    if (sequence === chain.length) {
      if (!verifyEnvelope(decoded.value, this.publicKeys.get(id)!, this.#crypto).ok) {
        this.#fail(`${id}: forged`);
        return;
      }
      if (!bytesEqual(batch.previous, chain.at(-1) ?? noPrevious)) {
        this.#fail(`${id}/${sequence}: no chain`);
        return;
      }
      chain.push(digest);
      this.batches += 1;
      for (const { channel, samples } of series) {
        const name = `${id}/${channel}`;
        for (const { timeSec } of samples) {
          const expectedSec = (this.#newestSec.get(name) ?? voyageStartSec - periodSec) + periodSec;
          if (timeSec !== expectedSec) this.#fail(`${name}: expected a reading of ${expectedSec}, got ${timeSec}`);
          this.#newestSec.set(name, timeSec);
          this.readings += 1;
        }
      }
    }
    return this.logKey.sign({ index: this.batches, device, sequence, digest });
  }

  #fail(problem: string): undefined {
    if (this.problems.length < 20) this.problems.push(problem);
    return undefined;
  }
}

/** The child's next report of a kind; an error when it ends instead. */
function reports(child: ReturnType<typeof fork>) {
  let waiting: { event: string; resolve: (report: Report) => void; reject: (error: Error) => void } | undefined;
  child.once('exit', (code) => waiting?.reject(new Error(`the agent ended with ${String(code)}: ${waiting.event}`)));
  child.on('message', (message) => {
    // Only offline-agent.ts sends here, and only reports.
    const report = message as Report;
    if (report.event === waiting?.event) waiting.resolve(report);
  });
  return <Event extends Report['event']>(event: Event) =>
    new Promise<Extract<Report, { event: Event }>>((resolve, reject) => {
      waiting = { event, resolve: (report) => resolve(report as Extract<Report, { event: Event }>), reject };
    });
}
