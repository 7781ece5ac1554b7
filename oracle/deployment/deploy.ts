/**
 * Deploys the contracts, gives each role to those who are to hold it, hands the manager to its admins and renounces the
 * deployer's own power. Each step looks first whether it is done: a run that was interrupted goes on where it stopped,
 * and a run on a whole deployment sends nothing.
 */
import type { ArtifactName, MethodOf } from '@coldproof/contracts';
import type { Address } from '../chain-abi.ts';
import { OperatingError } from '../operating-error.ts';
import type { AddressFile } from './address-file.ts';
import type { Ledger } from './ledger.ts';
import { roleIds, type HeldRole, type Plan, type Role } from './plan.ts';

type Say = (line: string) => void;

/** The constructor's arguments, from what stands already. In this order, each names only what is above it. */
const contracts: readonly {
  readonly name: ArtifactName;
  readonly args: (at: (name: ArtifactName) => Address, plan: Plan, deployer: Address) => readonly unknown[];
}[] = [
  { name: 'AccessManager', args: (_at, _plan, deployer) => [deployer] },
  { name: 'DeviceRegistry', args: () => [] },
  { name: 'CryptletRegistry', args: () => [] },
  { name: 'Fleet', args: (at) => [at('AccessManager')] },
  { name: 'Agreements', args: (at) => [at('CryptletRegistry')] },
  {
    name: 'Shipments',
    args: (at) => [at('AccessManager'), at('Agreements'), at('DeviceRegistry'), at('Fleet')],
  },
  {
    name: 'OracleSet',
    args: (at, { oracles }) => [at('AccessManager'), sorted(oracles.signers), oracles.f],
  },
  { name: 'Silence', args: (at) => [at('Shipments')] },
  { name: 'Disputes', args: (at) => [at('OracleSet'), at('Shipments')] },
  { name: 'AnchorLog', args: (at) => [at('OracleSet')] },
  { name: 'CargoCover', args: (at) => [at('Shipments')] },
  { name: 'Reconciliation', args: (at) => [at('Shipments')] },
];

/** The methods that ask the manager, and the role that may call each. */
const gates: readonly Gate[] = [
  gate('reporter', 'Fleet', 'openTicket'),
  gate('registrar', 'Fleet', 'registerWorkshop'),
  gate('guardian', 'Shipments', 'pause'),
  gate('guardian', 'Shipments', 'unpause'),
  gate('approver', 'Shipments', 'approveHeld'),
  gate('risk', 'Shipments', 'setBreaker'),
  gate('consortium', 'OracleSet', 'configure'),
];

/** Whose announced calls a guardian may call off. */
const guarded = ['consortium', 'risk'] as const satisfies readonly HeldRole[];

type Gate = {
  readonly role: Role;
  readonly contract: ArtifactName;
  readonly selector: (ledger: Ledger) => string;
};

function gate<Name extends ArtifactName>(role: Role, contract: Name, method: MethodOf<Name>): Gate {
  return { role, contract, selector: (ledger) => ledger.selector(contract, method) };
}

/** An order of their own, so that the same signers make the same deployment. */
function sorted(accounts: readonly Address[]): Address[] {
  return [...accounts].sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1));
}

export async function deploy(plan: Plan, ledger: Ledger, file: AddressFile, say: Say): Promise<void> {
  requireOthers(plan, ledger.account);
  await ledger.checkChainId();
  const addresses = new Map<ArtifactName, Address>();
  const at = (name: ArtifactName): Address => addresses.get(name)!;
  for (const { name, args } of contracts) {
    addresses.set(name, await stand(name, args(at, plan, ledger.account), ledger, file, say));
  }
  const manager = new Manager(ledger, at('AccessManager'), say);
  for (const { role, contract, selector } of gates) {
    await manager.gate(at(contract), selector(ledger), roleIds[role], `${contract} to ${role}`);
  }
  for (const role of guarded) await manager.guard(roleIds[role], roleIds.guardian, role);
  await manager.grant(roleIds.reporter, at('Shipments'), 0, 'reporter');
  // The admins last: until then an interrupted run can go on.
  for (const role of ['guardian', 'approver', 'consortium', 'registrar', 'risk', 'admin'] as const) {
    const { accounts, delaySec } = plan.holders[role];
    for (const account of accounts) await manager.grant(roleIds[role], account, delaySec, role);
  }
  await manager.renounce();
}

/** The deployer's key is used once, on a machine that is on the network: it is to hold nothing afterwards. */
function requireOthers({ holders, oracles }: Plan, deployer: Address): void {
  const named = [...Object.values(holders).flatMap(({ accounts }) => accounts), ...oracles.signers];
  if (!named.some((account) => account.toLowerCase() === deployer.toLowerCase())) return;
  const message = `the plan gives a power to ${deployer}, which deploys: name another account`;
  throw new OperatingError('config-invalid', message, { retry: 'never' });
}

/** The address is on disk before the transaction is sent, so that a run that ends in between leaves no stray. */
async function stand(
  name: ArtifactName,
  args: readonly unknown[],
  ledger: Ledger,
  file: AddressFile,
  say: Say,
): Promise<Address> {
  const { calldata, digest } = ledger.creation(name, args);
  const known = file.get(name);
  if (known !== undefined && (await isStanding(name, known, digest, ledger))) {
    say(`${name} stands at ${known.address}`);
    return known.address;
  }
  if (known !== undefined) say(`${name}: nothing at ${known.address} yet`);
  const address = await ledger.nextAddress();
  // It may have been in flight until now.
  if (known !== undefined && (await isStanding(name, known, digest, ledger))) return known.address;
  file.set(name, { address, creation: digest });
  say(`${name}: deploying at ${address}`);
  await ledger.create(calldata, `deployment of ${name}`);
  return address;
}

async function isStanding(
  name: ArtifactName,
  known: { readonly address: Address; readonly creation: string },
  digest: string,
  ledger: Ledger,
): Promise<boolean> {
  const isOurs = await ledger.isContract(name, known.address);
  if (isOurs === undefined) return false;
  if (isOurs && known.creation === digest) return true;
  const message =
    `${name} at ${known.address} was deployed from another build or another plan: ` +
    'take that build and plan, or name a new file for a new deployment';
  throw new OperatingError('deployment-differs', message, { retry: 'never' });
}

/** The AccessManager: each change is made only if it is missing, and only while the deployer may. */
class Manager {
  readonly #ledger: Ledger;
  readonly #address: Address;
  readonly #say: Say;

  constructor(ledger: Ledger, address: Address, say: Say) {
    this.#ledger = ledger;
    this.#address = address;
    this.#say = say;
  }

  async gate(target: Address, selector: string, roleId: number, what: string): Promise<void> {
    const got = await this.#view('getTargetFunctionRole', [target, selector]);
    if (Number(got) === roleId) return;
    await this.#change(`gate of ${what}`, 'setTargetFunctionRole', [target, [selector], roleId]);
  }

  async guard(roleId: number, guardianId: number, what: string): Promise<void> {
    if (Number(await this.#view('getRoleGuardian', [roleId])) === guardianId) return;
    await this.#change(`guardian of ${what}`, 'setRoleGuardian', [roleId, guardianId]);
  }

  async grant(roleId: number, account: Address, delaySec: number, what: string): Promise<void> {
    const [isMember, gotSec] = await this.#membership(roleId, account);
    if (isMember && gotSec === delaySec) return;
    await this.#change(`${what} for ${account} after ${delaySec} s`, 'grantRole', [roleId, account, delaySec]);
  }

  async renounce(): Promise<void> {
    const { account } = this.#ledger;
    const [isMember] = await this.#membership(roleIds.admin, account);
    if (isMember) await this.#change(`end of ${account}'s power`, 'renounceRole', [roleIds.admin, account]);
  }

  async #membership(roleId: number, account: Address): Promise<[isMember: boolean, delaySec: number]> {
    const got = await this.#view('hasRole', [roleId, account]);
    const { isMember, executionDelay } = got as { isMember: boolean; executionDelay: number };
    return [isMember, executionDelay];
  }

  #view(method: MethodOf<'AccessManager'>, args: readonly unknown[]) {
    return this.#ledger.view('AccessManager', this.#address, method, args);
  }

  async #change(what: string, method: MethodOf<'AccessManager'>, args: readonly unknown[]): Promise<void> {
    const [isAdmin] = await this.#membership(roleIds.admin, this.#ledger.account);
    if (!isAdmin) {
      const message = `${what} is missing, and ${this.#ledger.account} is no admin: the admins alone can ${method}`;
      throw new OperatingError('deployment-differs', message, { retry: 'never' });
    }
    this.#say(what);
    await this.#ledger.send('AccessManager', this.#address, method, args);
  }
}
