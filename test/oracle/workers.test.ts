/** Several processes are one oracle: PostgreSQL, mosquitto with a shared subscription, kill -9 of the holder. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { connectAsync } from 'mqtt';
import t, { type Test } from 'tap';
import { bytesToHex, encodeEnvelope, formatTopic, merkleRoot, leafHash, verifyReceipt } from '@coldproof/wire';
import { developmentPhrase } from '@coldproof/oracle/development-chain';
import { Log } from '@coldproof/oracle/log';
import { makeLogKey, openLogKey } from '@coldproof/oracle/log-key';
import { Store } from '@coldproof/oracle/store';
import { Mosquitto, skipWithoutMosquitto } from '../helpers/mosquitto.ts';
import { skipWithoutPostgresql } from '../helpers/postgres.ts';
import type { VoyageDevice } from '../helpers/voyage-device.ts';
import { dispatchOrder, makeWorld, orderState, readOrder, type World } from './anvil.ts';
import { chainOf, makeFolder, quarter, until } from './oracle-fixture.ts';
import { newDatabase } from './stores.ts';
import { cancelledOnce } from './transmit-fixture.ts';
import type { WorkerStart } from './worker-child.ts';

const skip = skipWithoutPostgresql || skipWithoutMosquitto;
const passphrase = 'p';
const leaseMs = 1_500;
const quiet = 30;
const resendMs = 6_000;

type Worker = { readonly name: string; readonly process: ChildProcess; readonly said: string[] };

t.test(
  'three workers, one history: shared out, in order; one acts on the chain and tells webhooks',
  { skip },
  async (t) => {
    const world = await makeWorld(91);
    t.teardown(() => world.anvil.stop());
    const { orderId, dispatchedAtSec } = await dispatchOrder(world);
    const nowSec = dispatchedAtSec + (quiet + 4) * 900;
    await world.anvil.chain.mine(nowSec);
    const database = await newDatabase();
    const broker = await Mosquitto.start(t);
    const logKeyFile = join(makeFolder(t), 'log-key.json');
    makeLogKey(logKeyFile, passphrase);
    const brokerUrl = `mqtt://127.0.0.1:${broker.port}`;
    const receiver = await Receiver.open(t);
    const webhook = { url: receiver.url, secret: 'of the receiver' };
    const common = { database, brokerUrl, logKeyFile, nowSec, webhook };
    const workers = await Promise.all(
      ['one', 'two', 'three'].map((name) => startWorker(t, world, { name, ...common })),
    );
    const store = new Store(database, 'shared');
    t.teardown(() => store.close());
    const device = bytesToHex(world.device.device);
    await until('the device is known', () => store.chain.device(device) !== undefined);
    const key = openLogKey(logKeyFile, passphrase);
    const deliver = await gateway(t, { brokerUrl, logPublicKey: key.publicKey, device: world.device, dispatchedAtSec });
    await deliver(quiet, 500, 0);
    const refusedEarly = store.log.counts().get('rejected:sequence-not-next') ?? 0;
    t.ok(refusedEarly < quiet / 2, `${refusedEarly} of ${quiet} were refused for coming early`);
    const groups = workers.filter(({ said }) => said.includes('group-logged'));
    t.ok(groups.length >= 2, `${groups.length} of 3 workers have logged`);

    const holder = workers.find(({ said }) => said.includes('lease-taken'));
    t.equal(workers.filter(({ said }) => said.includes('lease-taken')).length, 1, 'one holds the lease');
    await until('every event is delivered', () => receiver.answered.at(-1) === idsOf(store).at(-1));
    const delivered = [...receiver.ids];
    t.same(delivered, idsOf(store).slice(0, delivered.length), 'once, in order, though three have the webhook');
    receiver.isSilent = true;
    const warm = deliver(2, 900, quiet);
    await until('an event is under way', () => receiver.ids.length > receiver.answered.length);
    const cut = receiver.ids.at(-1)!;
    holder!.process.kill('SIGKILL');
    await once(holder!.process, 'exit');
    receiver.isSilent = false;
    const rest = workers.filter((each) => each !== holder);
    await until('its successor takes over', () => rest.some(({ said }) => said.includes('lease-taken')), 60_000);
    await until(
      'the order is cancelled',
      async () => {
        return (await readOrder(world, orderId))['state'] === orderState.cancelled;
      },
      60_000,
    );
    await cancelledOnce(t, { world, orderId }, 'after the kill');
    await warm;
    await until('every event is delivered', () => receiver.answered.at(-1) === idsOf(store).at(-1));
    const told = new Set(receiver.ids);
    t.same([...told], idsOf(store).slice(0, told.size), 'every event, in order');
    t.not(receiver.ids.indexOf(cut), receiver.ids.lastIndexOf(cut), 'what was under way comes again');
    const takeovers = rest.flatMap(({ said }) => said).filter((event) => event === 'lease-taken').length;
    t.ok(receiver.ids.length - told.size <= takeovers, 'and nothing else does');
    const log = new Log({ store, key, origin: 'coldproof.example/test' });
    const leaves = Array.from({ length: log.size }, (_, index) => leafHash(store.log.digest(index)!));
    t.equal(log.size, quiet + 2);
    t.same(log.root(), merkleRoot(leaves), 'one log, whole');
  },
);

function idsOf(store: Store): number[] {
  return store.events.after(0, 10_000).map(({ id }) => id);
}

/** Of a webhook. */
class Receiver {
  /** As events came. */
  readonly ids: number[] = [];
  readonly answered: number[] = [];
  /** Takes events, and answers none. */
  isSilent = false;
  readonly url: string;

  private constructor(url: string) {
    this.url = url;
  }

  static async open(t: Test): Promise<Receiver> {
    const server = createServer((request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (text: string) => (body += text));
      request.on('end', () => receiver.#take(Number((JSON.parse(body) as { id: string }).id), response));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const receiver = new Receiver(`http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`);
    t.teardown(() => {
      server.closeAllConnections();
      server.close();
    });
    return receiver;
  }

  #take(id: number, response: ServerResponse): void {
    this.ids.push(id);
    if (this.isSilent) return;
    this.answered.push(id);
    response.writeHead(204).end();
  }
}

type GatewayPlace = {
  readonly brokerUrl: string;
  readonly logPublicKey: Uint8Array;
  readonly device: VoyageDevice;
  readonly dispatchedAtSec: number;
};

/** Delivers the device's next quarters of an hour, as an agent does it: what has no receipt comes again. */
async function gateway(t: Test, { brokerUrl, logPublicKey, device, dispatchedAtSec }: GatewayPlace) {
  const sequences = new Set<number>();
  const client = await connectAsync(brokerUrl);
  t.teardown(() => client.endAsync(true));
  client.on('message', (_topic, payload) => {
    const receipt = verifyReceipt(payload, logPublicKey);
    if (!receipt.ok) throw new Error(receipt.detail);
    sequences.add(receipt.value.sequence);
  });
  await client.subscribeAsync(formatTopic(device.device, 'receipt'));
  return async (count: number, cargoCentiC: number, from: number) => {
    const envelopes = Array.from({ length: count }, (_, i) => {
      return device.seal(quarter(dispatchedAtSec + 60 + (from + i) * 900, cargoCentiC));
    });
    let sentMs = 0;
    const isDone = async () => {
      const missing = envelopes.filter((_each, i) => !sequences.has(from + i));
      if (Date.now() - sentMs > resendMs) {
        sentMs = Date.now();
        // At once, so that the broker gives neighbours to different workers.
        const bytes = missing.map((each) => Buffer.from(encodeEnvelope(each)));
        await Promise.all(bytes.map((each) => client.publishAsync(formatTopic(device.device, 'batch'), each)));
      }
      return missing.length === 0;
    };
    await until('every batch has its receipt', isDone, 60_000);
  };
}

async function startWorker(
  t: Test,
  world: World,
  start: Pick<WorkerStart, 'name' | 'database' | 'brokerUrl' | 'logKeyFile' | 'nowSec' | 'webhook'>,
): Promise<Worker> {
  const { rpcUrl, chainId } = world.anvil.chain;
  const chain = { rpcUrls: [rpcUrl], chainId, contracts: chainOf(world).contracts as Record<string, string> };
  const whole: WorkerStart = { ...start, leaseMs, chain, passphrase, phrase: developmentPhrase };
  const file = fileURLToPath(new URL('worker-child.js', import.meta.url));
  const child = spawn(process.execPath, [file, JSON.stringify(whole)], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  const said: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => said.push(line));
  await until(`${start.name} is open`, () => said.includes('open'), 60_000);
  return { name: start.name, process: child, said };
}
