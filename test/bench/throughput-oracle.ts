/**
 * The oracle of the throughput benchmark as a process of its own, with the load's devices in its registry and a chain
 * that does not answer: batches are received, verified, logged and receipted all the same.
 *
 *   node throughput-oracle.js LOAD_FILE STATE_FOLDER
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openChain } from '@coldproof/oracle/chain';
import { accountOfPhrase } from '@coldproof/oracle/chain-account';
import { realClock } from '@coldproof/oracle/clock';
import { makeLogKey, openLogKey } from '@coldproof/oracle/log-key';
import { Oracle } from '@coldproof/oracle/oracle';
import { Store } from '@coldproof/oracle/store';
import { gatewayPassword, readLoad } from './load-file.ts';

const [file, folder] = [process.argv[2]!, process.argv[3]!];
const { gateways, devices } = readLoad(readFileSync(file));
const store = new Store(join(folder, 'oracle.db'));
store.transaction(() => {
  for (const device of devices) store.chain.setDevice({ ...device, owner: '0x', asset: '', validFromSec: 0 }, 0);
});
const keyFile = join(folder, 'log-key.json');
makeLogKey(keyFile, 'benchmark');
const nowhere = `0x${'00'.repeat(20)}`;
const contracts = { DeviceRegistry: nowhere, Agreements: nowhere, Shipments: nowhere, Fleet: nowhere };
const chain = openChain({ rpcUrl: 'http://127.0.0.1:1', chainId: 1, contracts });
const phrase = 'test test test test test test test test test test test junk';
const oracle = await Oracle.open(
  {
    clock: realClock,
    pace: realClock,
    log: () => undefined,
    store,
    chain,
    transmitter: accountOfPhrase(phrase, 0),
    logKey: openLogKey(keyFile, 'benchmark'),
    crashPoint: () => undefined,
  },
  {
    broker: {
      host: '127.0.0.1',
      port: 0,
      credentials: gateways.map((gateway) => ({ ...gateway, password: gatewayPassword })),
    },
    verify: { workers: 1, queueMax: 8_192 },
    origin: 'benchmark',
    fromBlock: 0,
    pollMs: 60_000,
    transmit: { feeWeiMax: 1n, resendMs: 1_000, bumpMs: 1_000, retryMs: 1_000 },
  },
);
process.stdout.write(`${JSON.stringify({ port: oracle.brokerPort })}\n`);
const before = process.cpuUsage();
const ended = oracle.run();
await once(process.stdin, 'data');
process.stdin.destroy();
const { user, system } = process.cpuUsage(before);
const answer = { size: store.log.size(), cpuSec: (user + system) / 1e6, rssMb: process.memoryUsage().rss / 2 ** 20 };
process.stdout.write(`${JSON.stringify(answer)}\n`);
oracle.close();
await ended;
chain.close();
store.close();
