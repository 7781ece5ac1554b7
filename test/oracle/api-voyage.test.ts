/** From MQTT to a bundle that verifies offline, on real parts; and API.md, executed. */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { bytesToHex, digestTerms } from '@coldproof/wire';
import { recordTokens } from '@coldproof/oracle/audit';
import { tokenCommand, verifyCommand } from '@coldproof/oracle/command';
import { readConfig } from '@coldproof/oracle/config';
import { makeApi } from '@coldproof/oracle/http';
import { silent } from '@coldproof/oracle/log-line';
import { opensslCrypto } from '@coldproof/oracle/openssl-crypto';
import { realClock } from '@coldproof/oracle/clock';
import { scopes, TokenFile } from '@coldproof/oracle/token-file';
import { Webhooks } from '@coldproof/oracle/webhook';
import { CertificateAuthority } from '../helpers/mosquitto.ts';
import { dispatchOrder, makeWorld } from './anvil.ts';
import { cancelOrder, openDesk } from './api-fixture.ts';
import { clockAt, Gateway, makeFolder, startOracle, until, warmVoyage } from './oracle-fixture.ts';

const run = promisify(execFile);
const mainFile = fileURLToPath(new URL('../../../oracle/dist/main.js', import.meta.url));
const page = readFileSync(new URL('../../../oracle/API.md', import.meta.url), 'utf8');

/** Of a command that may fail. */
async function outcomeOf(args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  try {
    return { code: 0, ...(await run(process.execPath, [mainFile, ...args])) };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, stdout, stderr };
  }
}

t.test('a warm voyage ends in a bundle that one command verifies, and that no change survives', async (t) => {
  const world = await makeWorld(41);
  t.teardown(() => world.anvil.stop());
  const { orderId, dispatchedAtSec } = await dispatchOrder(world);
  const nowSec = dispatchedAtSec + 4 * 900 + 60;
  await world.anvil.chain.mine(nowSec);
  const folder = makeFolder(t);
  const running = await startOracle(world, { folder, nowSec });
  t.teardown(() => running.stop());
  const { store, oracle } = running;
  const device = bytesToHex(world.device.device);
  await until('the device is known', () => store.chain.device(device) !== undefined);
  const gateway = await Gateway.connect(running, [world.device]);
  t.teardown(() => gateway.close());
  for (const envelope of warmVoyage(world.device, dispatchedAtSec)) await gateway.send(world.device.device, envelope);
  await until('the order is cancelled', () => store.chain.order(orderId)?.order.state === 'Cancelled');
  await until('the action is confirmed', () => store.outbox.ofOrder(orderId)[0]?.state === 'confirmed');
  await until('it is announced', () =>
    store.events.after(0, 1_000).some(({ content }) => content.includes('"Cancelled"')),
  );

  const { chain } = world.anvil;
  const contracts = { Shipments: world.contracts.Shipments.address, Agreements: world.contracts.Agreements.address };
  const { announcer } = oracle;
  const clock = clockAt(nowSec);
  const webhooks = new Webhooks({ store, announcer, pace: realClock, log: silent, source: '' }, []);
  const app = await makeApi(
    {
      ...{ store, log: oracle.log, crypto: opensslCrypto(), chain: { chainId: chain.chainId, contracts }, clock },
      ...{ announcer, webhooks, tokens: new TokenFile(join(folder, 'tokens.json')), status: () => ({}) },
      ...{ isReady: () => true, say: silent },
    },
    { requestsPerMinMax: 1_000 },
  );
  t.teardown(() => app.close());
  const { terms } = store.chain.order(orderId)!.order;
  const digest = bytesToHex(
    digestTerms(terms, { chainId: chain.chainId, agreements: contracts.Agreements.toLowerCase() }),
  );
  t.equal(
    await chain.view(world.contracts.Agreements, 'digestTerms', [terms]),
    `0x${digest}`,
    'as the contract has it',
  );
  const { body } = await app.inject(`/api/v1/shipments/${orderId}/bundle?channels=cargo-probe-1`);
  const file = join(folder, 'order.bundle.json');
  writeFileSync(file, body);
  const sound = await outcomeOf(['verify', 'bundle', file, '--log-key', bytesToHex(oracle.log.publicKey)]);
  t.equal(sound.code, 0, sound.stdout + sound.stderr);
  t.match(sound.stdout, /evidence {3}ok {6}excursion [0-9a-f]{64}: \d+ s outside, as far as 9\.00 °C\n/);
  t.match(sound.stdout, /sound: every check passed\n$/);
  t.notOk(verifyCommand(file, { device: 'ab'.repeat(32) }).isSound, 'another device');
  writeFileSync(file, body.replace('"state":"Cancelled"', '"state":"Delivered"'));
  const forged = await outcomeOf(['verify', 'bundle', file]);
  t.equal(forged.code, 1);
  t.match(forged.stdout, /seal {7}REFUSED seal-invalid: .*\nNOT sound\n$/);
  t.throws(() => verifyCommand(join(folder, 'absent'), {}), { message: /absent: ENOENT/ });
  const { body: timeline } = await app.inject(`/api/v1/shipments/${orderId}/timeline`);
  const moments = (JSON.parse(timeline) as { items: { name: string; time: number | null }[] }).items;
  t.ok(
    moments.every(({ time }) => time !== null && time >= dispatchedAtSec - 60),
    'every moment has its time',
  );
  t.ok(
    ['OrderDispatched', 'ExcursionProved', 'OrderCancelled', 'RepairRequested'].every((each) =>
      moments.some(({ name }) => name === each),
    ),
  );
});

const skipCurl =
  existsSync('/usr/bin/curl') || process.env['CI'] === 'true' ? false : '/usr/bin/curl is absent: install curl';

t.test('API.md: a token made by the command opens what the three curl lines ask for', { skip: skipCurl }, async (t) => {
  const desk = await openDesk(t);
  cancelOrder(desk);
  desk.announcer.round();
  const config = join(makeFolder(t), 'oracle.yaml');
  writeFileSync(config, `stateDir: ${JSON.stringify(desk.tokenFile.replace('/tokens.json', ''))}\n`);
  const [create] = /^node oracle\/dist\/main\.js token create.*$/m.exec(page) ?? [];
  const args = create!
    .split(' ')
    .slice(2)
    .map((each) => (each === 'oracle.yaml' ? config : each));
  const made = await outcomeOf(args);
  t.equal(made.code, 0, made.stderr);
  const { token, id } = JSON.parse(made.stdout) as { token: string; id: string };
  t.notMatch(readFileSync(desk.tokenFile, 'utf8'), token.slice(-64), 'only a digest is stored');
  const base = await desk.app.listen({ host: '127.0.0.1', port: 0 });
  const [, block] = /^```sh curl\n([\s\S]*?)^```$/m.exec(page) ?? [];
  const lines = block!.trim().split('\n');
  t.equal(lines.length, 3);
  const answers = [/"orderId":"7"/, /"highest":\{"timeSec":\d+,"value":905\}/, /^id: 1$/m];
  for (const [i, line] of lines.entries()) {
    const { stdout } = await run('/bin/sh', ['-c', line], { env: { ...process.env, TOKEN: token, ORACLE: base } });
    t.match(stdout, answers[i]!, line);
  }
  t.match(tokenCommand('list', { config }, 0), id);
  t.notMatch(tokenCommand('list', { config }, 0), /digest/);
  t.match(tokenCommand('revoke', { config, id }, 0), id);
  t.equal((await desk.get('/api/v1/shipments', token)).code, 401, 'revoked');
  t.equal((await desk.get('/api/v1/shipments')).code, 200, 'with the last token gone, this machine is answered');
  recordTokens(desk.store, 0, []);
  t.match(desk.store.audit.last(), { what: 'token-revoked', subject: id });
  const refusals: [string, object][] = [
    ['create', {}],
    ['create', { scope: ['everything'] }],
    ['create', { scope: ['audit'], party: '0x12' }],
    ['create', { scope: ['audit'], orders: '07' }],
    ['create', { scope: ['audit'], channels: 'x' }],
    ['create', { scope: ['audit'], days: '-1' }],
    ['revoke', {}],
    ['revoke', { id }],
  ];
  for (const [verb, options] of refusals) {
    const says = { message: /expected .*, got / };
    t.throws(() => tokenCommand(verb, { config, ...options }, 0), says, `${verb} ${JSON.stringify(options)}`);
  }
});

t.test('API.md: its scopes are those of the code, its webhooks a configuration', (t) => {
  for (const scope of scopes) t.match(page, `\`${scope}\``, scope);
  const [, block] = /^```yaml webhooks\n([\s\S]*?)^```$/m.exec(page) ?? [];
  const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
  const [, oracle] = /^```yaml oracle\.yaml\n([\s\S]*?)^```$/m.exec(readme) ?? [];
  const folder = makeFolder(t);
  const file = join(folder, 'oracle.yaml');
  const environment = {
    UPLINK_PASSWORD: 'x'.repeat(16),
    COLDPROOF_PASSPHRASE: 'x'.repeat(16),
    ERP_SECRET: 's'.repeat(16),
  };
  new CertificateAuthority(folder, 'ca').issue('oracle');
  const whole = oracle!.replaceAll('/etc/coldproof', join(folder, 'ca'));
  writeFileSync(file, whole + block!);
  const events = ['order.changed', 'finding.opened'];
  const url = 'https://erp.example/coldproof';
  t.same(readConfig(file, environment).webhooks, [{ url, secret: 's'.repeat(16), events, orders: ['7'] }]);
  const wrong: [string, RegExp][] = [
    ['https://erp.example/coldproof', /ERP_SECRET|secretEnv: expected a secret of at least 16/],
    ['http://erp.example/', /url: expected an https URL, or http to this machine, got "http:\/\/erp\.example\/"/],
    ['https://user:pass@erp.example/', /url: expected an https URL/],
    ['file:///etc/passwd', /url: expected an https URL/],
    ['gopher://127.0.0.1/', /url: expected an https URL/],
  ];
  for (const [to, says] of wrong) {
    writeFileSync(file, whole + block!.replace('https://erp.example/coldproof', to));
    t.throws(() => readConfig(file, { ...environment, ERP_SECRET: 'short' }), { message: says }, to);
  }
  writeFileSync(file, whole + block!.replace('finding.opened', 'finding.invented').replace('"7"', '"x"'));
  t.throws(() => readConfig(file, environment), { message: /events: expected one of .*\n.*orders: expected orders/ });
  t.end();
});
