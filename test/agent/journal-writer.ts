/** The process that journal.test.ts kills: records readings and appends envelopes, and says so only when it has. */
import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { bytesToHex } from '@coldproof/wire';
import { Journal } from '@coldproof/agent/journal';
import { OperatingError } from '@coldproof/agent/operating-error';

const [stateDir = '', count = '0', start = '0'] = process.argv.slice(2);
const device = new Uint8Array(32).fill(7);

/** Not console.log: a pipe's buffer in this process would be lost with it, and with it what was told. */
function tell(line: string): void {
  writeSync(1, `${line}\n`);
}

try {
  const journal = Journal.open(stateDir);
  for (let timeSec = Number(start); timeSec < Number(start) + Number(count); timeSec++) {
    const reading = { channel: 16, timeSec, value: timeSec % 1_000, marks: 0, isClockTrusted: true };
    journal.record([{ device, reading, state: { newestSec: timeSec, marks: 0, lastValid: undefined } }]);
    tell(`recorded ${timeSec}`);
    const readings = journal.readings(device);
    if (readings.length < 3) continue;
    const { sequence, previous } = journal.head(device);
    const bytes = new TextEncoder().encode(JSON.stringify(readings.map((each) => each.timeSec)));
    const digest = new Uint8Array(createHash('sha256').update(previous).update(bytes).digest());
    journal.append({ device, sequence, digest, bytes, readings });
    tell(`appended ${sequence} ${bytesToHex(digest)}`);
  }
} catch (error) {
  process.exit(error instanceof OperatingError && error.code === 'journal-locked' ? 3 : 1);
}
