/**
 * A consortium of four oracle processes on one machine: a Mosquitto between them, an anvil with the contracts under
 * them, and orders in transit whose terms name a cryptlet. What nodes say is read from their status pages, what was
 * accepted from the chain alone.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HDNodeWallet } from 'ethers';
import { connectAsync, type MqttClient } from 'mqtt';
import type { Test } from 'tap';
import { bytesToHex, encodeEnvelope, envelopePreimage, formatTopic, type Envelope } from '@coldproof/wire';
import { makeAttestationKey } from '@coldproof/oracle/attestation-key';
import { encodePackage, type Cryptlet } from '@coldproof/oracle/cryptlet/cryptlet';
import { publicationOf } from '@coldproof/oracle/cryptlet/publication';
import { termsOf } from '@coldproof/oracle/demonstration/agreement';
import { freePorts } from '@coldproof/oracle/demonstration/free-ports';
import { developmentPhrase, type DeployedContract } from '@coldproof/oracle/development-chain';
import { makeLogKey } from '@coldproof/oracle/log-key';
import type { NetworkStatus } from '@coldproof/oracle/network/network-status';
import { Mosquitto } from '../helpers/mosquitto.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { enrol, makeWorld, terms, type World } from '../oracle/anvil.ts';
import { cryptlet, manifest, sign } from '../oracle/cryptlet-fixture.ts';
import { makeFolder, quarter } from '../oracle/oracle-fixture.ts';
import { restoreLog, rewriteLog, rootBefore, type Rewriting } from './rewritten-log.ts';

/** Four nodes, a chain and a broker share two processors here: on a chain as slow as that a block is no race. */
const blockSec = 4;
const bond = 1_000n;
const passphrase = 'correct horse';
const environment = { COLDPROOF_PASSPHRASE: passphrase, PEER_PASSWORD: 'unused', UPLINK_PASSWORD: 'unused' };
const mainFile = fileURLToPath(new URL('../../../oracle/dist/main.js', import.meta.url));
const faultyFile = fileURLToPath(new URL('faulty-node.js', import.meta.url));

/** A breach once ten samples were over 8 °C; what it reports is when that began. */
export const warmTen: Cryptlet = cryptlet(
  `function evaluate(input) {
    const warm = input.channels[0].series.flatMap((each) => each.samples).filter((each) => each[1] > 800);
    return warm.length < 10 ? undefined : { report: [warm[0][0]], breach: true };
  }`,
  { name: 'warm-ten', interface: 'Warm(uint32 sinceSec)', channels: [terms.channel], publisher: manifest.publisher },
);

/** Not the state folder's `cryptlets`: what those say without a quorum costs each node two threads more. */
const programs = 'programs';

/** For what has no bound of its own, on a machine that does much else. */
const patienceMs = 120_000;
/** Status pages cost the nodes time that they need for their work. */
const lookMs = 200;

/** Waits for a condition, never for a time. */
export async function eventually(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + patienceMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${patienceMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
}

export type Voyage = { readonly orderId: string; readonly device: VoyageDevice; readonly dispatchedAtSec: number };

export class Node {
  readonly name: string;
  readonly #folder: string;
  readonly #httpPort: number;
  #child: ChildProcess | undefined;

  constructor(name: string, folder: string, httpPort: number) {
    this.name = name;
    this.#folder = folder;
    this.#httpPort = httpPort;
  }

  /** With a fault, by the test's own entry; the product has none. `isAlone`: it follows no other log. */
  start(fault?: 'warmer' | 'equivocator', { isAlone = false } = {}): void {
    const config = join(this.#folder, isAlone ? 'alone.yaml' : 'oracle.yaml');
    const log = openSync(join(this.#folder, 'oracle.log'), 'a');
    const args = fault === undefined ? [mainFile, '--config', config] : [faultyFile, config, fault];
    this.#child = spawn(process.execPath, args, {
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'ignore', log],
    });
    closeSync(log);
  }

  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(name);
  }

  /** By kill -9. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  }

  /** While it is stopped: its log is another one, until `restoreLog`. */
  rewriteLog(how: Rewriting): void {
    rewriteLog(this.#folder, how);
  }

  /** Of the log that it had before; undefined when that never was of this size. */
  rootBefore(size: number): Uint8Array | undefined {
    return rootBefore(this.#folder, size);
  }

  restoreLog(): void {
    restoreLog(this.#folder);
  }

  /** Throws when the process has ended by itself. */
  #mustLive(): void {
    const code = this.#child?.exitCode ?? this.#child?.signalCode ?? undefined;
    if (code !== undefined) throw new Error(`${this.name} ended with ${code}: ${this.story.slice(-2_000)}`);
  }

  get story(): string {
    return readFileSync(join(this.#folder, 'oracle.log'), 'utf8');
  }

  async status(): Promise<{ readonly quorum: NetworkStatus; readonly log: { readonly size: number } } | undefined> {
    this.#mustLive();
    try {
      const response = await fetch(`http://127.0.0.1:${this.#httpPort}/api/v1/status`, {
        signal: AbortSignal.timeout(2_000),
      });
      // Our own program's page.
      return (await response.json()) as Awaited<ReturnType<Node['status']>>;
    } catch {
      // Not there, or not yet.
      return undefined;
    }
  }
}

type Consortium = {
  readonly contracts: Readonly<Record<'OracleSet' | 'Disputes' | 'AnchorLog', DeployedContract>>;
  readonly registry: DeployedContract<'CryptletRegistry'>;
};

export class Stage {
  readonly nodes: readonly Node[];
  readonly world: World;
  readonly #contracts: Consortium['contracts'];
  readonly #client: MqttClient;

  private constructor(world: World, contracts: Consortium['contracts'], nodes: readonly Node[], client: MqttClient) {
    this.world = world;
    this.#contracts = contracts;
    this.nodes = nodes;
    this.#client = client;
  }

  static async open(t: Test): Promise<Stage> {
    const folder = makeFolder(t);
    const broker = await Mosquitto.start(t);
    const world = await makeWorld(1, ['--accounts', '20']);
    t.teardown(() => world.anvil.stop());
    const ports = await freePorts(4);
    const url = `mqtt://127.0.0.1:${broker.port}`;
    const keys = ports.map((port, i) => {
      const home = join(folder, `node-${i}`);
      mkdirSync(join(home, programs), { recursive: true });
      writeFileSync(join(home, programs, 'warm-ten.cryptlet'), encodePackage(warmTen, sign(warmTen)));
      const { privateKey } = HDNodeWallet.fromPhrase(developmentPhrase, undefined, `m/44'/60'/0'/0/${10 + i}`);
      writeFileSync(join(home, 'transmitter-key.json'), privateKey, { mode: 0o600 });
      const address = `0x${bytesToHex(makeAttestationKey(join(home, 'attestation-key.json'), passphrase))}`;
      const logPublicKey = bytesToHex(makeLogKey(join(home, 'log-key.json'), passphrase));
      const entry = { name: `node-${i}`, address, logPublicKey, origin: `node-${i}.example/log` };
      return { home, port, entry: { ...entry, url: `http://127.0.0.1:${port}` } };
    });
    const consortium = await deploy(
      world,
      keys.map(({ entry }) => entry.address),
    );
    for (const { home, port, entry } of keys) {
      const nodes = keys.map((each) => each.entry);
      const alone = nodes.map((each) => ({ ...each, url: each === entry ? entry.url : undefined }));
      for (const [file, known] of Object.entries({ 'oracle.yaml': nodes, 'alone.yaml': alone })) {
        const config = configOf({ home, port, origin: entry.origin, nodes: known, url, world, ...consortium });
        // JSON is YAML.
        writeFileSync(join(home, file), JSON.stringify(config));
      }
    }
    const nodes = keys.map(({ home, port, entry }) => new Node(entry.name, home, port));
    t.teardown(() => Promise.all(nodes.map((node) => node.kill())));
    t.teardown(() => {
      if (!t.passing())
        for (const node of nodes) process.stderr.write(`${node.name} said:\n${node.story.slice(-4_000)}\n`);
    });
    const client = await connectAsync(url, { clientId: 'devices' });
    t.teardown(() => client.endAsync(true));
    return new Stage(world, consortium.contracts, nodes, client);
  }

  /** From now on blocks come at their own pace. */
  async mineByTime(): Promise<void> {
    await this.world.anvil.chain.request('evm_setIntervalMining', [blockSec]);
  }

  async blockNumber(): Promise<number> {
    return Number(await this.world.anvil.chain.request<string>('eth_blockNumber', []));
  }

  /** An order in transit, with a device of its own; `seed` from 10 on. */
  async dispatch(seed: number): Promise<Voyage> {
    const { anvil, contracts } = this.world;
    const { chain } = anvil;
    const device = new VoyageDevice(seed);
    await enrol(this.world, device);
    const [buyer, supplier, , carrier] = [1, 2, 3, 4].map((index) => chain.account(index));
    const agreementId = await agreeAttested(this.world, this.#contracts.Disputes.address);
    const placed = await chain.sendAs(buyer!, contracts.Shipments, 'place', [agreementId]);
    const orderId = (placed.events.find(({ name }) => name === 'OrderPlaced')!.args['orderId'] as bigint).toString();
    await chain.sendAs(supplier!, contracts.Shipments, 'accept', [orderId]);
    const truck = `0x${Buffer.from(`TRUCK-${seed}`).toString('hex').padEnd(64, '0')}`;
    await chain.sendAs(carrier!, contracts.Fleet, 'registerTruck', [truck, 1_000]);
    await chain.sendAs(carrier!, contracts.Shipments, 'dispatchOrder', [
      orderId,
      `0x${bytesToHex(device.device)}`,
      truck,
    ]);
    return { orderId, device, dispatchedAtSec: await chain.nowSec() };
  }

  /** Two quarters of an hour of one temperature, sent until every one of these nodes has them. */
  async drive({ device, dispatchedAtSec }: Voyage, cargoCentiC: number, to: readonly Node[]): Promise<void> {
    const envelopes = twoQuarters(device, dispatchedAtSec, cargoCentiC).map(encodeEnvelope);
    const before = await Promise.all(to.map(async (node) => (await node.status())?.log.size ?? 0));
    let sentMs = 0;
    await eventually('the batches are logged', async () => {
      if (Date.now() - sentMs > 1_000) {
        sentMs = Date.now();
        const topic = formatTopic(device.device, 'batch');
        for (const envelope of envelopes) await this.#client.publishAsync(topic, Buffer.from(envelope), { qos: 1 });
      }
      const sizes = await Promise.all(to.map(async (node) => (await node.status())?.log.size ?? 0));
      return sizes.every((size, i) => size >= before[i]! + envelopes.length);
    });
  }

  async isAsserted({ orderId }: Voyage): Promise<boolean> {
    const { chain } = this.world.anvil;
    return (await chain.view(this.#contracts.Disputes, 'latestOf', [orderId])) !== 0n;
  }

  async assertionCount(): Promise<number> {
    return Number(await this.world.anvil.chain.view(this.#contracts.Disputes, 'assertionCount'));
  }

  /** The last head of a log that is anchored, with a root in bare hex; of size 0 when there is none. */
  async anchoredHead(log: string): Promise<{ readonly size: number; readonly root: string }> {
    const head = await this.world.anvil.chain.view(this.#contracts.AnchorLog, 'latest', [`0x${log}`]);
    const { size, root } = head as { size: bigint; root: string };
    return { size: Number(size), root: root.slice(2) };
  }
}

function twoQuarters(device: VoyageDevice, dispatchedAtSec: number, cargoCentiC: number): Envelope[] {
  return [0, 1].map((i) => device.seal(quarter(dispatchedAtSec + 60 + i * 900, cargoCentiC)));
}

/** What the device of this voyage has never said: batches in its name, too warm, signed by another's key. */
export function forgedBatches({ device, dispatchedAtSec }: Voyage): Envelope[] {
  const stranger = new VoyageDevice(255);
  return twoQuarters(device, dispatchedAtSec, 4_900).map((envelope) => {
    return { ...envelope, signature: stranger.sign(envelopePreimage(envelope.batch)) };
  });
}

async function deploy(world: World, signers: readonly string[]): Promise<Consortium> {
  const { anvil, contracts } = world;
  const { chain } = anvil;
  const deployer = chain.account(0);
  const registry = await chain.view(contracts.Agreements as DeployedContract<'Agreements'>, 'cryptlets');
  const CryptletRegistry = chain.attach('CryptletRegistry', registry as string);
  const publication = publicationOf(warmTen);
  // The publisher of the fixture is account 3.
  await chain.sendAs(chain.account(3), CryptletRegistry, 'publish', Object.values(publication));
  const ascending = [...signers].sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1));
  const OracleSet = await chain.deploy(deployer, 'OracleSet', [deployer.address, ascending, 1]);
  const Disputes = await chain.deploy(deployer, 'Disputes', [OracleSet.address, contracts.Shipments.address]);
  const AnchorLog = await chain.deploy(deployer, 'AnchorLog', [OracleSet.address]);
  for (let i = 0; i < 4; i++) {
    const account = chain.account(10 + i);
    await chain.sendAs(deployer, contracts.TestToken, 'mint', [account.address, 100n * bond]);
    await chain.sendAs(account, contracts.TestToken, 'approve', [Disputes.address, 100n * bond]);
  }
  return { contracts: { OracleSet, Disputes, AnchorLog }, registry: CryptletRegistry };
}

/** As agree() of the demonstration, with terms that let the cryptlet speak, and limits that the device never breaks. */
async function agreeAttested({ anvil, contracts }: World, disputes: string): Promise<bigint> {
  const { chain } = anvil;
  const [buyer, supplier, next, carrier] = [1, 2, 3, 4].map((index) => chain.account(index));
  const price = 1_000_000n;
  await chain.sendAs(chain.account(0), contracts.TestToken, 'mint', [buyer!.address, price]);
  await chain.sendAs(buyer!, contracts.TestToken, 'approve', [contracts.Shipments.address, price]);
  const parties = { buyer: buyer!, carrier: carrier!, suppliers: [supplier!, next!] };
  const limit = { ...terms, lowerLimitCentiC: -4_000, upperLimitCentiC: 9_000 };
  const goods = { token: contracts.TestToken.address, price, quantity: 24, limit };
  const offered = termsOf({ ...goods, ...parties }, (await chain.nowSec()) + 86_400);
  const durations = { livenessSecMin: 3_600, arbitrationSecMax: 3_600 };
  const speakers = [`0x${bytesToHex(warmTen.digest)}`];
  const attested = { disputes, arbiter: buyer!.address, bond, ...durations, cryptlets: speakers };
  const agreed = { ...offered, attested, salt: `0x${randomBytes(32).toString('hex')}` };
  const digest = (await chain.view(contracts.Agreements, 'digestTerms', [agreed])) as string;
  const signatures = [buyer!, carrier!, supplier!, next!].map((party) => party.signDigest(digest));
  const { events } = await chain.sendAs(carrier!, contracts.Agreements, 'agree', [agreed, signatures]);
  return events.find(({ name }) => name === 'AgreementMade')!.args['agreementId'] as bigint;
}

function configOf({
  home,
  port,
  origin,
  nodes,
  url,
  world,
  contracts,
}: {
  home: string;
  port: number;
  origin: string;
  nodes: readonly object[];
  url: string;
  world: World;
  contracts: Consortium['contracts'];
}) {
  const { DeviceRegistry, Shipments, Fleet, Agreements } = world.contracts;
  const { OracleSet, Disputes, AnchorLog } = contracts;
  return {
    stateDir: home,
    broker: { url, username: 'oracle', passwordEnv: 'UPLINK_PASSWORD' },
    verify: { workers: 1 },
    log: { origin },
    chain: {
      ...{ rpcUrl: world.anvil.chain.rpcUrl, chainId: 31_337, pollMs: 500, feeCapGwei: 1_000, retrySec: 1 },
      contracts: {
        DeviceRegistry: DeviceRegistry.address,
        Shipments: Shipments.address,
        Fleet: Fleet.address,
        Agreements: Agreements.address,
      },
    },
    http: { port },
    quorum: {
      ...{ oracleSet: OracleSet.address, disputes: Disputes.address, anchorLog: AnchorLog.address },
      ...{ f: 1, nodes, roundSec: 1, pollSec: 1, anchorSec: 5, cryptletsDir: join(home, programs) },
      broker: { url, username: 'oracle', passwordEnv: 'PEER_PASSWORD' },
    },
  };
}
