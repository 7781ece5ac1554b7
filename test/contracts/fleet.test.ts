/** A truck's maintenance book: who may write what in it, when a truck is locked, and how a copy is checked. */
import t, { type Test } from 'tap';
import type { Contract, JsonRpcSigner } from 'ethers';
import type { MethodOf } from '@coldproof/contracts';
import { addressOf, call, deploy, refusal, send, startChain, type Chain, type Sent } from '../helpers/chain.ts';
import { startSec } from './fixture.ts';
import {
  bookHeadOf,
  digestInspection,
  domainOf,
  entryKinds,
  report,
  signInspection,
  signService,
  type Entry,
  type Inspection,
  type Service,
} from './truck-book.ts';

const truck = `0x${'07'.repeat(32)}`;
const zero = `0x${'00'.repeat(32)}`;
const nobody = `0x${'00'.repeat(20)}`;
const evidence = `0x${'e5'.repeat(32)}`;
const stepKmMax = 200_000;
const startKm = 214_530;
const [maintenance, repair, refrigeration] = [4, 5, 6];

const names = ['admin', 'owner', 'reporter', 'workshop', 'otherWorkshop', 'buyer', 'stranger'] as const;
type Name = (typeof names)[number];

type Truck = {
  readonly owner: string;
  readonly openTicketCount: bigint;
  readonly odometerKm: bigint;
  readonly entryCount: bigint;
  readonly offeredTo: string;
  readonly bookHead: string;
};

/** One chain for the file; each test starts from a truck that is registered, and two workshops that are. */
class Yard {
  readonly chain: Chain;
  readonly fleet: Contract;
  readonly parties: Readonly<Record<Name, JsonRpcSigner>>;
  #snapshot = '';

  private constructor(chain: Chain, fleet: Contract, parties: Record<Name, JsonRpcSigner>) {
    this.chain = chain;
    this.fleet = fleet;
    this.parties = parties;
  }

  static async open(): Promise<Yard> {
    const chain = await startChain({ startSec });
    const signers = await Promise.all(names.map((_, index) => chain.account(index)));
    const parties = Object.fromEntries(names.map((name, i) => [name, signers[i]!])) as Record<Name, JsonRpcSigner>;
    const manager = await deploy(parties.admin, 'AccessManager', [parties.admin.address]);
    const fleet = await deploy(parties.admin, 'Fleet', [manager.target]);
    const selector = (name: string): string => fleet.interface.getFunction(name)!.selector;
    await send(manager, 'setTargetFunctionRole', [fleet.target, [selector('openTicket')], 1]);
    await send(manager, 'setTargetFunctionRole', [fleet.target, [selector('registerWorkshop')], 5]);
    await send(manager, 'grantRole', [1, parties.reporter.address, 0]);
    await send(manager, 'grantRole', [5, parties.admin.address, 0]);
    const yard = new Yard(chain, fleet, parties);
    await yard.send('admin', 'registerWorkshop', [yard.address('workshop'), true]);
    await yard.send('admin', 'registerWorkshop', [yard.address('otherWorkshop'), true]);
    await yard.send('owner', 'registerTruck', [truck, startKm]);
    yard.#snapshot = await chain.snapshot();
    return yard;
  }

  async reset(): Promise<void> {
    await this.chain.revert(this.#snapshot);
    this.#snapshot = await this.chain.snapshot();
  }

  address(name: Name): string {
    return this.parties[name].address;
  }

  send(by: Name, method: MethodOf<'Fleet'>, args: readonly unknown[]): Promise<Sent> {
    return send(this.fleet, method, args, { by: this.parties[by] });
  }

  async refused(by: Name, method: MethodOf<'Fleet'>, args: readonly unknown[]): Promise<string | undefined> {
    return (await refusal(this.send(by, method, args)))?.reason;
  }

  async truck(): Promise<Truck> {
    return ((await call(this.fleet, 'truckOf', [truck])) as { toObject(): Truck }).toObject();
  }

  isLocked(): Promise<unknown> {
    return call(this.fleet, 'isLocked', [truck]);
  }

  async openTicket(orderId = 7n): Promise<bigint> {
    const { events } = await this.send('reporter', 'openTicket', [truck, orderId, evidence]);
    return events[0]!.args['ticketId'] as bigint;
  }

  /** As the workshop makes it in the second of the latest block. */
  async inspection(changes: Partial<Inspection> = {}): Promise<Inspection> {
    const nowSec = await this.chain.nowSec();
    return {
      workshop: this.address('workshop'),
      odometerKm: startKm + 12,
      inspectedAt: nowSec,
      validUntil: nowSec + 3_600,
      reportDigest: report,
      ...changes,
    };
  }

  async service(changes: Partial<Service> = {}): Promise<Service> {
    return {
      workshop: this.address('workshop'),
      kind: maintenance,
      odometerKm: startKm + 12,
      number: Number((await this.truck()).entryCount) + 1,
      reportDigest: report,
      ...changes,
    };
  }

  get domain() {
    return domainOf(addressOf(this.fleet), this.chain.chainId);
  }

  signed(by: Name, ticketId: bigint, inspection: Inspection): Promise<string> {
    return signInspection(this.parties[by], this.domain, { ...inspection, ticketId, truck });
  }
}

const yard = await Yard.open();
t.teardown(() => yard.chain.stop());

function test(name: string, run: (t: Test) => Promise<void>): void {
  void t.test(name, async (t) => {
    await yard.reset();
    await run(t);
  });
}

test('a truck is registered once, by its owner', async (t) => {
  const other = `0x${'08'.repeat(32)}`;
  t.equal(await yard.refused('owner', 'registerTruck', [zero, 0]), 'TruckIdZero');
  t.equal(await yard.refused('stranger', 'registerTruck', [truck, 0]), 'TruckAlreadyRegistered');
  await yard.send('stranger', 'registerTruck', [other, 4_294_967_295]);
  t.match(await yard.truck(), {
    owner: yard.address('owner'),
    odometerKm: BigInt(startKm),
    entryCount: 1n,
    offeredTo: nobody,
  });
});

test('workshops are registered and struck off by the registrar alone', async (t) => {
  const isWorkshop = (name: Name) => call(yard.fleet, 'isWorkshop', [yard.address(name)]);
  for (const by of ['owner', 'reporter', 'workshop', 'stranger'] as const) {
    const args = [yard.address('stranger'), true];
    t.equal(await yard.refused(by, 'registerWorkshop', args), 'AccessManagedUnauthorized', by);
  }
  t.equal(await yard.refused('admin', 'registerWorkshop', [nobody, true]), 'WorkshopZero');
  t.equal(await isWorkshop('stranger'), false);
  const { events } = await yard.send('admin', 'registerWorkshop', [yard.address('workshop'), false]);
  t.match(events, [{ name: 'WorkshopRegistered', args: { workshop: yard.address('workshop'), isActive: false } }]);
  t.equal(await isWorkshop('workshop'), false);
  t.equal(await isWorkshop('otherWorkshop'), true);
});

test('tickets are opened by the reporter alone, for trucks that are known', async (t) => {
  for (const by of ['admin', 'owner', 'workshop', 'stranger'] as const) {
    t.equal(await yard.refused(by, 'openTicket', [truck, 1n, evidence]), 'AccessManagedUnauthorized', by);
  }
  t.equal(await yard.refused('reporter', 'openTicket', [evidence, 1n, evidence]), 'TruckUnknown');
  t.equal(await call(yard.fleet, 'ticketCount'), 0n);
  t.equal(await yard.isLocked(), false);
  t.equal(await yard.refused('admin', 'setAuthority', [yard.address('admin')]), 'AccessManagedUnauthorized');
});

test('a truck is locked until a workshop has closed every ticket', async (t) => {
  const [first, second] = [await yard.openTicket(7n), await yard.openTicket(8n)];
  t.same([first, second], [1n, 2n]);
  await yard.send('workshop', 'closeTicket', [second, await yard.inspection(), '0x']);
  t.equal(await yard.isLocked(), true, 'one is still open');
  await yard.send('workshop', 'closeTicket', [first, await yard.inspection(), '0x']);
  t.equal(await yard.isLocked(), false);
  t.equal(await yard.refused('workshop', 'closeTicket', [first, await yard.inspection(), '0x']), 'TicketAlreadyClosed');
  t.equal(await yard.refused('workshop', 'closeTicket', [3n, await yard.inspection(), '0x']), 'TicketUnknown');
  const ticket = (await call(yard.fleet, 'ticketOf', [first])) as { toObject(): unknown };
  const closedAt = BigInt(await yard.chain.nowSec());
  t.match(ticket.toObject(), { truck, orderId: 7n, closedAt, evidenceDigest: evidence, inspectionDigest: report });
});

test('anyone may enter an inspection that the workshop has signed, and no other', async (t) => {
  const [ticketId, other] = [await yard.openTicket(), await yard.openTicket()];
  const inspection = await yard.inspection();
  await yard.chain.mineAt(inspection.inspectedAt + 60);
  const signature = await yard.signed('workshop', ticketId, inspection);
  const enter = (changes: Partial<Inspection>, by = signature) =>
    yard.refused('stranger', 'closeTicket', [ticketId, { ...inspection, ...changes }, by]);
  const altered: Partial<Inspection>[] = [
    { workshop: yard.address('otherWorkshop') },
    { odometerKm: inspection.odometerKm + 1 },
    { inspectedAt: inspection.inspectedAt + 1 },
    { validUntil: inspection.validUntil + 1 },
    { reportDigest: evidence },
  ];
  for (const changes of altered) {
    t.equal(await enter(changes), 'WorkshopSignatureInvalid', `altered: ${Object.keys(changes).join()}`);
  }
  t.equal(await enter({}, '0x'), 'WorkshopSignatureInvalid', 'not signed');
  t.equal(await enter({}, await yard.signed('stranger', ticketId, inspection)), 'WorkshopSignatureInvalid', 'forged');
  const abroad = [
    { ...yard.domain, chainId: 1 },
    { ...yard.domain, verifyingContract: yard.address('stranger') },
    { ...yard.domain, name: 'Warmproof' },
    { ...yard.domain, version: '2' },
  ];
  for (const domain of abroad) {
    const foreign = await signInspection(yard.parties.workshop, domain, { ...inspection, ticketId, truck });
    t.equal(await enter({}, foreign), 'WorkshopSignatureInvalid', JSON.stringify(domain));
  }
  const replayed = await yard.refused('stranger', 'closeTicket', [other, inspection, signature]);
  t.equal(replayed, 'WorkshopSignatureInvalid', 'of another ticket');
  t.equal(await enter({}), undefined);
  t.equal(await enter({}), 'TicketAlreadyClosed', 'once');
});

test('a workshop that is a contract signs by ERC-1271', async (t) => {
  const wallet = await deploy(yard.parties.stranger, 'DigestWallet');
  await yard.send('admin', 'registerWorkshop', [wallet.target, true]);
  const ticketId = await yard.openTicket();
  const inspection = await yard.inspection({ workshop: addressOf(wallet) });
  const args = [ticketId, inspection, '0x'];
  t.equal(await yard.refused('stranger', 'closeTicket', args), 'WorkshopSignatureInvalid');
  await send(wallet, 'sign', [digestInspection(yard.domain, { ...inspection, ticketId, truck })]);
  await yard.send('stranger', 'closeTicket', args);
  t.equal(await yard.isLocked(), false);
});

test('an inspection is by a registered workshop that does not own the truck', async (t) => {
  const ticketId = await yard.openTicket();
  const close = async (by: Name) =>
    yard.refused(by, 'closeTicket', [ticketId, await yard.inspection({ workshop: yard.address(by) }), '0x']);
  t.equal(await close('stranger'), 'WorkshopNotRegistered');
  t.equal(await close('owner'), 'WorkshopNotRegistered');
  await yard.send('admin', 'registerWorkshop', [yard.address('owner'), true]);
  t.equal(await close('owner'), 'WorkshopIsOwner');
  const signature = await yard.signed('workshop', ticketId, await yard.inspection());
  const inspection = await yard.inspection();
  await yard.send('admin', 'registerWorkshop', [yard.address('workshop'), false]);
  const struckOff = await yard.refused('stranger', 'closeTicket', [ticketId, inspection, signature]);
  t.equal(struckOff, 'WorkshopNotRegistered', 'what it signed before counts no more');
  t.equal(await close('otherWorkshop'), undefined);
});

test('an inspection counts from the ticket on, until its own end, to the second', async (t) => {
  const openedAt = (await yard.chain.nowSec()) + 100;
  await yard.chain.setNextTime(openedAt);
  const ticketId = await yard.openTicket();
  const nowSec = openedAt + 50;
  const snapshots = [await yard.chain.snapshot()];
  const rows: [string | undefined, number, number][] = [
    ['InspectionTimeOutOfRange', openedAt - 1, nowSec],
    [undefined, openedAt, nowSec],
    [undefined, nowSec, nowSec],
    ['InspectionTimeOutOfRange', nowSec + 1, nowSec + 1],
    ['InspectionExpired', nowSec, nowSec - 1],
    [undefined, nowSec, nowSec + 1],
  ];
  for (const [reason, inspectedAt, validUntil] of rows) {
    const inspection = await yard.inspection({ inspectedAt, validUntil });
    await yard.chain.mineAt(nowSec - 1);
    await yard.chain.setNextTime(nowSec);
    const sent = yard.send('workshop', 'closeTicket', [ticketId, inspection, '0x']);
    t.equal((await refusal(sent))?.reason, reason, `${inspectedAt - openedAt} to ${validUntil - openedAt}`);
    await yard.chain.revert(snapshots.pop()!);
    snapshots.push(await yard.chain.snapshot());
  }
  const empty = await yard.inspection({ reportDigest: zero });
  t.equal(await yard.refused('workshop', 'closeTicket', [ticketId, empty, '0x']), 'ReportDigestZero');
});

test('the odometer never runs backwards, nor further than a truck drives', async (t) => {
  const readings: [string | undefined, number][] = [
    ['OdometerBackwards', startKm - 1],
    [undefined, startKm],
    [undefined, startKm + stepKmMax],
    ['OdometerTooFar', startKm + stepKmMax + 1],
    ['OdometerTooFar', 4_294_967_295],
    ['OdometerBackwards', 0],
  ];
  const ticketId = await yard.openTicket();
  const snapshots = [await yard.chain.snapshot()];
  for (const [reason, odometerKm] of readings) {
    const inspection = await yard.inspection({ odometerKm });
    const closing = await refusal(yard.send('workshop', 'closeTicket', [ticketId, inspection, '0x']));
    t.equal(closing?.reason, reason, `an inspection at ${odometerKm} km`);
    if (reason !== undefined) t.equal(closing?.args[0], BigInt(odometerKm));
    await yard.chain.revert(snapshots.pop()!);
    snapshots.push(await yard.chain.snapshot());
    const service = await yard.service({ odometerKm });
    t.equal(
      await yard.refused('workshop', 'addService', [truck, service, '0x']),
      reason,
      `a service at ${odometerKm} km`,
    );
    t.equal((await yard.truck()).odometerKm, BigInt(reason === undefined ? odometerKm : startKm));
    await yard.chain.revert(snapshots.pop()!);
    snapshots.push(await yard.chain.snapshot());
  }
});

test('services are entered by the workshop, or by whoever has its signature, once and in turn', async (t) => {
  for (const kind of [maintenance, repair, refrigeration]) {
    await yard.send('workshop', 'addService', [truck, await yard.service({ kind }), '0x']);
  }
  for (const kind of [0, 1, 2, 3]) {
    const service = await yard.service({ kind });
    t.equal(await yard.refused('workshop', 'addService', [truck, service, '0x']), 'KindNotService', `kind ${kind}`);
  }
  const service = await yard.service();
  const signature = await signService(yard.parties.workshop, yard.domain, { ...service, truck });
  const enter = (changes: Partial<Service>) =>
    yard.refused('stranger', 'addService', [truck, { ...service, ...changes }, signature]);
  const rows: [string, Partial<Service>][] = [
    ['WorkshopNotRegistered', { workshop: yard.address('stranger') }],
    ['WorkshopSignatureInvalid', { workshop: yard.address('otherWorkshop') }],
    ['WorkshopSignatureInvalid', { kind: repair }],
    ['WorkshopSignatureInvalid', { odometerKm: service.odometerKm + 1 }],
    ['WorkshopSignatureInvalid', { reportDigest: evidence }],
    ['ReportDigestZero', { reportDigest: zero }],
    ['EntryNumberNotNext', { number: service.number + 1 }],
    ['EntryNumberNotNext', { number: service.number - 1 }],
  ];
  for (const [reason, changes] of rows) t.equal(await enter(changes), reason, Object.keys(changes).join());
  t.equal(await yard.refused('workshop', 'addService', [evidence, service, '0x']), 'TruckUnknown');
  t.equal(await enter({}), undefined);
  t.equal(await enter({}), 'EntryNumberNotNext', 'a replay');
  await yard.send('admin', 'registerWorkshop', [yard.address('owner'), true]);
  const own = await yard.service({ workshop: yard.address('owner') });
  t.equal(await yard.refused('owner', 'addService', [truck, own, '0x']), 'WorkshopIsOwner');
});

test('a truck goes to a new owner in two steps, with its book and its tickets', async (t) => {
  const offer = (by: Name, to: string) => yard.refused(by, 'offerTruck', [truck, to]);
  t.equal(await yard.refused('owner', 'offerTruck', [evidence, yard.address('buyer')]), 'TruckUnknown');
  t.equal(await yard.refused('buyer', 'acceptTruck', [evidence]), 'TruckUnknown');
  t.equal(await offer('stranger', yard.address('stranger')), 'NotTruckOwner');
  t.equal(await yard.refused('buyer', 'acceptTruck', [truck]), 'TruckNotOffered');
  t.equal(await offer('owner', yard.address('buyer')), undefined);
  t.equal(await yard.refused('stranger', 'acceptTruck', [truck]), 'TruckNotOffered');
  t.equal(await offer('owner', nobody), undefined);
  t.equal(await yard.refused('buyer', 'acceptTruck', [truck]), 'TruckNotOffered', 'the offer was taken back');
  const ticketId = await yard.openTicket();
  t.equal(await offer('owner', yard.address('buyer')), undefined);
  const before = await yard.truck();
  const { events } = await yard.send('buyer', 'acceptTruck', [truck]);
  const transferred = { from: yard.address('owner'), to: yard.address('buyer') };
  t.match(events, [{ name: 'TruckTransferred', args: transferred }, { name: 'EntryAdded' }]);
  const after = await yard.truck();
  t.match(after, { owner: yard.address('buyer'), offeredTo: nobody, openTicketCount: 1n, odometerKm: BigInt(startKm) });
  t.equal(after.entryCount, before.entryCount + 1n);
  t.equal(await yard.isLocked(), true);
  t.equal(await yard.refused('buyer', 'acceptTruck', [truck]), 'TruckNotOffered', 'once');
  t.equal(await offer('owner', yard.address('owner')), 'NotTruckOwner', 'the old owner has no say any more');
  await yard.send('admin', 'registerWorkshop', [yard.address('buyer'), true]);
  const own = await yard.inspection({ workshop: yard.address('buyer') });
  t.equal(await yard.refused('buyer', 'closeTicket', [ticketId, own, '0x']), 'WorkshopIsOwner');
  await yard.send('workshop', 'closeTicket', [ticketId, await yard.inspection(), '0x']);
  t.equal(await yard.isLocked(), false);
});

test('a copy of the book is checked by its head alone', async (t) => {
  const ticketId = await yard.openTicket();
  await yard.send('owner', 'offerTruck', [truck, yard.address('buyer')]);
  await yard.send('buyer', 'acceptTruck', [truck]);
  await yard.send('workshop', 'closeTicket', [ticketId, await yard.inspection(), '0x']);
  await yard.send('workshop', 'addService', [truck, await yard.service({ kind: refrigeration }), '0x']);
  const logs = await yard.fleet.queryFilter('EntryAdded', 0);
  const parsed = logs.map((log) => yard.fleet.interface.parseLog(log)!.args);
  const entries = parsed.map((args) => (args['entry'] as { toObject(): Entry }).toObject());
  const kinds = entries.map(({ kind }) => entryKinds[Number(kind)]);
  t.same(kinds, ['Registration', 'TicketOpening', 'Transfer', 'TicketClosing', 'RefrigerationService']);
  const authors = entries.map(({ author }) => names.find((name) => yard.address(name) === author));
  t.same(authors, ['owner', 'reporter', 'buyer', 'workshop', 'workshop']);
  t.same(parsed.map(({ number }) => number as bigint).join(), '1,2,3,4,5');
  const { bookHead, entryCount } = await yard.truck();
  t.equal(entryCount, 5n);
  parsed.forEach((args, i) => t.equal(args['bookHead'], bookHeadOf(truck, entries.slice(0, i + 1)), `entry ${i + 1}`));
  t.equal(parsed[4]!['bookHead'], bookHead);
  const without = entries.filter((_, i) => i !== 1);
  const swapped = [entries[0]!, entries[2]!, entries[1]!, ...entries.slice(3)];
  const rewound = entries.map((entry, i) => (i === 3 ? { ...entry, odometerKm: entry.odometerKm - 1n } : entry));
  for (const [name, copy] of Object.entries({ without, swapped, rewound })) {
    t.not(bookHeadOf(truck, copy), bookHead, `an entry ${name} shows`);
  }
});
