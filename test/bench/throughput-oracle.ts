/**
 * An oracle of the throughput benchmark as a process of its own, with the load's devices in its registry and a chain
 * that does not answer: batches are received, verified, logged and receipted all the same. With 'bare' for a place it
 * is a broker that answers each batch with a message, and nothing else.
 *
 *   node throughput-oracle.js LOAD_FILE FOLDER PLACE BROKER_URL WORKER_NAME [RETENTION_DAYS]
 *
 * With the first line on stdin it begins to count its CPU time, by thread; with the second it prints it and ends.
 */
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatTopic } from '@coldproof/wire';
import { openBroker } from '@coldproof/oracle/broker';
import { openChain } from '@coldproof/oracle/chain';
import { accountOfPhrase } from '@coldproof/oracle/chain-account';
import { realClock, voyageClock } from '@coldproof/oracle/clock';
import { developmentPhrase } from '@coldproof/oracle/development-chain';
import { openLogKey } from '@coldproof/oracle/log-key';
import { Oracle } from '@coldproof/oracle/oracle';
import { Retention } from '@coldproof/oracle/retention';
import { Store } from '@coldproof/oracle/store';
import { gatewayPassword, readLoad, type Load } from './load-file.ts';

const receiptBytes = 180;
/** USER_HZ, on every Linux of today. */
const ticksPerSec = 100;
const nowhere = `0x${'00'.repeat(20)}`;

const [file, folder, place, brokerUrl, name] = process.argv.slice(2) as [string, string, string, string, string];
const retentionDays = process.argv[7];
const { gateways, devices } = readLoad(readFileSync(file));
const credentials = gateways.map((gateway) => ({ ...gateway, password: gatewayPassword }));
const embedded = { host: '127.0.0.1', port: 0, credentials };
/** By thread, what it is there for. */
const purposes = new Map([[String(process.pid), 'loop']]);
nameThreads('node');
const run = place === 'bare' ? await passOn() : await log(devices);
process.stdout.write(`${JSON.stringify({ port: run.port })}\n`);
await once(process.stdin, 'data');
// The first receipt has started it.
nameThreads('signing');
const before = threadTicks();
process.stdout.write('counting\n');
await once(process.stdin, 'data');
process.stdin.destroy();
const cpuSec: Record<string, number> = {};
for (const [thread, ticks] of threadTicks()) {
  const purpose = purposes.get(thread) ?? 'node';
  cpuSec[purpose] = (cpuSec[purpose] ?? 0) + (ticks - (before.get(thread) ?? 0)) / ticksPerSec;
}
const rssMb = process.memoryUsage().rss / 2 ** 20;
process.stdout.write(`${JSON.stringify({ size: run.size(), cpuSec, rssMb })}\n`);
await run.close();

/** What threads there are that have no purpose yet. */
function nameThreads(purpose: string): void {
  for (const thread of readdirSync('/proc/self/task')) {
    if (!purposes.has(thread)) purposes.set(thread, purpose);
  }
}

/** User and system time of each thread (proc_pid_stat(5), fields 14 and 15, counted after the name in brackets). */
function threadTicks(): Map<string, number> {
  return new Map(
    readdirSync('/proc/self/task').map((thread) => {
      const stat = readFileSync(`/proc/self/task/${thread}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return [thread, Number(fields[11]) + Number(fields[12])];
    }),
  );
}

async function passOn() {
  const broker = await openBroker({ ...embedded, log: () => undefined });
  const payload = new Uint8Array(receiptBytes);
  broker.receive(({ device }) => broker.publish([{ topic: formatTopic(device, 'receipt'), payload }]));
  return { port: broker.port, size: () => 0, close: () => broker.close() };
}

async function log(registered: Load['devices']) {
  const store = new Store(place, name === '' ? 'exclusive' : 'shared');
  nameThreads('database');
  store.transaction(() => {
    for (const device of registered)
      store.chain.setDevice(
        { ...device, owner: '0x', asset: '', validFromSec: 0, calibrationDigest: '', calibrationUntilSec: 0 },
        0,
      );
  });
  const contracts = { DeviceRegistry: nowhere, Agreements: nowhere, Shipments: nowhere, Fleet: nowhere };
  const chain = openChain({ rpcUrls: ['http://127.0.0.1:1'], chainId: 1, contracts });
  const clock = voyageClock(process.env);
  const oracle = await Oracle.open(
    {
      clock,
      pace: realClock,
      log: () => undefined,
      store,
      chain,
      transmitter: accountOfPhrase(developmentPhrase, 0),
      logKey: openLogKey(join(folder, 'log-key.json'), 'benchmark'),
      crashPoint: () => undefined,
    },
    {
      broker: name === '' ? embedded : { url: brokerUrl, username: name, password: 'none' },
      verify: { workers: 1, queueMax: 8_192 },
      origin: 'benchmark',
      fromBlock: 0,
      pollMs: 60_000,
      transmit: { feeWeiMax: 1n, resendMs: 1_000, bumpMs: 1_000, retryMs: 1_000 },
      worker: name === '' ? undefined : { name, leaseMs: 10_000 },
    },
  );
  nameThreads('verifying');
  const ended = oracle.run();
  const stop = new AbortController();
  const retention = new Retention({ store, clock, pace: realClock, log: () => undefined }, Number(retentionDays));
  const swept = retentionDays === undefined ? undefined : retention.follow(stop.signal);
  const close = async () => {
    oracle.close();
    stop.abort();
    await Promise.all([ended, swept]);
    chain.close();
    store.close();
  };
  return { port: oracle.brokerPort, size: () => store.log.size(), close };
}
