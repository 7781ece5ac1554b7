/** The process that private.test.ts kills: seals what the journal has, says which bytes, and appends when told to. */
import { writeSync } from 'node:fs';
import { bytesToHex, digestBatch, hexToBytes } from '@coldproof/wire';
import { Journal } from '@coldproof/agent/journal';
import { privacyOf } from '@coldproof/agent/privacy';
import type { Reading } from '@coldproof/agent/sample';
import { sealReadings } from '@coldproof/agent/seal';

const [stateDir = '', party = '', isAppended] = process.argv.slice(2);
const device = new Uint8Array(32).fill(7);
const config = { private: [{ channels: [128], to: [{ party: 'buyer', key: hexToBytes(party) }] }] };

const journal = Journal.open(stateDir);
if (journal.findHead(device) === undefined) journal.adoptDevice(device);
const { sequence, previous } = journal.head(device);
if (journal.readings(device).length === 0) {
  for (const channel of [16, 128]) {
    const reading: Reading = { channel, timeSec: 1_000 + sequence, value: 5, marks: 0, isClockTrusted: true };
    const state = { newestSec: reading.timeSec, marks: 0, lastValid: undefined };
    journal.record([{ device, reading, state }]);
  }
}
const readings = journal.readings(device);
const chain = { device, sequence, previous };
const sealed = sealReadings(readings, chain, privacyOf(config, device, readings, journal));
const digest = digestBatch(sealed.encoded);
if (isAppended === 'append') journal.append({ device, sequence, digest, bytes: sealed.series[1]!, readings });
writeSync(1, `${sequence} ${sealed.series.map((each) => bytesToHex(each)).join(' ')}\n`);
// Sealed, not signed: here it is killed.
setInterval(() => undefined, 1_000);
