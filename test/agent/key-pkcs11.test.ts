/** PKCS #11 v2.40, against SoftHSM2: the key stays in the token, and a token that is away stops nothing but sealing. */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import type { PKCS11 } from 'pkcs11js';
import t, { type Test } from 'tap';
import { createTokenKey, openTokenKey, type TokenTerms } from '@coldproof/agent/key-pkcs11';
import { bytesToHex, deviceOf, isLowS, isP256Point, referenceCrypto, type OpenEnvelope } from '@coldproof/wire';
import { sensorPassword, StubOracle, temporaryFolder, truckYaml, until, voyageStartSec } from './fixture.ts';
import { command, environment, start, stop, type Started } from './process.ts';
import { skipWithoutToken as skip, SoftToken, tokenModule, tokenPin } from './soft-token.ts';

const terms: TokenTerms = { module: tokenModule, token: 'truck', label: 'TRUCK-7', pin: tokenPin, isAttended: false };

t.test('signs what the reference verifies, low s, of a key that no one can read', { skip }, async (t) => {
  new SoftToken(t);
  const path = join(temporaryFolder(t), 'keys', 'TRUCK-7.json');
  const adopted: Uint8Array[] = [];
  const made = await createTokenKey(path, terms, (device) => adopted.push(device));
  t.same(adopted, [made.device()]);
  t.ok(isP256Point(made.publicKey()));
  const opened = openTokenKey(path, terms);
  t.same(opened.publicKey(), made.publicKey());
  for (let i = 0; i < 24; i++) {
    const message = Uint8Array.of(i);
    const signature = await opened.sign(message);
    if (!isLowS(signature) || !referenceCrypto.verifyP256(opened.publicKey(), message, signature)) t.fail(`${i}`);
  }
  t.notOk(readFileSync(path, 'utf8').includes(tokenPin));
  await t.rejects(createTokenKey(path, terms), { code: 'key-exists' });
  t.same(await attributesOf(opened.device()), { sensitive: 1, extractable: 0, neverExtractable: 1, value: false });
});

/** What another program with the right PIN learns of the private key. */
async function attributesOf(device: Uint8Array) {
  const library = (await import('pkcs11js')).default;
  const module: PKCS11 = new library.PKCS11();
  module.load(tokenModule);
  module.C_Initialize();
  const slot = module.C_GetSlotList(true).find((each) => module.C_GetTokenInfo(each).label.trimEnd() === 'truck')!;
  const session = module.C_OpenSession(slot, library.CKF_SERIAL_SESSION);
  module.C_Login(session, library.CKU_USER, tokenPin);
  module.C_FindObjectsInit(session, [
    { type: library.CKA_CLASS, value: library.CKO_PRIVATE_KEY },
    { type: library.CKA_ID, value: Buffer.from(device) },
  ]);
  const [key] = module.C_FindObjects(session, 2);
  module.C_FindObjectsFinal(session);
  const flag = (type: number) => Buffer.from(module.C_GetAttributeValue(session, key!, [{ type }])[0]!.value)[0];
  let value = true;
  try {
    module.C_GetAttributeValue(session, key!, [{ type: library.CKA_VALUE }]);
  } catch {
    value = false;
  }
  const { CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_NEVER_EXTRACTABLE } = library;
  const [sensitive, extractable, neverExtractable] = [CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_NEVER_EXTRACTABLE].map(flag);
  module.C_Finalize();
  return { sensitive, extractable, neverExtractable, value };
}

t.test('a token that is away, or another one, or no module at all: retry later', { skip }, async (t) => {
  const token = new SoftToken(t);
  const path = join(temporaryFolder(t), 'TRUCK-7.json');
  const made = await createTokenKey(path, terms);
  const message = Uint8Array.of(1);
  const openFresh = (changed: Partial<TokenTerms> = {}) => openTokenKey(path, { ...terms, ...changed });
  const away = (detail: RegExp) => ({ code: 'key-away', retry: 'later', message: detail });
  token.pull();
  await t.rejects(openFresh().sign(message), away(/token: expected one labelled "truck", found none/));
  token.plug();
  t.ok(referenceCrypto.verifyP256(made.publicKey(), message, await openFresh().sign(message)));
  token.exchange();
  await t.rejects(openFresh().sign(message), away(/has no key with CKA_ID/));
  for (const module of ['/nowhere/libpkcs11.so', process.execPath, path]) {
    await t.rejects(openFresh({ module }).sign(message), away(/behind/), module);
  }
});

t.test('a wrong PIN is given once, by whomever, until a person gives the right one', { skip }, async (t) => {
  new SoftToken(t);
  const path = join(temporaryFolder(t), 'TRUCK-7.json');
  await createTokenKey(path, terms);
  const wrong = openTokenKey(path, { ...terms, pin: '00000000' });
  const refused = { code: 'key-pin-wrong', retry: 'never' };
  await t.rejects(wrong.sign(Uint8Array.of(1)), { ...refused, message: /CKR_PIN_INCORRECT/ });
  await t.rejects(wrong.sign(Uint8Array.of(1)), { ...refused, message: /CKR_PIN_INCORRECT/ }, 'the token is not asked');
  // As after a restart by the supervisor, with the right PIN or a wrong one.
  for (const pin of ['00000000', tokenPin]) {
    const restarted = openTokenKey(path, { ...terms, pin });
    await t.rejects(restarted.sign(Uint8Array.of(1)), { ...refused, message: /was given a wrong PIN last/ });
  }
  t.equal((await openTokenKey(path, { ...terms, isAttended: true }).sign(Uint8Array.of(1))).length, 64);
  t.equal((await openTokenKey(path, terms).sign(Uint8Array.of(1))).length, 64, 'and the agent again');
});

t.test('the note on the disk: missing, damaged', { skip }, async (t) => {
  new SoftToken(t);
  const path = join(temporaryFolder(t), 'TRUCK-7.json');
  t.throws(() => openTokenKey(path, terms), { code: 'key-missing', message: /keygen/ });
  await createTokenKey(path, terms);
  const text = readFileSync(path, 'utf8');
  for (const damaged of [
    '',
    text.slice(0, 40),
    text.replace('"version":1', '"version":2'),
    text.replace(/[0-9a-f]{2}"\}/, '"}'),
  ]) {
    writeFileSync(path, damaged);
    t.throws(() => openTokenKey(path, terms), { code: 'key-damaged' }, damaged);
  }
});

/** A truck's configuration with its key in the token, the key made. */
function setUp(t: Test, token: SoftToken, oracle: StubOracle) {
  const folder = temporaryFolder(t);
  const file = join(folder, 'agent.yaml');
  const yaml = truckYaml(join(folder, 'state'), { oraclePort: oracle.port, logPublicKey: oracle.logKey.publicKey })
    .replace('passphraseEnv: COLDPROOF_PASSPHRASE\n', '')
    .replace(
      '    sealSamplesMax: 5',
      `    key: { pkcs11: { module: ${tokenModule}, token: truck, label: TRUCK-7, pinEnv: TOKEN_PIN } }\n$&`,
    );
  writeFileSync(file, yaml);
  Object.assign(environment, { SOFTHSM2_CONF: token.configuration, TOKEN_PIN: tokenPin });
  return { file, stateDir: join(folder, 'state') };
}

/** Publishes so many readings, a minute apart, each with its PUBACK. */
async function publish({ brokerPort }: Started, from: number, count: number): Promise<void> {
  const login = { username: 'TRUCK-7', password: sensorPassword, reconnectPeriod: 0 };
  const sensor = await connectAsync(`mqtt://127.0.0.1:${brokerPort}`, login);
  for (let i = from; i < from + count; i++) {
    const pack = JSON.stringify([{ n: 'TRUCK-7/cargo-probe-1', t: voyageStartSec + 60 * i, v: 4 + i / 100 }]);
    await sensor.publishAsync('sensors/TRUCK-7', pack, { qos: 1 });
  }
  await sensor.endAsync();
}

type Page = { devices: { key: { available: boolean; why?: string }; unsealed: number; sealed: number }[] };

async function page({ httpPort }: Started): Promise<Page['devices'][number]> {
  const answer = await fetch(`http://127.0.0.1:${httpPort}/status`);
  return ((await answer.json()) as Page).devices[0]!;
}

t.test(
  'pulled out under way: readings are acknowledged and kept, sealing goes on when it is back',
  { skip },
  async (t) => {
    const token = new SoftToken(t);
    const oracle = new StubOracle();
    await oracle.start();
    t.teardown(() => oracle.stop());
    const { file, stateDir } = setUp(t, token, oracle);
    const made = command('keygen', '--config', file);
    t.equal(made.status, 0, made.err);
    const key = JSON.parse(made.out) as { device: string; x: string; y: string };
    t.same(readdirSync(join(stateDir, 'keys')), ['TRUCK-7.json']);
    const keyStore = openTokenKey(join(stateDir, 'keys', 'TRUCK-7.json'), terms);
    t.equal(bytesToHex(deviceOf(keyStore.publicKey())), key.device);
    oracle.trust(keyStore);
    const stored = (): readonly OpenEnvelope[] => oracle.stored.get(key.device) ?? [];

    token.pull();
    let agent = await start(file);
    t.teardown(() => agent.child.kill('SIGKILL'));
    await publish(agent, 0, 5);
    await until(() => agent.lines.some(({ event }) => event === 'key'), 'the fault in the log');
    t.match(await page(agent), { key: { available: false, why: /found none/ }, unsealed: 5, sealed: 0 });
    await publish(agent, 5, 5);
    t.match(await page(agent), { unsealed: 10 }, 'journaled all the same');
    token.plug();
    await until(() => stored().length === 2, 'both batches at the oracle');
    t.match(await page(agent), { key: { available: true }, unsealed: 0, sealed: 2 });
    t.equal(await stop(agent.child, 'SIGTERM'), 0);

    // Started without its token, killed while it waits, and started again with it.
    token.pull();
    agent = await start(file);
    await publish(agent, 10, 5);
    await until(() => agent.lines.some(({ event }) => event === 'key'), 'the fault in the log');
    await stop(agent.child, 'SIGKILL');
    token.plug();
    agent = await start(file);
    await until(() => stored().length === 3, 'the third batch');
    t.ok(agent.lines.every((line) => !JSON.stringify(line).includes(tokenPin)));
    t.equal(await stop(agent.child, 'SIGTERM'), 0);
    t.same(oracle.refused, []);
  },
);
