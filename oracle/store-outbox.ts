/** SQL of the outbox: what shall happen on the chain, and every transaction that was ever signed for it. */
import type { Excursion } from '@coldproof/wire';
import { Changed } from './changed.ts';
import type { Database } from './store-database.ts';

/**
 * unstarted    nothing is signed
 * in-progress  signed and stored, perhaps sent
 * unconfirmed  sent, in no block that we know
 * confirmed    in the block of that number and hash
 * finalized    that block is final
 * superseded   the order was cancelled by somebody else's transaction
 * fatal        the contract refuses it for ever, for `reason`
 */
export const actionStates = [
  'unstarted',
  'in-progress',
  'unconfirmed',
  'confirmed',
  'finalized',
  'superseded',
  'fatal',
] as const;
export type ActionState = (typeof actionStates)[number];

export type Action = {
  /** Order, dispatch, evidence digest and skip: the same finding can never become a second action. */
  readonly id: string;
  /** 'report:ORDER' and 'anchor' for what a quorum signed. */
  readonly orderId: string;
  /** JSON of ActionRecord. */
  readonly evidence: string;
  readonly state: ActionState;
  readonly reason?: string;
  /** Not to be looked at before this time of the pace clock. */
  readonly dueMs: number;
  readonly createdMs: number;
  readonly mined?: {
    readonly transactionHash: string;
    readonly blockNumber: number;
    readonly blockHash: string;
    readonly gasUsed: number;
  };
};

/** What an action's evidence column holds: what its device proves, or what a quorum of oracles signed. */
export type ActionRecord = EvidenceRecord | QuorumRecord;

export type QuorumRecord =
  | {
      readonly contract: 'Disputes';
      readonly calldata: string;
      /** digestReport, hex. */
      readonly digest: string;
      readonly orderId: string;
      readonly cryptlet: string;
      readonly sequence: number;
    }
  | AnchorRecord;

export type AnchorRecord = {
  readonly contract: 'AnchorLog';
  readonly calldata: string;
  /** Hex. */
  readonly log: string;
  readonly size: number;
};

export type EvidenceRecord = {
  readonly digest: string;
  readonly calldata: string;
  readonly excursion: Excursion;
  /** evidenceJson of each run, oldest first. */
  readonly runs: readonly unknown[];
};

export type Attempt = {
  readonly hash: string;
  readonly actionId: string;
  readonly nonce: number;
  readonly raw: string;
  readonly feeWeiMax: bigint;
  readonly priorityFeeWei: bigint;
  readonly gasMax: bigint;
  readonly signedMs: number;
  readonly sentMs?: number;
  /** What it has cost, once it is in a block, whether it succeeded or not. */
  readonly spentWei?: bigint;
};

type ActionRow = {
  id: string;
  order_id: string;
  evidence: string;
  state: ActionState;
  reason: string | null;
  due_ms: number;
  created_ms: number;
  transaction_hash: string | null;
  block_number: number | null;
  block_hash: string | null;
  gas_used: number | null;
};

type AttemptRow = {
  hash: string;
  action_id: string;
  nonce: number;
  raw: string;
  fee_wei: string;
  priority_wei: string;
  gas_max: string;
  signed_ms: number;
  sent_ms: number | null;
  spent_wei: string | null;
};

export class OutboxStore {
  /** Ids of actions. */
  readonly changed: Changed;
  readonly #database: Database;

  constructor(database: Database, isShared: boolean) {
    this.#database = database;
    this.changed = new Changed(isShared);
  }

  /** Does nothing when the action is there already. Says whether it was new. */
  insert({ id, orderId, evidence, dueMs, createdMs }: Omit<Action, 'state' | 'reason' | 'mined'>): boolean {
    const done = this.#database
      .prepare(
        `INSERT INTO action (id, order_id, evidence, state, due_ms, created_ms)
         VALUES (?, ?, ?, 'unstarted', ?, ?) ON CONFLICT (id) DO NOTHING`,
      )
      .run(id, orderId, evidence, dueMs, createdMs);
    this.changed.add(id);
    return done.changes === 1;
  }

  /** Whether something waits that the transmitter has not begun. */
  hasNew(nowMs: number): boolean {
    const row = this.#database
      .prepare<[number], { id: string }>("SELECT id FROM action WHERE state = 'unstarted' AND due_ms <= ? LIMIT 1")
      .get(nowMs);
    return row !== undefined;
  }

  /** Oldest first: all that the transmitter still has to look at. */
  open(): Action[] {
    return this.#actions("WHERE state NOT IN ('finalized', 'fatal') ORDER BY created_ms, id");
  }

  /** Oldest first: what the transmitter has not begun, and may now. */
  unstarted(nowMs: number): Action[] {
    return this.#actions("WHERE state = 'unstarted' AND due_ms <= ? ORDER BY created_ms, id", nowMs);
  }

  ofOrder(orderId: string): Action[] {
    return this.#actions('WHERE order_id = ? ORDER BY created_ms, id', orderId);
  }

  setState(id: string, state: ActionState, { reason, dueMs }: { reason?: string; dueMs?: number } = {}): void {
    this.#database
      .prepare('UPDATE action SET state = ?, reason = ?, due_ms = coalesce(?, due_ms) WHERE id = ?')
      .run(state, reason ?? null, dueMs ?? null, id);
    this.changed.add(id);
  }

  setMined(id: string, state: 'confirmed' | 'finalized', mined: NonNullable<Action['mined']>): void {
    const { transactionHash, blockNumber, blockHash, gasUsed } = mined;
    this.#database
      .prepare(
        `UPDATE action SET state = ?, reason = NULL,
         transaction_hash = ?, block_number = ?, block_hash = ?, gas_used = ? WHERE id = ?`,
      )
      .run(state, transactionHash, blockNumber, blockHash, gasUsed, id);
    this.changed.add(id);
  }

  /** The block that held it is no longer in the chain. */
  setUnmined(id: string): void {
    this.#database
      .prepare(
        `UPDATE action SET state = 'unconfirmed',
         transaction_hash = NULL, block_number = NULL, block_hash = NULL, gas_used = NULL WHERE id = ?`,
      )
      .run(id);
    this.#database.prepare('UPDATE attempt SET sent_ms = NULL WHERE action_id = ?').run(id);
    this.changed.add(id);
  }

  insertAttempt({ hash, actionId, nonce, raw, feeWeiMax, priorityFeeWei, gasMax, signedMs }: Attempt): void {
    this.#database
      .prepare(
        `INSERT INTO attempt (hash, action_id, ordinal, nonce, raw, fee_wei, priority_wei, gas_max, signed_ms)
         SELECT ?, ?, coalesce(max(ordinal) + 1, 0), ?, ?, ?, ?, ?, ? FROM attempt`,
      )
      .run(hash, actionId, nonce, raw, String(feeWeiMax), String(priorityFeeWei), String(gasMax), signedMs);
  }

  setSent(hash: string, sentMs: number): void {
    this.#database.prepare('UPDATE attempt SET sent_ms = ? WHERE hash = ?').run(sentMs, hash);
  }

  setSpent(hash: string, spentWei: bigint): void {
    this.#database.prepare('UPDATE attempt SET spent_wei = ? WHERE hash = ?').run(String(spentWei), hash);
  }

  /** Refused by the contract, in the chain as it was at that block. */
  setFatal(id: string, reason: string, atBlock: number): void {
    this.#database
      .prepare("UPDATE action SET state = 'fatal', reason = ?, block_number = ? WHERE id = ?")
      .run(reason, atBlock, id);
    this.changed.add(id);
  }

  /** What was refused after block `standing` was refused on a branch that is gone. */
  reviveFatal(standing: number): void {
    const { changes } = this.#database
      .prepare(
        `UPDATE action SET state = 'unstarted', reason = NULL, due_ms = 0, block_number = NULL
         WHERE state = 'fatal' AND block_number > ?`,
      )
      .run(standing);
    if (changes > 0) this.changed.addAll();
  }

  /**
   * By nonce, what each transaction has cost, or may cost at most while that is not known: of all that were signed from
   * `fromMs` on, and of all that are under way.
   */
  commitments(fromMs: number): { readonly nonce: number; readonly wei: bigint }[] {
    const rows = this.#database
      .prepare<[number], Pick<AttemptRow, 'nonce' | 'fee_wei' | 'gas_max' | 'spent_wei'>>(
        `SELECT nonce, fee_wei, gas_max, spent_wei FROM attempt WHERE signed_ms >= ?
         OR action_id IN (SELECT id FROM action WHERE state IN ('in-progress', 'unconfirmed'))`,
      )
      .all(fromMs);
    const spent = new Map<number, bigint>();
    const most = new Map<number, bigint>();
    for (const { nonce, fee_wei: fee, gas_max: gas, spent_wei: wei } of rows) {
      if (wei !== null) spent.set(nonce, BigInt(wei));
      const may = BigInt(fee) * BigInt(gas);
      if (may > (most.get(nonce) ?? -1n)) most.set(nonce, may);
    }
    return [...most].map(([nonce, may]) => ({ nonce, wei: spent.get(nonce) ?? may }));
  }

  /** In the order in which they were signed: the last one is the dearest of the highest nonce. */
  attempts(actionId: string): Attempt[] {
    return this.#database
      .prepare<[string], AttemptRow>('SELECT * FROM attempt WHERE action_id = ? ORDER BY ordinal')
      .all(actionId)
      .map((row) => ({
        hash: row.hash,
        actionId: row.action_id,
        nonce: row.nonce,
        raw: row.raw,
        feeWeiMax: BigInt(row.fee_wei),
        priorityFeeWei: BigInt(row.priority_wei),
        gasMax: BigInt(row.gas_max),
        signedMs: row.signed_ms,
        ...(row.sent_ms === null ? {} : { sentMs: row.sent_ms }),
        ...(row.spent_wei === null ? {} : { spentWei: BigInt(row.spent_wei) }),
      }));
  }

  /** Nonces from `from` on that were ever signed with, ascending, with the highest fees that were offered for each. */
  feesByNonce(from: number): Pick<Attempt, 'nonce' | 'feeWeiMax' | 'priorityFeeWei'>[] {
    const rows = this.#database
      .prepare<[number], { nonce: number; fee_wei: string; priority_wei: string }>(
        'SELECT nonce, fee_wei, priority_wei FROM attempt WHERE nonce >= ? ORDER BY nonce, ordinal',
      )
      .all(from);
    // Each attempt for a nonce is dearer than the one before it, so the last one is the dearest.
    const fees = new Map(rows.map((row) => [row.nonce, row]));
    return [...fees.values()].map(({ nonce, fee_wei: fee, priority_wei: priority }) => {
      return { nonce, feeWeiMax: BigInt(fee), priorityFeeWei: BigInt(priority) };
    });
  }

  #actions(where: string, ...parameters: readonly (string | number)[]): Action[] {
    return this.#database
      .prepare<readonly (string | number)[], ActionRow>(`SELECT * FROM action ${where}`)
      .all(...parameters)
      .map((row) => ({
        id: row.id,
        orderId: row.order_id,
        evidence: row.evidence,
        state: row.state,
        ...(row.reason === null ? {} : { reason: row.reason }),
        dueMs: row.due_ms,
        createdMs: row.created_ms,
        ...(row.transaction_hash === null || row.block_hash === null
          ? {}
          : {
              mined: {
                transactionHash: row.transaction_hash,
                blockNumber: row.block_number ?? 0,
                blockHash: row.block_hash,
                gasUsed: row.gas_used ?? 0,
              },
            }),
      }));
  }
}
