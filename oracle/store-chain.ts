/** SQL of what the chain said, as far as it is known now: events by block; orders and devices as their views were. */
import type { Limit, Terms } from '@coldproof/wire';
import { Changed } from './changed.ts';
import type { Database } from './store-database.ts';

/** States of Shipments.sol. */
export const orderStates = [
  'None',
  'Placed',
  'Accepted',
  'InTransit',
  'Delivered',
  'Settled',
  'Cancelled',
  'Refunded',
  'Quarantined',
  'Held',
] as const;

export type OrderState = (typeof orderStates)[number];

/** Why an order was ended or set aside: causes of Shipments.sol. All but the last are proved. */
export const causes = ['None', 'Excursion', 'CumulativeExcursion', 'Silence', 'Attested'] as const;
export type Cause = (typeof causes)[number];

/** An order as the contract's view gave it. Addresses and digests are 0x-hex, the device is bare hex as in topics. */
export type Order = {
  readonly orderId: string;
  readonly state: OrderState;
  readonly cause: Cause;
  readonly agreementId: string;
  readonly buyer: string;
  readonly supplier: string;
  readonly device: string;
  readonly truck: string;
  readonly dispatchedAtSec: number;
  /** Evidence counts from here: the dispatch, or the last release out of quarantine. */
  readonly judgedFromSec: number;
  readonly deliveredAtSec: number;
  /** '0' when there is none, as for the ticket. */
  readonly replacementId: string;
  readonly replacementOf: string;
  readonly ticketId: string;
  readonly evidenceDigest: string;
  /** In the token's smallest unit. */
  readonly price: string;
  /** One for each channel that the terms limit. */
  readonly limits: readonly Limit[];
  /** Everything that the parties signed. */
  readonly terms: Terms;
  /** The contract that may conclude attested facts; the zero address: proved facts only. */
  readonly disputes: string;
  /** Bare hex digests of the programs whose reports may speak to the order. */
  readonly cryptlets: readonly string[];
};

export type Device = {
  /** Bare hex. */
  readonly device: string;
  /** x ‖ y, bare hex. */
  readonly publicKey: string;
  readonly owner: string;
  readonly asset: string;
  readonly validFromSec: number;
  /** Undefined while the device is not revoked. */
  readonly revokedFromSec?: number;
  /** SHA-256 of the calibration certificate, bare hex, and the end of its validity. */
  readonly calibrationDigest: string;
  readonly calibrationUntilSec: number;
};

export type ChainHead = {
  readonly number: number;
  readonly hash: string;
  readonly timeSec: number;
  readonly safeNumber: number;
  readonly finalNumber: number;
};

export type StoredEvent = {
  readonly blockNumber: number;
  readonly logIndex: number;
  readonly transactionHash: string;
  readonly contract: string;
  readonly name: string;
  /** What the event is about: 'order:7', 'device:ab…', or '' when nothing here follows it. */
  readonly subject: string;
  /** JSON object. */
  readonly args: string;
};

type EventRow = {
  block_number: number;
  log_index: number;
  transaction_hash: string;
  contract: string;
  name: string;
  subject: string;
  args: string;
};

export class ChainStore {
  readonly changedOrders: Changed;
  readonly changedDevices: Changed;
  readonly #database: Database;

  constructor(database: Database, isShared: boolean) {
    this.#database = database;
    this.changedOrders = new Changed(isShared);
    this.changedDevices = new Changed(isShared);
  }

  head(): ChainHead | undefined {
    const row = this.#database
      .prepare<[], { number: number; hash: string; time_sec: number; safe_number: number; final_number: number }>(
        'SELECT * FROM chain_head',
      )
      .get();
    if (row === undefined) return undefined;
    const { number, hash, time_sec: timeSec, safe_number: safeNumber, final_number: finalNumber } = row;
    return { number, hash, timeSec, safeNumber, finalNumber };
  }

  setHead({ number, hash, timeSec, safeNumber, finalNumber }: ChainHead): void {
    this.#database
      .prepare(
        `INSERT INTO chain_head (slot, number, hash, time_sec, safe_number, final_number) VALUES (0, ?, ?, ?, ?, ?)
         ON CONFLICT (slot) DO UPDATE SET number = excluded.number, hash = excluded.hash,
           time_sec = excluded.time_sec, safe_number = excluded.safe_number, final_number = excluded.final_number`,
      )
      .run(number, hash, timeSec, safeNumber, finalNumber);
    this.insertBlock(number, hash);
    // A final block stands for ever, so one such mark is enough to come back to.
    this.#database
      .prepare('DELETE FROM chain_block WHERE number < (SELECT max(number) FROM chain_block WHERE number <= ?)')
      .run(finalNumber);
  }

  insertBlock(number: number, hash: string): void {
    this.#database
      .prepare('INSERT INTO chain_block VALUES (?, ?) ON CONFLICT (number) DO UPDATE SET hash = excluded.hash')
      .run(number, hash);
  }

  /** Blocks whose hash is remembered, newest first. */
  blocks(): { readonly number: number; readonly hash: string }[] {
    return this.#database
      .prepare<[], { number: number; hash: string }>('SELECT number, hash FROM chain_block ORDER BY number DESC')
      .all();
  }

  insertEvent({ blockNumber, logIndex, transactionHash, contract, name, subject, args }: StoredEvent): void {
    this.#database
      .prepare(
        `INSERT INTO chain_event (block_number, log_index, transaction_hash, contract, name, subject, args)
         VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (block_number, log_index) DO UPDATE SET transaction_hash = excluded.transaction_hash,
           contract = excluded.contract, name = excluded.name, subject = excluded.subject, args = excluded.args`,
      )
      .run(blockNumber, logIndex, transactionHash, contract, name, subject, args);
  }

  hasEvent(blockNumber: number, logIndex: number): boolean {
    const row = this.#database.prepare('SELECT 1 FROM chain_event WHERE block_number = ? AND log_index = ?');
    return row.get(blockNumber, logIndex) !== undefined;
  }

  /** The subjects that events after `number` touched, or that were read after it: their views must be read again. */
  touchedAfter(number: number): string[] {
    const rows = this.#database
      .prepare<[number, number, number], { subject: string }>(
        `SELECT subject FROM chain_event WHERE block_number > ?
         UNION SELECT 'order:' || order_id FROM chain_order WHERE block_number > ?
         UNION SELECT 'device:' || device FROM chain_device WHERE block_number > ?`,
      )
      .all(number, number, number);
    return rows.map(({ subject }) => subject);
  }

  /** Forgets the events and the blocks after `number`. */
  rollBack(number: number): void {
    this.#database.prepare('DELETE FROM chain_event WHERE block_number > ?').run(number);
    this.#database.prepare('DELETE FROM chain_block WHERE number > ?').run(number);
  }

  /** The events about an order, in the chain's order. */
  eventsOf(subject: string): StoredEvent[] {
    return this.#database
      .prepare<[string], EventRow>('SELECT * FROM chain_event WHERE subject = ? ORDER BY block_number, log_index')
      .all(subject)
      .map((row) => ({
        blockNumber: row.block_number,
        logIndex: row.log_index,
        transactionHash: row.transaction_hash,
        contract: row.contract,
        name: row.name,
        subject: row.subject,
        args: row.args,
      }));
  }

  setOrder(order: Order, blockNumber: number): void {
    this.#database
      .prepare(
        `INSERT INTO chain_order (order_id, state, block_number, view) VALUES (?, ?, ?, ?)
         ON CONFLICT (order_id) DO UPDATE SET
           state = excluded.state, block_number = excluded.block_number, view = excluded.view`,
      )
      .run(order.orderId, order.state, blockNumber, JSON.stringify(order));
    this.changedOrders.add(order.orderId);
  }

  deleteOrder(orderId: string): void {
    this.#database.prepare('DELETE FROM chain_order WHERE order_id = ?').run(orderId);
    this.changedOrders.add(orderId);
  }

  order(orderId: string): { readonly order: Order; readonly blockNumber: number } | undefined {
    return this.#orders('WHERE order_id = ?', orderId)[0];
  }

  /** Newest first, at most 1,000. */
  orders(): { readonly order: Order; readonly blockNumber: number }[] {
    return this.#orders('ORDER BY length(order_id) DESC, order_id DESC LIMIT 1000');
  }

  ordersIn(state: OrderState): Order[] {
    return this.#orders('WHERE state = ? ORDER BY length(order_id), order_id', state).map(({ order }) => order);
  }

  /** The block of the last event about a subject, 0 when there is none. */
  lastBlockOf(subject: string): number {
    const row = this.#database
      .prepare<[string], { number: number | null }>(
        'SELECT max(block_number) AS number FROM chain_event WHERE subject = ?',
      )
      .get(subject);
    return row?.number ?? 0;
  }

  /** Order ids are decimal without leading zeros: by length, then by digits, is by number. */
  #orders(where: string, ...parameters: readonly string[]) {
    return (
      this.#database
        .prepare<readonly string[], { block_number: number; view: string }>(
          `SELECT block_number, view FROM chain_order ${where}`,
        )
        .all(...parameters)
        // Written by setOrder only.
        .map((row) => ({ order: JSON.parse(row.view) as Order, blockNumber: row.block_number }))
    );
  }

  setDevice(device: Device, blockNumber: number): void {
    this.#database
      .prepare(
        `INSERT INTO chain_device (device, block_number, view) VALUES (?, ?, ?)
         ON CONFLICT (device) DO UPDATE SET block_number = excluded.block_number, view = excluded.view`,
      )
      .run(device.device, blockNumber, JSON.stringify(device));
    this.changedDevices.add(device.device);
  }

  deleteDevice(device: string): void {
    this.#database.prepare('DELETE FROM chain_device WHERE device = ?').run(device);
    this.changedDevices.add(device);
  }

  device(device: string): Device | undefined {
    const row = this.#database
      .prepare<[string], { view: string }>('SELECT view FROM chain_device WHERE device = ?')
      .get(device);
    // Written by setDevice only.
    return row === undefined ? undefined : (JSON.parse(row.view) as Device);
  }
}
