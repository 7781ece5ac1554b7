import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { bytesToHex, noPrevious } from '@coldproof/wire';
import { Journal, type JournalEntry } from '@coldproof/agent/journal';
import type { Reading } from '@coldproof/agent/sample';
import { seeded } from '../helpers/seed.ts';
import { temporaryFolder, voyageStartSec } from './fixture.ts';

const device = new Uint8Array(32).fill(7);
const writer = fileURLToPath(new URL('journal-writer.js', import.meta.url));
const other = new Uint8Array(32).fill(8);
const digestOf = (sequence: number) => new Uint8Array(32).fill(sequence);

const log = new Uint8Array(32).fill(9);
const terms = { logs: [log], receiptsMin: 1, lagBatchesMax: 100 };

function settle(journal: Journal, of: Uint8Array, sequence: number, digest: Uint8Array, bytes: Uint8Array) {
  return journal.receipts.settle(of, [{ log, sequence, digest, bytes }]).settlements[0];
}

function entry(timeSec: number, value = 400, of = device): JournalEntry {
  const reading: Reading = { channel: 16, timeSec, value, marks: 0, isClockTrusted: true };
  return { device: of, reading, state: { newestSec: timeSec, marks: 0, lastValid: { timeSec, value, equalCount: 1 } } };
}

function fresh(t: Parameters<typeof temporaryFolder>[0]): { stateDir: string; journal: Journal } {
  const stateDir = temporaryFolder(t);
  const journal = Journal.open(stateDir);
  journal.adoptDevice(device);
  return { stateDir, journal };
}

/** Times of all readings in the journal: those that the writer has put into envelopes, then those not sealed. */
function heldTimes(journal: Journal): number[] {
  const sealed = journal.pending(device, 0, 1_000_000);
  return [
    ...sealed.flatMap(({ bytes }) => JSON.parse(new TextDecoder().decode(bytes)) as number[]),
    ...journal.readings(device).map(({ timeSec }) => timeSec),
  ];
}

t.test('what was recorded is there after a reopen: readings, states, head, envelopes, counts', (t) => {
  const { stateDir, journal } = fresh(t);
  const entries = [1, 2, 3].map((i) => entry(voyageStartSec + i));
  journal.record(entries);
  const readings = entries.slice(0, 2).map(({ reading }) => reading);
  journal.append({ device, sequence: 0, digest: digestOf(1), bytes: Uint8Array.of(1, 2), readings });
  journal.close();
  const reopened = Journal.open(stateDir);
  t.same(reopened.readings(device), [entries[2]!.reading]);
  t.same([...reopened.samplerStates(device)], [[16, entries[2]!.state]]);
  t.match(reopened.head(device), { sequence: 1, receipts: 0 });
  t.same(new Uint8Array(reopened.head(device).previous), digestOf(1));
  t.same(
    reopened.pending(device, 0, 9).map(({ sequence, bytes }) => [sequence, [...bytes]]),
    [[0, [1, 2]]],
  );
  reopened.receipts.require(device, terms);
  t.equal(settle(reopened, device, 0, digestOf(1), Uint8Array.of(9)), 'settled');
  t.equal(reopened.pendingCount(device), 0);
  t.match(reopened.head(device), { sequence: 1, receipts: 1 });
  reopened.close();
  t.end();
});

t.test('a device that was never adopted has no sequence to go on from', (t) => {
  const { journal } = fresh(t);
  t.throws(() => journal.head(other), { code: 'journal-of-another-key', message: new RegExp(bytesToHex(other)) });
  t.throws(() => journal.adoptDevice(device), { code: 'journal-write-failed' }, 'nor begins again');
  journal.close();
  t.end();
});

t.test('a repeat, an older reading, a foreign sequence: nothing of the transaction is kept', (t) => {
  const { journal } = fresh(t);
  journal.record([entry(voyageStartSec + 10)]);
  t.throws(() => journal.record([entry(voyageStartSec + 11), entry(voyageStartSec + 5)]), /newer than all before/);
  t.equal(journal.readings(device).length, 1);
  const readings = journal.readings(device);
  const bytes = Uint8Array.of(1);
  const batch = { device, digest: digestOf(1), bytes };
  t.throws(() => journal.append({ ...batch, sequence: 1, readings }), /sequence 1 is the next/);
  const foreign = [{ ...readings[0]!, timeSec: 1 }];
  t.throws(() => journal.append({ ...batch, sequence: 0, readings: foreign }), /is in the journal/);
  t.equal(journal.pendingCount(device), 0);
  t.match(journal.head(device), { sequence: 0 });
  t.same(new Uint8Array(journal.head(device).previous), noPrevious);
  journal.close();
  t.end();
});

t.test('after a failed write nothing is tried again', (t) => {
  const { journal } = fresh(t);
  journal.record([entry(voyageStartSec)]);
  // A reading that is in the table but not in the channel's state: SQLite itself refuses it.
  const twice = entry(voyageStartSec);
  t.throws(() => journal.record([twice]), { code: 'journal-write-failed', retry: 'never' });
  t.throws(() => journal.record([entry(voyageStartSec + 60)]), { code: 'journal-write-failed' }, 'not even a good one');
  t.equal(journal.readings(device).length, 1);
  journal.close();
  t.end();
});

t.test('settle: only for this batch, and once', (t) => {
  const { journal } = fresh(t);
  for (let sequence = 0; sequence < 3; sequence++) {
    journal.append({ device, sequence, digest: digestOf(sequence), bytes: Uint8Array.of(sequence), readings: [] });
  }
  const receipt = Uint8Array.of(1);
  journal.receipts.require(device, terms);
  t.equal(settle(journal, device, 1, digestOf(2), receipt), 'another-batch');
  t.equal(settle(journal, device, 7, digestOf(7), receipt), 'not-awaited');
  t.equal(journal.pendingCount(device), 3);
  t.equal(settle(journal, device, 1, digestOf(1), receipt), 'settled');
  t.equal(settle(journal, device, 1, digestOf(1), receipt), 'repeated');
  t.equal(settle(journal, device, 1, digestOf(1), Uint8Array.of(2)), 'contradicted');
  t.same(
    journal.pending(device, 0, 9).map(({ sequence }) => sequence),
    [0, 2],
  );
  t.same(
    journal.pending(device, 1, 9).map(({ sequence }) => sequence),
    [2],
  );
  t.same(
    journal.pending(device, 0, 1).map(({ sequence }) => sequence),
    [0],
  );
  journal.close();
  t.end();
});

t.test('a second agent on the same state is refused, clearly, and does no harm', async (t) => {
  const { stateDir, journal } = fresh(t);
  t.throws(() => Journal.open(stateDir), { code: 'journal-locked', retry: 'later', message: /another agent has it/ });
  const child = spawn(process.execPath, [writer, stateDir, '1', '0']);
  const [code] = (await once(child, 'exit')) as [number];
  t.equal(code, 3, 'another process too');
  journal.record([entry(voyageStartSec)]);
  journal.close();
  const next = Journal.open(stateDir);
  t.equal(next.readings(device).length, 1);
  next.close();
});

t.test('what is no journal, a later one, and a rotten one', (t) => {
  const { stateDir, journal } = fresh(t);
  const bytes = new Uint8Array(2_000).fill(0xa5);
  journal.append({ device, sequence: 0, digest: digestOf(0), bytes, readings: [] });
  journal.close();
  const path = join(stateDir, 'journal.db');
  t.equal(statSync(stateDir).mode & 0o077, 0);
  const at = readFileSync(path).indexOf(Buffer.from(bytes.subarray(0, 64)));
  t.ok(at > 0);
  const file = openSync(path, 'r+');
  writeSync(file, Uint8Array.of(0xa4), 0, 1, at + 30);
  closeSync(file);
  const rotten = Journal.open(stateDir);
  t.throws(() => rotten.pending(device, 0, 9), { code: 'journal-damaged', message: /envelope 0/ });
  rotten.close();
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'journal.db'), 'no database at all, but long enough to be looked at '.repeat(50));
  t.throws(() => Journal.open(folder), { code: 'journal-damaged' });
  t.throws(() => Journal.open(join(folder, 'journal.db', 'below')), { code: 'state-unavailable' }, 'a file in the way');
  t.end();
});

t.test('kill -9 at random moments: what was acknowledged is there, no sequence twice', async (t) => {
  const random = seeded(t, 9);
  const stateDir = temporaryFolder(t);
  const journal = Journal.open(stateDir);
  journal.adoptDevice(device);
  journal.close();
  const rounds = Number(process.env['KILL_ROUNDS'] ?? 12);
  /** Told by the writers, over all rounds. */
  let newestReading = -1;
  const digests = new Map<number, string>();
  for (let round = 0; round < rounds; round++) {
    const child = spawn(process.execPath, [writer, stateDir, '1000000', String(newestReading + 1)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const killAfter = random.integer(1, 300);
    let lines = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      const [what, number, digest] = line.split(' ');
      if (what === 'recorded') newestReading = Math.max(newestReading, Number(number));
      if (what === 'appended') {
        const before = digests.get(Number(number));
        if (before !== undefined && before !== digest) t.fail(`sequence ${number} was used twice`);
        digests.set(Number(number), digest!);
      }
      lines += 1;
      if (lines === killAfter) child.kill('SIGKILL');
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    const after = Journal.open(stateDir);
    const { sequence, previous } = after.head(device);
    const sealed = after.pending(device, 0, 1_000_000);
    t.same(
      sealed.map((each) => each.sequence),
      sealed.map((_, i) => i),
      'contiguous from 0',
    );
    t.equal(sealed.length, sequence);
    t.same(previous, sealed.at(-1)?.digest ?? noPrevious);
    for (const each of sealed) {
      const told = digests.get(each.sequence);
      if (told !== undefined && told !== bytesToHex(each.digest)) t.fail(`sequence ${each.sequence} has other content`);
      digests.set(each.sequence, bytesToHex(each.digest));
    }
    t.ok(sealed.length >= [...digests.keys()].length, 'every appended envelope is there');
    const held = heldTimes(after);
    t.same(
      held,
      held.map((_, i) => i),
      'each reading once, in order',
    );
    t.ok(held.length > newestReading, `reading ${newestReading} was acknowledged, ${held.length} are there`);
    newestReading = held.length - 1;
    after.close();
  }
  t.ok(digests.size > 0, `${digests.size} envelopes, ${newestReading + 1} readings, ${rounds} kills`);
});

const canInject = spawnSync('strace', ['-V']).status === 0 || process.env['CI'] === 'true';
const skip = canInject || process.env['CI'] === 'true' ? false : 'strace is not installed';

t.test('a failed fsync stops the writer at once', { skip }, async (t) => {
  const stateDir = temporaryFolder(t);
  const journal = Journal.open(stateDir);
  journal.adoptDevice(device);
  journal.close();
  let start = 0;
  for (const when of [2, 5, 11]) {
    const inject = `inject=fsync,fdatasync:error=EIO:when=${when}`;
    const args = ['-f', '-qq', '-o', '/dev/null', '-e', 'trace=fsync,fdatasync', '-e', inject];
    const child = spawn('strace', [...args, process.execPath, writer, stateDir, '100', String(start)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let told = start - 1;
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.startsWith('recorded')) told = Number(line.split(' ')[1]);
    }
    if (child.exitCode === null) await once(child, 'exit');
    t.equal(child.exitCode, 1, `fsync ${when} fails: the process ends`);
    t.ok(told < start + 99, `after ${told - start + 1} readings`);
    const after = Journal.open(stateDir);
    const held = heldTimes(after);
    t.same(
      held,
      held.map((_, i) => i),
    );
    t.ok(held.length > told, 'all that was acknowledged is there');
    start = held.length;
    after.close();
  }
});
