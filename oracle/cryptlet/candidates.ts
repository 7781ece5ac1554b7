/**
 * What the cryptlets of the orders under way say by now: attested candidates. One node's word, which no contract takes;
 * the quorum's signatures make a fact of it. Nothing is stored, since it all comes from the log and the chain again.
 */
import { bytesToHex, hexToBytes, type Crypto, type OpenEnvelope, type Verdict } from '@coldproof/wire';
import type { Log } from '../log-line.ts';
import type { Order } from '../store-chain.ts';
import type { Store } from '../store.ts';
import { storedBatches } from '../stored-batch.ts';
import type { Cryptlet } from './cryptlet.ts';
import { latestRuns } from './due.ts';
import type { CryptletHost, CryptletReason } from './host.ts';
import type { CryptletInput } from './input.ts';
import type { CryptletResult } from './output.ts';

export type Candidate = {
  readonly orderId: string;
  readonly cryptlet: Cryptlet;
  readonly range: CryptletInput['range'];
  readonly atSec: number;
  readonly verdict: Verdict<CryptletResult, CryptletReason>;
};

export type CandidatesDeps = {
  readonly store: Store;
  readonly host: CryptletHost;
  readonly installed: ReadonlyMap<string, Cryptlet>;
  readonly crypto: Crypto;
  readonly log: Log;
};

export class Candidates {
  readonly #deps: CandidatesDeps;
  /** By order: up to where it was looked at, and what came of it. */
  #known = new Map<string, { readonly seen: string; readonly candidates: readonly Candidate[] }>();

  constructor(deps: CandidatesDeps) {
    this.#deps = deps;
  }

  /** Of the orders under way, newest order first. */
  list(): Candidate[] {
    return [...this.#known.values()].flatMap(({ candidates }) => candidates).reverse();
  }

  /** Looks at what log and chain have new. Throws OperatingError 'cryptlet-failed' as the host does. */
  async run(): Promise<void> {
    const { store } = this.#deps;
    const orders = [...store.chain.ordersIn('InTransit'), ...store.chain.ordersIn('Delivered')];
    const known = new Map<string, { seen: string; candidates: readonly Candidate[] }>();
    for (const order of orders.filter(({ cryptlets }) => cryptlets.length > 0)) {
      const next = store.log.head(hexToBytes(order.device))?.nextSequence ?? 0;
      const seen = `${order.device}@${order.judgedFromSec}-${order.deliveredAtSec}/${next}`;
      const before = this.#known.get(order.orderId);
      const candidates = before?.seen === seen ? before.candidates : await this.#runOf(order, next);
      known.set(order.orderId, { seen, candidates });
    }
    this.#known = known;
  }

  async #runOf(order: Order, nextSequence: number): Promise<Candidate[]> {
    const { host, installed, log } = this.#deps;
    const batches = this.#batches(order, nextSequence);
    if (batches.length === 0) return [];
    return Promise.all(
      latestRuns(order, batches, installed).map(async ({ cryptlet, input }) => {
        const verdict = await host.run(cryptlet, input);
        const { orderId } = order;
        const said = { orderId, cryptlet: bytesToHex(cryptlet.digest), name: cryptlet.manifest.name };
        if (!verdict.ok) log('warn', 'cryptlet-refused', { ...said, reason: verdict.reason, detail: verdict.detail });
        return { orderId, cryptlet, range: input.range, atSec: input.nowSec, verdict };
      }),
    );
  }

  #batches({ device, judgedFromSec }: Order, nextSequence: number): OpenEnvelope[] {
    const { store } = this.#deps;
    const first = store.log.firstSequenceSince(hexToBytes(device), judgedFromSec);
    if (first === undefined) return [];
    return storedBatches(this.#deps, device, first, nextSequence);
  }
}

/** As the status shows it. A run that failed or has nothing to report is shown, too. */
export function describeCandidate({ orderId, cryptlet, range, atSec, verdict }: Candidate) {
  const { name, version } = cryptlet.manifest;
  const result = verdict.ok ? verdict.value : undefined;
  return {
    fact: 'attested-candidate' as const,
    orderId,
    cryptlet: bytesToHex(cryptlet.digest),
    name,
    version,
    interface: cryptlet.manifest.interface,
    report: result?.report ?? null,
    breach: result?.breach ?? false,
    refused: verdict.ok ? null : verdict.reason,
    lastSequence: range.lastSequence,
    at: atSec,
  };
}
