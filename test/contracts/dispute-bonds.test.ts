/** Where each bond of a dispute ends, to the unit and to the second, also when token, order or party is hostile. */
import t from 'tap';
import { id, ZeroHash } from 'ethers';
import type { MethodOf } from '@coldproof/contracts';
import { call, send } from '../helpers/chain.ts';
import { seeded } from '../helpers/seed.ts';
import { Court, orderId, reason, type State } from './court.ts';
import { bond, livenessSec, orderState, arbitrationSec, refusalOf, type PartyName } from './order-bench.ts';
import { orderStates } from './order-state.ts';

const attested = 4n;

/** Credits of asserter and disputer. */
async function credits(court: Court): Promise<[bigint, bigint]> {
  return [await court.credit('asserter'), await court.credit('supplier')];
}

async function concluded(court: Court): Promise<unknown[]> {
  return [...((await call(court.bench.double, 'conclusionOf', [orderId])) as unknown[])];
}

async function dispute(court: Court): Promise<void> {
  await court.transmit('asserter');
  await court.send('supplier', 'dispute', [1n]);
}

t.test('an undisputed fact ends the order, and the bond comes back', async (t) => {
  const court = await Court.open(t);
  await court.transmit('asserter');
  const { reportDigest } = await court.assertion(1n);
  await court.passLiveness(1n);
  const { events } = await court.send('stranger', 'conclude', [1n]);
  t.match(events, [{ name: 'FactUpheld', args: { assertionId: 1n, orderId, reasonDigest: ZeroHash } }]);
  t.same(await credits(court), [bond, 0n]);
  t.same(await concluded(court), [court.disputes.target, reportDigest, attested]);
});

t.test('the arbiter upholds: both bonds to the asserter, and the order ends', async (t) => {
  const court = await Court.open(t);
  await dispute(court);
  const { reportDigest } = await court.assertion(1n);
  const { events } = await court.send('arbiter', 'arbitrate', [1n, true, reason]);
  t.match(events, [{ name: 'FactUpheld', args: { assertionId: 1n, orderId, reasonDigest: reason } }]);
  t.same(await credits(court), [2n * bond, 0n]);
  t.same(await concluded(court), [court.disputes.target, reportDigest, attested]);
});

t.test('the arbiter rejects: both bonds to the disputer, and the order goes on', async (t) => {
  const court = await Court.open(t);
  await dispute(court);
  const { events } = await court.send('arbiter', 'arbitrate', [1n, false, reason]);
  t.match(events, [{ name: 'FactRejected', args: { assertionId: 1n, orderId, reasonDigest: reason } }]);
  t.same(await credits(court), [0n, 2n * bond]);
  t.equal((await concluded(court))[2], 0n);
});

t.test('a silent arbiter: each bond goes back, and nothing is concluded', async (t) => {
  const court = await Court.open(t);
  await dispute(court);
  await court.passClosing(1n);
  const { events } = await court.send('stranger', 'lapse', [1n]);
  t.match(events, [{ name: 'FactLapsed', args: { assertionId: 1n, orderId } }]);
  t.same(await credits(court), [bond, bond]);
  t.equal((await concluded(court))[2], 0n);
});

t.test('an order that ended otherwise gives the bonds back at once, and takes no decision', async (t) => {
  const court = await Court.open(t);
  const ended = orderStates.filter((each) => each !== 'InTransit' && each !== 'Delivered');
  for (const state of ended) {
    for (const isDisputed of [false, true]) {
      const snapshot = await court.bench.chain.snapshot();
      await court.transmit('asserter');
      if (isDisputed) await court.send('supplier', 'dispute', [1n]);
      else await court.passLiveness(1n);
      await court.bench.setState(orderId, state);
      const moves: [PartyName, MethodOf<'Disputes'>, unknown[]][] = isDisputed
        ? [
            ['arbiter', 'arbitrate', [1n, true, reason]],
            ['arbiter', 'arbitrate', [1n, false, reason]],
          ]
        : [['stranger', 'conclude', [1n]]];
      for (const [by, method, args] of moves) {
        const refused = await refusalOf(court.send(by, method, args));
        t.same(refused, ['OrderNotOpen', [orderId, BigInt(orderState(state))]], `${method} on ${state}`);
      }
      await court.send('stranger', 'lapse', [1n]);
      t.same(await credits(court), [bond, isDisputed ? bond : 0n], `${state}, disputed: ${isDisputed}`);
      await court.bench.chain.revert(snapshot);
    }
  }
  await court.transmit('asserter');
  await court.bench.setState(orderId, 'Cancelled');
  const late = await refusalOf(court.send('supplier', 'dispute', [1n]));
  t.same(late, ['OrderNotOpen', [orderId, BigInt(orderState('Cancelled'))]], 'nor a dispute');
});

t.test('each limit belongs to the time before, to the second', async (t) => {
  const court = await Court.open(t);
  const { chain } = court.bench;
  type Row = readonly [State, 'disputableUntil' | 'closesAt', PartyName, MethodOf<'Disputes'>, unknown[], string];
  const before: Row[] = [
    ['Asserted', 'disputableUntil', 'buyer', 'dispute', [1n], 'LivenessPassed'],
    ['Disputed', 'closesAt', 'arbiter', 'arbitrate', [1n, true, reason], 'ArbitrationPassed'],
  ];
  const after: Row[] = [
    ['Asserted', 'disputableUntil', 'stranger', 'conclude', [1n], 'LivenessNotPassed'],
    ['Asserted', 'closesAt', 'stranger', 'lapse', [1n], 'ArbitrationNotPassed'],
    ['Disputed', 'closesAt', 'stranger', 'lapse', [1n], 'ArbitrationNotPassed'],
  ];
  for (const row of [...before, ...after]) {
    const [state, limit, by, method, args, refusal] = row;
    for (const offsetSec of [-1, 0, 1]) {
      const snapshot = await chain.snapshot();
      await court.transmit('asserter');
      if (state === 'Disputed') await court.send('supplier', 'dispute', [1n]);
      const limitSec = Number((await court.assertion(1n))[limit]);
      await chain.setNextTime(limitSec + offsetSec);
      const refused = await refusalOf(court.send(by, method, args));
      const isAllowed = before.includes(row) ? offsetSec <= 0 : offsetSec > 0;
      const want = [refusal, [1n, BigInt(limitSec), BigInt(limitSec + offsetSec)]];
      t.same(refused, isAllowed ? [undefined, []] : want, `${method} on ${state}, ${offsetSec} s`);
      await chain.revert(snapshot);
    }
  }
});

t.test('a decision has a reason', async (t) => {
  const court = await Court.open(t);
  await dispute(court);
  for (const isUpheld of [true, false]) {
    t.same(await refusalOf(court.send('arbiter', 'arbitrate', [1n, isUpheld, ZeroHash])), ['ReasonZero', [1n]]);
  }
});

t.test('an order that cannot be concluded binds no bond', async (t) => {
  for (const isDisputed of [false, true]) {
    const court = await Court.open(t);
    await court.transmit('asserter');
    if (isDisputed) await court.send('supplier', 'dispute', [1n]);
    else await court.passLiveness(1n);
    await send(court.bench.double, 'setStubborn', [true]);
    const upheld = isDisputed
      ? court.send('arbiter', 'arbitrate', [1n, true, reason])
      : court.send('stranger', 'conclude', [1n]);
    t.match((await refusalOf(upheld))[0], /unknown/);
    t.equal(await court.state(1n), isDisputed ? 'Disputed' : 'Asserted');
    await court.passClosing(1n);
    await court.send('stranger', 'lapse', [1n]);
    t.same(await credits(court), [bond, isDisputed ? bond : 0n]);
  }
});

t.test('a credit is paid out once, whole, to its owner', async (t) => {
  const court = await Court.open(t);
  const token = court.bench.token.target;
  await dispute(court);
  await court.send('arbiter', 'arbitrate', [1n, false, reason]);
  const before = await court.bench.balance(court.bench.address('supplier'));
  const { events } = await court.send('supplier', 'withdraw', [token]);
  const account = court.bench.address('supplier');
  t.match(events, [{ name: 'CreditWithdrawn', args: { account, token, amount: 2n * bond } }]);
  t.equal(await court.bench.balance(account), before + 2n * bond);
  t.equal(await court.held(), 0n);
  for (const party of ['supplier', 'asserter'] as const) {
    const refused = await refusalOf(court.send(party, 'withdraw', [token]));
    t.same(refused, ['CreditZero', [court.bench.address(party), token]]);
  }
});

t.test('a token that takes a fee is refused with what came in', async (t) => {
  const court = await Court.open(t, 'FeeToken');
  t.same(await refusalOf(court.transmit('asserter')), ['AmountReceivedNot', [(bond * 99n) / 100n, bond]]);
  t.equal(await call(court.disputes, 'assertionCount'), 0n);
  t.equal(await court.held(), 0n);
});

t.test('a token that calls back from a transfer is refused by every door', async (t) => {
  const court = await Court.open(t, 'ReentrantToken');
  const { disputes, bench } = court;
  const locked = disputes.interface.getError('ReentrancyGuardReentrantCall')!.selector;
  const report = bench.report(disputes, { sequence: 99n });
  const doors: [string, unknown[]][] = [
    ['transmit', [report, await bench.oracles.sign(report)]],
    ['dispute', [1n]],
    ['conclude', [1n]],
    ['arbitrate', [1n, true, id('reason')]],
    ['lapse', [1n]],
    ['withdraw', [bench.token.target]],
  ];
  for (const [door, args] of doors) {
    const snapshot = await bench.chain.snapshot();
    await send(bench.token, 'arm', [disputes.target, disputes.interface.encodeFunctionData(door, args)]);
    await court.transmit('asserter');
    t.equal(await call(bench.token, 'hasSucceeded'), false, `${door} from within transmit`);
    t.equal(await call(bench.token, 'answer'), locked, door);
    t.equal(await court.held(), await court.owed());
    await bench.chain.revert(snapshot);
  }
});

t.test('a token that freezes stops its own holders and no decision', async (t) => {
  const court = await Court.open(t, 'FrozenToken');
  await dispute(court);
  await court.send('arbiter', 'arbitrate', [1n, true, reason]);
  t.equal(await court.state(1n), 'Upheld');
  t.match((await refusalOf(court.send('asserter', 'withdraw', [court.bench.token.target])))[0], /unknown/);
  t.same(await credits(court), [2n * bond, 0n], 'still credited');
});

t.test('bonds are conserved under any sequence of moves by anybody', async (t) => {
  const random = seeded(t, 20_260_101);
  const court = await Court.open(t);
  const { chain } = court.bench;
  const moves = ['transmit', 'dispute', 'conclude', 'arbitrate', 'lapse', 'withdraw', 'order', 'time'] as const;
  const actors = ['asserter', 'buyer', 'supplier', 'carrier', 'stranger'] as const;
  const made = new Map<string, number>();
  for (let i = 0; i < 300; i++) {
    const move = random.pick(moves);
    const by = random.pick(actors);
    const latest = (await call(court.disputes, 'latestOf', [orderId])) as bigint;
    const before = await court.state(latest);
    const run: Record<(typeof moves)[number], () => Promise<unknown>> = {
      transmit: () => court.transmit(by),
      dispute: () => court.send(by, 'dispute', [latest]),
      conclude: () => court.send(by, 'conclude', [latest]),
      arbitrate: () => court.send('arbiter', 'arbitrate', [latest, random.next() < 0.5, reason]),
      lapse: () => court.send(by, 'lapse', [latest]),
      withdraw: () => court.send(by, 'withdraw', [court.bench.token.target]),
      order: () => court.bench.setState(orderId, random.next() < 0.7 ? 'InTransit' : random.pick(orderStates)),
      time: async () =>
        chain.mineAt((await chain.nowSec()) + random.integer(1, random.next() < 0.5 ? livenessSec : arbitrationSec)),
    };
    const [refused] = await refusalOf(run[move]());
    if (refused === undefined) made.set(move, (made.get(move) ?? 0) + 1);
    const after = await court.state(latest);
    const isFinal = before === 'Upheld' || before === 'Rejected' || before === 'Lapsed';
    if (isFinal && after !== before) t.fail(`move ${i}, ${move} by ${by}: ${before} became ${after}`);
    const [held, owed] = [await court.held(), await court.owed()];
    if (held !== owed) t.fail(`move ${i}, ${move} by ${by}: holds ${held}, owes ${owed}`);
  }
  for (const move of moves) t.ok((made.get(move) ?? 0) > 0, `${move} went through ${made.get(move) ?? 0} times`);
});
