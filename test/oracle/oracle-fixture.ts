/** An oracle in this process, on a folder of its own, with a device that speaks to it over MQTT as an agent would. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectAsync, type MqttClient } from 'mqtt';
import type { Test } from 'tap';
import {
  bytesToHex,
  encodeEnvelope,
  formatTopic,
  verifyReceipt,
  type Envelope,
  type Receipt,
  type Series,
} from '@coldproof/wire';
import { openChain, type Chain, type ChainSettings } from '@coldproof/oracle/chain';
import { realClock, type Clock } from '@coldproof/oracle/clock';
import { makeLogKey, openLogKey, type LogKey } from '@coldproof/oracle/log-key';
import type { Log } from '@coldproof/oracle/log-line';
import { Oracle, type OracleDeps, type OracleSettings } from '@coldproof/oracle/oracle';
import { Store } from '@coldproof/oracle/store';
import type { CrashPoint } from '@coldproof/oracle/transmit';
import { regularSeries, type VoyageDevice } from '../helpers/voyage-device.ts';
import { terms, type World } from './anvil.ts';

export const password = 'the gateway says so';
const passphrase = 'correct horse';

export const quickTransmit = { feeWeiMax: 10n ** 12n, resendMs: 100, bumpMs: 60_000, retryMs: 20 };

export function makeFolder(t: Pick<Test, 'teardown'>): string {
  const folder = mkdtempSync(join(tmpdir(), 'coldproof-oracle-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function logKeyIn(folder: string): LogKey {
  const path = join(folder, 'log-key.json');
  if (!existsSync(path)) makeLogKey(path, passphrase);
  return openLogKey(path, passphrase);
}

export function chainOf(
  { anvil, contracts }: { readonly anvil: Pick<World['anvil'], 'chain'>; readonly contracts: World['contracts'] },
  rpcUrls: string | readonly string[] = anvil.chain.rpcUrl,
  more: Partial<ChainSettings> = {},
): Chain {
  const { DeviceRegistry, Agreements, Shipments, Fleet } = contracts;
  const named = { DeviceRegistry, Agreements, Shipments, Fleet };
  const addresses = Object.fromEntries(Object.entries(named).map(([name, { address }]) => [name, address]));
  return openChain({ rpcUrls: [rpcUrls].flat(), chainId: anvil.chain.chainId, contracts: addresses, ...more });
}

/** The chain's own time, a little ahead: the voyage of a test is over before it begins. */
export function clockAt(nowSec: number): Clock {
  return { ...realClock, nowMs: () => nowSec * 1_000 };
}

export type Running = {
  readonly oracle: Oracle;
  readonly store: Store;
  readonly lines: { event: string; [field: string]: unknown }[];
  /** Resolves with what the oracle ended by: undefined after `stop`. */
  readonly ended: Promise<unknown>;
  stop(): Promise<void>;
};

export type Start = {
  readonly folder: string;
  readonly nowSec: number;
  readonly crashPoint?: CrashPoint;
  readonly rpcUrl?: string;
  readonly devices?: readonly VoyageDevice[];
  readonly settings?: Partial<OracleSettings>;
};

/** Account 9 pays. */
export async function startOracle(world: World, start: Start): Promise<Running> {
  const lines: Running['lines'] = [];
  const log: Log = (_level, event, fields = {}) => void lines.push({ event, ...fields });
  const store = new Store(join(start.folder, 'oracle.db'));
  const chain = chainOf(world, start.rpcUrl);
  const deps: OracleDeps = {
    clock: clockAt(start.nowSec),
    pace: realClock,
    log,
    store,
    chain,
    transmitter: world.anvil.chain.account(9),
    logKey: logKeyIn(start.folder),
    crashPoint: start.crashPoint ?? (() => undefined),
  };
  const devices = (start.devices ?? [world.device]).map(({ device }) => bytesToHex(device));
  const oracle = await Oracle.open(deps, {
    broker: { host: '127.0.0.1', port: 0, credentials: [{ username: 'gateway', password, devices }] },
    verify: { workers: 1, queueMax: 1_000 },
    origin: 'coldproof.example/test',
    fromBlock: 0,
    pollMs: 20,
    transmit: quickTransmit,
    ...start.settings,
  });
  const close = () => {
    chain.close();
    store.close();
  };
  const ended = oracle.run().then(
    () => undefined,
    (error: unknown) => error,
  );
  const closed = ended.then(close);
  const stop = async () => {
    oracle.close();
    await closed;
  };
  return { oracle, store, lines, ended, stop };
}

/** The agent's part, without its memory: publishes, and collects verified receipts. */
export class Gateway {
  readonly receipts: Receipt[] = [];
  readonly client: MqttClient;

  private constructor(client: MqttClient, logPublicKey: Uint8Array) {
    this.client = client;
    client.on('message', (_topic, payload) => {
      const receipt = verifyReceipt(payload, logPublicKey);
      if (!receipt.ok) throw new Error(`${receipt.reason}: ${receipt.detail}`);
      this.receipts.push(receipt.value);
    });
  }

  static async connect({ oracle }: Pick<Running, 'oracle'>, devices: readonly VoyageDevice[]): Promise<Gateway> {
    const url = `mqtt://127.0.0.1:${oracle.brokerPort}`;
    const client = await connectAsync(url, { username: 'gateway', password, reconnectPeriod: 0 });
    const gateway = new Gateway(client, oracle.log.publicKey);
    for (const { device } of devices) await client.subscribeAsync(formatTopic(device, 'receipt'), { qos: 1 });
    return gateway;
  }

  async send(device: Uint8Array, envelope: Envelope | Uint8Array): Promise<void> {
    const bytes = envelope instanceof Uint8Array ? envelope : encodeEnvelope(envelope);
    await this.client.publishAsync(formatTopic(device, 'batch'), Buffer.from(bytes), { qos: 1 });
  }

  async close(): Promise<void> {
    await this.client.endAsync(true);
  }
}

/** Waits for a condition, never for a time. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, msMax = 15_000): Promise<void> {
  const deadline = Date.now() + msMax;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${msMax} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** One quarter of an hour of three channels, sample by sample a minute apart. */
export function quarter(startSec: number, cargoCentiC: number | readonly number[]): Series[] {
  const cargo = typeof cargoCentiC === 'number' ? new Array<number>(15).fill(cargoCentiC) : cargoCentiC;
  return [
    regularSeries(1, startSec, new Array<number>(15).fill(450)),
    regularSeries(terms.channel, startSec, cargo),
    regularSeries(6, startSec, new Array<number>(15).fill(0)),
  ];
}

/** A voyage that gets too warm: two quarters within limits, then `warm` quarters at 9 °C. Envelopes in order. */
export function warmVoyage(device: VoyageDevice, dispatchedAtSec: number, warm = 2): Envelope[] {
  const startSec = dispatchedAtSec + 60;
  return Array.from({ length: 2 + warm }, (_, i) => device.seal(quarter(startSec + i * 900, i < 2 ? 500 : 900)));
}
