/** The book of receipts: several logs, when an envelope may go, what a log that lags loses, and older journals. */
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { claimedLogOf } from '@coldproof/wire';
import { Journal } from '@coldproof/agent/journal';
import { checksumOf, receiptsKeptMax, type ReceiptTerms, type Settlement } from '@coldproof/agent/journal-receipts';
import { SqliteDatabase } from '@coldproof/agent/journal-sqlite';
import { seeded } from '../helpers/seed.ts';
import { makeLogKey, temporaryFolder } from './fixture.ts';

const device = new Uint8Array(32).fill(7);
const logs = [1, 2, 3, 4].map((fill) => new Uint8Array(32).fill(fill));
const digestOf = (sequence: number) => new Uint8Array(32).fill(sequence & 0xff);

const version1 = `
  CREATE TABLE heads (
    device BLOB PRIMARY KEY, sequence INTEGER NOT NULL, previous BLOB NOT NULL, receipts INTEGER NOT NULL
  ) WITHOUT ROWID, STRICT;
  CREATE TABLE channels (
    device BLOB NOT NULL, channel INTEGER NOT NULL, newestSec INTEGER NOT NULL, marks INTEGER NOT NULL,
    lastValidSec INTEGER, lastValidValue INTEGER, equalCount INTEGER,
    PRIMARY KEY (device, channel)
  ) WITHOUT ROWID, STRICT;
  CREATE TABLE readings (
    device BLOB NOT NULL, channel INTEGER NOT NULL, timeSec INTEGER NOT NULL, value INTEGER NOT NULL,
    marks INTEGER NOT NULL, isClockTrusted INTEGER NOT NULL,
    PRIMARY KEY (device, channel, timeSec)
  ) WITHOUT ROWID, STRICT;
  CREATE TABLE envelopes (
    device BLOB NOT NULL, sequence INTEGER NOT NULL, digest BLOB NOT NULL, bytes BLOB NOT NULL, checksum BLOB NOT NULL,
    PRIMARY KEY (device, sequence)
  ) STRICT;
  CREATE TABLE receipts (
    device BLOB NOT NULL, sequence INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (device, sequence)
  ) STRICT;
  PRAGMA user_version = 1;
  PRAGMA application_id = 1129335345;
`;

function append(journal: Journal, count: number): void {
  for (let i = 0; i < count; i++) {
    const { sequence } = journal.head(device);
    journal.append({
      device,
      sequence,
      digest: digestOf(sequence),
      bytes: Uint8Array.of(sequence & 0xff),
      readings: [],
    });
  }
}

/** As so many appends would leave it, without as many fsyncs. */
function fill(stateDir: string, count: number): void {
  const database = new SqliteDatabase(join(stateDir, 'journal.db'));
  const columns = 'device, sequence, digest, bytes, checksum';
  const insert = database.prepare(`INSERT INTO envelopes (${columns}) VALUES (?, ?, ?, ?, ?)`);
  const insertAll = database.transaction(() => {
    for (let sequence = 0; sequence < count; sequence++) {
      const bytes = Uint8Array.of(sequence & 0xff);
      insert.run(device, sequence, digestOf(sequence), bytes, checksumOf(bytes));
    }
  });
  insertAll();
  database
    .prepare('UPDATE heads SET sequence = ?, previous = ? WHERE device = ?')
    .run(count, digestOf(count - 1), device);
  database.close();
}

function open(t: Test, count: number, terms: Partial<ReceiptTerms> = {}) {
  const stateDir = temporaryFolder(t);
  const fresh = Journal.open(stateDir);
  fresh.adoptDevice(device);
  fresh.close();
  fill(stateDir, count);
  const journal = Journal.open(stateDir);
  journal.receipts.require(device, { logs, receiptsMin: 3, lagBatchesMax: 100, ...terms });
  t.teardown(() => journal.close());
  return { stateDir, journal };
}

function settle(journal: Journal, log: number, ...sequences: number[]): readonly Settlement[] {
  const entries = sequences.map((sequence) => ({
    log: logs[log]!,
    sequence,
    digest: digestOf(sequence),
    bytes: Uint8Array.of(log, sequence & 0xff),
  }));
  return journal.receipts.settle(device, entries).settlements;
}

const keptOf = (journal: Journal) => journal.pending(device, 0, 10_000).map(({ sequence }) => sequence);
const cursorsOf = (journal: Journal) =>
  journal.receipts.cursors(device).map(({ next, receipts, missed }) => [next, receipts, missed]);

t.test('released at receiptsMin, dropped when all have it', (t) => {
  const { journal } = open(t, 3);
  settle(journal, 0, 0);
  settle(journal, 1, 0);
  t.equal(journal.pendingCount(device), 3);
  t.match(journal.head(device), { receipts: 0 });
  settle(journal, 2, 0);
  t.equal(journal.pendingCount(device), 2, 'released');
  t.match(journal.head(device), { receipts: 1 });
  t.same(keptOf(journal), [0, 1, 2], 'and kept for the fourth');
  settle(journal, 3, 0);
  t.same(keptOf(journal), [1, 2]);
  t.same(settle(journal, 3, 1, 1, 2, 9), ['settled', 'repeated', 'settled', 'not-awaited']);
  t.same(cursorsOf(journal), [
    [1, 1, 0],
    [1, 1, 0],
    [1, 1, 0],
    [3, 3, 0],
  ]);
  t.end();
});

t.test('a log that lags is waited for, but not for ever', (t) => {
  const { journal } = open(t, 200, { lagBatchesMax: 50 });
  const all = Array.from({ length: 200 }, (_, i) => i);
  for (const log of [0, 1, 2]) settle(journal, log, ...all);
  t.equal(journal.pendingCount(device), 0);
  t.same(keptOf(journal), all.slice(150), 'the newest fifty');
  t.same(cursorsOf(journal)[3], [150, 0, 150]);
  t.same(
    journal.receipts.pending(device, logs[3]!, 0, 2).map(({ sequence }) => sequence),
    [150, 151],
  );
  t.end();
});

t.test('what nobody has given a receipt for is never dropped', (t) => {
  const { journal } = open(t, 200, { lagBatchesMax: 0 });
  settle(journal, 0, 5);
  settle(journal, 1, 5);
  t.equal(keptOf(journal).length, 200);
  settle(journal, 2, 5);
  t.equal(keptOf(journal).length, 199, 'with lagBatchesMax 0, enough is enough');
  t.end();
});

t.test('fewer receipts are enough from now on; a log goes; a log comes back', (t) => {
  const { journal } = open(t, 4);
  settle(journal, 0, 0, 1, 2);
  settle(journal, 1, 0, 1);
  journal.receipts.require(device, { logs, receiptsMin: 2, lagBatchesMax: 100 });
  t.equal(journal.pendingCount(device), 2);
  t.match(journal.head(device), { receipts: 2 });
  const fewer = { logs: logs.slice(0, 2), receiptsMin: 2, lagBatchesMax: 100 };
  t.match(journal.receipts.require(device, fewer), [
    { change: 'log-removed', log: logs[2], next: 0 },
    { change: 'log-removed', log: logs[3], next: 0 },
  ]);
  t.same(keptOf(journal), [2, 3], 'nobody waits for those that are gone');
  t.same(journal.receipts.require(device, fewer), [], 'told once');
  settle(journal, 1, 3, 2);
  settle(journal, 0, 3);
  t.same(keptOf(journal), []);
  t.match(journal.receipts.require(device, { ...fewer, logs: logs.slice(0, 3) }), [
    { change: 'log-added', log: logs[2], next: 4, missed: 4 },
  ]);
  append(journal, 1);
  t.same(
    journal.receipts.pending(device, logs[2]!, 0, 9).map(({ sequence }) => sequence),
    [4],
  );
  t.end();
});

t.test('receipts are pruned to the newest, but never of an envelope that is kept', (t) => {
  const count = receiptsKeptMax + 40;
  const { journal } = open(t, count, { logs: logs.slice(0, 2), receiptsMin: 2, lagBatchesMax: 1_000_000 });
  const all = Array.from({ length: count }, (_, i) => i);
  settle(journal, 0, ...all);
  t.equal(journal.receipts.kept(device, logs[0]!, 0, count).length, count);
  settle(journal, 1, ...all.slice(0, 20));
  t.equal(journal.receipts.kept(device, logs[0]!, 0, 1)[0]?.sequence, 0);
  settle(journal, 1, ...all.slice(20));
  t.equal(journal.receipts.kept(device, logs[0]!, 0, 1)[0]?.sequence, 40);
  t.end();
});

t.test('any order of receipts, with restarts in between: cursors and envelopes are what the receipts say', (t) => {
  const random = seeded(t, 5);
  const stateDir = temporaryFolder(t);
  let journal = Journal.open(stateDir);
  journal.adoptDevice(device);
  const terms = { logs, receiptsMin: 2, lagBatchesMax: 1_000_000 };
  journal.receipts.require(device, terms);
  const given = logs.map(() => new Set<number>());
  let head = 0;
  for (let step = 0; step < 300; step++) {
    if (random.next() < 0.3) {
      append(journal, 1);
      head += 1;
    } else if (head > 0) {
      const log = random.integer(0, 3);
      const sequences = Array.from({ length: random.integer(1, 4) }, () => random.integer(0, head - 1));
      const settlements = settle(journal, log, ...sequences);
      sequences.forEach((sequence, i) => {
        const expected = given[log]!.has(sequence) ? 'repeated' : 'settled';
        if (settlements[i] !== expected) t.fail(`step ${step}: ${settlements[i]} is not ${expected}`);
        given[log]!.add(sequence);
      });
    }
    if (random.next() < 0.05) {
      journal.close();
      journal = Journal.open(stateDir);
      t.same(journal.receipts.require(device, terms), []);
    }
    const sequences = Array.from({ length: head }, (_, i) => i);
    const counts = sequences.map((sequence) => given.filter((each) => each.has(sequence)).length);
    const next = given.map((each) => sequences.find((sequence) => !each.has(sequence)) ?? head);
    t.same(
      journal.receipts.cursors(device).map((cursor) => cursor.next),
      next,
    );
    t.same(
      keptOf(journal),
      sequences.filter((sequence) => counts[sequence]! < 4),
    );
    t.equal(journal.pendingCount(device), counts.filter((count) => count < 2).length);
    t.equal(journal.head(device).receipts, counts.filter((count) => count >= 2).length);
  }
  journal.close();
  t.end();
});

t.test('a journal of version 1 is taken over: its one log is known by its receipts', (t) => {
  const stateDir = temporaryFolder(t);
  const logKey = makeLogKey();
  const database = new SqliteDatabase(join(stateDir, 'journal.db'));
  database.exec(version1);
  database.prepare('INSERT INTO heads VALUES (?, 3, ?, 2)').run(device, digestOf(2));
  const receipts = [0, 1].map((sequence) =>
    logKey.sign({ index: sequence, device, sequence, digest: digestOf(sequence) }),
  );
  receipts.forEach((bytes, i) => database.prepare('INSERT INTO receipts VALUES (?, ?, ?)').run(device, i, bytes));
  const bytes = Uint8Array.of(2);
  const checksum = Buffer.from('dbc1b4c900ffe48d575b5da5c638040125f65db0fe3e24494b76ea986457d986', 'hex');
  database.prepare('INSERT INTO envelopes VALUES (?, 2, ?, ?, ?)').run(device, digestOf(2), bytes, checksum);
  database.close();
  const journal = Journal.open(stateDir);
  t.teardown(() => journal.close());
  const log = journalLog(receipts[0]!);
  t.same(journal.receipts.require(device, { logs: [log], receiptsMin: 1, lagBatchesMax: 9 }), [], 'no new log');
  t.match(journal.receipts.cursors(device), [{ next: 2, receipts: 2, missed: 0 }]);
  t.same(keptOf(journal), [2]);
  const entry = { log, sequence: 2, digest: digestOf(2), bytes: Uint8Array.of(9) };
  t.same(journal.receipts.settle(device, [entry]), { settlements: ['settled'], released: 1 });
  t.equal(journal.receipts.kept(device, log, 0, 9).length, 3);
  t.end();
});

function journalLog(receipt: Uint8Array): Uint8Array {
  const log = claimedLogOf(receipt);
  if (!log.ok) throw new Error(log.detail);
  return log.value;
}
