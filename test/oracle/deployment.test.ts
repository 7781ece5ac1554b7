/** The deployment as a process: run twice, killed at any point, on the wrong chain; and what power is left. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setImmediate as nextTick } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Contract, Wallet, type JsonRpcSigner } from 'ethers';
import t, { type Test } from 'tap';
import type { ArtifactName } from '@coldproof/contracts';
import { readPlan } from '@coldproof/oracle/deployment/plan';
import { abiOf, refusal, send, startChain, type Chain, type Deployed } from '../helpers/chain.ts';

const main = fileURLToPath(new URL('../../../oracle/dist/deployment/main.js', import.meta.url));
const guide = new URL('../../../contracts/DEPLOY.md', import.meta.url);
const daySec = 86_400;

/** Accounts of the chain, by who they are. */
const people = { admin: 1, guardian: 2, approver: 3, consortium: 4, registrar: 5, risk: 6 } as const;
type Person = keyof typeof people;
const delaySec: Readonly<Partial<Record<Person, number>>> = { admin: 7 * daySec, consortium: 2 * daySec, risk: daySec };

/** Twelve contracts, seven gates, two guardians, a role for Shipments and one for each person, and the renouncement. */
const transactionCount = 12 + 7 + 2 + 1 + 6 + 1;

const roleIds = { reporter: 1n, guardian: 2n, approver: 3n, consortium: 4n, registrar: 5n, risk: 6n };

type Outcome = { readonly code: number | null; readonly said: string };
type Running = { readonly child: ChildProcess; readonly outcome: Promise<Outcome> };

class Site {
  readonly chain: Chain;
  readonly deployer = Wallet.createRandom();
  readonly out: string;
  readonly #folder: string;

  private constructor(chain: Chain, folder: string) {
    this.chain = chain;
    this.#folder = folder;
    this.out = join(folder, 'addresses', '31337.json');
  }

  static async open(t: Test, { isGasFree = false } = {}): Promise<Site> {
    const chain = await startChain();
    const site = new Site(chain, mkdtempSync(join(tmpdir(), 'deployment-')));
    t.teardown(async () => {
      await chain.stop();
      rmSync(site.#folder, { recursive: true });
    });
    writeFileSync(join(site.#folder, 'key'), site.deployer.privateKey, { mode: 0o600 });
    if (isGasFree) await chain.provider.send('anvil_setNextBlockBaseFeePerGas', ['0x0']);
    else await chain.provider.send('anvil_setBalance', [site.deployer.address, '0x56bc75e2d63100000']);
    await chain.provider.send('evm_mine', []);
    return site;
  }

  async person(name: Person): Promise<JsonRpcSigner> {
    return this.chain.account(people[name]);
  }

  /** `killAt`: it is killed, without mercy, as soon as it says so. */
  async run(options: { changes?: object; killAt?: string } = {}): Promise<Outcome> {
    const { killAt } = options;
    const { outcome } = await this.start(options, (line, child) => {
      if (killAt !== undefined && line.startsWith(killAt)) child.kill('SIGKILL');
    });
    return outcome;
  }

  async start(
    { changes = {} }: { changes?: object } = {},
    hear: (line: string, child: ChildProcess) => void = () => undefined,
  ): Promise<Running> {
    const holders: Record<string, unknown> = {};
    for (const name of Object.keys(people) as Person[]) {
      holders[name] = { accounts: [(await this.person(name)).address], delaySec: delaySec[name] ?? 0 };
    }
    const signers = Array.from({ length: 4 }, (_, i) => `0x${String(i + 1).repeat(40)}`);
    const plan = { chainId: 31_337, oracles: { f: 1, signers }, ...holders, ...changes };
    writeFileSync(join(this.#folder, 'plan.yaml'), JSON.stringify(plan));
    const files = ['--plan', join(this.#folder, 'plan.yaml'), '--key-file', join(this.#folder, 'key')];
    const child = spawn(process.execPath, [main, '--rpc', this.chain.url, ...files, '--out', this.out]);
    const lines: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        lines.push(line);
        hear(line, child);
      });
    }
    const outcome = once(child, 'close').then(([code]) => ({ code: code as number | null, said: lines.join('\n') }));
    return { child, outcome };
  }

  nonce(): Promise<number> {
    return this.chain.provider.getTransactionCount(this.deployer.address);
  }

  contract<Name extends ArtifactName>(name: Name, by: JsonRpcSigner): Deployed<Name> {
    const { contracts } = JSON.parse(readFileSync(this.out, 'utf8')) as {
      contracts: Record<string, { address: string }>;
    };
    return new Contract(contracts[name]!.address, abiOf(name), by);
  }

  /** The deployer's address as an account that may send without its key. */
  async asDeployer(): Promise<JsonRpcSigner> {
    await this.chain.provider.send('anvil_impersonateAccount', [this.deployer.address]);
    return this.chain.provider.getSigner(this.deployer.address);
  }
}

t.test('a second run sends nothing; the roles are where the plan wants them', async (t) => {
  const site = await Site.open(t);
  const first = await site.run();
  t.equal(first.code, 0, first.said);
  t.equal(await site.nonce(), transactionCount);
  const addresses = readFileSync(site.out, 'utf8');
  const second = await site.run();
  t.equal(second.code, 0, second.said);
  t.equal(await site.nonce(), transactionCount, 'no transaction');
  t.equal(readFileSync(site.out, 'utf8'), addresses);
  const manager = site.contract('AccessManager', await site.person('admin'));
  for (const [name, roleId] of Object.entries(roleIds)) {
    const holder =
      name === 'reporter'
        ? site.contract('Shipments', await site.person('admin')).target
        : await site.person(name as Person);
    const [isMember, executionDelay] = (await manager.getFunction('hasRole')(roleId, holder)) as [boolean, bigint];
    t.same([isMember, executionDelay], [true, BigInt(delaySec[name as Person] ?? 0)], name);
  }
});

t.test('what the deployer may do afterwards: nothing', async (t) => {
  const site = await Site.open(t);
  t.equal((await site.run()).code, 0);
  const deployer = await site.asDeployer();
  const zero = `0x${'00'.repeat(32)}`;
  const self = site.deployer.address;
  const calls = [
    ['Fleet', 'registerWorkshop', [self, true]],
    ['Fleet', 'openTicket', [zero, 1, zero]],
    ['Shipments', 'pause', []],
    ['Shipments', 'unpause', []],
    ['Shipments', 'approveHeld', [1]],
    ['Shipments', 'setBreaker', [1, 3_600]],
    ['OracleSet', 'configure', [[self, zero.slice(0, 42), zero.slice(0, 42), zero.slice(0, 42)], 1]],
  ] as const;
  for (const [name, method, args] of calls) {
    const refused = await refusal(send(site.contract(name, deployer), method, args));
    t.equal(refused?.reason, 'AccessManagedUnauthorized', `${name}.${method}`);
  }
  const manager = site.contract('AccessManager', deployer);
  const fleet = site.contract('Fleet', deployer).target;
  const changes = [
    ['grantRole', [0, self, 0]],
    ['grantRole', [4, self, 0]],
    ['revokeRole', [4, self]],
    ['setTargetFunctionRole', [fleet, ['0x12345678'], 4]],
    ['setTargetClosed', [fleet, true]],
    ['updateAuthority', [fleet, self]],
    ['setRoleAdmin', [4, 5]],
    ['setGrantDelay', [4, 0]],
    ['setTargetAdminDelay', [fleet, 0]],
  ] as const;
  for (const [method, args] of changes) {
    const refused = await refusal(send(manager, method, args));
    t.match(refused?.reason, /^AccessManagerUnauthorized(Account|Call)$/, method);
  }
});

t.test('a change of the oracles is announced, waits, and a guardian may call it off', async (t) => {
  const site = await Site.open(t);
  t.equal((await site.run()).code, 0);
  const consortium = await site.person('consortium');
  const oracles = site.contract('OracleSet', consortium);
  const manager = site.contract('AccessManager', consortium);
  const signers = [5, 6, 7, 8].map((digit) => `0x${String(digit).repeat(40)}`);
  const configure = (): Promise<unknown> => send(oracles, 'configure', [signers, 1]);
  const data = oracles.interface.encodeFunctionData('configure', [signers, 1]);
  const announce = async (): Promise<number> => {
    await send(manager, 'schedule', [oracles.target, data, 0]);
    return (await site.chain.nowSec()) + delaySec.consortium!;
  };
  t.ok(await refusal(configure()), 'not without announcement');
  const readyAt = await announce();
  await site.chain.setNextTime(readyAt - 1);
  t.ok(await refusal(configure()), 'not a second early');
  await site.chain.mineAt(readyAt - 1);
  await site.chain.setNextTime(readyAt);
  t.equal(await refusal(configure()), undefined, 'at its second');

  const againAt = await announce();
  const guardian = site.contract('AccessManager', await site.person('guardian'));
  await send(guardian, 'cancel', [consortium.address, oracles.target, data]);
  await site.chain.setNextTime(againAt + 1);
  t.ok(await refusal(configure()), 'called off');
});

t.test('the breaker and the roles themselves wait as well; a pause does not', async (t) => {
  const site = await Site.open(t);
  t.equal((await site.run()).code, 0);
  const waiting = [
    ['risk', 'Shipments', 'setBreaker', [5, 3_600]],
    ['admin', 'AccessManager', 'grantRole', [4, (await site.person('guardian')).address, 0]],
  ] as const;
  for (const [person, name, method, args] of waiting) {
    const by = await site.person(person);
    const target = site.contract(name, by);
    const change = (): Promise<unknown> => send(target, method, args);
    t.ok(await refusal(change()), `${method} without announcement`);
    const data = target.interface.encodeFunctionData(method, args);
    await send(site.contract('AccessManager', by), 'schedule', [target.target, data, 0]);
    const readyAt = (await site.chain.nowSec()) + delaySec[person]!;
    await site.chain.setNextTime(readyAt - 1);
    t.ok(await refusal(change()), `${method} a second early`);
    await site.chain.mineAt(readyAt - 1);
    await site.chain.setNextTime(readyAt);
    t.equal(await refusal(change()), undefined, `${method} at its second`);
  }
  t.equal(await refusal(send(site.contract('Shipments', await site.person('guardian')), 'pause')), undefined);
});

for (const killAt of [
  'AccessManager: ',
  'Shipments: ',
  'Reconciliation: ',
  'gate of OracleSet',
  'admin for',
  'end of',
]) {
  t.test(`killed at "${killAt}", it goes on where it stopped`, async (t) => {
    const site = await Site.open(t);
    const killed = await site.run({ killAt });
    t.equal(killed.code, null, killed.said);
    const again = await site.run();
    t.equal(again.code, 0, again.said);
    t.equal(await site.nonce(), transactionCount, 'nothing was deployed twice');
  });
}

t.test('killed with a transaction in flight, it waits for it', async (t) => {
  const site = await Site.open(t);
  await site.chain.provider.send('evm_setAutomine', [false]);
  const { child, outcome } = await site.start();
  while ((await site.chain.provider.getTransactionCount(site.deployer.address, 'pending')) === 0) await nextTick();
  child.kill('SIGKILL');
  await outcome;
  t.equal(await site.nonce(), 0);
  const again = await site.start({}, (line) => {
    if (!line.startsWith('AccessManager: nothing at')) return;
    void site.chain.provider.send('evm_setAutomine', [true]).then(() => site.chain.provider.send('evm_mine', []));
  });
  const { code, said } = await again.outcome;
  t.equal(code, 0, said);
  t.match(said, /^AccessManager: nothing at 0x\S+ yet$/m);
  t.notMatch(said, /AccessManager: deploying/);
  t.equal(await site.nonce(), transactionCount);
});

t.test('where gas is free an account without money deploys', async (t) => {
  const site = await Site.open(t, { isGasFree: true });
  const { code, said } = await site.run();
  t.equal(code, 0, said);
  t.equal(await site.chain.provider.getBalance(site.deployer.address), 0n);
  t.equal(await site.nonce(), transactionCount);
});

t.test('the plan of DEPLOY.md is one', (t) => {
  const [, plan] = /```yaml\n([\s\S]*?)```/.exec(readFileSync(guide, 'utf8'))!;
  const folder = t.testdir({ 'plan.yaml': plan! });
  const { chainId, holders } = readPlan(join(folder, 'plan.yaml'));
  t.equal(chainId, 31_337);
  t.same(Object.keys(holders), ['admin', 'guardian', 'approver', 'consortium', 'registrar', 'risk']);
  t.end();
});

t.test('refused, with nothing sent', async (t) => {
  const site = await Site.open(t);
  const refused = async (changes: object, message: RegExp): Promise<void> => {
    const { code, said } = await site.run({ changes });
    t.equal(code, 1, said);
    t.match(said, message);
    t.equal(await site.nonce(), 0);
  };
  await refused({ chainId: 1 }, /expected chain id 1, got 31337/);
  const own = { accounts: [site.deployer.address], delaySec: 7 * daySec };
  await refused({ admin: own }, /the plan gives a power to 0x.*, which deploys/);
  await refused({ consortium: { ...own, delaySec: 3_600 } }, /consortium.delaySec: expected a whole number from 86400/);
  await refused({ oracles: { f: 1, signers: [] } }, /oracles.signers: expected at least one account/);
  await refused({ guardian: { accounts: ['0x1'] } }, /guardian.accounts: expected 0x and 40 hex digits/);
});

t.test('a whole deployment is not changed by another plan, another build or another chain', async (t) => {
  const site = await Site.open(t);
  t.equal((await site.run()).code, 0);
  const stranger = Wallet.createRandom().address;
  const more = await site.run({ changes: { guardian: { accounts: [stranger] } } });
  t.equal(more.code, 1);
  t.match(more.said, /guardian for 0x.* is missing, and 0x.* is no admin: the admins alone can grantRole/);
  const signers = [5, 6, 7, 8].map((digit) => `0x${String(digit).repeat(40)}`);
  const other = await site.run({ changes: { oracles: { f: 1, signers } } });
  t.match(other.said, /OracleSet at 0x.* was deployed from another build or another plan/);
  const text = readFileSync(site.out, 'utf8');
  const swapped = site.contract('Silence', await site.person('admin')).target as string;
  const fleet = site.contract('Fleet', await site.person('admin')).target as string;
  writeFileSync(site.out, text.replace(fleet, swapped));
  t.match((await site.run()).said, /Fleet at 0x.* was deployed from another build or another plan/, 'another code');
  writeFileSync(site.out, text.replace('"chainId": 31337', '"chainId": 1'));
  t.match((await site.run()).said, /expected the addresses of chain 31337, got those of 1/);
  writeFileSync(site.out, text.slice(1));
  t.match((await site.run()).said, /31337\.json: /, 'a file that is none');
  t.equal(await site.nonce(), transactionCount);
});
