/**
 * The part of the loop from the log to the outbox: for each order in transit, a cursor over its device's batches. What
 * the rules find, the rules' state, the cursor and the action are written in one transaction, so that a crash repeats
 * the whole step or none of it, and the same batches give the same answer.
 */
import {
  assert,
  bytesToHex,
  evaluate,
  hexToBytes,
  initialState,
  limitOf,
  type Crypto,
  type EvaluationState,
  type Finding,
  type OpenEnvelope,
  type RunLocation,
} from '@coldproof/wire';
import type { Chain } from './chain.ts';
import type { Clock } from './clock.ts';
import type { Log } from './log-line.ts';
import { evidenceJson, proofArgument, prove } from './prove.ts';
import type { Order } from './store-chain.ts';
import type { EvaluationRow } from './store-evaluation.ts';
import type { EvidenceRecord } from './store-outbox.ts';
import type { Store } from './store.ts';
import { openStored, storedBatches } from './stored-batch.ts';
import type { CrashPoint } from './transmit.ts';

/** One transaction's worth; a device that comes back after days is worked off in steps. */
const batchesPerStepMax = 64;

export type FindingsDeps = {
  readonly store: Store;
  readonly chain: Pick<Chain, 'encode'>;
  readonly crypto: Crypto;
  readonly pace: Clock;
  readonly log: Log;
  readonly crashPoint: CrashPoint;
};

export class Findings {
  readonly #deps: FindingsDeps;
  /** Orders under watch by device; refreshed when the chain's projections change. */
  #orders = new Map<string, Order[]>();

  constructor(deps: FindingsDeps) {
    this.#deps = deps;
  }

  /** Takes over the orders that are under watch now, and looks at all of them. */
  refresh(): boolean {
    this.#orders = new Map();
    const { chain } = this.#deps.store;
    // Until it is settled, what happened on the way to a delivered order still counts.
    for (const order of [...chain.ordersIn('InTransit'), ...chain.ordersIn('Delivered')]) {
      this.#orders.set(order.device, [...(this.#orders.get(order.device) ?? []), order]);
    }
    return this.run(this.#orders.keys());
  }

  /** Looks at what the log has new for these devices (hex). Says whether the outbox has a new action. */
  run(devices: Iterable<string>): boolean {
    let hasNewAction = false;
    for (const device of devices) {
      for (const order of this.#orders.get(device) ?? []) {
        while (this.#step(order, (isNew) => (hasNewAction ||= isNew)));
      }
    }
    return hasNewAction;
  }

  /** Up to batchesPerStepMax batches of one order; says whether there were any. */
  #step(order: Order, onAction: (isNew: boolean) => void): boolean {
    const { store, log, crashPoint } = this.#deps;
    const row = this.#cursor(order);
    if (row === undefined) return false;
    const device = hexToBytes(order.device);
    const stored = store.log.envelopes(device, row.nextSequence, batchesPerStepMax);
    if (stored.length === 0) return false;
    // Written by this method only.
    let state = JSON.parse(row.state) as EvaluationState;
    const findings: Finding[] = [];
    for (const { envelope } of stored) {
      const step = evaluate(order, state, openStored(envelope, this.#deps.crypto));
      state = step.state;
      findings.push(...step.findings);
    }
    const actions = findings.flatMap((finding) => this.#act(order, finding) ?? []);
    const nextSequence = stored.at(-1)!.sequence + 1;
    const nowMs = this.#deps.pace.nowMs();
    store.transaction(() => {
      for (const finding of findings) store.evaluation.saveFinding(order.orderId, finding);
      for (const action of actions) {
        onAction(store.outbox.insert({ ...action, orderId: order.orderId, dueMs: 0, createdMs: nowMs }));
      }
      store.evaluation.save(order.orderId, { dispatch: row.dispatch, nextSequence, state: JSON.stringify(state) });
    });
    crashPoint('evaluation-committed');
    for (const finding of findings) this.#say(order, finding, log);
    return true;
  }

  /** Undefined while the device has sent nothing since dispatch. */
  #cursor(order: Order): EvaluationRow | undefined {
    const { store } = this.#deps;
    const dispatch = `${order.device}@${order.judgedFromSec}`;
    const row = store.evaluation.load(order.orderId);
    if (row?.dispatch === dispatch) return row;
    if (row !== undefined) store.transaction(() => store.evaluation.reset(order.orderId));
    const nextSequence = store.log.firstSequenceSince(hexToBytes(order.device), order.judgedFromSec);
    if (nextSequence === undefined) return undefined;
    return { dispatch, nextSequence, state: JSON.stringify(initialState(order)) };
  }

  /** The action that a finding asks for, if any. Rule and verifier should agree; if not, a log line says so. */
  #act(order: Order, { rule, channel, runs }: Finding): { id: string; evidence: string } | undefined {
    if (runs === undefined) return undefined;
    const { store, chain, crypto, log } = this.#deps;
    const { orderId } = order;
    const device = store.chain.device(order.device);
    assert(device !== undefined, `the device of order ${orderId}, in the log, is in the registry`);
    const located = runs.map((location) => ({ location, batches: this.#batchesOf(order, location) }));
    const proved = prove(rule, limitOf(order, channel), located, hexToBytes(device.publicKey), crypto);
    if (!proved.ok) {
      log('error', 'proof-refused', { orderId, rule, reason: proved.reason, detail: proved.detail });
      return undefined;
    }
    const { method, excursion } = proved.value;
    const digest = bytesToHex(proved.value.digest);
    const calldata = chain.encode('Shipments', method, [orderId, proofArgument(proved.value)]);
    const record: EvidenceRecord = { digest, calldata, excursion, runs: proved.value.runs.map(evidenceJson) };
    log('info', `${rule}-proved`, { orderId, evidence: digest, ...excursion });
    // The same batches may hold another run, and another dispatch may make another run of the same samples.
    const id = `${orderId}@${order.judgedFromSec}:${digest}:${runs[0]!.skip}`;
    return { id, evidence: JSON.stringify(record) };
  }

  #batchesOf({ device }: Order, { firstSequence, lastSequence }: RunLocation): OpenEnvelope[] {
    return storedBatches(this.#deps, device, firstSequence, lastSequence + 1);
  }

  #say({ orderId }: Order, { rule, channel, openedAtSec, closedAtSec, detail, runs }: Finding, log: Log): void {
    // An excursion's growth, batch by batch, is state and not a decision.
    if (rule === 'excursion' && runs === undefined && closedAtSec === undefined) return;
    const event = closedAtSec === undefined ? 'finding-opened' : 'finding-closed';
    log('info', event, { orderId, rule, channel, openedAtSec, closedAtSec, ...detail });
  }
}
