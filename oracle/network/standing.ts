/** What the chain says of the consortium: who signs, which reports are used, what is anchored, so which slots are open. */
import { bytesEqual, bytesToHex } from '@coldproof/wire';
import type { AnchoredHead, OracleConfig, QuorumChain } from '../chain-report.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log-line.ts';
import { OperatingError, describeError } from '../operating-error.ts';
import type { Due } from '../store-quorum.ts';
import type { Store } from '../store.ts';
import type { Peer, Peers } from './peers.ts';
import type { Reckon } from './reckon.ts';
import type { Slots } from './slots.ts';

export type StandingDeps = {
  readonly chain: QuorumChain;
  readonly store: Store;
  readonly pace: Clock;
  readonly log: Log;
  readonly peers: Peers;
  readonly slots: Slots;
  readonly reckon: Reckon;
  readonly pollMs: number;
  /** The signers are others now: what was collected under the last configuration is worthless. */
  readonly onConfig: () => void;
};

export class Standing {
  config: OracleConfig | undefined;
  /** Of this node's own log. */
  anchored: AnchoredHead | undefined;
  error: string | undefined = 'not asked yet';
  readonly #deps: StandingDeps;
  #dueMs = 0;

  constructor(deps: StandingDeps) {
    this.#deps = deps;
  }

  /** Whether the contract counts what a node signs. */
  isSigner({ address }: Peer): boolean {
    return this.config?.signers.some((signer) => bytesEqual(signer, address)) === true;
  }

  /** At its pace. A chain that does not answer stops nothing that needs no chain. */
  async read(): Promise<void> {
    const { pace, log } = this.#deps;
    if (pace.nowMs() < this.#dueMs) return;
    this.#dueMs = pace.nowMs() + this.#deps.pollMs;
    try {
      await this.#readNow();
      this.error = undefined;
    } catch (error) {
      if (!(error instanceof OperatingError) || error.retry !== 'later') throw error;
      this.error = describeError(error);
      log('warn', 'chain-fault', { error: this.error });
    }
  }

  /** Of each cryptlet and order, the report that comes next. */
  async openSlots(): Promise<void> {
    const { reckon, slots, store, pace } = this.#deps;
    const open: Due[] = [];
    for (const { order, cryptlets } of reckon.watched()) {
      for (const cryptlet of cryptlets) {
        const place = { orderId: order.orderId, cryptlet };
        const dues = store.quorum.duesOf(order.orderId, cryptlet);
        if (dues.length > 0 && slots.used(place) === undefined) {
          // Fell due since the chain was asked: its turns begin now, not at the next look.
          this.#dueMs = 0;
          await this.read();
        }
        const used = slots.used(place);
        const next = dues.find(({ sequence }) => used !== undefined && sequence === used + 1);
        if (next !== undefined) open.push(next);
      }
    }
    slots.replace(open, pace.nowMs());
  }

  async #readNow(): Promise<void> {
    const { chain, store, slots, reckon, peers } = this.#deps;
    this.#take(await chain.config());
    this.anchored = await chain.anchored(peers.self.node);
    for (const { order, cryptlets } of reckon.watched()) {
      for (const cryptlet of cryptlets) {
        // Nothing is due: nothing to ask.
        const last = store.quorum.duesOf(order.orderId, cryptlet).at(-1);
        if (last !== undefined) slots.setUsed(last, await chain.sequenceOf(last));
      }
    }
  }

  #take(config: OracleConfig): void {
    const { onConfig, peers, log } = this.#deps;
    if (this.config !== undefined && bytesEqual(this.config.domain.config, config.domain.config)) return;
    this.config = config;
    onConfig();
    const isSigner = this.isSigner(peers.self);
    const digest = bytesToHex(config.domain.config);
    log(isSigner ? 'info' : 'warn', 'oracle-set', { config: digest, count: config.count, f: config.f, isSigner });
  }
}
