/**
 * An oracle of the throughput benchmark as a process of its own, with the load's devices in its registry and a chain
 * that does not answer: batches are received, verified, logged and receipted all the same. With 'bare' for a place it
 * is a broker that answers each batch with a message, and nothing else.
 *
 *   node throughput-oracle.js LOAD_FILE FOLDER PLACE BROKER_URL WORKER_NAME      ends with the first line on stdin
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatTopic } from '@coldproof/wire';
import { openBroker } from '@coldproof/oracle/broker';
import { openChain } from '@coldproof/oracle/chain';
import { accountOfPhrase } from '@coldproof/oracle/chain-account';
import { realClock } from '@coldproof/oracle/clock';
import { developmentPhrase } from '@coldproof/oracle/development-chain';
import { openLogKey } from '@coldproof/oracle/log-key';
import { Oracle } from '@coldproof/oracle/oracle';
import { Store } from '@coldproof/oracle/store';
import { gatewayPassword, readLoad, type Load } from './load-file.ts';

const receiptBytes = 180;
const nowhere = `0x${'00'.repeat(20)}`;

const [file, folder, place, brokerUrl, name] = process.argv.slice(2) as [string, string, string, string, string];
const { gateways, devices } = readLoad(readFileSync(file));
const credentials = gateways.map((gateway) => ({ ...gateway, password: gatewayPassword }));
const embedded = { host: '127.0.0.1', port: 0, credentials };
const run = place === 'bare' ? await passOn() : await log(devices);
process.stdout.write(`${JSON.stringify({ port: run.port })}\n`);
const before = process.cpuUsage();
await once(process.stdin, 'data');
process.stdin.destroy();
const { user, system } = process.cpuUsage(before);
const rssMb = process.memoryUsage().rss / 2 ** 20;
process.stdout.write(`${JSON.stringify({ size: run.size(), cpuSec: (user + system) / 1e6, rssMb })}\n`);
await run.close();

async function passOn() {
  const broker = await openBroker({ ...embedded, log: () => undefined });
  const payload = new Uint8Array(receiptBytes);
  broker.receive(({ device }) => broker.publish([{ topic: formatTopic(device, 'receipt'), payload }]));
  return { port: broker.port, size: () => 0, close: () => broker.close() };
}

async function log(registered: Load['devices']) {
  const store = new Store(place, name === '' ? 'exclusive' : 'shared');
  store.transaction(() => {
    for (const device of registered)
      store.chain.setDevice(
        { ...device, owner: '0x', asset: '', validFromSec: 0, calibrationDigest: '', calibrationUntilSec: 0 },
        0,
      );
  });
  const contracts = { DeviceRegistry: nowhere, Agreements: nowhere, Shipments: nowhere, Fleet: nowhere };
  const chain = openChain({ rpcUrls: ['http://127.0.0.1:1'], chainId: 1, contracts });
  const oracle = await Oracle.open(
    {
      clock: realClock,
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
  const ended = oracle.run();
  const close = async () => {
    oracle.close();
    await ended;
    chain.close();
    store.close();
  };
  return { port: oracle.brokerPort, size: () => store.log.size(), close };
}
