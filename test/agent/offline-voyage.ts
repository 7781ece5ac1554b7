/**
 * A gateway without a link for days: 50 sensors at 10 s, the whole agent with a real journal and a simulated clock,
 * then a real broker and a receiver that checks each batch and gives a signed receipt.
 */
import { fork, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
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
import { makeKey, makeLogKey, passphrase, sensorPassword, voyageStartSec, type LogKey } from './fixture.ts';

export const devicesCount = 5;
export const sensorsPerDevice = 10;
export const periodSec = 10;

export type OfflineReport = {
  readonly event: 'drained';
  readonly drainSec: number;
  readonly rssMax: number;
  readonly cpu: NodeJS.CpuUsage;
};
type FedReport = {
  readonly event: 'fed';
  readonly feedSec: number;
  readonly unsealed: number;
  readonly queued: number;
  readonly journalBytes: number;
};

export type OfflineVoyage = {
  readonly readings: number;
  readonly received: number;
  readonly batches: number;
  readonly feedPerSec: number;
  readonly drainPerSec: number;
  readonly rssMiBMax: number;
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
  const port = await freePort();
  const args = [folder, String(port), bytesToHex(receiver.logKey.publicKey), String(ticks)];
  const child = fork(fileURLToPath(new URL('offline-agent.js', import.meta.url)), args, {
    env: { ...process.env, COLDPROOF_PASSPHRASE: passphrase, SENSOR_PASSWORD: sensorPassword },
  });
  let broker: ReturnType<typeof spawn> | undefined;
  try {
    const fed = await told<FedReport>(child, 'fed');
    broker = await startBroker(folder, port);
    const stop = await receiver.listen(port);
    const drained = await told<OfflineReport>(child, 'drained');
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
      feedPerSec: Math.round(readings / fed.feedSec),
      drainPerSec: Math.round(receiver.readings / drained.drainSec),
      rssMiBMax: Math.round(drained.rssMax / 1_048_576),
      journalMiB: Math.round((10 * fed.journalBytes) / 1_048_576) / 10,
      problems,
    };
  } finally {
    child.kill('SIGKILL');
    broker?.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
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

async function told<Report extends { readonly event: string }>(
  child: ReturnType<typeof fork>,
  event: Report['event'],
): Promise<Report> {
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the agent ended with ${String(code)} before "${event}"`)));
    child.on('message', (message) => {
      // Only offline-agent.ts sends here, and only reports.
      const report = message as Report;
      if (report.event === event) resolve(report);
    });
  });
}

/** mosquitto in a process of its own. */
async function startBroker(folder: string, port: number) {
  const file = join(folder, 'mosquitto.conf');
  writeFileSync(file, `listener ${port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 10000\n`);
  const broker = spawn('mosquitto', ['-c', file], { stdio: 'ignore' });
  await Promise.race([
    once(broker, 'exit').then(() => Promise.reject(new Error('mosquitto: ended'))),
    connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 50 }).then((client) => client.endAsync()),
  ]);
  return broker;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
