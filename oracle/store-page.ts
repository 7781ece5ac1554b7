/** SQL of what the API reads page by page: each list from a key on, so that a page costs the same however far it is. */
import { channelName } from '@coldproof/wire';
import type { Finding } from '@coldproof/wire';
import type { Device, Order } from './store-chain.ts';
import type { StoredFinding } from './store-evaluation.ts';
import type { ActionState } from './store-outbox.ts';
import type { Database } from './store.ts';

export type FindingKey = readonly [orderId: string, rule: string, channel: number, openedAtSec: number];

export type ActionSummary = {
  readonly id: string;
  readonly orderId: string;
  readonly state: ActionState;
  readonly reason: string | null;
  readonly createdMs: number;
  readonly transactionHash: string | null;
  readonly blockNumber: number | null;
  readonly blockHash: string | null;
  readonly gasUsed: number | null;
};

type FindingRow = {
  order_id: string;
  rule: Finding['rule'];
  channel: number;
  opened_sec: number;
  closed_sec: number | null;
  detail: string;
};

type ActionRow = {
  id: string;
  order_id: string;
  state: ActionState;
  reason: string | null;
  created_ms: number;
  transaction_hash: string | null;
  block_number: number | null;
  block_hash: string | null;
  gas_used: number | null;
};

const actionColumns = 'id, order_id, state, reason, created_ms, transaction_hash, block_number, block_hash, gas_used';

export class PageStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Newest first, older than `beforeId`. Ids are decimal without leading zeros: by length and digits is by number. */
  orders(beforeId: string | undefined, countMax: number): { readonly order: Order; readonly blockNumber: number }[] {
    const where = beforeId === undefined ? '' : 'WHERE length(order_id) < ? OR (length(order_id) = ? AND order_id < ?)';
    const from = beforeId === undefined ? [] : [beforeId.length, beforeId.length, beforeId];
    return (
      this.#database
        .prepare<(string | number)[], { block_number: number; view: string }>(
          `SELECT block_number, view FROM chain_order ${where} ORDER BY length(order_id) DESC, order_id DESC LIMIT ?`,
        )
        .all(...from, countMax)
        // Written by store-chain.ts only, here and below.
        .map((row) => ({ order: JSON.parse(row.view) as Order, blockNumber: row.block_number }))
    );
  }

  devices(afterDevice: string, countMax: number): Device[] {
    return this.#database
      .prepare<[string, number], { view: string }>(
        'SELECT view FROM chain_device WHERE device > ? ORDER BY device LIMIT ?',
      )
      .all(afterDevice, countMax)
      .map(({ view }) => JSON.parse(view) as Device);
  }

  /** By order, then rule, channel and opening. */
  findings(after: FindingKey, countMax: number): StoredFinding[] {
    return this.#database
      .prepare<(string | number)[], FindingRow>(
        `SELECT order_id, rule, channel, opened_sec, closed_sec, detail FROM finding
         WHERE (order_id, rule, channel, opened_sec) > (?, ?, ?, ?)
         ORDER BY order_id, rule, channel, opened_sec LIMIT ?`,
      )
      .all(...after, countMax)
      .map(findingOf);
  }

  finding([orderId, rule, channel, openedAtSec]: FindingKey): StoredFinding | undefined {
    const row = this.#database
      .prepare<[string, string, number, number], FindingRow>(
        `SELECT order_id, rule, channel, opened_sec, closed_sec, detail FROM finding
         WHERE order_id = ? AND rule = ? AND channel = ? AND opened_sec = ?`,
      )
      .get(orderId, rule, channel, openedAtSec);
    return row === undefined ? undefined : findingOf(row);
  }

  findingsOf(orderId: string): StoredFinding[] {
    return this.#database
      .prepare<[string], FindingRow>(
        `SELECT order_id, rule, channel, opened_sec, closed_sec, detail FROM finding WHERE order_id = ?
         ORDER BY opened_sec, rule, channel LIMIT 10000`,
      )
      .all(orderId)
      .map(findingOf);
  }

  /** Oldest first. */
  actions(after: readonly [createdMs: number, id: string], countMax: number): ActionSummary[] {
    return this.#database
      .prepare<(string | number)[], ActionRow>(
        `SELECT ${actionColumns} FROM action WHERE (created_ms, id) > (?, ?) ORDER BY created_ms, id LIMIT ?`,
      )
      .all(...after, countMax)
      .map(actionOf);
  }

  action(id: string): ActionSummary | undefined {
    const row = this.#database.prepare<[string], ActionRow>(`SELECT ${actionColumns} FROM action WHERE id = ?`).get(id);
    return row === undefined ? undefined : actionOf(row);
  }

  actionsOf(orderId: string): ActionSummary[] {
    return this.#database
      .prepare<[string], ActionRow>(
        `SELECT ${actionColumns} FROM action WHERE order_id = ? ORDER BY created_ms, id LIMIT 1000`,
      )
      .all(orderId)
      .map(actionOf);
  }

  /** Devices with batches from leaf `fromIndex` on, each with its newest. */
  devicesHeardSince(fromIndex: number): { readonly device: Uint8Array; readonly sequence: number }[] {
    return this.#database
      .prepare<[number], { device: Uint8Array; sequence: number }>(
        // By itself SQLite would go through all leaves ever, in the order of their devices, to save the grouping.
        `WITH heard AS MATERIALIZED (SELECT device, sequence FROM leaf WHERE leaf_index >= ?)
         SELECT device, max(sequence) AS sequence FROM heard GROUP BY device`,
      )
      .all(fromIndex);
  }

  /** Leaves of one device that have a moment in common with [fromSec, toSec], by sequence; null: it was removed. */
  leaves(
    device: Uint8Array,
    { fromSequence, toSec, countMax }: { fromSequence: number; toSec: number; countMax: number },
  ): {
    readonly index: number;
    readonly sequence: number;
    readonly loggedMs: number;
    readonly envelope: Uint8Array | null;
  }[] {
    type Row = { leaf_index: number; sequence: number; logged_ms: number; bytes: Uint8Array | null };
    return this.#database
      .prepare<(Uint8Array | number)[], Row>(
        `SELECT leaf.leaf_index, sequence, logged_ms, bytes FROM leaf
         LEFT JOIN envelope ON envelope.leaf_index = leaf.leaf_index
         WHERE device = ? AND sequence >= ? AND first_sec <= ? ORDER BY sequence LIMIT ?`,
      )
      .all(device, fromSequence, toSec, countMax)
      .map((row) => {
        return { index: row.leaf_index, sequence: row.sequence, loggedMs: row.logged_ms, envelope: row.bytes };
      });
  }

  /** Times without a sample in the orders that the device has. */
  gapsOf(device: string): { readonly orderId: string; readonly channel: string; readonly startedAt: number }[] {
    return this.#database
      .prepare<[string], FindingRow>(
        `SELECT f.order_id, f.rule, f.channel, f.opened_sec, f.closed_sec, f.detail FROM finding f
         JOIN evaluation e ON e.order_id = f.order_id
         WHERE f.rule = 'gap' AND e.dispatch LIKE ? ORDER BY f.opened_sec DESC LIMIT 1000`,
      )
      .all(`${device}@%`)
      .map(findingOf)
      .map(({ orderId, channel, openedAtSec, closedAtSec }) => {
        return { orderId, channel: channelName(channel), startedAt: openedAtSec, endedAt: closedAtSec ?? null };
      });
  }

  equivocationsOf(device: Uint8Array): { readonly sequence: number; readonly seenMs: number }[] {
    return this.#database
      .prepare<[Uint8Array], { sequence: number; seen_ms: number }>(
        'SELECT sequence, seen_ms FROM equivocation WHERE device = ? ORDER BY sequence LIMIT 1000',
      )
      .all(device)
      .map(({ sequence, seen_ms: seenMs }) => ({ sequence, seenMs }));
  }
}

function findingOf(row: FindingRow): StoredFinding {
  return {
    orderId: row.order_id,
    rule: row.rule,
    channel: row.channel,
    openedAtSec: row.opened_sec,
    ...(row.closed_sec === null ? {} : { closedAtSec: row.closed_sec }),
    // Written by saveFinding only.
    detail: JSON.parse(row.detail) as Finding['detail'],
  };
}

function actionOf(row: ActionRow): ActionSummary {
  return {
    id: row.id,
    orderId: row.order_id,
    state: row.state,
    reason: row.reason,
    createdMs: row.created_ms,
    transactionHash: row.transaction_hash,
    blockNumber: row.block_number,
    blockHash: row.block_hash,
    gasUsed: row.gas_used,
  };
}
