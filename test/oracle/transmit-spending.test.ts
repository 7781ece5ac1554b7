/** What the transmitter may spend, and what it says when it may not. */
import { cpSync } from 'node:fs';
import t, { type Test } from 'tap';
import { realClock } from '@coldproof/oracle/clock';
import { Purse } from '@coldproof/oracle/purse';
import { committedOf, sum } from '@coldproof/oracle/transmit-fees';
import { countEvents } from './anvil.ts';
import { makeFolder } from './oracle-fixture.ts';
import { cancelledOnce, Life, roundsUntil, scene, stateOf, type Scene } from './transmit-fixture.ts';

const dayMs = 86_400_000;

const first = await scene(t, 41);
let { snapshot } = first;

/** The chain and the store as they were: one chain serves all tests here. */
async function restored(t: Test): Promise<Scene> {
  const { chain } = first.world.anvil;
  await chain.request('evm_revert', [snapshot]);
  snapshot = await chain.request<string>('evm_snapshot');
  await chain.request('evm_setAutomine', [true]);
  const folder = makeFolder(t);
  cpSync(first.folder, folder, { recursive: true });
  return { ...first, folder, snapshot };
}

t.test('over the bound of a day an action waits, is told once, and goes on when there is room', async (t) => {
  const made = await restored(t);
  let nowMs = 10 * dayMs;
  const pace = { ...realClock, nowMs: () => nowMs };
  const tight = new Life(made.world, made.folder, { pace, policy: { spendWeiMaxPerDay: 1_000_000_000n, retryMs: 0 } });
  for (let i = 0; i < 3; i++) await tight.round();
  t.match(tight.store.outbox.ofOrder(made.orderId)[0], { state: 'unstarted', reason: 'spending-cap' });
  t.equal(tight.lines.filter(({ event }) => event === 'spending-cap').length, 1, 'once');
  t.same(tight.store.outbox.feesByNonce(0), [], 'nothing was signed');
  tight.close();
  const life = new Life(made.world, made.folder, { pace, policy: { spendWeiMaxPerDay: 10n ** 18n, retryMs: 0 } });
  await roundsUntil(life, made.orderId, 'confirmed');
  const wei = sum(committedOf({ store: life.store, pace }));
  const { address } = made.world.anvil.chain.account(9);
  const balance = await life.chain.balanceWei(address);
  t.equal(balance + wei, 10_000n * 10n ** 18n, 'what it has cost, to the wei');
  nowMs += dayMs + 1;
  t.equal(sum(committedOf({ store: life.store, pace })), 0n, 'a day later it is forgotten');
  await cancelledOnce(t, made, 'paid for');
  life.close();
});

t.test('what is open counts at its most, and a dearer attempt is held back before the bound is broken', async (t) => {
  const made = await restored(t);
  await made.world.anvil.chain.request('evm_setAutomine', [false]);
  let nowMs = dayMs;
  const pace = { ...realClock, nowMs: () => nowMs };
  const probe = new Life(made.world, made.folder, { pace });
  await probe.round();
  const [attempt] = probe.store.outbox.attempts(probe.store.outbox.ofOrder(made.orderId)[0]!.id);
  const most = attempt!.gasMax * attempt!.feeWeiMax;
  t.equal(sum(committedOf({ store: probe.store, pace })), most);
  probe.close();
  // Room for one dearer attempt of 20 % more, not for two.
  const policy = { spendWeiMaxPerDay: (most * 130n) / 100n, bumpMs: 60_000, resendMs: 1_000_000, retryMs: 0 };
  const life = new Life(made.world, made.folder, { pace, policy });
  for (let i = 0; i < 12; i++) {
    nowMs += 60_000;
    await life.round();
  }
  t.equal(life.store.outbox.attempts(attempt!.actionId).length, 2);
  t.ok(life.lines.some(({ event }) => event === 'spending-cap'));
  t.ok(
    sum(committedOf({ store: life.store, pace })) <= policy.spendWeiMaxPerDay,
    'two attempts of a nonce are one cost',
  );
  await made.world.anvil.chain.request('evm_setAutomine', [true]);
  await made.world.anvil.chain.mine();
  await roundsUntil(life, made.orderId, 'confirmed');
  await cancelledOnce(t, made, 'by what was signed before');
  life.close();
});

t.test('the alarm of a balance rings once, and ends', async (t) => {
  const made = await restored(t);
  const { chain } = made.world.anvil;
  const { address } = chain.account(9);
  const life = new Life(made.world, made.folder);
  const lines: { event: string; [field: string]: unknown }[] = [];
  const log = (level: string, event: string, fields = {}) => void lines.push({ level, event, ...fields });
  const purse = new Purse(
    { chain: life.chain, store: life.store, address, pace: realClock, log },
    { balanceWeiMin: 10n ** 18n, spendWeiMaxPerDay: undefined },
  );
  t.match(purse.read(), { balanceWei: undefined, isBalanceLow: false });
  await purse.look();
  t.equal(purse.read().isBalanceLow, false);
  await chain.setWeiBalance(address, 10n ** 18n - 1n);
  await purse.look();
  await purse.look();
  t.equal(purse.read().isBalanceLow, true);
  await chain.setWeiBalance(address, 10n ** 18n);
  await purse.look();
  t.match(lines, [
    { level: 'error', event: 'transmitter-balance-low', transmitter: address, balanceGwei: 999_999_999n },
    { level: 'info', event: 'transmitter-balance-restored' },
  ]);
  life.close();
});

t.test('a nonce that a node named too high is not waited for: the lower one is taken', async (t) => {
  const made = await restored(t);
  let nowMs = dayMs;
  const pace = { ...realClock, nowMs: () => nowMs };
  const life = new Life(made.world, made.folder, { pace, policy: { retryMs: 0 } });
  const honest = life.chain.nonce.bind(life.chain);
  Object.assign(life.chain, {
    nonce: async (account: string, at: 'latest' | 'pending') => (await honest(account, at)) + 5,
  });
  await life.round();
  t.same(
    life.store.outbox.feesByNonce(0).map(({ nonce }) => nonce),
    [5],
  );
  Object.assign(life.chain, { nonce: honest });
  for (let i = 0; i < 3 && stateOf(life, made.orderId) !== 'confirmed'; i++) {
    nowMs += 60_000;
    await life.round();
  }
  await roundsUntil(life, made.orderId, 'confirmed');
  t.ok(life.lines.some(({ event }) => event === 'nonce-gap'));
  await cancelledOnce(t, made, 'with nonce 0');
  life.close();
});

t.test('a revert without a word is no reason to stop: it is looked at again', async (t) => {
  const made = await restored(t);
  const life = new Life(made.world, made.folder, { policy: { retryMs: 0 } });
  const revert = { name: '', args: {}, message: 'reverted with 0x' } as const;
  t.equal((await life.chain.preflight({ to: made.world.contracts.Fleet.address, calldata: '0x12345678' })).ok, false);
  const honest = life.chain.preflight.bind(life.chain);
  Object.assign(life.chain, { preflight: () => Promise.resolve({ ok: false, revert }) });
  await life.round();
  t.match(life.store.outbox.ofOrder(made.orderId)[0], { state: 'unstarted', reason: 'reverted with 0x' });
  t.equal(await countEvents(made.world, 'OrderCancelled'), 0);
  Object.assign(life.chain, { preflight: honest });
  await roundsUntil(life, made.orderId, 'confirmed');
  await cancelledOnce(t, made, 'in the end');
  life.close();
});
