/** log.retentionDays as the oracle's own program keeps it: oracle/SCALE.md, Retention. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { bytesToHex, encodeEnvelope, hexToBytes, leafHash, verifyCheckpoint, verifyInclusion } from '@coldproof/wire';
import { Log } from '@coldproof/oracle/log';
import { makeLogKey } from '@coldproof/oracle/log-key';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import { openStored } from '@coldproof/oracle/stored-batch';
import { Store } from '@coldproof/oracle/store';
import { voyage, quarterOf } from './api-fixture.ts';
import { makeFolder, password, until } from './oracle-fixture.ts';

const main = fileURLToPath(import.meta.resolve('@coldproof/oracle/main'));
const days = 30;
const origin = 'coldproof.example/test';
const environment = { COLDPROOF_PASSPHRASE: 'correct horse', UPLINK_PASSWORD: password };

type Line = { readonly event: string; readonly httpPort?: number; readonly count?: number };

/** A log of which all but the last two were logged longer ago than that; gives its head as it was. */
function fillLog(t: Test) {
  const folder = makeFolder(t);
  const publicKey = makeLogKey(join(folder, 'log-key.json'), environment.COLDPROOF_PASSPHRASE);
  const store = new Store(join(folder, 'oracle.db'));
  const key = { publicKey, log: publicKey, sign: () => publicKey, signAside: () => Promise.resolve([]) };
  const log = new Log({ store, key: { ...key, close: () => Promise.resolve() }, origin });
  const { envelopes } = voyage(
    21,
    Array.from({ length: 6 }, () => quarterOf(500)),
  );
  envelopes.forEach((envelope, i) => {
    const bytes = encodeEnvelope(envelope);
    const { batch, digest } = openStored(bytes, opensslCrypto());
    log.append([{ ...batch, digest, envelope: bytes }], Date.now() - (i < 4 ? days + 1 : 1) * 86_400_000);
  });
  const before = { root: bytesToHex(log.root()), digests: envelopes.map((_each, i) => store.log.digest(i)!) };
  store.close();
  return { folder, publicKey, ...before };
}

/** Without a chain: it is waited for, and nothing of this needs one. */
function configOf(folder: string): string {
  const address = `0x${'11'.repeat(20)}`;
  const contracts = { DeviceRegistry: address, Shipments: address, Fleet: address, Agreements: address };
  const config = {
    stateDir: folder,
    broker: { port: 0, credentials: [{ username: 'gateway', passwordEnv: 'UPLINK_PASSWORD', devices: [] }] },
    log: { origin, retentionDays: days },
    verify: { workers: 1 },
    chain: { rpcUrl: 'http://127.0.0.1:1', chainId: 31_337, contracts },
    http: { port: 0 },
  };
  const file = join(folder, 'oracle.yaml');
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(config));
  return file;
}

t.test('the program removes what is old, says so, and keeps every promise about it', async (t) => {
  const { folder, publicKey, root, digests } = fillLog(t);
  writeFileSync(join(folder, 'transmitter-key.json'), `0x${'07'.repeat(32)}`, { mode: 0o600 });
  const child = spawn(process.execPath, [main, '--config', configOf(folder)], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const lines: Line[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => lines.push(JSON.parse(line) as Line));
  const said = (event: string) => lines.find((line) => line.event === event);
  await until('it is up and has swept', () => said('started') !== undefined && said('envelopes-removed') !== undefined);
  t.match(said('envelopes-removed'), { count: 4, olderThanDays: days });

  const base = `http://127.0.0.1:${said('started')!.httpPort}`;
  const get = async (path: string) => (await fetch(`${base}${path}`)).text();
  t.match(await get('/metrics'), /^coldproof_batches\{outcome="envelope-removed"\} 4$/m);
  t.match(await get('/metrics'), /^coldproof_log_leaves 6$/m);
  const head = verifyCheckpoint(await get('/api/v1/checkpoint'), origin, publicKey);
  if (!head.ok) throw new Error(head.detail);
  t.same([head.value.size, bytesToHex(head.value.root)], [6, root], 'the head is what it was');
  for (const [index, digest] of digests.entries()) {
    const { path } = JSON.parse(await get(`/api/v1/proof/inclusion?index=${index}&size=6`)) as { path: string[] };
    const isUnder = verifyInclusion(leafHash(digest), index, 6, path.map(hexToBytes), head.value.root);
    t.ok(isUnder, `leaf ${index} is proved`);
  }
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
  t.equal(child.exitCode, 0);
  const store = new Store(join(folder, 'oracle.db'));
  t.same(
    digests.map((_digest, index) => store.log.envelope(index) !== undefined),
    [false, false, false, false, true, true],
  );
  store.close();
});
