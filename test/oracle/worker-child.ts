/** One worker of an oracle, as a process that a test can kill. Started by workers.test.ts. */
import { openChain } from '@coldproof/oracle/chain';
import { accountOfPhrase } from '@coldproof/oracle/chain-account';
import { realClock } from '@coldproof/oracle/clock';
import { openLogKey } from '@coldproof/oracle/log-key';
import type { Log } from '@coldproof/oracle/log-line';
import { Oracle } from '@coldproof/oracle/oracle';
import { Store } from '@coldproof/oracle/store';
import { Webhooks, type WebhookSettings } from '@coldproof/oracle/webhook';
import { clockAt, quickTransmit } from './oracle-fixture.ts';

export type WorkerStart = {
  readonly name: string;
  readonly leaseMs: number;
  readonly database: string;
  readonly brokerUrl: string;
  readonly chain: { rpcUrls: string[]; chainId: number; contracts: Record<string, string> };
  readonly logKeyFile: string;
  readonly passphrase: string;
  readonly phrase: string;
  readonly nowSec: number;
  readonly webhook: WebhookSettings;
};

// Written by the test that starts this.
const start = JSON.parse(process.argv[2]!) as WorkerStart;
const store = new Store(start.database, 'shared');
const log: Log = (_level, event) => void process.stdout.write(`${event}\n`);
const oracle = await Oracle.open(
  {
    clock: clockAt(start.nowSec),
    pace: realClock,
    log,
    store,
    chain: openChain(start.chain),
    transmitter: accountOfPhrase(start.phrase, 9),
    logKey: openLogKey(start.logKeyFile, start.passphrase),
    crashPoint: () => undefined,
  },
  {
    broker: { url: start.brokerUrl, username: start.name, password: 'none' },
    verify: { workers: 1, queueMax: 1_000 },
    origin: 'coldproof.example/test',
    fromBlock: 0,
    pollMs: 20,
    transmit: quickTransmit,
    worker: { name: start.name, leaseMs: start.leaseMs },
  },
);
const webhookDeps = { store, announcer: oracle.announcer, pace: realClock, log, source: '' };
const webhooks = new Webhooks(webhookDeps, [start.webhook]);
const delivering = webhooks.follow(new AbortController().signal);
process.stdout.write('open\n');
await Promise.all([oracle.run(), delivering]);
