/** Tokens that call back, take a fee, lie or freeze: none moves another's money in a cover. */
import t, { type Test } from 'tap';
import { addressOf, call, deploy, refusal, send, type TokenName } from '../helpers/chain.ts';
import { capital, Insurance, orderId, payout, premium } from './insurance.ts';

/** The selector of OpenZeppelin's ReentrancyGuardReentrantCall(). */
const reentrantCall = '0x3ee5aeb5';

async function opened(t: Test, tokenName: TokenName): Promise<Insurance> {
  const insurance = await Insurance.open(tokenName);
  t.teardown(() => insurance.chain.stop());
  return insurance;
}

async function conserved(t: Test, insurance: Insurance): Promise<void> {
  const { held, owed } = await insurance.money();
  t.equal(held, owed, 'money is conserved');
}

t.test('a token that calls back finds every door shut', async (t) => {
  const insurance = await opened(t, 'ReentrantToken');
  const { cover, token } = insurance;
  const quote = await insurance.quote();
  const signature = await insurance.sign(quote);
  const doors: [string, readonly unknown[]][] = [
    ['deposit', [token.target, 1n]],
    ['withdraw', [token.target, 0n]],
    ['take', [quote, signature]],
  ];
  const calls: [string, () => Promise<unknown>][] = [
    ['deposit', () => insurance.deposit(capital)],
    ['take', () => insurance.send('buyer', 'take', [quote, signature])],
    ['withdraw', () => insurance.send('insurer', 'withdraw', [token.target, 1n])],
  ];
  for (const [during, run] of calls) {
    for (const [door, args] of doors) {
      const before = await insurance.chain.snapshot();
      await send(token, 'arm', [cover.target, cover.interface.encodeFunctionData(door, args)]);
      await run();
      t.equal(await call(token, 'hasSucceeded'), false, `${door} during ${during}`);
      t.equal(await call(token, 'answer'), reentrantCall);
      await conserved(t, insurance);
      await insurance.chain.revert(before);
    }
    await run();
  }
});

t.test('a claim in the midst of the premium pays once, and only if the premium comes', async (t) => {
  const insurance = await opened(t, 'ReentrantToken');
  const { cover, token } = insurance;
  await insurance.deposit();
  // Between Placed and the callback the order cannot end; the double says that it does all the same.
  await insurance.setOrder({ state: 'Accepted', cause: 'Excursion' });
  await send(token, 'arm', [cover.target, cover.interface.encodeFunctionData('settleClaim', [orderId])]);
  await insurance.take();
  t.equal(await call(token, 'hasSucceeded'), true);
  t.equal(await insurance.credit('buyer'), payout);
  t.equal(await insurance.credit('insurer'), capital + premium - payout);
  t.equal((await refusal(insurance.send('buyer', 'settleClaim', [orderId])))?.reason, 'PolicyNotActive');
  await conserved(t, insurance);
});

t.test('a token that takes a fee is not taken', async (t) => {
  const insurance = await opened(t, 'FeeToken');
  const refused = await refusal(insurance.deposit(1_000n));
  t.equal(refused?.reason, 'AmountReceivedNot');
  t.same(refused?.args, [990n, 1_000n]);
  const premiumTooShort = await refusal(insurance.take({ payout: premium }));
  t.equal(premiumTooShort?.reason, 'AmountReceivedNot', 'nor for a premium');
  t.equal(await insurance.policyState(), 'None');
  await conserved(t, insurance);
});

t.test('a token that answers false, or pays in and never out, holds nobody else’s money', async (t) => {
  const insurance = await opened(t, 'FrozenToken');
  await insurance.deposit();
  await insurance.take();
  await insurance.setOrder({ state: 'Cancelled', cause: 'Excursion' });
  await insurance.report();
  t.equal(await insurance.credit('buyer'), payout, 'the claim calls no token');
  t.ok(await refusal(insurance.send('buyer', 'withdraw', [insurance.token.target, payout])));
  t.equal(await insurance.credit('buyer'), payout, 'and the credit stays');
  const honest = await deploy(insurance.parties.deployer, 'TestToken');
  await send(honest, 'mint', [insurance.address('otherInsurer'), 5n]);
  await send(honest, 'approve', [insurance.cover.target, 5n], { by: insurance.parties.otherInsurer });
  await insurance.send('otherInsurer', 'deposit', [honest.target, 5n]);
  await insurance.send('otherInsurer', 'withdraw', [honest.target, 5n]);
  const lying = await deploy(insurance.parties.deployer, 'FalseToken');
  t.ok(await refusal(insurance.send('otherInsurer', 'deposit', [addressOf(lying), 5n])));
  await conserved(t, insurance);
});

t.test('a policy for another insurer’s capital, a premium that was not approved', async (t) => {
  const insurance = await opened(t, 'TestToken');
  await insurance.deposit();
  await insurance.deposit(capital, 'otherInsurer');
  const quote = await insurance.quote({ insurer: insurance.address('otherInsurer') });
  const refused = await refusal(insurance.send('buyer', 'take', [quote, await insurance.sign(quote, 'insurer')]));
  t.equal(refused?.reason, 'QuoteSignatureInvalid', 'one insurer does not sign for another');
  await send(insurance.token, 'approve', [insurance.cover.target, premium - 1n], { by: insurance.parties.buyer });
  t.ok(await refusal(insurance.take()), 'the token refuses');
  t.equal(await insurance.policyState(), 'None');
  t.equal(await insurance.reserved(), 0n);
  await conserved(t, insurance);
});
