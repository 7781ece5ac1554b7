/** Cover of a cargo: every way in and out of a policy, every way that is not one, and the money after each step. */
import t, { type Test } from 'tap';
import { addressOf, deploy, refusal, send } from '../helpers/chain.ts';
import { capital, evidence, Insurance, orderId, partyNames, payout, premium, type Quote } from './insurance.ts';
import { nobody } from './order-double.ts';
import { causes, orderStates, type Cause, type OrderState } from './order-state.ts';

const insurance = await Insurance.open();
let snapshot = await insurance.chain.snapshot();
t.teardown(() => insurance.chain.stop());

async function reset(): Promise<void> {
  await insurance.chain.revert(snapshot);
  snapshot = await insurance.chain.snapshot();
}

async function conserved(t: Test, after: string): Promise<void> {
  const { held, owed } = await insurance.money();
  t.equal(held, owed, `money is conserved after ${after}`);
}

function test(name: string, run: (t: Test) => Promise<void>): void {
  void t.test(name, async (t) => {
    await reset();
    await run(t);
    await conserved(t, name);
  });
}

test('capital is paid in and out by its own account', async (t) => {
  const token = addressOf(insurance.token);
  const { events } = await insurance.deposit();
  t.match(events, [{ name: 'CapitalDeposited', args: { account: insurance.address('insurer'), amount: capital } }]);
  await conserved(t, 'deposit');
  const refused = await refusal(insurance.send('insurer', 'withdraw', [token, capital + 1n]));
  t.equal(refused?.reason, 'CreditInsufficient');
  t.same(refused?.args, [insurance.address('insurer'), token, capital, capital + 1n]);
  for (const by of partyNames.filter((name) => name !== 'insurer')) {
    t.equal((await refusal(insurance.send(by, 'withdraw', [token, 1n])))?.reason, 'CreditInsufficient', by);
  }
  await insurance.send('insurer', 'withdraw', [token, capital - 1n]);
  await conserved(t, 'withdraw');
  t.equal(await insurance.credit('insurer'), 1n);
  t.equal((await refusal(insurance.send('insurer', 'deposit', [nobody, 1n])))?.reason, 'TokenInvalid');
});

test('a policy: premium to the insurer, payout set aside', async (t) => {
  await insurance.deposit();
  const { events } = await insurance.take();
  t.match(events, [{ name: 'PolicyTaken', args: { orderId, premium, payout } }]);
  t.equal(await insurance.credit('insurer'), capital + premium - payout);
  t.equal(await insurance.reserved(), payout);
  t.equal(await insurance.policyState(), 'Active');
  const args = [insurance.token.target, capital + premium - payout + 1n];
  t.equal(
    (await refusal(insurance.send('insurer', 'withdraw', args)))?.reason,
    'CreditInsufficient',
    'what is set aside',
  );
});

test('the pool covers every payout, to the last unit', async (t) => {
  await insurance.deposit(payout - premium - 1n);
  const refused = await refusal(insurance.take());
  t.equal(refused?.reason, 'PoolInsufficient');
  t.same(refused?.args, [payout - 1n, payout]);
  await insurance.deposit(1n);
  await insurance.take();
  t.equal(await insurance.credit('insurer'), 0n);
  await insurance.setOrder({}, 4n);
  t.equal((await refusal(insurance.take({ orderId: 4n })))?.reason, 'PoolInsufficient', 'nothing is set aside twice');
  await insurance.deposit(capital, 'otherInsurer');
  t.equal((await refusal(insurance.take({ orderId: 4n })))?.reason, 'PoolInsufficient', 'nor out of another pool');
});

test('a quote is taken by its buyer, before dispatch, as signed, once', async (t) => {
  await insurance.deposit();
  const quote = await insurance.quote();
  const signature = await insurance.sign(quote);
  const take = (changes: Partial<Quote>, by = signature) =>
    refusal(insurance.send('buyer', 'take', [{ ...quote, ...changes }, by]));
  const altered: [string, Partial<Quote>][] = [
    ['QuoteSignatureInvalid', { insurer: insurance.address('otherInsurer') }],
    ['QuoteSignatureInvalid', { insurer: nobody }],
    ['CallerNot', { buyer: insurance.address('stranger') }],
    ['QuoteSignatureInvalid', { token: insurance.orders.address }],
    ['QuoteSignatureInvalid', { premium: premium - 1n }],
    ['QuoteSignatureInvalid', { payout: payout + 1n }],
    ['QuoteSignatureInvalid', { validUntil: quote.validUntil + 1 }],
    ['OrderNotCoverable', { orderId: 9n }],
  ];
  for (const [reason, changes] of altered) {
    t.equal((await take(changes))?.reason, reason, `altered: ${Object.keys(changes).join()}`);
  }
  await insurance.setOrder({}, 4n);
  t.equal((await take({ orderId: 4n }))?.reason, 'QuoteSignatureInvalid', 'for another order');
  for (const change of [{ chainId: 1 }, { verifyingContract: nobody }, { name: 'Warmproof' }, { version: '2' }]) {
    const foreign = await insurance.sign(quote, 'insurer', { ...insurance.domain, ...change });
    t.equal((await take({}, foreign))?.reason, 'QuoteSignatureInvalid', JSON.stringify(change));
  }
  t.equal((await take({}, await insurance.sign(quote, 'stranger')))?.reason, 'QuoteSignatureInvalid', 'forged');
  await insurance.setOrder({ buyer: insurance.address('stranger') });
  t.same((await take({}))?.args, [orderId, quote.buyer, insurance.address('stranger')], 'BuyerNot');
  for (const [number, state] of orderStates.entries()) {
    if (state === 'Placed' || state === 'Accepted') continue;
    await insurance.setOrder({ state });
    const refused = await take({});
    t.equal(refused?.reason, 'OrderNotCoverable', state);
    t.same(refused?.args, [orderId, BigInt(number)]);
  }
  await insurance.setOrder({ state: 'Accepted' });
  t.equal(await take({}), undefined);
  await conserved(t, 'take');
  const again = await take({});
  t.equal(again?.reason, 'PolicyAlreadyTaken');
  t.same(again?.args, [orderId, insurance.address('insurer')]);
});

test('a quote ends after its last second', async (t) => {
  await insurance.deposit();
  const lastSec = (await insurance.chain.nowSec()) + 100;
  const quote = await insurance.quote({ validUntil: lastSec });
  const args = [quote, await insurance.sign(quote)];
  for (const [atSec, reason] of [
    [lastSec + 1, 'QuoteExpired'],
    [lastSec, undefined],
  ] as const) {
    const before = await insurance.chain.snapshot();
    await insurance.chain.mineAt(atSec - 1);
    await insurance.chain.setNextTime(atSec);
    t.equal((await refusal(insurance.send('buyer', 'take', args)))?.reason, reason, `${atSec - lastSec}`);
    if (reason !== undefined) await insurance.chain.revert(before);
  }
});

test('an insurer that is a contract signs by ERC-1271', async (t) => {
  const wallet = await deploy(insurance.parties.stranger, 'DigestWallet');
  const quote = await insurance.quote({ insurer: addressOf(wallet), payout: premium });
  const take = () => refusal(insurance.send('buyer', 'take', [quote, '0x']));
  t.equal((await take())?.reason, 'QuoteSignatureInvalid');
  await send(wallet, 'sign', [insurance.digest(quote)]);
  t.equal(await take(), undefined);
  await insurance.setOrder({ state: 'Cancelled', cause: 'Excursion' });
  await insurance.report();
});

const isClaimable = (state: OrderState, cause: Cause): boolean =>
  state !== 'Held' && (cause === 'Excursion' || cause === 'CumulativeExcursion');
const hasEnded = (state: OrderState): boolean => ['Settled', 'Cancelled', 'Refunded'].includes(state);

test('each state and cause of an order: the report, the claim and the release', async (t) => {
  await insurance.deposit();
  await insurance.take();
  let active = await insurance.chain.snapshot();
  const again = async (): Promise<void> => {
    await insurance.chain.revert(active);
    active = await insurance.chain.snapshot();
  };
  for (const [stateNumber, state] of orderStates.entries()) {
    for (const [causeNumber, cause] of causes.entries()) {
      const values = [orderId, BigInt(stateNumber), BigInt(causeNumber)];
      await again();
      await insurance.setOrder({ state, cause });
      const released = await refusal(insurance.send('stranger', 'release', [orderId]));
      const isReleasable = hasEnded(state) && !isClaimable(state, cause);
      t.equal(released?.reason, isReleasable ? undefined : 'PolicyNotReleasable', `release: ${state}, ${cause}`);
      if (!isReleasable) t.same(released?.args, values);
      t.equal(await insurance.credit('insurer'), capital + premium - (isReleasable ? 0n : payout));
      await conserved(t, 'release');
      await again();
      await insurance.setOrder({ state, cause });
      const claimed = await refusal(insurance.send('stranger', 'settleClaim', [orderId]));
      t.equal(
        claimed?.reason,
        isClaimable(state, cause) ? undefined : 'ExcursionNotProved',
        `claim: ${state}, ${cause}`,
      );
      if (!isClaimable(state, cause)) t.same(claimed?.args, values);
      await conserved(t, 'settleClaim');
      await again();
      await insurance.setOrder({ state, cause });
      await insurance.report();
      t.equal(await insurance.credit('buyer'), isClaimable(state, cause) ? payout : 0n, `report: ${state}, ${cause}`);
      await conserved(t, 'onExcursion');
    }
  }
});

test('a payout comes once, by whichever way comes first', async (t) => {
  await insurance.deposit();
  await insurance.take();
  await insurance.setOrder({ state: 'Quarantined', cause: 'Excursion' });
  const { gasUsed } = await insurance.report();
  t.ok(gasUsed < 150_000n, `${gasUsed} gas for the whole transaction`);
  const [claimed] = await insurance.cover.queryFilter('PolicyClaimed', 0);
  t.equal(insurance.cover.interface.parseLog(claimed!)!.args['evidenceDigest'], evidence);
  await insurance.report();
  const after = async (state: OrderState, cause: Cause): Promise<void> => {
    await insurance.setOrder({ state, cause });
    for (const method of ['settleClaim', 'release'] as const) {
      const refused = await refusal(insurance.send('buyer', method, [orderId]));
      t.equal(refused?.reason, 'PolicyNotActive', `${method} after ${state}`);
      t.same(refused?.args, [orderId, 2n]);
    }
  };
  await after('Quarantined', 'Excursion');
  await after('InTransit', 'Excursion');
  await after('Settled', 'None');
  t.equal(await insurance.credit('buyer'), payout, 'and stays the buyer’s, whatever the goods came to');
  const retaken = await refusal(insurance.take());
  t.equal(retaken?.reason, 'PolicyAlreadyTaken', 'and the order is not covered again');
  await insurance.send('buyer', 'withdraw', [insurance.token.target, payout]);
  t.equal(await insurance.reserved(), 0n);
  t.equal(await insurance.policyState(), 'Claimed');
});

test('what is released is not claimed any more', async (t) => {
  await insurance.deposit();
  await insurance.take();
  await insurance.setOrder({ state: 'Settled' });
  const { events } = await insurance.send('stranger', 'release', [orderId]);
  t.match(events, [{ name: 'PolicyReleased', args: { orderId, insurer: insurance.address('insurer'), payout } }]);
  await insurance.setOrder({ state: 'Cancelled', cause: 'Excursion' });
  await insurance.report();
  t.equal((await refusal(insurance.send('buyer', 'settleClaim', [orderId])))?.reason, 'PolicyNotActive');
  t.equal((await refusal(insurance.send('buyer', 'release', [orderId])))?.reason, 'PolicyNotActive', 'nor twice');
  t.equal(await insurance.credit('buyer'), 0n);
});

test('only Shipments reports, and an order without a policy is no fault', async (t) => {
  for (const by of partyNames) {
    const refused = await refusal(insurance.send(by, 'onExcursion', [orderId, evidence]));
    t.equal(refused?.reason, 'CallerNot', by);
    t.same(refused?.args, [insurance.address(by), insurance.orders.address]);
  }
  await insurance.setOrder({ state: 'Cancelled', cause: 'Excursion' });
  await insurance.report();
  t.equal(await insurance.policyState(), 'None');
  for (const method of ['settleClaim', 'release'] as const) {
    t.equal((await refusal(insurance.send('buyer', method, [orderId])))?.reason, 'PolicyNotActive', method);
  }
});
