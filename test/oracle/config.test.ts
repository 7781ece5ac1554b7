/** The configuration file: every problem at once, each with its path, its value and what was expected. */
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { stringify } from 'yaml';
import { bytesToHex } from '@coldproof/wire';
import { readConfig } from '@coldproof/oracle/config';
import { makeLogKey, openLogKey, readLogPublicKey } from '@coldproof/oracle/log-key';
import { makeFolder } from './oracle-fixture.ts';

const environment = { COLDPROOF_PASSPHRASE: 'p', GATEWAY: 'g' };
const device = 'ab'.repeat(32);
const address = (digit: string) => `0x${digit.repeat(40)}`;

function whole(stateDir: string) {
  return {
    stateDir,
    broker: { port: 0, credentials: [{ username: 'gateway', passwordEnv: 'GATEWAY', devices: [device] }] },
    chain: {
      rpcUrl: 'http://127.0.0.1:8545',
      chainId: 31_337,
      contracts: {
        DeviceRegistry: address('1'),
        Agreements: address('2'),
        Shipments: address('3'),
        Fleet: address('4'),
      },
    },
  };
}

function problemsOf(t: Test, change: (config: Record<string, never> & ReturnType<typeof whole>) => void): string[] {
  const folder = makeFolder(t);
  const config = whole(folder) as Record<string, never> & ReturnType<typeof whole>;
  change(config);
  const path = join(folder, 'oracle.yaml');
  writeFileSync(path, stringify(config, { aliasDuplicateObjects: false }));
  try {
    readConfig(path, environment);
    return [];
  } catch (error) {
    t.match(error, { code: 'config-invalid', retry: 'never' });
    return (error as Error).message
      .split('\n')
      .slice(1)
      .map((line) => line.trim());
  }
}

t.test('the shortest configuration has defaults for the rest', (t) => {
  const folder = makeFolder(t);
  const path = join(folder, 'oracle.yaml');
  writeFileSync(path, stringify(whole(folder)));
  const config = readConfig(path, environment);
  t.match(config, {
    broker: { host: '127.0.0.1', credentials: [{ username: 'gateway', password: 'g', devices: [device] }] },
    http: { host: '127.0.0.1', port: 8080 },
    chain: {
      ...{ rpcUrls: ['http://127.0.0.1:8545'], timeoutMs: 10_000, fromBlock: 0, feeWeiMax: 200_000_000_000n },
      ...{ resendMs: 30_000, finalityBlocks: undefined, spendWeiMaxPerDay: undefined, balanceWeiMin: undefined },
    },
    signer: undefined,
    logKeyFile: join(folder, 'log-key.json'),
  });
  t.end();
});

type Whole = ReturnType<typeof whole>;

function urls({ chain }: Whole, rpcUrls: readonly string[]): void {
  Object.assign(chain, { rpcUrl: undefined, rpcUrls });
}

function signer({ chain }: Whole, change: object): void {
  Object.assign(chain, { signer: { url: 'https://signer.example:9000', address: address('5'), ...change } });
}

t.test('one problem each', (t) => {
  const cases: [string, (config: Record<string, never> & ReturnType<typeof whole>) => void, RegExp][] = [
    ['no state', (c) => Object.assign(c, { stateDir: undefined }), /^stateDir: expected text, got nothing/],
    ['a key that is not known', (c) => Object.assign(c, { brokr: 1 }), /^brokr: expected no such key, got 1/],
    ['one below', (c) => Object.assign(c.chain, { rpcURL: 'x' }), /^chain\.rpcURL: expected no such key/],
    [
      'a port too high',
      (c) => Object.assign(c.broker, { port: 65_536 }),
      /^broker\.port: .* from 0 to 65535, got 65536/,
    ],
    ['a port as text', (c) => Object.assign(c.broker, { port: '1883' }), /^broker\.port: .*got "1883"/],
    [
      'no credentials',
      (c) => Object.assign(c.broker, { credentials: undefined }),
      /^broker\.credentials: expected a list/,
    ],
    [
      'a short device',
      (c) => Object.assign(c.broker.credentials[0]!, { devices: ['ab'] }),
      /credentials\[0\]\.devices: .*"ab"/,
    ],
    ['capitals', (c) => Object.assign(c.broker.credentials[0]!, { devices: [device.toUpperCase()] }), /lower-case/],
    ['a password that is not set', (c) => (c.broker.credentials[0]!.passwordEnv = 'NOBODY'), /passwordEnv: .*"NOBODY"/],
    [
      'one name twice',
      (c) => c.broker.credentials.push({ username: 'gateway', passwordEnv: 'GATEWAY', devices: [] }),
      /username: .*no other entry/,
    ],
    [
      'one device twice',
      (c) => c.broker.credentials.push({ username: 'b', passwordEnv: 'GATEWAY', devices: [device] }),
      /devices: .*gateway does not have/,
    ],
    ['a socket', (c) => (c.chain.rpcUrl = 'ws://127.0.0.1'), /^chain\.rpcUrl: expected an http\(s\) URL/],
    ['no chain id', (c) => Object.assign(c.chain, { chainId: 0 }), /^chain\.chainId: .*from 1/],
    ['a short address', (c) => (c.chain.contracts.Fleet = '0x12'), /^chain\.contracts\.Fleet: expected 0x and 40/],
    [
      'an address as number',
      (c) => Object.assign(c.chain.contracts, { Shipments: 2 }),
      /^chain\.contracts\.Shipments: expected text/,
    ],
    ['no threads', (c) => Object.assign(c, { verify: { workers: 0 } }), /^verify\.workers: .*from 1 to 256, got 0/],
    ['half a message', (c) => Object.assign(c, { verify: { queueMax: 1.5 } }), /^verify\.queueMax: .*got 1\.5/],
    ['an origin with a schema', (c) => Object.assign(c, { log: { origin: 'https://x' } }), /^log\.origin: /],
    ['a list for a mapping', (c) => Object.assign(c, { http: [] }), /^http: expected a mapping/],
    ['a poll of no time', (c) => Object.assign(c.chain, { pollMs: 0 }), /^chain\.pollMs: .*from 10/],
  ];
  for (const [name, change, says] of cases) {
    const problems = problemsOf(t, change);
    t.equal(problems.length, 1, `${name}: ${problems.join('; ')}`);
    t.match(problems[0], says, name);
  }
  t.end();
});

t.test('one problem each: endpoints, money, signer', (t) => {
  const cases: [string, (config: Record<string, never> & Whole) => void, RegExp][] = [
    ['both forms', (c) => Object.assign(c.chain, { rpcUrls: ['http://a'] }), /^chain\.rpcUrl: expected one of them/],
    ['no endpoints', (c) => urls(c, []), /^chain\.rpcUrls: expected 1 to 16 URLs, got 0/],
    [
      'a socket among them, its key not shown',
      (c) => urls(c, ['http://a', 'ws://user:pass@b/key']),
      /^chain\.rpcUrls: expected an http\(s\) URL, got "ws:\/\/b, entry 1"/,
    ],
    ['one twice', (c) => urls(c, ['http://a', 'http://a']), /^chain\.rpcUrls: expected URLs that are each given once/],
    ['no time', (c) => Object.assign(c.chain, { timeoutSec: 0 }), /^chain\.timeoutSec: .*from 1 to 300, got 0/],
    [
      'final at once',
      (c) => Object.assign(c.chain, { finalityBlocks: 0 }),
      /^chain\.finalityBlocks: .*from 1 to 100000/,
    ],
    [
      'nothing to spend',
      (c) => Object.assign(c.chain, { spendMaxGweiPerDay: 0 }),
      /^chain\.spendMaxGweiPerDay: .*from 1 .*got 0/,
    ],
    ['half a Gwei', (c) => Object.assign(c.chain, { balanceMinGwei: 0.5 }), /^chain\.balanceMinGwei: .*got 0\.5/],
    [
      'a signer on an open line',
      (c) => signer(c, { url: 'http://signer.example' }),
      /^chain\.signer\.url: expected an https/,
    ],
    [
      'a signer with a password',
      (c) => signer(c, { url: 'https://me:secret@signer.example' }),
      /^chain\.signer\.url: .*got "https:\/\/signer\.example"/,
    ],
    ['a short signer', (c) => signer(c, { address: '0x12' }), /^chain\.signer\.address: expected 0x and 40 hex digits/],
    ['a hasty signer', (c) => signer(c, { timeoutSec: 0 }), /^chain\.signer\.timeoutSec: .*from 1 to 300, got 0/],
    [
      'two accounts that pay',
      (c) => {
        signer(c, {});
        Object.assign(c.chain, { transmitterKeyFile: 'x' });
      },
      /^chain\.signer: expected one of them/,
    ],
  ];
  for (const [name, change, says] of cases) {
    const problems = problemsOf(t, change);
    t.equal(problems.length, 1, `${name}: ${problems.join('; ')}`);
    t.match(problems[0], says, name);
  }
  t.end();
});

t.test('all of them in one answer', (t) => {
  const problems = problemsOf(t, (config) => {
    Object.assign(config.broker, { port: -1 });
    Object.assign(config.chain, { chainId: 'one', pollMs: 1 });
    Object.assign(config, { extra: true, http: { port: 99_999 } });
  });
  t.equal(problems.length, 5, problems.join('\n'));
  t.end();
});

t.test('what is no YAML is told by line', (t) => {
  const folder = makeFolder(t);
  const path = join(folder, 'oracle.yaml');
  for (const text of ['a: [', '- 1', '"text"', 'a: &x 1\nb: *x', '']) {
    writeFileSync(path, text);
    t.throws(() => readConfig(path, environment), { code: 'config-invalid' }, JSON.stringify(text));
  }
  t.throws(() => readConfig(join(folder, 'absent.yaml'), environment), { code: 'config-invalid' });
  t.end();
});

t.test('the log key: only with its passphrase, only for its owner, only as it was written', (t) => {
  const path = join(makeFolder(t), 'log-key.json');
  const publicKey = makeLogKey(path, 'right');
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.same(openLogKey(path, 'right').publicKey, publicKey);
  t.throws(() => openLogKey(path, 'wrong'), { code: 'key-unusable', message: /wrong passphrase/ });
  const text = readFileSync(path, 'utf8');
  t.notMatch(text, /PRIVATE/);
  const file = JSON.parse(text) as Record<string, string>;
  const other = { ...file, publicKey: '00'.repeat(32) };
  for (const broken of [
    text.slice(0, 40),
    '',
    'null',
    '{}',
    JSON.stringify({ ...file, tag: 'xx' }),
    JSON.stringify(other),
  ]) {
    writeFileSync(path, broken);
    t.throws(() => openLogKey(path, 'right'), { code: 'key-unusable' }, broken.slice(0, 20));
  }
  writeFileSync(path, text);
  chmodSync(path, 0o640);
  t.throws(() => openLogKey(path, 'right'), { code: 'key-unusable', message: /expected mode 0600, got 0640/ });
  t.end();
});

t.test('init makes both keys once, needs no contracts, and prints no secret', async (t) => {
  const folder = makeFolder(t);
  const path = join(folder, 'oracle.yaml');
  const stateDir = join(folder, 'state', 'oracle');
  writeFileSync(path, stringify({ stateDir }));
  const main = fileURLToPath(new URL('../../../oracle/dist/main.js', import.meta.url));
  const env = { ...process.env, ...environment };
  const init = async () => promisify(execFile)(process.execPath, [main, 'init', '--config', path], { env });
  const [first, second] = [await init(), await init()];
  t.equal(first.stdout, second.stdout);
  const made = JSON.parse(first.stdout) as Record<string, string>;
  t.same(Object.keys(made), ['logPublicKey', 'transmitter']);
  t.equal(made['logPublicKey'], bytesToHex(readLogPublicKey(join(stateDir, 'log-key.json'))));
  t.match(made['transmitter'], /^0x[0-9a-fA-F]{40}$/);
  t.equal(statSync(join(stateDir, 'transmitter-key.json')).mode & 0o777, 0o600);
  t.ok(existsSync(join(stateDir, 'log-key.json')));
  await t.rejects(promisify(execFile)(process.execPath, [main, '--config', path], { env }), {
    code: 1,
    stderr: /broker\.credentials: expected a list[^]*chain\.rpcUrl/,
  });
});
