/** A transmitter on its own: a store that knows an order and a proof against it, and rounds that a test calls itself. */
import { join } from 'node:path';
import type { Test } from 'tap';
import { bytesToHex } from '@coldproof/wire';
import { realClock, type Clock } from '@coldproof/oracle/clock';
import { Findings } from '@coldproof/oracle/findings';
import { Log } from '@coldproof/oracle/log';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import { Store } from '@coldproof/oracle/store';
import { Transmit, type CrashPoint, type TransmitPolicy } from '@coldproof/oracle/transmit';
import { verifyBatch } from '@coldproof/oracle/verify';
import { Watch } from '@coldproof/oracle/watch';
import { encodeEnvelope, type Envelope } from '@coldproof/wire';
import type { World } from './anvil.ts';
import { chainOf, logKeyIn, makeFolder, quickTransmit } from './oracle-fixture.ts';

export type Line = { readonly event: string; readonly [field: string]: unknown };

export class Crash extends Error {}

/** One life of the oracle's chain side. Open a second one on the same folder after a crash. */
export class Life {
  readonly store: Store;
  readonly watch: Watch;
  readonly transmit: Transmit;
  readonly findings: Findings;
  readonly lines: Line[] = [];
  readonly #chain;

  constructor(
    world: World,
    folder: string,
    options: {
      rpcUrl?: string;
      crashAt?: string;
      policy?: Partial<TransmitPolicy>;
      pace?: Clock;
      account?: number;
    } = {},
  ) {
    this.store = new Store(join(folder, 'oracle.db'));
    this.#chain = chainOf(world, options.rpcUrl);
    const crashPoint: CrashPoint = (name) => {
      if (name === options.crashAt) throw new Crash(name);
    };
    const deps = {
      chain: this.#chain,
      store: this.store,
      transmitter: world.anvil.chain.account(options.account ?? 9),
      pace: options.pace ?? realClock,
      log: (_level: string, event: string, fields = {}) => void this.lines.push({ event, ...fields }),
      crashPoint,
    };
    this.watch = new Watch({ ...deps, fromBlock: 0 });
    this.transmit = new Transmit(deps, { ...quickTransmit, ...options.policy });
    this.findings = new Findings({ ...deps, crypto: opensslCrypto() });
  }

  async round(): Promise<void> {
    if (await this.watch.round()) this.findings.refresh();
    await this.transmit.round();
  }

  close(): void {
    this.#chain.close();
    this.store.close();
  }
}

/** A folder whose store has the order watched, the envelopes logged and evaluated, and so an action to transmit. */
export async function prepare(t: Test, world: World, envelopes: readonly Envelope[]): Promise<string> {
  const folder = makeFolder(t);
  const life = new Life(world, folder);
  const log = new Log({ store: life.store, key: logKeyIn(folder), origin: 'coldproof.example/test' });
  const { device, publicKey } = world.device;
  const batches = envelopes.map((envelope) => {
    const bytes = encodeEnvelope(envelope);
    const verdict = verifyBatch({ device, bytes, record: { publicKey }, nowSec: 2 ** 31 }, opensslCrypto());
    if (!verdict.ok) throw new Error(verdict.detail);
    return { ...verdict.value, device, envelope: bytes };
  });
  for (const answer of log.append(batches, 0)) if (!answer.ok) throw new Error(answer.detail);
  await life.watch.round();
  if (!life.findings.refresh()) throw new Error(`no action for ${bytesToHex(device)}`);
  life.close();
  return folder;
}
