/** kill -9 while the log commits: a receipt that was given is kept, and the log goes on from a whole state. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hexToBytes, leafHash, merkleRoot, verifyReceipt } from '@coldproof/wire';
import { Log } from '@coldproof/oracle/log';
import { makeLogKey, openLogKey } from '@coldproof/oracle/log-key';
import { OperatingError } from '@coldproof/oracle/operating-error';
import { Store } from '@coldproof/oracle/store';
import { seeded } from '../helpers/seed.ts';
import { makeFolder, until } from './oracle-fixture.ts';
import { testOnEachEngine } from './stores.ts';

/** Starting a process costs more than the kill: the most of them where the disk is our own. */
const killsOf = { SQLite: Number(process.env['KILLS'] ?? 12), PostgreSQL: Number(process.env['KILLS'] ?? 4) };
const passphrase = 'p';

testOnEachEngine('kill -9 while groups are committed', async (t, place, engine) => {
  const kills = killsOf[engine];
  const random = seeded(t, 9);
  const folder = makeFolder(t);
  const keyFile = join(folder, 'log-key.json');
  makeLogKey(keyFile, passphrase);
  const child = fileURLToPath(new URL('log-kill-child.js', import.meta.url));
  const key = openLogKey(keyFile, passphrase);
  let promised = 0;
  for (let i = 0; i < kills; i++) {
    const run = spawn(process.execPath, [child, folder, passphrase, place], { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    let lines = 0;
    const killAfter = random.integer(1, 120);
    run.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      lines += text.split('\n').length - 1;
      // Somewhere in the work that follows, at the latest with the next few groups.
      if (lines >= killAfter) run.kill('SIGKILL');
    });
    await once(run, 'close');
    const store = await openWhenFree(place);
    const log = new Log({ store, key, origin: 'kill' });
    for (const line of said.split('\n').slice(0, -1)) {
      const receipt = verifyReceipt(hexToBytes(line), key.publicKey);
      if (!receipt.ok) return t.fail(receipt.detail);
      const { index, device, sequence, digest } = receipt.value;
      const stored = store.log.stored(device, sequence);
      if (stored?.index !== index || Buffer.compare(stored.digest, digest) !== 0) {
        return t.fail(`kill ${i}: receipt for leaf ${index}, log of ${log.size}`);
      }
      promised += 1;
    }
    const leaves = Array.from({ length: log.size }, (_, index) => leafHash(store.log.digest(index)!));
    t.same(log.root(), merkleRoot(leaves), `kill ${i}: ${log.size} leaves, whole`);
    t.equal(store.log.head(new Uint8Array(32).fill(1))?.nextSequence, log.size);
    store.close();
  }
  t.ok(promised > kills, `${promised} receipts kept`);
});

/** The server may need a moment to notice that the killed process has gone. */
async function openWhenFree(place: string): Promise<Store> {
  let store: Store | undefined;
  await until('the store is free', () => {
    try {
      store = new Store(place);
    } catch (error) {
      if (!(error instanceof OperatingError) || error.code !== 'store-locked') throw error;
    }
    return store !== undefined;
  });
  return store!;
}
