/** The worked example: a fund that pays on proved facts and on attested ones, and never more than it has. */
import t, { type Test } from 'tap';
import { AbiCoder, encodeBytes32String, id, ZeroAddress, type Contract } from 'ethers';
import type { MethodOf } from '@coldproof/contracts';
import { addressOf, call, deploy, refusal, send, type Sent, type TokenName } from '../helpers/chain.ts';
import { cryptlet, OrderBench, orderState, partyNames, refusalOf, type PartyName } from './order-bench.ts';
import { orderStates } from './order-state.ts';

const relief = 2_000_000_000n;
const limitCentiC = 800;
const interfaceId = id('MeanKineticTemperature(int16 centiC)');
const causes = { excursion: 1, cumulativeExcursion: 2, silence: 3, attested: 4 };
const meanOf = (centiC: number): string => AbiCoder.defaultAbiCoder().encode(['int16'], [centiC]);

class Cooperative {
  readonly bench: OrderBench;
  readonly registry: Contract;
  readonly fund: Contract;

  private constructor(bench: OrderBench, registry: Contract, fund: Contract) {
    this.bench = bench;
    this.registry = registry;
    this.fund = fund;
  }

  /** The deployer is the cooperative, the supplier the farm; two reliefs are in the fund, and order 1 is accepted. */
  static async open(t: Test, tokenName?: TokenName): Promise<Cooperative> {
    const bench = await OrderBench.open(tokenName);
    t.teardown(() => bench.chain.stop());
    const registry = await deploy(bench.parties.deployer, 'CryptletRegistry');
    const name = encodeBytes32String('mean-kinetic-temperature');
    await send(registry, 'publish', [cryptlet, name, 1, interfaceId, id('manifest')]);
    const fund = await deploy(bench.parties.deployer, 'SpoilageFund', deployment(bench, registry));
    const cooperative = new Cooperative(bench, registry, fund);
    await bench.fund('stranger', fund, 2n * relief);
    await cooperative.send('stranger', 'raise', [2n * relief]);
    await bench.put(1n, 'Accepted');
    return cooperative;
  }

  send(by: PartyName, method: MethodOf<'SpoilageFund'>, args: readonly unknown[] = []): Promise<Sent> {
    return send(this.fund, method, args, { by: this.bench.parties[by] });
  }

  free(): Promise<bigint> {
    return call(this.fund, 'freeAmount') as Promise<bigint>;
  }

  credit(party: PartyName): Promise<bigint> {
    return call(this.fund, 'creditOf', [this.bench.address(party)]) as Promise<bigint>;
  }

  farmOf(orderId: bigint): Promise<unknown> {
    return call(this.fund, 'farmOf', [orderId]);
  }

  /** Free, set aside, or credited; the fund must hold just that. */
  async owed(): Promise<bigint> {
    let sum = await this.free();
    for (const orderId of [1n, 2n, 3n]) if ((await this.farmOf(orderId)) !== ZeroAddress) sum += relief;
    for (const party of partyNames) sum += await this.credit(party);
    return sum;
  }

  held(): Promise<bigint> {
    return this.bench.balance(addressOf(this.fund));
  }

  attest(sequence: bigint, centiC: number): Promise<Sent> {
    return this.bench.transmit(this.fund, this.bench.report(this.fund, { sequence, payload: meanOf(centiC) }));
  }
}

function deployment(bench: OrderBench, registry: Contract, changes: { cryptlet?: string } = {}): unknown[] {
  const contracts = [bench.oracles.contract.target, bench.double.target, registry.target];
  return [...contracts, changes.cryptlet ?? cryptlet, bench.token.target, relief, limitCentiC];
}

t.test('a proved cancellation: anybody claims, and the farm is credited, once', async (t) => {
  const cooperative = await Cooperative.open(t);
  const { bench } = cooperative;
  const farm = bench.address('supplier');
  for (const [i, cause] of [causes.excursion, causes.cumulativeExcursion, causes.silence].entries()) {
    const snapshot = await bench.chain.snapshot();
    await cooperative.send('deployer', 'take', [1n]);
    t.equal(await cooperative.farmOf(1n), farm);
    t.equal(await cooperative.free(), relief);
    await bench.put(1n, 'Cancelled', { cause });
    const { events } = await cooperative.send('stranger', 'claim', [1n]);
    t.match(events, [{ name: 'ReliefCredited', args: { orderId: 1n, farm, amount: relief } }]);
    t.same(await refusalOf(cooperative.send('stranger', 'claim', [1n])), ['OrderNotTaken', [1n]]);
    t.equal(await cooperative.held(), await cooperative.owed());
    await cooperative.send('supplier', 'withdraw');
    t.equal(await bench.balance(farm), relief, `cause ${i}`);
    t.same(await refusalOf(cooperative.send('supplier', 'withdraw')), ['CreditZero', [farm]]);
    t.equal(await cooperative.held(), await cooperative.owed());
    await bench.chain.revert(snapshot);
  }
});

t.test('nothing is claimed without a proved cancellation', async (t) => {
  const cooperative = await Cooperative.open(t);
  await cooperative.send('deployer', 'take', [1n]);
  await cooperative.bench.put(1n, 'Cancelled', { cause: causes.attested });
  const attested = await refusalOf(cooperative.send('supplier', 'claim', [1n]));
  t.same(attested, ['FactNotProved', [1n, BigInt(causes.attested)]]);
  const cancelled = BigInt(orderState('Cancelled'));
  for (const state of orderStates.filter((each) => each !== 'Cancelled')) {
    await cooperative.bench.put(1n, state, { cause: causes.excursion });
    const refused = await refusalOf(cooperative.send('supplier', 'claim', [1n]));
    t.same(refused, ['OrderStateNot', [1n, BigInt(orderState(state)), cancelled]], state);
  }
  await cooperative.bench.put(2n, 'Cancelled', { cause: causes.excursion });
  t.same(await refusalOf(cooperative.send('supplier', 'claim', [2n])), ['OrderNotTaken', [2n]], 'never taken');
});

t.test('an attested temperature above the limit, and no other, credits the farm', async (t) => {
  const cooperative = await Cooperative.open(t);
  await cooperative.send('deployer', 'take', [1n]);
  await cooperative.bench.setState(1n, 'InTransit');
  for (const [i, centiC] of [-32_768, limitCentiC - 1, limitCentiC].entries()) {
    const { events } = await cooperative.attest(BigInt(i + 1), centiC);
    t.same(
      events.map(({ name }) => name),
      ['ReportApplied'],
      `${centiC}: noted, and without effect`,
    );
  }
  const { events } = await cooperative.attest(4n, limitCentiC + 1);
  t.same(
    events.map(({ name }) => name),
    ['ReliefCredited', 'ReportApplied'],
  );
  t.equal(await cooperative.credit('supplier'), relief);
  const again = await cooperative.attest(5n, limitCentiC + 1);
  const reason = cooperative.fund.interface.encodeErrorResult('OrderNotTaken', [1n]);
  t.match(again.events, [{ name: 'ReportFailed', args: { reason } }], 'an order is relieved once');
  await cooperative.bench.put(1n, 'Cancelled', { cause: causes.excursion });
  t.same(await refusalOf(cooperative.send('supplier', 'claim', [1n])), ['OrderNotTaken', [1n]], 'on one ground');
  t.equal(await cooperative.held(), await cooperative.owed());
});

t.test('a payload that is no temperature, and a program that the fund does not know', async (t) => {
  const cooperative = await Cooperative.open(t);
  await cooperative.send('deployer', 'take', [1n]);
  const { bench, fund } = cooperative;
  for (const [i, payload] of ['0x', '0x0321', `0x${'ff'.repeat(31)}`, `0x${'00'.repeat(30)}ffff`].entries()) {
    const { events } = await bench.transmit(fund, bench.report(fund, { sequence: BigInt(i + 1), payload }));
    t.match(events, [{ name: 'ReportFailed' }], payload);
  }
  const foreign = bench.report(fund, { cryptlet: id('another program'), payload: meanOf(900) });
  t.same(await refusalOf(bench.transmit(fund, foreign)), ['CryptletNotBound', [foreign.cryptlet, 1n]]);
  t.equal(await cooperative.credit('supplier'), 0n);
});

t.test('relief is set aside before the transit, by the cooperative, while there is money', async (t) => {
  const cooperative = await Cooperative.open(t);
  const { bench } = cooperative;
  t.same(await refusalOf(cooperative.send('stranger', 'take', [1n])), ['NotCooperative', [bench.address('stranger')]]);
  const accepted = BigInt(orderState('Accepted'));
  for (const state of orderStates.filter((each) => each !== 'Accepted')) {
    await bench.setState(1n, state);
    const refused = await refusalOf(cooperative.send('deployer', 'take', [1n]));
    t.same(refused, ['OrderStateNot', [1n, BigInt(orderState(state)), accepted]], state);
  }
  for (const orderId of [1n, 2n, 3n]) await bench.put(orderId, 'Accepted');
  await cooperative.send('deployer', 'take', [1n]);
  const twice = await refusalOf(cooperative.send('deployer', 'take', [1n]));
  t.same(twice, ['OrderAlreadyTaken', [1n, bench.address('supplier')]]);
  await cooperative.send('deployer', 'draw', [1n]);
  t.same(await refusalOf(cooperative.send('deployer', 'take', [2n])), ['AmountTooLarge', [relief, relief - 1n]]);
  t.same(await refusalOf(cooperative.send('deployer', 'draw', [relief])), ['AmountTooLarge', [relief, relief - 1n]]);
  t.same(await refusalOf(cooperative.send('supplier', 'draw', [1n])), ['NotCooperative', [bench.address('supplier')]]);
  await cooperative.send('deployer', 'draw', [relief - 1n]);
  t.equal(await cooperative.free(), 0n);
  t.equal(await cooperative.held(), relief, 'what is set aside stays');
});

t.test('an order that ended without a ground frees its relief', async (t) => {
  const cooperative = await Cooperative.open(t);
  const { bench } = cooperative;
  await cooperative.send('deployer', 'take', [1n]);
  const farm = bench.address('supplier');
  for (const state of orderStates) {
    for (const cause of [0, causes.excursion, causes.attested]) {
      const snapshot = await bench.chain.snapshot();
      await bench.put(1n, state, { cause });
      const isReleasable =
        ['Settled', 'Refunded'].includes(state) || (state === 'Cancelled' && cause === causes.attested);
      if (isReleasable) {
        const { events } = await cooperative.send('stranger', 'release', [1n]);
        t.match(events, [{ name: 'OrderReleased', args: { orderId: 1n, farm } }], `${state}, cause ${cause}`);
        t.equal(await cooperative.free(), 2n * relief);
        t.same(await refusalOf(cooperative.send('stranger', 'release', [1n])), ['OrderNotTaken', [1n]]);
      } else {
        const refused = await refusalOf(cooperative.send('stranger', 'release', [1n]));
        t.same(refused, ['OrderNotReleasable', [1n, BigInt(orderState(state)), BigInt(cause)]], `${state}, ${cause}`);
      }
      t.equal(await cooperative.held(), await cooperative.owed());
      await bench.chain.revert(snapshot);
    }
  }
});

t.test('a fund is bound to a program that is in use and reports temperatures', async (t) => {
  const { bench, registry } = await Cooperative.open(t);
  const deployed = (program: string) =>
    deploy(bench.parties.deployer, 'SpoilageFund', deployment(bench, registry, { cryptlet: program }));
  const [unknown, other] = [id('unknown'), id('other')];
  await t.rejects(deployed(unknown), 'not published');
  await send(registry, 'publish', [other, encodeBytes32String('other'), 1, id('Other(bool is)'), id('manifest')]);
  await t.rejects(deployed(other), 'of another interface');
  await send(registry, 'retire', [cryptlet]);
  await t.rejects(deployed(cryptlet), 'retired');
});

t.test('a retired program still speaks to a fund that was bound to it before', async (t) => {
  const cooperative = await Cooperative.open(t);
  await cooperative.send('deployer', 'take', [1n]);
  await send(cooperative.registry, 'retire', [cryptlet]);
  await cooperative.attest(1n, limitCentiC + 1);
  t.equal(await cooperative.credit('supplier'), relief);
});

t.test('of a token that takes a fee, what arrives counts', async (t) => {
  const cooperative = await Cooperative.open(t, 'FeeToken');
  t.equal(await cooperative.free(), (2n * relief * 99n) / 100n);
  t.equal(await cooperative.held(), await cooperative.owed());
});

t.test('a token that calls back finds every door that moves money closed', async (t) => {
  const cooperative = await Cooperative.open(t, 'ReentrantToken');
  const { bench, fund } = cooperative;
  const locked = fund.interface.getError('ReentrancyGuardReentrantCall')!.selector;
  await bench.fund('stranger', fund, 3n);
  for (const [door, args] of [
    ['raise', [1n]],
    ['draw', [1n]],
    ['withdraw', []],
  ] as const) {
    await send(bench.token, 'arm', [fund.target, fund.interface.encodeFunctionData(door, args)]);
    await cooperative.send('stranger', 'raise', [1n]);
    t.equal(await call(bench.token, 'hasSucceeded'), false, door);
    t.equal(await call(bench.token, 'answer'), locked, door);
  }
  t.equal(await cooperative.held(), await cooperative.owed());
});

t.test('acting on a report takes less gas than it is given', async (t) => {
  const cooperative = await Cooperative.open(t);
  const { bench, fund } = cooperative;
  await cooperative.send('deployer', 'take', [1n]);
  const report = bench.report(fund, { payload: meanOf(limitCentiC + 1) });
  const before = await bench.chain.snapshot();
  const { gasUsed } = await bench.transmit(fund, report);
  t.ok(gasUsed < 150_000n, `${gasUsed} for all of it`);
  await bench.chain.revert(before);
  const low = await refusal(bench.transmit(fund, report, { gasLimit: 120_000n }));
  t.ok(low, 'and with less than that nothing is used');
  t.equal(await call(fund, 'sequenceOf', [cryptlet, 1n]), 0n);
});
