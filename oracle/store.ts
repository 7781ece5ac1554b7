/**
 * The oracle's durable state: one SQLite file, or one PostgreSQL database. The statements stand in families:
 * store-log.ts (leaves, heads), store-evaluation.ts (cursors, findings), store-outbox.ts (actions, transactions),
 * store-chain.ts (what the chain said), store-quorum.ts (what nodes of a consortium said), store-lease.ts (which
 * worker acts on the chain), store-event.ts, store-audit.ts and store-webhook.ts (what the API tells), and
 * store-page.ts, which reads all of them. A family's methods run in the caller's transaction, or alone as their own.
 * Their SQL is what SQLite and PostgreSQL share (store-database.ts).
 */
import { AuditStore, auditSchema } from './store-audit.ts';
import { ChainStore } from './store-chain.ts';
import { isServerUrl, type Database, type Sharing } from './store-database.ts';
import { EvaluationStore } from './store-evaluation.ts';
import { EventStore, eventSchema } from './store-event.ts';
import { LeaseStore } from './store-lease.ts';
import { LogStore } from './store-log.ts';
import { OutboxStore } from './store-outbox.ts';
import { PageStore } from './store-page.ts';
import { openPostgresql } from './store-postgresql.ts';
import { QuorumStore, quorumSchema } from './store-quorum.ts';
import { openSqlite } from './store-sqlite.ts';
import { WebhookStore, webhookSchema } from './store-webhook.ts';

export type { Database } from './store-database.ts';

/**
 * 4: the work in a consortium; an order names its cryptlets. 5: leases of workers; events, audit, webhooks; orders have
 * their terms. 6: what transactions have cost. 7: envelopes stand in a table of their own, from which old ones can go.
 */
const schemaVersion = 7;

/** In SQLite's words; store-postgresql.ts translates the types. */
const schema = `
CREATE TABLE leaf (
  leaf_index INTEGER PRIMARY KEY, device BLOB NOT NULL, sequence INTEGER NOT NULL, digest BLOB NOT NULL,
  first_sec INTEGER NOT NULL, last_sec INTEGER NOT NULL, logged_ms INTEGER NOT NULL,
  UNIQUE (device, sequence)
) STRICT;
CREATE TABLE envelope (leaf_index INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE subtree (
  level INTEGER NOT NULL, position INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (level, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE head (
  device BLOB PRIMARY KEY, next_sequence INTEGER NOT NULL, digest BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE equivocation (
  device BLOB NOT NULL, sequence INTEGER NOT NULL, digest BLOB NOT NULL, seen_ms INTEGER NOT NULL,
  envelope BLOB NOT NULL, PRIMARY KEY (device, sequence)
) STRICT;
CREATE TABLE counter (name TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE lease (
  name TEXT PRIMARY KEY, holder TEXT NOT NULL, fence INTEGER NOT NULL, expires_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE evaluation (
  order_id TEXT PRIMARY KEY, dispatch TEXT NOT NULL, next_sequence INTEGER NOT NULL, state TEXT NOT NULL
) STRICT;
CREATE TABLE finding (
  order_id TEXT NOT NULL, rule TEXT NOT NULL, channel INTEGER NOT NULL, opened_sec INTEGER NOT NULL,
  closed_sec INTEGER, detail TEXT NOT NULL, PRIMARY KEY (order_id, rule, channel, opened_sec)
) STRICT;
CREATE TABLE action (
  id TEXT PRIMARY KEY, order_id TEXT NOT NULL, evidence TEXT NOT NULL, state TEXT NOT NULL, reason TEXT,
  due_ms INTEGER NOT NULL, created_ms INTEGER NOT NULL, transaction_hash TEXT, block_number INTEGER,
  block_hash TEXT, gas_used INTEGER
) STRICT;
CREATE INDEX action_of_order ON action (order_id);
CREATE INDEX action_of_state ON action (state);
CREATE TABLE attempt (
  hash TEXT PRIMARY KEY, action_id TEXT NOT NULL REFERENCES action (id), ordinal INTEGER NOT NULL,
  nonce INTEGER NOT NULL, raw TEXT NOT NULL, fee_wei TEXT NOT NULL, priority_wei TEXT NOT NULL,
  gas_max TEXT NOT NULL, signed_ms INTEGER NOT NULL, sent_ms INTEGER, spent_wei TEXT
) STRICT;
CREATE INDEX attempt_of_action ON attempt (action_id);
CREATE INDEX attempt_of_time ON attempt (signed_ms);
CREATE TABLE chain_head (
  slot INTEGER PRIMARY KEY CHECK (slot = 0), number INTEGER NOT NULL, hash TEXT NOT NULL,
  time_sec INTEGER NOT NULL, safe_number INTEGER NOT NULL, final_number INTEGER NOT NULL
) STRICT;
CREATE TABLE chain_block (number INTEGER PRIMARY KEY, hash TEXT NOT NULL) STRICT;
CREATE TABLE chain_event (
  block_number INTEGER NOT NULL, log_index INTEGER NOT NULL, transaction_hash TEXT NOT NULL, contract TEXT NOT NULL,
  name TEXT NOT NULL, subject TEXT NOT NULL, args TEXT NOT NULL, PRIMARY KEY (block_number, log_index)
) STRICT, WITHOUT ROWID;
CREATE INDEX chain_event_of_subject ON chain_event (subject);
CREATE TABLE chain_order (
  order_id TEXT PRIMARY KEY, state TEXT NOT NULL, block_number INTEGER NOT NULL, view TEXT NOT NULL
) STRICT;
CREATE TABLE chain_device (
  device TEXT PRIMARY KEY, block_number INTEGER NOT NULL, view TEXT NOT NULL
) STRICT;
${eventSchema}${auditSchema}${webhookSchema}${quorumSchema}`;

export class Store {
  readonly log: LogStore;
  readonly evaluation: EvaluationStore;
  readonly outbox: OutboxStore;
  readonly chain: ChainStore;
  readonly events: EventStore;
  readonly audit: AuditStore;
  readonly webhooks: WebhookStore;
  readonly pages: PageStore;
  readonly lease: LeaseStore;
  readonly quorum: QuorumStore;
  readonly #database: Database;

  /**
   * `place` is a file, ':memory:' for a test, or the URL of a PostgreSQL database. Throws 'store-locked' when another
   * process has it open, unless both share it.
   */
  constructor(place: string, sharing: Sharing = 'exclusive') {
    this.#database = isServerUrl(place) ? openPostgresql(place, sharing) : openSqlite(place);
    try {
      this.#database.transaction(() => this.#database.createSchema(schema, schemaVersion));
      this.log = new LogStore(this.#database);
      this.evaluation = new EvaluationStore(this.#database, sharing === 'shared');
      this.outbox = new OutboxStore(this.#database, sharing === 'shared');
      this.chain = new ChainStore(this.#database, sharing === 'shared');
      this.events = new EventStore(this.#database);
      this.audit = new AuditStore(this.#database);
      this.webhooks = new WebhookStore(this.#database);
      this.pages = new PageStore(this.#database);
      this.lease = new LeaseStore(this.#database);
      this.quorum = new QuorumStore(this.#database);
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /** All of `run` is on disk when this returns, or none of it. A failed write is not tried again: the oracle stops. */
  transaction<Result>(run: () => Result): Result {
    return this.#database.transaction(run);
  }

  close(): void {
    this.#database.close();
  }
}
