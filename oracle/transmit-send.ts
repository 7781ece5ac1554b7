/**
 * Signing and sending.
 *
 *   (nonce, fees, gas) -> signed -> stored -> sent -> recorded as sent
 *                                     ^ after a crash anywhere behind it the same bytes are sent again
 */
import { noFence, type Fence } from './lease.ts';
import type { Action, Attempt } from './store-outbox.ts';
import { FeePlan, committedOf, sum, type Fees } from './transmit-fees.ts';
import { callOf, type TransmitDeps, type TransmitPolicy } from './transmit-policy.ts';

/** What an attempt that could not be paid for waits with. */
type WaitReason = 'fee-over-cap' | 'spending-cap' | 'insufficient-funds';

export class Sender {
  readonly plan: FeePlan;
  readonly #deps: TransmitDeps;
  readonly #policy: TransmitPolicy;
  readonly #fence: Fence;

  constructor(deps: TransmitDeps, policy: TransmitPolicy) {
    this.#deps = deps;
    this.#policy = policy;
    this.#fence = deps.fence ?? noFence;
    this.plan = new FeePlan(deps, policy);
  }

  /** A first attempt with this nonce, or a dearer one. Stored, not sent. False when it would cost too much. */
  async sign(action: Action, { nonce, gasMax }: Pick<Attempt, 'nonce' | 'gasMax'>, replaced: Fees): Promise<boolean> {
    const { chain, transmitter, store, pace, crashPoint } = this.#deps;
    const fees = await this.plan.fees(replaced);
    if (fees === undefined) {
      this.#wait(action, stateOf(action), 'fee-over-cap', { feeWeiMax: this.#policy.feeWeiMax });
      return false;
    }
    const wei = gasMax * fees.feeWeiMax;
    if (!this.plan.isAffordable({ nonce, wei })) {
      const committedWei = sum(committedOf(this.#deps));
      const { spendWeiMaxPerDay } = this.#policy;
      this.#wait(action, stateOf(action), 'spending-cap', { spendWeiMaxPerDay, committedWei, wei });
      return false;
    }
    crashPoint('transmit-planned');
    const { to, calldata } = callOf(action, chain);
    const { raw, hash } = await transmitter.sign({ to, calldata, nonce, gasMax, ...fees }, chain.chainId);
    crashPoint('transmit-signed');
    store.transaction(() => {
      this.#fence.confirm();
      store.outbox.insertAttempt({ hash, actionId: action.id, nonce, raw, gasMax, ...fees, signedMs: pace.nowMs() });
      store.outbox.setState(action.id, 'in-progress');
    });
    crashPoint('transmit-stored');
    return true;
  }

  /** Sends the last attempt, which is on disk. Also what recovery does first. */
  async send(action: Action): Promise<void> {
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
      this.#wait(action, 'in-progress', outcome, { transmitter: this.#deps.transmitter.address });
      return;
    }
    // 'nonce-used' may well mean that one of our own attempts is in a block: following finds out.
    store.transaction(() => {
      store.outbox.setSent(hash, pace.nowMs());
      store.outbox.setState(action.id, 'unconfirmed');
    });
    crashPoint('transmit-recorded');
    if (outcome !== 'underpriced') return;
    await this.sign({ ...action, state: 'unconfirmed' }, attempt, this.plan.offeredFor(nonce));
  }

  /** Never a drop. What is signed stays, and is looked for and sent again in its time. */
  #wait(
    action: Action,
    state: 'unstarted' | 'in-progress',
    reason: WaitReason,
    fields: Readonly<Record<string, unknown>>,
  ): void {
    const { store, pace, log } = this.#deps;
    // Once, and not with each look at it.
    if (action.reason !== reason) {
      const level = reason === 'fee-over-cap' ? 'warn' : 'error';
      const event = reason === 'insufficient-funds' ? 'transmitter-without-funds' : reason;
      log(level, event, { orderId: action.orderId, ...fields });
    }
    store.outbox.setState(action.id, state, { reason, dueMs: pace.nowMs() + this.#policy.retryMs });
  }
}

/** Where an action waits in: before its next attempt, or with the one that it has. */
function stateOf({ state }: Action): 'unstarted' | 'in-progress' {
  return state === 'unstarted' ? state : 'in-progress';
}
