/**
 * The outbox: what shall happen on the chain happens once, whatever dies in between.
 *
 *   unstarted -> in-progress -> unconfirmed -> confirmed -> finalized
 *       |            (signed and stored; then sent)  |  block gone: back to unconfirmed
 *       +-> fatal (the contract refuses it for ever) +-> superseded (somebody else's transaction did it)
 *
 * A transaction is signed, stored, and only then sent, so that after a crash the same bytes are sent again. Nonces are
 * our own. The contract accepts one cancellation per order, so a second transaction costs gas and changes nothing; the
 * verdict is never made again, only its submission.
 */
import { assert } from '@coldproof/wire';
import type { Call, Chain, ChainReceipt } from './chain.ts';
import type { Revert } from './chain-abi.ts';
import type { Transmitter } from './chain-account.ts';
import type { Clock } from './clock.ts';
import { feesOf, type Fees } from './fee.ts';
import { noFence, type Fence } from './lease.ts';
import type { Log } from './log-line.ts';
import type { Action, ActionRecord, Attempt, QuorumRecord } from './store-outbox.ts';
import { orderStates, type OrderState } from './store-chain.ts';
import type { Store } from './store.ts';
import { isUsedForGood, judgeQuorumRevert } from './transmit-quorum.ts';

/** Places where a test kills the process. Does nothing in production. */
export type CrashPoint = (
  name:
    | 'log-committed'
    | 'evaluation-committed'
    | 'transmit-planned'
    | 'transmit-signed'
    | 'transmit-stored'
    | 'transmit-sent'
    | 'transmit-recorded'
    | 'transmit-mined'
    | 'transmit-confirmed',
) => void;

export type TransmitPolicy = {
  /** Most that a unit of gas may cost. */
  readonly feeWeiMax: bigint;
  /** An attempt that is in no block after this is sent again, byte for byte. */
  readonly resendMs: number;
  /** The lowest nonce that is in no block after this gets a dearer attempt. */
  readonly bumpMs: number;
  /** What cannot be done now is looked at again after this. */
  readonly retryMs: number;
};

export const defaultPolicy: Omit<TransmitPolicy, 'feeWeiMax'> = { resendMs: 30_000, bumpMs: 60_000, retryMs: 5_000 };

/** More open transactions than this would only wait for one another. */
const inFlightMax = 16;

export type TransmitDeps = {
  readonly chain: Chain;
  readonly transmitter: Transmitter;
  readonly store: Store;
  /** Real time: blocks do not follow a demonstration's clock. */
  readonly pace: Clock;
  readonly log: Log;
  readonly crashPoint: CrashPoint;
  readonly fence?: Fence;
};

export class Transmit {
  readonly #deps: TransmitDeps;
  readonly #policy: TransmitPolicy;
  readonly #fence: Fence;

  constructor(deps: TransmitDeps, policy: TransmitPolicy) {
    this.#deps = deps;
    this.#policy = policy;
    this.#fence = deps.fence ?? noFence;
    if (deps.chain.contracts['Shipments'] === undefined) {
      throw new RangeError('contracts: expected an address of Shipments');
    }
  }

  /**
   * One look at each open action. What comes new meanwhile does not wait for the others: following and settling may be
   * many questions to the chain. Throws OperatingError (retry later) when the chain does not answer.
   */
  async round(): Promise<void> {
    const { outbox } = this.#deps.store;
    const begun = new Set<string>();
    await this.startNew(begun);
    for (const action of outbox.open()) {
      if (begun.has(action.id) || action.dueMs > this.#deps.pace.nowMs()) continue;
      if (outbox.hasNew(this.#deps.pace.nowMs())) await this.startNew(begun);
      if (action.state === 'in-progress') await this.#send(action);
      else if (action.state === 'unconfirmed') await this.#follow(action);
      else if (action.state === 'confirmed') await this.#settle(action);
      else if (action.state === 'superseded') await this.#reconsider(action);
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
    const { chain, transmitter, store, pace, crashPoint } = this.#deps;
    if (await this.#confirmIfMined(action)) return;
    const { to, calldata } = this.#callOf(action);
    const checked = await chain.preflight({ from: transmitter.address, to, calldata });
    if (!checked.ok) {
      this.#judge(action, checked.revert);
      return;
    }
    if (this.#inFlight().length >= inFlightMax) return;
    const { nonce, ...replaced } = await this.#nextNonce();
    const fees = await this.#fees(replaced);
    if (fees === undefined) {
      this.#later(action, 'fee-over-cap');
      return;
    }
    // Room for a state that has changed a little until the transaction runs.
    const gasMax = (checked.value * 13n) / 10n + 30_000n;
    crashPoint('transmit-planned');
    const { raw, hash } = await transmitter.sign({ to, calldata, nonce, gasMax, ...fees }, chain.chainId);
    crashPoint('transmit-signed');
    store.transaction(() => {
      this.#fence.confirm();
      store.outbox.insertAttempt({ hash, actionId: action.id, nonce, raw, gasMax, ...fees, signedMs: pace.nowMs() });
      store.outbox.setState(action.id, 'in-progress');
    });
    crashPoint('transmit-stored');
    await this.#send(action);
  }

  /** Sends the last attempt, which is on disk. Also what recovery does first. */
  async #send(action: Action): Promise<void> {
    const { chain, store, pace, log, crashPoint } = this.#deps;
    const attempt = store.outbox.attempts(action.id).at(-1);
    if (attempt === undefined) {
      store.outbox.setState(action.id, 'unstarted');
      return;
    }
    this.#fence.mustHold();
    const outcome = await chain.send(attempt.raw);
    crashPoint('transmit-sent');
    const { hash, nonce } = attempt;
    log('info', 'transaction-sent', { orderId: action.orderId, hash, nonce, outcome });
    if (outcome === 'insufficient-funds') {
      log('error', 'transmitter-without-funds', { transmitter: this.#deps.transmitter.address });
      store.outbox.setState(action.id, 'in-progress', { reason: outcome, dueMs: this.#laterMs() });
      return;
    }
    // 'nonce-used' may well mean that one of our own attempts is in a block: following finds out.
    store.transaction(() => {
      store.outbox.setSent(hash, pace.nowMs());
      store.outbox.setState(action.id, 'unconfirmed');
    });
    crashPoint('transmit-recorded');
    if (outcome === 'underpriced') await this.#bump(action, attempt);
  }

  /** Looks for any of the action's attempts in a block. */
  async #follow(action: Action): Promise<void> {
    const { chain, transmitter, store, pace, log } = this.#deps;
    if (await this.#confirmIfMined(action)) return;
    const attempt = store.outbox.attempts(action.id).at(-1);
    if (attempt === undefined) {
      store.outbox.setState(action.id, 'unstarted');
      return;
    }
    const nextNonce = await chain.nonce(transmitter.address, 'latest');
    if (nextNonce > attempt.nonce) {
      // Something else used the nonce: another attempt's block that is gone again, or another program with this key.
      if (await this.#confirmIfMined(action)) return;
      log('warn', 'nonce-lost', { orderId: action.orderId, nonce: attempt.nonce, hash: attempt.hash });
      store.outbox.setState(action.id, 'unstarted');
      return;
    }
    const nowMs = pace.nowMs();
    const isLowest = attempt.nonce === Math.min(...this.#inFlight().map(({ nonce }) => nonce));
    if (isLowest && nowMs - attempt.signedMs >= this.#policy.bumpMs) return this.#bump(action, attempt);
    if (attempt.sentMs === undefined || nowMs - attempt.sentMs >= this.#policy.resendMs) await this.#send(action);
  }

  /** A dearer attempt with the same nonce. All attempts are kept, since each may be the one that is mined. */
  async #bump(action: Action, last: Attempt): Promise<void> {
    const { chain, transmitter, store, pace, log } = this.#deps;
    const fees = await this.#fees(last);
    if (fees === undefined) {
      log('warn', 'fee-over-cap', { orderId: action.orderId, feeWeiMax: this.#policy.feeWeiMax });
      store.outbox.setState(action.id, 'in-progress', { reason: 'fee-over-cap', dueMs: this.#laterMs() });
      return;
    }
    const { to, calldata } = this.#callOf(action);
    const { nonce, gasMax } = last;
    const { raw, hash } = await transmitter.sign({ to, calldata, nonce, gasMax, ...fees }, chain.chainId);
    store.transaction(() => {
      this.#fence.confirm();
      store.outbox.insertAttempt({ hash, actionId: action.id, nonce, raw, gasMax, ...fees, signedMs: pace.nowMs() });
      store.outbox.setState(action.id, 'in-progress');
    });
    // Sent in the next round: an endless quarrel about the price then waits for its pace like everything else.
  }

  /** True when an attempt is in a block of the chain: then the action is confirmed, or judged by why it reverted. */
  async #confirmIfMined(action: Action): Promise<boolean> {
    const { chain, transmitter, crashPoint } = this.#deps;
    const receipt = await this.#minedAttempt(action);
    if (receipt === undefined) return false;
    crashPoint('transmit-mined');
    if (receipt.hasSucceeded) {
      this.#confirm(action, receipt);
      return true;
    }
    // A reverted attempt has used its nonce. While the call would revert still, its reason decides.
    const checked = await chain.preflight({ from: transmitter.address, ...this.#callOf(action) });
    if (!checked.ok) this.#judge(action, checked.revert);
    return !checked.ok;
  }

  /** The receipt of the attempt that is in the chain, one that has succeeded before one that has not. */
  async #minedAttempt(action: Action): Promise<ChainReceipt | undefined> {
    const { chain, store } = this.#deps;
    let reverted: ChainReceipt | undefined;
    for (const { hash } of store.outbox.attempts(action.id).reverse()) {
      const receipt = await chain.receipt(hash);
      if (receipt === undefined || !(await this.#stands(receipt))) continue;
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

  async #stands({ blockNumber, blockHash }: Pick<ChainReceipt, 'blockNumber' | 'blockHash'>): Promise<boolean> {
    return (await this.#deps.chain.block(blockNumber))?.hash === blockHash;
  }

  /** A confirmed action: still in the chain, and final yet? */
  async #settle(action: Action): Promise<void> {
    const { chain, store, log } = this.#deps;
    const { mined } = action;
    if (mined === undefined || !(await this.#stands(mined))) {
      log('warn', 'transaction-reorganised', { orderId: action.orderId, transactionHash: mined?.transactionHash });
      // Unsent as far as we know: the next round looks for it in another block, or sends the same bytes again.
      store.transaction(() => store.outbox.setUnmined(action.id));
      return;
    }
    const final = await chain.block('finalized');
    if (final === undefined || final.number < mined.blockNumber) return;
    store.outbox.setMined(action.id, 'finalized', mined);
    log('info', 'transaction-final', { orderId: action.orderId, transactionHash: mined.transactionHash });
  }

  /** The order was cancelled without us; until that is final, a reorganisation can bring the order back. */
  async #reconsider(action: Action): Promise<void> {
    const { store } = this.#deps;
    // It may have been ourselves: an attempt that was mined while it was being looked for.
    const receipt = await this.#minedAttempt(action);
    if (receipt?.hasSucceeded === true) {
      this.#confirm(action, receipt);
      return;
    }
    const record = recordOf(action);
    if ('contract' in record) {
      if (this.#isOver(record) || (await isUsedForGood(record, this.#deps.chain))) {
        store.outbox.setState(action.id, 'finalized', { reason: 'superseded' });
      } else {
        const checked = await this.#deps.chain.preflight(this.#callOf(action));
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
    const finalNumber = store.chain.head()?.finalNumber ?? 0;
    const isFinal = finalNumber >= store.chain.lastBlockOf(`order:${action.orderId}`);
    if (endedStates.includes(known.order.state) && isFinal) {
      store.outbox.setState(action.id, 'finalized', { reason: 'superseded' });
    }
  }

  /** What a refusal means for the action. A refusal of the evidence is for ever; the verdict is never tried again. */
  #judge(action: Action, revert: Revert): void {
    const { chain, store, log } = this.#deps;
    const { orderId } = action;
    log('warn', 'report-refused', { orderId, reason: revert.message });
    if ('contract' in recordOf(action)) {
      const judged = judgeQuorumRevert(revert);
      if (judged === 'later') this.#later(action, revert.message);
      else store.outbox.setState(action.id, judged, { reason: revert.message, dueMs: this.#laterMs() });
      return;
    }
    if (revert.name === 'EvidenceAlreadyUsed') {
      store.outbox.setState(action.id, 'superseded');
      return;
    }
    if (revert.name === 'OrderStateNot') {
      const state = orderStates[Number(revert.args['got'])];
      if (state !== undefined && endedStates.includes(state)) {
        store.outbox.setState(action.id, 'superseded');
        return;
      }
      // A reorganisation took the dispatch back; it may come again.
      const mayReturn = state === 'None' || state === 'Placed' || state === 'Accepted';
      if (mayReturn) {
        this.#later(action, revert.message);
        return;
      }
      store.outbox.setState(action.id, 'fatal', { reason: revert.message });
      return;
    }
    const isForNow = revert.name === 'SampleInFuture' || revert.name === 'GasTooLow' || revert.name === '';
    if (isForNow) {
      this.#later(action, revert.message);
      return;
    }
    log('error', 'report-fatal', { orderId, reason: revert.message, chainId: chain.chainId });
    store.outbox.setState(action.id, 'fatal', { reason: revert.message });
  }

  /** No report can do anything to this order any more. */
  #isOver(record: QuorumRecord): boolean {
    if (record.contract !== 'Disputes') return false;
    const { chain } = this.#deps.store;
    const state = chain.order(record.orderId)?.order.state;
    const isFinal = (chain.head()?.finalNumber ?? 0) >= chain.lastBlockOf(`order:${record.orderId}`);
    return state !== undefined && !openStates.includes(state) && isFinal;
  }

  #callOf(action: Action): Call {
    const record = recordOf(action);
    const contract = 'contract' in record ? record.contract : 'Shipments';
    const to = this.#deps.chain.contracts[contract];
    assert(to !== undefined, `an action for ${contract} is made only when its address is configured`);
    return { to, calldata: record.calldata };
  }

  #later(action: Action, reason: string): void {
    this.#deps.store.outbox.setState(action.id, 'unstarted', { reason, dueMs: this.#laterMs() });
  }

  #laterMs(): number {
    return this.#deps.pace.nowMs() + this.#policy.retryMs;
  }

  #inFlight(): Attempt[] {
    const { outbox } = this.#deps.store;
    const open = outbox.open().filter(({ state }) => state === 'in-progress' || state === 'unconfirmed');
    return open.map(({ id }) => outbox.attempts(id).at(-1)).filter((attempt) => attempt !== undefined);
  }

  /**
   * The lowest nonce that we signed with once, that is in no block, and that no open action holds: left unused it would
   * hold up everything above it. Without one, the next after all that we or the node know of.
   */
  async #nextNonce(): Promise<Pick<Attempt, 'nonce' | 'feeWeiMax' | 'priorityFeeWei'>> {
    const { chain, transmitter, store } = this.#deps;
    const [unmined, pending] = await Promise.all([
      chain.nonce(transmitter.address, 'latest'),
      chain.nonce(transmitter.address, 'pending'),
    ]);
    const held = new Set(this.#inFlight().map(({ nonce }) => nonce));
    const left = store.outbox.feesByNonce(unmined).find(({ nonce }) => !held.has(nonce));
    if (left !== undefined) return left;
    const nonce = Math.max((store.outbox.nonceMax() ?? -1) + 1, pending);
    return { nonce, feeWeiMax: 0n, priorityFeeWei: 0n };
  }

  async #fees(replaced: Fees): Promise<Fees | undefined> {
    const { chain } = this.#deps;
    const [latest, priorityFeeWei] = await Promise.all([chain.block('latest'), chain.priorityFeeWei()]);
    return feesOf({ baseFeeWei: latest?.baseFeeWei ?? 0n, priorityFeeWei }, replaced, this.#policy.feeWeiMax);
  }
}

/** A fact can still end the order. */
const openStates: readonly OrderState[] = ['InTransit', 'Delivered'];
/** A fact has. */
const endedStates: readonly OrderState[] = ['Cancelled', 'Quarantined', 'Held'];

/** Written by the evaluation and by the network only. */
function recordOf({ evidence }: Action): ActionRecord {
  return JSON.parse(evidence) as ActionRecord;
}
