/**
 * What was sent: is it in a block, is that block still in the chain, is it final?
 *
 *   unconfirmed --- receipt, in a block of the chain ---> confirmed --- final, effect seen ---> finalized
 *      |  ^                                                  |
 *      |  +--------- block gone, or no effect in it ---------+
 *      +-- not mined in time: sent again, then a dearer attempt, then one with the nonce that holds it up
 *      +-- its nonce went to something else: unstarted
 *      +-- reverted, and would again: superseded, later or fatal (transmit-judge.ts)
 */
import type { ChainReceipt } from './chain.ts';
import type { Revert } from './chain-abi.ts';
import type { Action, Attempt, QuorumRecord } from './store-outbox.ts';
import { judgeRevert } from './transmit-judge.ts';
import {
  callOf,
  endedStates,
  openStates,
  recordOf,
  type TransmitDeps,
  type TransmitPolicy,
} from './transmit-policy.ts';
import { isUsedForGood, judgeQuorumRevert } from './transmit-quorum.ts';
import type { Sender } from './transmit-send.ts';

export class Follower {
  readonly #deps: TransmitDeps;
  readonly #policy: TransmitPolicy;
  readonly #sender: Sender;

  constructor(deps: TransmitDeps, policy: TransmitPolicy, sender: Sender) {
    this.#deps = deps;
    this.#policy = policy;
    this.#sender = sender;
  }

  /** An unconfirmed action: looks for any of its attempts in a block. */
  async follow(action: Action): Promise<void> {
    const { chain, transmitter, store, pace, log } = this.#deps;
    if (await this.confirmIfMined(action)) return;
    const attempt = store.outbox.attempts(action.id).at(-1);
    if (attempt === undefined) {
      store.outbox.setState(action.id, 'unstarted');
      return;
    }
    const { hash, nonce } = attempt;
    const unmined = await chain.nonce(transmitter.address, 'latest');
    if (unmined > nonce) {
      // Something else used the nonce: another attempt's block that is gone again, or another program with this key.
      if (await this.confirmIfMined(action)) return;
      log('warn', 'nonce-lost', { orderId: action.orderId, nonce, hash });
      store.outbox.setState(action.id, 'unstarted');
      return;
    }
    const nowMs = pace.nowMs();
    const isLowest = this.#sender.plan.inFlight().every((each) => nonce <= each.nonce);
    if (isLowest && nowMs - attempt.signedMs >= this.#policy.bumpMs) return this.#replace(action, attempt, unmined);
    if (attempt.sentMs === undefined || nowMs - attempt.sentMs >= this.#policy.resendMs) {
      await this.#sender.send(action);
    }
  }

  /**
   * A dearer attempt. All attempts are kept, since each may be the one that is mined. Where nothing of ours is to come
   * before it and the chain still waits for a lower nonce, that one is taken: a node had named too high a nonce, or
   * what held the lower one was dropped.
   */
  async #replace(action: Action, { nonce, gasMax }: Attempt, unmined: number): Promise<void> {
    const { log } = this.#deps;
    if (unmined < nonce) log('warn', 'nonce-gap', { orderId: action.orderId, nonce, unmined });
    await this.#sender.sign(action, { nonce: unmined, gasMax }, this.#sender.plan.offeredFor(unmined));
    // Sent in the next round: an endless quarrel about the price then waits for its pace like everything else.
  }

  /** True when an attempt is in a block of the chain: then the action is confirmed, or judged by why it reverted. */
  async confirmIfMined(action: Action): Promise<boolean> {
    const { chain, transmitter, crashPoint } = this.#deps;
    const receipt = await this.#minedAttempt(action);
    if (receipt === undefined) return false;
    crashPoint('transmit-mined');
    if (receipt.hasSucceeded) {
      this.#confirm(action, receipt);
      return true;
    }
    // A reverted attempt has used its nonce. While the call would revert still, its reason decides.
    const checked = await chain.preflight({ from: transmitter.address, ...callOf(action, chain) });
    if (!checked.ok) await this.judge(action, checked.revert);
    return !checked.ok;
  }

  /** The receipt of the attempt that is in the chain, one that has succeeded before one that has not. */
  async #minedAttempt(action: Action): Promise<ChainReceipt | undefined> {
    const { chain, store } = this.#deps;
    let reverted: ChainReceipt | undefined;
    for (const { hash, spentWei } of store.outbox.attempts(action.id).reverse()) {
      const receipt = await chain.receipt(hash);
      if (receipt === undefined) continue;
      if (spentWei !== receipt.spentWei) store.outbox.setSpent(hash, receipt.spentWei);
      if (receipt.hasSucceeded) return receipt;
      reverted ??= receipt;
    }
    return reverted;
  }

  #confirm(action: Action, { transactionHash, blockNumber, blockHash, gasUsed }: ChainReceipt): void {
    const { store, log, crashPoint } = this.#deps;
    store.outbox.setMined(action.id, 'confirmed', { transactionHash, blockNumber, blockHash, gasUsed });
    log('info', 'transaction-confirmed', { orderId: action.orderId, transactionHash, blockNumber, gasUsed });
    crashPoint('transmit-confirmed');
  }

  /** A confirmed action: still in the chain, and final yet? */
  async settle(action: Action): Promise<void> {
    const { chain, store, log } = this.#deps;
    const { mined, orderId } = action;
    // Asked first: what stands after it has an answer stood when it was given.
    const final = await chain.block('finalized');
    if (mined === undefined || (await chain.block(mined.blockNumber))?.hash !== mined.blockHash) {
      log('warn', 'transaction-reorganised', { orderId, transactionHash: mined?.transactionHash });
      // Unsent as far as we know: the next round looks for it in another block, or sends the same bytes again.
      store.transaction(() => store.outbox.setUnmined(action.id));
      return;
    }
    if (final === undefined || final.number < mined.blockNumber) return;
    if (!this.#isWatched(mined.blockNumber)) return;
    if (!this.#hasEffect(action, mined.transactionHash)) {
      log('error', 'effect-missing', { orderId, transactionHash: mined.transactionHash, block: mined.blockNumber });
      store.transaction(() => store.outbox.setUnmined(action.id));
      return;
    }
    store.outbox.setMined(action.id, 'finalized', mined);
    log('info', 'transaction-final', { orderId, transactionHash: mined.transactionHash });
  }

  #isWatched(blockNumber: number): boolean {
    return (this.#deps.store.chain.head()?.number ?? -1) >= blockNumber;
  }

  /** A receipt is one answer of one node; the contract's event came by another way. */
  #hasEffect(action: Action, transactionHash: string): boolean {
    if ('contract' in recordOf(action)) return true;
    const events = this.#deps.store.chain.eventsOf(`order:${action.orderId}`);
    return events.some((event) => event.transactionHash === transactionHash);
  }

  /** The order was cancelled without us; until that is final, a reorganisation can bring the order back. */
  async reconsider(action: Action): Promise<void> {
    const { store, chain } = this.#deps;
    // It may have been ourselves: an attempt that was mined while it was being looked for.
    const receipt = await this.#minedAttempt(action);
    if (receipt?.hasSucceeded === true) {
      this.#confirm(action, receipt);
      return;
    }
    const record = recordOf(action);
    if ('contract' in record) {
      if (this.#isOver(record) || (await isUsedForGood(record, chain))) {
        store.outbox.setState(action.id, 'finalized', { reason: 'superseded' });
      } else {
        const checked = await chain.preflight(callOf(action, chain));
        if (checked.ok) store.outbox.setState(action.id, 'unstarted');
        else store.outbox.setState(action.id, 'superseded', { dueMs: this.#laterMs() });
      }
      return;
    }
    const known = store.chain.order(action.orderId);
    if (known === undefined || openStates.includes(known.order.state)) {
      store.outbox.setState(action.id, 'unstarted');
      return;
    }
    if (endedStates.includes(known.order.state) && this.#isFinal(action.orderId)) {
      store.outbox.setState(action.id, 'finalized', { reason: 'superseded' });
    }
  }

  /** A refusal of the evidence stands as long as the chain that it was given on; the verdict is never made again. */
  async judge(action: Action, revert: Revert): Promise<void> {
    const { chain, store, log } = this.#deps;
    const { orderId } = action;
    if (action.reason !== revert.message) log('warn', 'report-refused', { orderId, reason: revert.message });
    const judged = 'contract' in recordOf(action) ? judgeQuorumRevert(revert) : judgeRevert(revert);
    if (judged === 'later') {
      this.later(action, revert.message);
    } else if (judged === 'superseded') {
      store.outbox.setState(action.id, 'superseded', { reason: revert.message, dueMs: this.#laterMs() });
    } else {
      const atBlock = (await chain.block('latest'))?.number ?? 0;
      log('error', 'report-fatal', { orderId, reason: revert.message, chainId: chain.chainId, atBlock });
      store.outbox.setFatal(action.id, revert.message, atBlock);
    }
  }

  later(action: Action, reason: string): void {
    this.#deps.store.outbox.setState(action.id, 'unstarted', { reason, dueMs: this.#laterMs() });
  }

  /** No report can do anything to this order any more. */
  #isOver(record: QuorumRecord): boolean {
    if (record.contract !== 'Disputes') return false;
    const state = this.#deps.store.chain.order(record.orderId)?.order.state;
    return state !== undefined && !openStates.includes(state) && this.#isFinal(record.orderId);
  }

  #isFinal(orderId: string): boolean {
    const { chain } = this.#deps.store;
    return (chain.head()?.finalNumber ?? 0) >= chain.lastBlockOf(`order:${orderId}`);
  }

  #laterMs(): number {
    return this.#deps.pace.nowMs() + this.#policy.retryMs;
  }
}
