/**
 * The outbox: what shall happen on the chain happens once, whatever dies in between.
 *
 *   unstarted -> in-progress -> unconfirmed -> confirmed -> finalized
 *     |  ^         (signed and stored; then sent)  |  block gone: back to unconfirmed
 *     |  +--- nonce lost, or a reorganisation took back why it was fatal
 *     +-> fatal (the contract refuses it)          +-> superseded (somebody else's transaction did it)
 *
 * This file decides what an action needs; transmit-fees.ts what it may cost and with which nonce; transmit-send.ts
 * signs, stores and sends; transmit-follow.ts sees it through. SUBMISSION.md tells what is believed when.
 *
 * A transaction is signed, stored, and only then sent, so that after a crash the same bytes are sent again. Nonces are
 * our own. The contract accepts one cancellation per order, so a second transaction costs gas and changes nothing; the
 * verdict is never made again, only its submission.
 */
import type { Action } from './store-outbox.ts';
import { Follower } from './transmit-follow.ts';
import { callOf, type TransmitDeps, type TransmitPolicy } from './transmit-policy.ts';
import { Sender } from './transmit-send.ts';

export type { CrashPoint, TransmitDeps, TransmitPolicy } from './transmit-policy.ts';

/** More open transactions than this would only wait for one another. */
const inFlightMax = 16;

export class Transmit {
  readonly #deps: TransmitDeps;
  readonly #sender: Sender;
  readonly #follower: Follower;

  constructor(deps: TransmitDeps, policy: TransmitPolicy) {
    this.#deps = deps;
    this.#sender = new Sender(deps, policy);
    this.#follower = new Follower(deps, policy, this.#sender);
    if (deps.chain.contracts['Shipments'] === undefined) {
      throw new RangeError('contracts: expected an address of Shipments');
    }
  }

  /**
   * One look at each open action. What comes new meanwhile does not wait for the others: following and settling may be
   * many questions to the chain. Throws OperatingError (retry later) when the chain does not answer.
   */
  async round(): Promise<void> {
    const { store, pace } = this.#deps;
    const begun = new Set<string>();
    await this.startNew(begun);
    for (const action of store.outbox.open()) {
      if (action.state === 'unstarted' || begun.has(action.id) || action.dueMs > pace.nowMs()) continue;
      await this.startNew(begun);
      if (action.state === 'in-progress') await this.#sender.send(action);
      else if (action.state === 'unconfirmed') await this.#follower.follow(action);
      else if (action.state === 'confirmed') await this.#follower.settle(action);
      else await this.#follower.reconsider(action);
    }
  }

  /** Those that nothing was done for yet, oldest first, but for `begun`, which grows by them. */
  async startNew(begun = new Set<string>()): Promise<void> {
    const { store, pace } = this.#deps;
    for (const action of store.outbox.unstarted(pace.nowMs())) {
      if (begun.has(action.id)) continue;
      begun.add(action.id);
      await this.#start(action);
    }
  }

  /** Preflight, nonce, fee, signature, store; then send. */
  async #start(action: Action): Promise<void> {
    const { chain, transmitter } = this.#deps;
    if (await this.#follower.confirmIfMined(action)) return;
    const checked = await chain.preflight({ from: transmitter.address, ...callOf(action, chain) });
    if (!checked.ok) {
      await this.#follower.judge(action, checked.revert);
      return;
    }
    if (this.#sender.plan.inFlight().length >= inFlightMax) return;
    // Room for a state that has changed a little until the transaction runs.
    const gasMax = (checked.value * 13n) / 10n + 30_000n;
    const { nonce, ...replaced } = await this.#sender.plan.nextNonce();
    if (await this.#sender.sign(action, { nonce, gasMax }, replaced)) await this.#sender.send(action);
  }
}
