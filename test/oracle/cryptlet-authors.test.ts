/** CRYPTLETS.md, followed to the letter: its example is made, tested, published and bound, and fails where it must. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encodeBytes32String, id, Wallet } from 'ethers';
import t, { type Test } from 'tap';
import { parsePackage } from '@coldproof/oracle/cryptlet/cryptlet';
import { readFolder } from '@coldproof/oracle/cryptlet/folder';
import { cryptletLimits, programBytesMax } from '@coldproof/oracle/cryptlet/limits';
import { templateFiles } from '@coldproof/oracle/cryptlet/template';
import { addressOf, deploy, startChain } from '../helpers/chain.ts';

const main = fileURLToPath(new URL('../../../oracle/dist/cryptlet/main.js', import.meta.url));
const page = readFileSync(new URL('../../../oracle/CRYPTLETS.md', import.meta.url), 'utf8');

function fence(file: string): string {
  const [, content] = new RegExp(`\`\`\`[a-z]+ ${file.replace('.', '\\.')}\n([^]*?)\`\`\``).exec(page) ?? [];
  if (content === undefined) throw new Error(`CRYPTLETS.md has no ${file}`);
  return content;
}

function makeRoom(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'cryptlet-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

async function tool(...args: readonly string[]): Promise<{ code: number | null; out: string; error: string }> {
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, error] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (error += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, error };
}

function makeExample(room: string): string {
  const folder = join(room, 'warm-time');
  mkdirSync(folder);
  for (const file of ['manifest.json', 'program.js', 'examples.json']) writeFileSync(join(folder, file), fence(file));
  return folder;
}

t.test("the page's example is what `new` makes, and its tests pass", async (t) => {
  const room = makeRoom(t);
  const made = await tool('new', join(room, 'warm-time'));
  t.match(made, { code: 0 });
  for (const [file, content] of Object.entries(templateFiles('warm-time'))) {
    t.equal(readFileSync(join(room, 'warm-time', file), 'utf8'), content);
    const isJson = file.endsWith('.json');
    t.same(isJson ? JSON.parse(fence(file)) : fence(file), isJson ? JSON.parse(content) : content, file);
  }
  const tested = await tool('test', join(room, 'warm-time'));
  t.match(tested, { code: 0, out: /ok +ten minutes over 8 degrees\nok +nothing to report/ });
  t.match(await tool('new', join(room, 'warm-time')), { code: 1, error: /is there already/ });
});

t.test("the page's limits are those of the code", (t) => {
  for (const limit of [cryptletLimits.steps, cryptletLimits.outputBytes, programBytesMax]) {
    t.ok(page.includes(limit.toLocaleString('en')), String(limit));
  }
  t.ok(page.includes(`${cryptletLimits.memoryBytes / 2 ** 20} MiB`));
  t.ok(page.includes(`${cryptletLimits.inputBytes / 2 ** 20} MiB`));
  t.end();
});

t.test('what is wrong is said, with the file and the field', async (t) => {
  const room = makeRoom(t);
  const folder = makeExample(room);
  const change = (file: string, from: string, to: string): void => {
    const text = fence(file);
    writeFileSync(join(folder, file), text.replace(from, to));
  };
  change('examples.json', '600, 820', '600, 821');
  change('program.js', 'undefined;', '(() => Date.now())();');
  const tested = await tool('test', folder);
  t.match(tested, { code: 1, out: /failed +ten minutes.*\[600,821\].*\[600,820\]/ });
  t.match(tested.out, /failed +nothing to report.*clock-read: Date/);
  t.match(await tool('sing', folder), { code: 1, error: /usage/ });
  const read = (values: Record<string, number> = {}) =>
    readFolder(folder, { publisher: `0x${'11'.repeat(20)}`, values });
  t.throws(() => read({ limit: 1 }), { code: 'config-invalid', message: /no parameter limit/ });
  t.throws(() => read({ limitCentiC: 8_000 }), { message: /limitCentiC: expected -8000 to 6000, got 8000/ });
  change('manifest.json', '"cargo-probe-1"', '"cargo-probe-17"');
  t.throws(() => read(), { message: /manifest\.json: manifest: channels/ });
  change('manifest.json', '"batch"', '"hourly"');
  t.throws(() => read(), { message: /manifest\.json: manifest: trigger/ });
  change('manifest.json', '{', '[');
  t.throws(() => read(), { message: /manifest\.json: / });
  rmSync(join(folder, 'manifest.json'));
  t.throws(() => read(), { code: 'config-invalid', message: /manifest\.json: ENOENT/ });
});

t.test('published once, and bound', async (t) => {
  const room = makeRoom(t);
  const folder = makeExample(room);
  const chain = await startChain();
  t.teardown(() => chain.stop());
  const registry = await deploy(await chain.account(0), 'CryptletRegistry');
  const wallet = Wallet.createRandom();
  await chain.provider.send('anvil_setBalance', [wallet.address, '0x56bc75e2d63100000']);
  const keyFile = join(room, 'key');
  writeFileSync(keyFile, wallet.privateKey, { mode: 0o600 });
  const publish = (version: string, more: readonly string[] = []) =>
    tool(
      ...['publish', folder, '--key-file', keyFile, '--rpc', chain.url, '--chain-id', '31337'],
      ...['--registry', addressOf(registry), '--out', join(room, version), ...more],
    );
  const first = await publish('1.cryptlet');
  t.match(first, { code: 0 }, first.error);
  const said = JSON.parse(first.out) as { cryptlet: string; manifestDigest: string; outcome: string };
  t.equal(said.outcome, 'sent');
  const record = (await registry.getFunction('cryptletOf')(said.cryptlet)) as Record<string, unknown>;
  t.equal(record['publisher'], wallet.address);
  t.equal(record['name'], encodeBytes32String('warm-time'));
  t.equal(record['version'], 1n);
  t.equal(record['interfaceId'], id('WarmTime(uint32 warmSec,int16 peakCentiC)'));
  t.equal(record['manifestDigest'], said.manifestDigest);
  t.equal((JSON.parse((await publish('1.cryptlet')).out) as { outcome: string }).outcome, 'there');

  const parsed = parsePackage(readFileSync(join(room, '1.cryptlet')));
  t.match(parsed, { ok: true, value: { manifest: { publisher: wallet.address.toLowerCase() } } });
  const digest = await tool('digest', join(room, '1.cryptlet'));
  t.match(JSON.parse(digest.out), { cryptlet: said.cryptlet });
  t.equal((await tool('digest', folder, '--publisher', wallet.address)).out, digest.out);

  // Another value is another cryptlet, and under the same name needs a later version.
  const stricter = ['--set', 'limitCentiC=600'];
  t.match(await publish('2.cryptlet', stricter), { code: 1, error: /./ });
  const manifest = fence('manifest.json').replace('"version": 1', '"version": 2');
  writeFileSync(join(folder, 'manifest.json'), manifest);
  const second = JSON.parse((await publish('2.cryptlet', stricter)).out) as { cryptlet: string };
  const bound = await tool('bind', join(room, '1.cryptlet'), join(room, '2.cryptlet'));
  t.same(JSON.parse(bound.out), { attested: { cryptlets: [said.cryptlet, second.cryptlet] } });
  copyFileSync(join(room, '1.cryptlet'), join(room, 'copy.cryptlet'));
  t.match(await tool('bind', join(room, '1.cryptlet'), join(room, 'copy.cryptlet')), { code: 1, error: /twice/ });
  t.ok(existsSync(join(room, '2.cryptlet')));
});
