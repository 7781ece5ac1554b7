/** Attested facts on whole orders: the real Shipments, Agreements, Fleet, and what becomes of everybody's money. */
import t, { type Test } from 'tap';
import { encodeBytes32String, id, type Contract } from 'ethers';
import type { MethodOf } from '@coldproof/contracts';
import { addressOf, call, deploy, send, type Deployed, type Sent } from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { abiEvidence, dispatchedAtSec, makeEvidence } from './fixture.ts';
import { excursionOf, Market, price, truck, type PartyName } from './market.ts';
import { OracleSigners, type Report } from './oracle-signers.ts';
import { arbitrationSec, bond, livenessSec, refusalOf } from './order-bench.ts';
import { causes, consequences, type Terms } from './terms.ts';

const cryptlet = id('a program');
const interfaceId = id('MeanKineticTemperature(int16 centiC)');
const reason = id('a decision');

class Tribunal {
  readonly market: Market;
  readonly oracles: OracleSigners;
  readonly disputes: Deployed<'Disputes'>;
  orderId = 0n;

  private constructor(market: Market, oracles: OracleSigners, disputes: Deployed<'Disputes'>) {
    this.market = market;
    this.oracles = oracles;
    this.disputes = disputes;
  }

  /** An order in transit under terms that let one program be heard. */
  static async open(t: Test, changes: Partial<Terms> = {}): Promise<Tribunal> {
    const market = await Market.open();
    t.teardown(() => market.stop());
    const { deployer } = market.parties;
    const { cryptlets, shipments, token } = market.contracts;
    await send(cryptlets, 'publish', [cryptlet, encodeBytes32String('mkt'), 1, interfaceId, id('manifest')]);
    const oracles = await OracleSigners.deploy(market.chain, deployer);
    const disputes = await deploy(deployer, 'Disputes', [oracles.contract.target, shipments.target]);
    const tribunal = new Tribunal(market, oracles, disputes);
    for (const party of ['buyer', 'supplier', 'carrier'] as const) {
      await send(token, 'mint', [market.address(party), 2n * bond]);
      await send(token, 'approve', [disputes.target, 2n * bond], { by: market.parties[party] });
    }
    const attested = {
      disputes: addressOf(disputes),
      arbiter: market.address('arbiter'),
      bond,
      livenessSecMin: livenessSec,
      arbitrationSecMax: arbitrationSec,
      cryptlets: [cryptlet],
    };
    ({ orderId: tribunal.orderId } = await market.sail(1, { attested, ...changes }));
    return tribunal;
  }

  async transmit(consumer: Contract, by: PartyName, changes: Partial<Report> = {}): Promise<string> {
    const deadline = (await this.market.chain.nowSec()) + 30 * 86_400;
    const report: Report = {
      ...{ cryptlet, consumer: addressOf(consumer), subject: this.orderId, sequence: 1n, deadline, payload: '0x' },
      ...changes,
    };
    await send(consumer, 'transmit', [report, await this.oracles.sign(report)], { by: this.market.parties[by] });
    return this.oracles.digestReport(report);
  }

  send(by: PartyName, method: MethodOf<'Disputes'>, args: readonly unknown[]): Promise<Sent> {
    return send(this.disputes, method, args, { by: this.market.parties[by] });
  }

  credit(party: PartyName): Promise<unknown> {
    return call(this.disputes, 'creditOf', [this.market.address(party), this.market.contracts.token.target]);
  }

  /** Credits of the asserter, the buyer, and of the disputer, the supplier; and that Shipments holds what it owes. */
  async ends(t: Test, buyer: bigint, supplier: bigint): Promise<void> {
    t.same([await this.credit('buyer'), await this.credit('supplier')], [buyer, supplier], 'bonds');
    t.equal(await this.market.held(), await this.market.owed(), 'escrow');
    t.equal(await this.market.balance(addressOf(this.disputes)), buyer + supplier);
  }
}

t.test('a report, disputed and upheld: cancelled, replaced, the truck to repair', async (t) => {
  const tribunal = await Tribunal.open(t);
  const { market, orderId } = tribunal;
  const digest = await tribunal.transmit(tribunal.disputes, 'buyer');
  await tribunal.send('supplier', 'dispute', [1n]);
  await tribunal.send('arbiter', 'arbitrate', [1n, true, reason]);
  const order = await market.order(orderId);
  t.match(order, { state: 'Cancelled', cause: BigInt(causes.attested), evidenceDigest: digest });
  t.match(await market.order(order.replacementId), { state: 'Placed', supplier: market.address('secondSupplier') });
  t.equal(await market.call('fleet', 'isLocked', [truck]), true);
  await tribunal.ends(t, 2n * bond, 0n);
  const token = market.contracts.token.target;
  await tribunal.send('buyer', 'withdraw', [token]);
  t.equal(await market.balance(market.address('buyer')), 3n * bond);
  await send(market.contracts.shipments, 'accept', [order.replacementId], { by: market.parties.secondSupplier });
});

t.test('a report, disputed and rejected: the order goes on and is paid', async (t) => {
  const tribunal = await Tribunal.open(t);
  const { market, orderId } = tribunal;
  await tribunal.transmit(tribunal.disputes, 'buyer');
  await tribunal.send('supplier', 'dispute', [1n]);
  await tribunal.send('arbiter', 'arbitrate', [1n, false, reason]);
  await market.deliver(orderId);
  await market.send('buyer', 'shipments', 'settle', [orderId]);
  t.equal(await market.credit('supplier'), price);
  await tribunal.ends(t, 0n, 2n * bond);
});

t.test('asserted in the last second of the claim window: settlement waits, and the fact decides', async (t) => {
  const tribunal = await Tribunal.open(t, { claimSecMax: 86_400 });
  const { market, orderId } = tribunal;
  await market.deliver(orderId);
  const claimUntil = (await market.chain.nowSec()) + 86_400;
  await market.chain.setNextTime(claimUntil);
  await tribunal.transmit(tribunal.disputes, 'buyer');
  const settle = (): Promise<Sent> => market.send('supplier', 'shipments', 'settle', [orderId]);
  const closesAt = claimUntil + livenessSec + arbitrationSec;
  await market.chain.setNextTime(claimUntil + 1);
  const refused = await refusalOf(settle());
  t.same(refused, ['DeadlineNotPassed', [orderId, BigInt(closesAt), BigInt(claimUntil + 1)]]);
  await market.chain.setNextTime(claimUntil + livenessSec + 1);
  await tribunal.send('stranger', 'conclude', [1n]);
  t.match(await market.order(orderId), { state: 'Cancelled', cause: BigInt(causes.attested) });
  await tribunal.ends(t, bond, 0n);
});

t.test('when nobody concludes, settlement is free the second after closesAt, and so are the bonds', async (t) => {
  const tribunal = await Tribunal.open(t, { claimSecMax: 0 });
  const { market, orderId } = tribunal;
  await market.deliver(orderId);
  await tribunal.transmit(tribunal.disputes, 'buyer');
  const assertedAt = await market.chain.nowSec();
  await market.chain.setNextTime(assertedAt + livenessSec + arbitrationSec + 1);
  await market.send('supplier', 'shipments', 'settle', [orderId]);
  await tribunal.send('stranger', 'lapse', [1n]);
  t.equal(await market.credit('supplier'), price);
  await tribunal.ends(t, bond, 0n);
});

t.test('evidence overtakes a dispute: the proof ends the order, and the bonds go back', async (t) => {
  const tribunal = await Tribunal.open(t);
  const { market, orderId } = tribunal;
  await tribunal.transmit(tribunal.disputes, 'buyer');
  await tribunal.send('supplier', 'dispute', [1n]);
  await market.report(orderId, excursionOf(new VoyageDevice(1)));
  const [refused] = await refusalOf(tribunal.send('arbiter', 'arbitrate', [1n, false, reason]));
  t.equal(refused, 'OrderNotOpen');
  await tribunal.send('stranger', 'lapse', [1n]);
  t.match(await market.order(orderId), { state: 'Cancelled', cause: BigInt(causes.excursion) });
  await tribunal.ends(t, bond, bond);
});

t.test("the buyer's own settlement ends the dispute", async (t) => {
  const tribunal = await Tribunal.open(t);
  const { market, orderId } = tribunal;
  await market.deliver(orderId);
  await tribunal.transmit(tribunal.disputes, 'buyer');
  await tribunal.send('supplier', 'dispute', [1n]);
  await market.send('buyer', 'shipments', 'settle', [orderId]);
  await tribunal.send('stranger', 'lapse', [1n]);
  t.equal(await market.credit('supplier'), price);
  await tribunal.ends(t, bond, bond);
});

t.test('where the terms say quarantine, an upheld fact sets the goods aside', async (t) => {
  const tribunal = await Tribunal.open(t, {
    consequence: consequences.quarantine,
    quality: { authority: `0x${'aa'.repeat(20)}`, decisionSecMax: 86_400 },
  });
  const { market, orderId } = tribunal;
  await tribunal.transmit(tribunal.disputes, 'buyer');
  await market.chain.mineAt((await market.chain.nowSec()) + livenessSec + 1);
  await tribunal.send('stranger', 'conclude', [1n]);
  t.match(await market.order(orderId), { state: 'Quarantined', cause: BigInt(causes.attested) });
  const [again] = await refusalOf(tribunal.transmit(tribunal.disputes, 'buyer', { sequence: 2n }));
  t.equal(again, 'OrderNotOpen');
  await tribunal.ends(t, bond, 0n);
});

t.test('a consumer takes the proof itself: the evidence, and nobody between', async (t) => {
  const tribunal = await Tribunal.open(t);
  const { market, orderId, oracles } = tribunal;
  const parts = [oracles.contract.target, market.contracts.shipments.target];
  const probe = await deploy(market.parties.deployer, 'ConsumerProbe', parts);
  const evidence = abiEvidence(excursionOf(new VoyageDevice(1)));
  const excursion = [...((await call(probe, 'requireProvedBy', [orderId, evidence])) as unknown[])];
  t.same(excursion, [BigInt(dispatchedAtSec), 900n, 825n]);
  const short = abiEvidence(excursionOf(new VoyageDevice(1), [15]));
  t.ok((await refusalOf(call(probe, 'requireProvedBy', [orderId, short])))[0], 'too short a run');
  t.same(await refusalOf(call(probe, 'requireProved', [orderId])), ['FactNotProved', [orderId, 0n]]);
  await market.report(orderId, excursionOf(new VoyageDevice(1)));
  await call(probe, 'requireProved', [orderId]);
});

t.test('the spoilage fund pays a farm whose order a device ended', async (t) => {
  const tribunal = await Tribunal.open(t);
  const { market, orderId, oracles } = tribunal;
  const { shipments, cryptlets, token } = market.contracts;
  const parts = [oracles.contract.target, shipments.target, cryptlets.target, cryptlet, token.target, 1_000n, 800];
  const fund = await deploy(market.parties.deployer, 'SpoilageFund', parts);
  await send(token, 'mint', [market.address('stranger'), 2_000n]);
  await send(token, 'approve', [fund.target, 2_000n], { by: market.parties.stranger });
  await send(fund, 'raise', [2_000n], { by: market.parties.stranger });
  await market.report(orderId, excursionOf(new VoyageDevice(1)));
  const { replacementId } = await market.order(orderId);
  await send(shipments, 'accept', [replacementId], { by: market.parties.secondSupplier });
  await send(fund, 'take', [replacementId]);
  t.same(await refusalOf(send(fund, 'claim', [orderId])), ['OrderNotTaken', [orderId]], 'not taken before its transit');
  t.same(await refusalOf(send(fund, 'claim', [replacementId])), ['FactNotProved', [replacementId, 0n]]);
  const [device, truckName] = [new VoyageDevice(2), encodeBytes32String('TRUCK-8')];
  await market.enrol(device);
  await market.registerTruck(truckName);
  await market.dispatch(replacementId, device, truckName);
  const fromSec = (await market.chain.nowSec()) + 60;
  await market.chain.mineAt(fromSec + 3_600);
  await market.report(replacementId, makeEvidence(device, { fromSec }));
  await send(fund, 'claim', [replacementId], { by: market.parties.stranger });
  await send(fund, 'withdraw', [], { by: market.parties.secondSupplier });
  t.equal(await market.balance(market.address('secondSupplier')), 1_000n);
});
