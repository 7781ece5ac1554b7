/** The journal's tables, and how those of an earlier version become them. */
import type { Database } from 'better-sqlite3';
import { receiptsSchema, upgradeReceipts } from './journal-receipts.ts';
import { secretsUpgrade } from './journal-secrets.ts';
import { OperatingError } from './operating-error.ts';

const applicationId = 0x43504a31;
const schemaVersion = 3;

/** Envelopes whose duty has ended, and what could not be kept; since version 2. See journal-bounds.ts. */
const boundsSchema = `
  CREATE TABLE kept (
    device BLOB NOT NULL, sequence INTEGER NOT NULL, digest BLOB NOT NULL, bytes BLOB NOT NULL, checksum BLOB NOT NULL,
    settledSec INTEGER, PRIMARY KEY (device, sequence)
  ) STRICT;
  CREATE INDEX keptSince ON kept (settledSec, device, sequence);
  CREATE TRIGGER keepSettled AFTER DELETE ON envelopes BEGIN
    INSERT INTO kept VALUES (OLD.device, OLD.sequence, OLD.digest, OLD.bytes, OLD.checksum, NULL);
  END;
  CREATE TABLE drops (
    device BLOB NOT NULL, firstSec INTEGER NOT NULL, lastSec INTEGER NOT NULL, count INTEGER NOT NULL,
    isClockTrusted INTEGER NOT NULL, PRIMARY KEY (device, firstSec)
  ) WITHOUT ROWID, STRICT;
`;

const schema = `
  CREATE TABLE heads (
    device BLOB PRIMARY KEY, sequence INTEGER NOT NULL, previous BLOB NOT NULL, receipts INTEGER NOT NULL,
    dropped INTEGER NOT NULL DEFAULT 0, aliveSec INTEGER NOT NULL DEFAULT 0, secret BLOB
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
    isReleased INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (device, sequence)
  ) STRICT;
  ${receiptsSchema}
  ${boundsSchema}
`;

/** Locks, then checks that the file is ours, then makes the tables of a new one. */
export function prepareFile(database: Database, path: string): void {
  database.pragma('locking_mode = EXCLUSIVE');
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = FULL');
  // In KiB. What is read soon again is small; better-sqlite3 would let it grow to 16 MB of a gateway's memory.
  database.pragma('cache_size = -4096');
  database
    .transaction(() => {
      const version = database.pragma('user_version', { simple: true });
      const application = database.pragma('application_id', { simple: true });
      if (version === schemaVersion && application === applicationId) return;
      if (version === 0 && application === 0) {
        database.exec(schema);
        database.pragma(`application_id = ${applicationId}`);
      } else if ((version === 1 || version === 2) && application === applicationId) {
        if (version === 1) upgradeToBounds(database);
        database.exec(secretsUpgrade);
      } else {
        const got = `${String(application)}/${String(version)}`;
        const message = `${path}: expected a journal of version ${applicationId}/${schemaVersion}, got ${got}`;
        throw new OperatingError('journal-damaged', message, { retry: 'never' });
      }
      database.pragma(`user_version = ${schemaVersion}`);
    })
    .exclusive();
}

function upgradeToBounds(database: Database): void {
  upgradeReceipts(database);
  database.exec(`
    ALTER TABLE heads ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE heads ADD COLUMN aliveSec INTEGER NOT NULL DEFAULT 0;
    ${boundsSchema}
  `);
}
