/** What the agent's tests share: a truck's configuration, its key, a stub of the oracle, waiting with a deadline. */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Aedes } from 'aedes';
import { parseConfig, type AgentConfig } from '@coldproof/agent/config';
import type { Clock } from '@coldproof/agent/clock';
import { startAgent, type RunningAgent } from '@coldproof/agent/agent';
import { Journal } from '@coldproof/agent/journal';
import { createKeyFile, openKeyFile } from '@coldproof/agent/key-file';
import type { KeyStore } from '@coldproof/agent/key-store';
import { mqttLink } from '@coldproof/agent/link';
import { freePort } from '@coldproof/oracle/demonstration/free-ports';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import {
  bytesEqual,
  bytesToHex,
  decodeEnvelope,
  deviceOf,
  encodeReceipt,
  encodeReceiptBody,
  formatTopic,
  logOf,
  noPrevious,
  openEnvelope,
  parseTopic,
  receiptPreimage,
  verifyEnvelope,
  type OpenEnvelope,
  type Receipt,
} from '@coldproof/wire';
import type { Test } from 'tap';

export const voyageStartSec = 1_767_225_600;
export const passphrase = 'a passphrase for tests';
export const sensorPassword = 'a password for sensors';

const openssl = opensslCrypto();

/** Runs until `condition` holds; fails with `what` at the deadline. */
export async function until(condition: () => boolean, what: string, deadlineMs = 15_000): Promise<void> {
  const startedMs = performance.now();
  while (!condition()) {
    if (performance.now() - startedMs > deadlineMs) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Removed when the test ends. */
export function temporaryFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'coldproof-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A clock that stands until a test moves it. */
export class HandClock implements Clock {
  ms: number;

  constructor(sec = voyageStartSec) {
    this.ms = sec * 1_000;
  }

  nowMs(): number {
    return this.ms;
  }

  async wait(_ms: number, signal?: AbortSignal): Promise<void> {
    if (signal === undefined || signal.aborted) return;
    await once(signal, 'abort');
  }
}

export type LogKey = { readonly publicKey: Uint8Array; sign(receipt: Omit<Receipt, 'log'>): Uint8Array };

export function makeLogKey(): LogKey {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const raw = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }).subarray(-32));
  return {
    publicKey: raw,
    sign(receipt) {
      const body = encodeReceiptBody({ ...receipt, log: logOf(raw) });
      return encodeReceipt(body, new Uint8Array(sign(null, receiptPreimage(body), privateKey)));
    },
  };
}

/** An oracle that stores what it accepts and checks the chain as the real one does. */
export class StubOracle {
  readonly logKey = makeLogKey();
  /** By device, in order of sequence. */
  readonly stored = new Map<string, OpenEnvelope[]>();
  readonly statuses: { topic: string; payload: string; retain: boolean }[] = [];
  /** Why a message was not stored. */
  readonly refused: string[] = [];
  received = 0;
  /** When false, nothing is answered and nothing stored. */
  isAnswering = true;
  /** Asked for each message: false loses it on the way in; no receipt, nothing stored. */
  admits: () => boolean = () => true;
  /** Asked for each receipt: false loses it on the way out. */
  delivers: () => boolean = () => true;
  port = 0;
  #publicKeys = new Map<string, Uint8Array>();
  #broker: Aedes | undefined;
  #server: ReturnType<typeof createServer> | undefined;
  readonly #sockets = new Set<Socket>();
  #index = 0;

  trust(keyStore: Pick<KeyStore, 'publicKey'>): void {
    const publicKey = keyStore.publicKey();
    this.#publicKeys.set(bytesToHex(deviceOf(publicKey)), publicKey);
  }

  /** By itself where nobody else comes to listen while it is stopped. */
  async start(port?: number): Promise<void> {
    const broker = await Aedes.createBroker({
      authorizePublish: (client, packet, done) => {
        if (client !== null) this.#receive(packet.topic, packet.payload, packet.retain);
        done();
      },
    });
    this.#broker = broker;
    const server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      broker.handle(socket);
    });
    this.#server = server;
    server.listen(port ?? (await freePort()), '127.0.0.1');
    await once(server, 'listening');
    this.port = (server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    const broker = this.#broker;
    const server = this.#server;
    if (broker === undefined || server === undefined) return;
    this.#broker = undefined;
    const closed = once(server, 'close');
    server.close();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => {
      broker.close(() => resolve());
    });
    await closed;
  }

  /** Drops all connections as a network does, without a word. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  send(topic: string, payload: Uint8Array): void {
    this.#broker?.publish(
      { cmd: 'publish', topic, payload: Buffer.from(payload), qos: 1, retain: false, dup: false },
      () => undefined,
    );
  }

  #receive(topic: string, payload: Buffer | string, retain: boolean): void {
    const parsed = parseTopic(topic);
    if (parsed?.kind === 'status') {
      this.statuses.push({ topic, payload: payload.toString(), retain });
      return;
    }
    this.received += 1;
    if (!this.isAnswering || !this.admits() || parsed === undefined) return;
    const receipt = this.answer(parsed.device, new Uint8Array(Buffer.from(payload)));
    if (receipt !== undefined && this.delivers()) this.send(formatTopic(parsed.device, 'receipt'), receipt);
  }

  /** The receipt for an envelope that is the next of its device, or is stored already. */
  answer(device: Uint8Array, envelope: Uint8Array): Uint8Array | undefined {
    const id = bytesToHex(device);
    const chain = this.stored.get(id) ?? [];
    this.stored.set(id, chain);
    const verdict = this.#verify(envelope, id, chain);
    if (typeof verdict === 'string') {
      this.refused.push(verdict);
      return undefined;
    }
    const { sequence } = verdict.batch;
    if (sequence === chain.length) chain.push(verdict);
    return this.logKey.sign({ index: this.#index++, device, sequence, digest: verdict.digest });
  }

  #verify(bytes: Uint8Array, device: string, chain: readonly OpenEnvelope[]): OpenEnvelope | string {
    const publicKey = this.#publicKeys.get(device);
    if (publicKey === undefined) return 'device-unknown';
    const decoded = decodeEnvelope(bytes);
    if (!decoded.ok) return decoded.reason;
    const opened = openEnvelope(decoded.value);
    if (!opened.ok) return opened.reason;
    const signature = verifyEnvelope(decoded.value, publicKey, openssl);
    if (!signature.ok) return signature.reason;
    const { batch, digest } = opened.value;
    const known = chain[batch.sequence];
    if (known !== undefined) return bytesEqual(known.digest, digest) ? opened.value : 'equivocation';
    if (batch.sequence !== chain.length) return 'sequence-not-next';
    const previous = chain.at(-1)?.digest ?? noPrevious;
    return bytesEqual(previous, batch.previous) ? opened.value : 'previous-mismatch';
  }
}

/** One truck as in the demonstration: a probe and a door over MQTT. */
export function truckYaml(stateDir: string, options: { oraclePort: number; logPublicKey: Uint8Array }): string {
  return `
stateDir: ${stateDir}
passphraseEnv: COLDPROOF_PASSPHRASE
devices:
  - name: TRUCK-7
    sealSamplesMax: 5
    sensors:
      - channel: cargo-probe-1
        mqtt: { topic: sensors/TRUCK-7, name: TRUCK-7/cargo-probe-1 }
        range: [-40, 70]
        invalid: [-127, 85]
        stuckSamples: 10
        spikeCentiCPerMin: 500
      - { channel: door, mqtt: { topic: sensors/TRUCK-7, name: TRUCK-7/door } }
sensorBroker:
  port: 0
  credentials:
    - { username: TRUCK-7, passwordEnv: SENSOR_PASSWORD, topics: [sensors/TRUCK-7] }
uplink:
  url: mqtt://127.0.0.1:${options.oraclePort}
  logPublicKey: '${bytesToHex(options.logPublicKey)}'
  windowBatches: 4
  resendSec: 1
  reconnectSecMax: 1
http: { port: 0 }
`;
}

export function mustParse(yaml: string): AgentConfig {
  const config = parseConfig(yaml);
  if (!config.ok) throw new Error(config.detail);
  return config.value;
}

/** The passphrase of a test is no secret, and each start would pay 0.1 s for it. */
const cheapCost = { n: 2, r: 1, p: 1 };

export function makeKey(stateDir: string, name = 'TRUCK-7'): KeyStore {
  const journal = Journal.open(stateDir);
  try {
    const path = join(stateDir, 'keys', `${name}.json`);
    return createKeyFile(path, passphrase, randomBytes, (device) => journal.adoptDevice(device), cheapCost);
  } finally {
    journal.close();
  }
}

export type LogLine = { readonly level: string; readonly event: string; readonly [field: string]: unknown };

export async function startTruck(
  config: AgentConfig,
  clock: Clock,
  journal: Journal = Journal.open(config.stateDir),
): Promise<{ agent: RunningAgent; log: LogLine[] }> {
  const log: LogLine[] = [];
  const agent = await startAgent(config, {
    clock,
    random: Math.random,
    log: (level, event, fields = {}) => log.push({ level, event, ...fields }),
    journal,
    links: new Map(
      config.uplinks.map(({ name, url, mqtt }) => [
        name,
        mqttLink({ url, mqtt, username: undefined, password: undefined }),
      ]),
    ),
    keyStores: new Map(
      config.devices.map(({ name }) => [name, openKeyFile(join(config.stateDir, 'keys', `${name}.json`), passphrase)]),
    ),
    sensorPasswords: new Map(config.sensorBroker!.credentials.map(({ username }) => [username, sensorPassword])),
  });
  return { agent, log };
}
