/** Appends groups for ever and says each receipt on stdout, until it is killed. Started by log-kill.test.ts. */
import { once } from 'node:events';
import { join } from 'node:path';
import { bytesToHex, noPrevious } from '@coldproof/wire';
import { Log } from '@coldproof/oracle/log';
import { openLogKey } from '@coldproof/oracle/log-key';
import { Store } from '@coldproof/oracle/store';

const folder = process.argv[2]!;
const passphrase = process.argv[3]!;
const place = process.argv[4]!;
const store = new Store(place);
const log = new Log({ store, key: openLogKey(join(folder, 'log-key.json'), passphrase), origin: 'kill' });
const device = new Uint8Array(32).fill(1);
const digestOf = (sequence: number) => Uint8Array.from({ length: 32 }, (_, i) => (sequence >> (8 * (i % 4))) & 0xff);

for (;;) {
  const start = log.size;
  const group = Array.from({ length: 1 + (start % 7) }, (_, i) => {
    const sequence = start + i;
    const previous = sequence === 0 ? noPrevious : digestOf(sequence - 1);
    const digest = digestOf(sequence);
    return { device, sequence, previous, digest, firstSec: 0, lastSec: 0, envelope: digest };
  });
  const answers = log.append(group, 0);
  const logged = answers.map((answer, i) => {
    if (!answer.ok) throw new Error(`${answer.reason}: ${answer.detail}`);
    return { batch: group[i]!, index: answer.value.index };
  });
  const receipts = await log.receipts(logged);
  if (!process.stdout.write(receipts.map((receipt) => `${bytesToHex(receipt)}\n`).join('')))
    await once(process.stdout, 'drain');
}
