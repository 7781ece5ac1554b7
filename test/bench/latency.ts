/**
 * From a batch that is published by MQTT to the cancellation in a block: the oracle as a process of its own, as it is
 * installed, with the real contracts on a chain that mines at once, while a load generator sends other devices' batches
 * at a steady rate. One order, device and truck for each measurement; the batch that is timed is the one that makes the
 * excursion long enough. The block is told by the chain itself, over a WebSocket.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Interface, WebSocketProvider } from 'ethers';
import { connectAsync } from 'mqtt';
import { stringify } from 'yaml';
import { loadArtifact } from '@coldproof/contracts';
import { bytesToHex, encodeEnvelope, formatDemonstrationClock, formatTopic } from '@coldproof/wire';
import { Random } from '../helpers/seed.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { chainStartSec, dispatchOrder, enrol, makeWorld, registerTruck, type World } from '../oracle/anvil.ts';
import { until, warmVoyage } from '../oracle/oracle-fixture.ts';
import { Child } from './child.ts';
import { gatewayPassword, loadOf, makeLoadDevices, writeLoad } from './load-file.ts';

const orders = Math.min(250, Number(process.env['LATENCY_ORDERS'] ?? 200));
const loadPerSec = 500;
const loadDevices = 64;
const gateways = 4;
/** Between two measurements, at random, so that they do not fall in step with anything. */
const pauseMs = [100, 300] as const;
const seed = 250;
/** The most cancellations of one carrier in the shortest time: what is over it, two persons approve. */
const breakerCount = 8;
const breakerSec = 3_600;
/** Nobody waits longer than this. */
const cancelledMsMax = 60_000;

export type Latency = {
  readonly orders: number;
  readonly loadPerSec: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly most: number;
};

type Voyage = { readonly device: VoyageDevice; readonly orderId: string; readonly envelopes: readonly Uint8Array[] };

export async function measureLatency(): Promise<Latency> {
  const folder = mkdtempSync(join(tmpdir(), 'coldproof-latency-'));
  const cleanUp: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];
  try {
    const world = await makeWorld();
    cleanUp.push(() => world.anvil.stop());
    const voyages: Voyage[] = [];
    for (let i = 0; i < orders; i++) voyages.push(await embark(world, i));
    await world.anvil.chain.sendAs(world.anvil.chain.account(0), world.contracts.Shipments, 'setBreaker', [
      breakerCount,
      breakerSec,
    ]);
    const devices = makeLoadDevices(loadDevices, chainStartSec - 365 * 86_400);
    for (const device of devices) await enrol(world, device);
    const seconds = 30 + (orders * pauseMs[1] * 2) / 1_000;
    const load = loadOf(devices, { gateways, batches: Math.ceil(seconds * loadPerSec) });
    const file = join(folder, 'load');
    writeFileSync(file, writeLoad(load));
    const own = { username: 'measured', devices: voyages.map(({ device }) => bytesToHex(device.device)) };
    const nowSec = (await world.anvil.chain.nowSec()) + 3_600;
    await world.anvil.chain.mine(nowSec);
    const oracle = await startOracle(world, folder, [own, ...load.gateways], nowSec);
    cleanUp.push(() => stop(oracle.process));
    const generator = new Child('load-generator.js', [String(oracle.port), file, '4096', `${loadPerSec}/s`]);
    cleanUp.push(() => generator.kill());
    await generator.line();
    generator.go();
    const times = await measure(world, voyages, oracle.port);
    times.sort((a, b) => a - b);
    const at = (share: number) => Math.round(times[Math.ceil(share * times.length) - 1]!);
    return { orders, loadPerSec, p50: at(0.5), p99: at(0.99), most: at(1) };
  } finally {
    for (const step of cleanUp.reverse()) await step();
  }
}

async function embark(world: World, i: number): Promise<Voyage> {
  // The world's own device has seed 1, and there are 256 seeds.
  const device = new VoyageDevice(2 + i);
  await enrol(world, device);
  const truck = await registerTruck(world, `TRUCK-L${i}`);
  const { orderId, dispatchedAtSec } = await dispatchOrder(world, device, truck);
  return { device, orderId, envelopes: warmVoyage(device, dispatchedAtSec).map((each) => encodeEnvelope(each)) };
}

/** Milliseconds from publish to block, of each voyage. */
async function measure({ anvil, contracts }: World, voyages: readonly Voyage[], port: number): Promise<number[]> {
  const random = new Random(seed);
  const cancelled = new Map<string, () => void>();
  const abi = new Interface(JSON.stringify(loadArtifact('Shipments').abi));
  const provider = new WebSocketProvider(`ws://127.0.0.1:${anvil.port}`);
  const filter = { address: contracts.Shipments.address, topics: [abi.getEvent('OrderCancelled')!.topicHash] };
  await provider.on(filter, (log: { topics: readonly string[]; data: string }) => {
    cancelled.get(String(abi.parseLog(log)?.args['orderId']))?.();
  });
  const settings = { username: 'measured', password: gatewayPassword, reconnectPeriod: 0 };
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, settings);
  const times: number[] = [];
  try {
    for (const [i, { device, orderId, envelopes }] of voyages.entries()) {
      // Between two measurements, an hour for the chain: it holds what is over so many cancellations in one.
      if (i > 0 && i % breakerCount === 0) await anvil.chain.mine((await anvil.chain.nowSec()) + breakerSec + 1);
      const topic = formatTopic(device.device, 'batch');
      await client.subscribeAsync(formatTopic(device.device, 'receipt'), { qos: 0 });
      const logged = receipts(client, envelopes.length - 1);
      for (const envelope of envelopes.slice(0, -1)) client.publish(topic, Buffer.from(envelope), { qos: 1 });
      await logged;
      await pause(random.integer(...pauseMs));
      const done = within(new Promise<void>((resolve) => cancelled.set(orderId, resolve)), `order ${orderId}`);
      const startMs = performance.now();
      client.publish(topic, Buffer.from(envelopes.at(-1)!), { qos: 1 });
      await done;
      times.push(performance.now() - startMs);
    }
  } finally {
    await client.endAsync(true);
    await provider.destroy();
  }
  return times;
}

function receipts(client: Awaited<ReturnType<typeof connectAsync>>, count: number): Promise<void> {
  let left = count;
  return within(
    new Promise<void>((resolve) => {
      const onMessage = () => {
        left -= 1;
        if (left > 0) return;
        client.off('message', onMessage);
        resolve();
      };
      client.on('message', onMessage);
    }),
    'receipts',
  );
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function within<Value>(promise: Promise<Value>, what: string): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${cancelledMsMax} ms: ${what}`)), cancelledMsMax);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The installed program, with its defaults; account 9 of the chain pays for what its new key sends. */
async function startOracle(
  { anvil, contracts }: World,
  folder: string,
  credentials: readonly { username: string; devices: readonly string[] }[],
  nowSec: number,
): Promise<{ process: ChildProcess; port: number }> {
  const { DeviceRegistry, Agreements, Shipments, Fleet } = contracts;
  const addresses = Object.entries({ DeviceRegistry, Agreements, Shipments, Fleet });
  const config = {
    stateDir: join(folder, 'oracle'),
    broker: { port: 0, credentials: credentials.map((each) => ({ ...each, passwordEnv: 'GATEWAY' })) },
    http: { port: 0 },
    chain: {
      rpcUrl: anvil.chain.rpcUrl,
      chainId: anvil.chain.chainId,
      contracts: Object.fromEntries(addresses.map(([name, { address }]) => [name, address])),
    },
  };
  const file = join(folder, 'oracle.yaml');
  writeFileSync(file, stringify(config, { aliasDuplicateObjects: false }));
  const clock = { voyageStartMs: nowSec * 1_000, realStartMs: Date.now(), speed: 1 };
  const env = {
    ...process.env,
    COLDPROOF_PASSPHRASE: 'benchmark',
    GATEWAY: gatewayPassword,
    COLDPROOF_DEMONSTRATION_CLOCK: formatDemonstrationClock(clock),
  };
  const program = createRequire(import.meta.url).resolve('@coldproof/oracle/main');
  const init = spawn(process.execPath, [program, 'init', '--config', file], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [made] = (await once(createInterface({ input: init.stdout }), 'line')) as [string];
  const { transmitter } = JSON.parse(made) as { transmitter: `0x${string}` };
  await anvil.chain.setWeiBalance(transmitter, 10n ** 21n);
  const running = spawn(process.execPath, [program, '--config', file], { env, stdio: ['ignore', 'inherit', 'pipe'] });
  const lines = createInterface({ input: running.stderr });
  const { port, httpPort } = await within(
    new Promise<{ port: number; httpPort: number }>((resolve) => {
      lines.on('line', (line) => {
        // One line of JSON for each event.
        const said = JSON.parse(line) as { event: string; level: string; brokerPort?: number; httpPort?: number };
        const { event, level } = said;
        if (event === 'started') resolve({ port: said.brokerPort!, httpPort: said.httpPort! });
        else if (level === 'error' || event === 'batch-rejected') process.stderr.write(`${line}\n`);
      });
    }),
    'the oracle',
  );
  await until('the chain is read', async () => (await fetch(`http://127.0.0.1:${httpPort}/readyz`)).ok, 60_000);
  return { process: running, port };
}

async function stop(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
