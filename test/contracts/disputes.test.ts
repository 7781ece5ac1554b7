/** STATES.md, "A dispute": each move, each one that is not there, and who may make it. */
import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { id, ZeroAddress } from 'ethers';
import { addressOf, call, type Sent } from '../helpers/chain.ts';
import { Court, orderId, reason, states, ways, type State } from './court.ts';
import {
  arbitrationSec,
  bond,
  cryptlet,
  livenessSec,
  orderState,
  partyNames,
  refusalOf,
  type PartyName,
} from './order-bench.ts';
import { orderStates } from './order-state.ts';

type Move = {
  readonly by: PartyName;
  readonly isOpen?: true;
  /** Refusal of anybody else. */
  readonly stranger?: string;
  readonly from: Partial<Record<State, State>>;
  readonly ready?: (court: Court) => Promise<void>;
  readonly run: (court: Court, by: PartyName) => Promise<Sent>;
};

const moves: Record<string, Move> = {
  dispute: {
    by: 'supplier',
    stranger: 'NotParty',
    from: { Asserted: 'Disputed' },
    run: (court, by) => court.send(by, 'dispute', [1n]),
  },
  conclude: {
    by: 'stranger',
    isOpen: true,
    from: { Asserted: 'Upheld' },
    ready: (court) => court.passLiveness(1n),
    run: (court, by) => court.send(by, 'conclude', [1n]),
  },
  'arbitrate (upheld)': {
    by: 'arbiter',
    stranger: 'NotArbiter',
    from: { Disputed: 'Upheld' },
    run: (court, by) => court.send(by, 'arbitrate', [1n, true, reason]),
  },
  'arbitrate (rejected)': {
    by: 'arbiter',
    stranger: 'NotArbiter',
    from: { Disputed: 'Rejected' },
    run: (court, by) => court.send(by, 'arbitrate', [1n, false, reason]),
  },
  lapse: {
    by: 'stranger',
    isOpen: true,
    from: { Asserted: 'Lapsed', Disputed: 'Lapsed' },
    ready: (court) => court.passClosing(1n),
    run: (court, by) => court.send(by, 'lapse', [1n]),
  },
};

t.test('STATES.md lists these moves and no other', (t) => {
  const page = readFileSync(new URL('../../../contracts/STATES.md', import.meta.url), 'utf8');
  const section = page.split('\n## ').find((each) => each.startsWith('A dispute')) ?? '';
  const listed = section.split('\n').flatMap((line) => {
    const [, from, move, , to] = line.split('|').map((cell) => cell.trim());
    return move !== undefined && move in moves ? [`${from} ${move} ${to}`] : [];
  });
  const made = Object.entries(moves).flatMap(([name, { from }]) =>
    Object.entries(from).map(([state, to]) => `${state} ${name} ${to}`),
  );
  t.same(listed.sort(), made.sort());
  t.end();
});

t.test('each move from each state', async (t) => {
  const court = await Court.open(t);
  let snapshot = await court.bench.chain.snapshot();
  for (const state of states) {
    for (const [name, move] of Object.entries(moves)) {
      await court.bench.chain.revert(snapshot);
      snapshot = await court.bench.chain.snapshot();
      await ways[state](court);
      const to = move.from[state];
      if (to !== undefined) await move.ready?.(court);
      if (to === undefined) {
        const [reason, args] = await refusalOf(move.run(court, move.by));
        t.same(
          [reason, args.slice(0, 2)],
          ['AssertionStateNot', [1n, BigInt(states.indexOf(state))]],
          `${name} on ${state}`,
        );
      } else {
        await allowed(t, court, move, name);
      }
      t.equal(await court.state(1n), to ?? state, `${name}: ${state} to ${to ?? state}`);
      t.equal(await court.held(), await court.owed(), `bonds are conserved after ${name} on ${state}`);
    }
  }
});

async function allowed(t: Test, court: Court, move: Move, name: string): Promise<void> {
  const parties = name === 'dispute' ? ['buyer', 'supplier', 'carrier'] : [move.by];
  for (const other of partyNames) {
    if (move.isOpen === true || parties.includes(other)) continue;
    const [reason, args] = await refusalOf(move.run(court, other));
    t.same([reason, args[0]], [move.stranger, court.bench.address(other)], `${name} by ${other}`);
  }
  await move.run(court, move.by);
}

t.test('an assertion is what a report says, and a bond', async (t) => {
  const court = await Court.open(t);
  const { bench, disputes } = court;
  const report = bench.report(disputes, { payload: '0x1234' });
  const reportDigest = await bench.oracles.digestReport(report);
  const { events } = await bench.transmit(disputes, report, { by: 'asserter' });
  const now = await bench.chain.nowSec();
  const asserter = bench.address('asserter');
  const disputableUntil = BigInt(now + livenessSec);
  const closesAt = disputableUntil + BigInt(arbitrationSec);
  const asserted = { assertionId: 1n, orderId, asserter, reportDigest, bond, disputableUntil };
  t.match(events, [{ name: 'FactAsserted', args: asserted }]);
  const view = { state: 1n, asserter, disputableUntil, closesAt, disputer: ZeroAddress, orderId, reportDigest };
  t.same(await court.assertion(1n), view);
  t.equal(await call(disputes, 'latestOf', [orderId]), 1n);
  t.equal(await call(bench.double, 'postponedUntilOf', [orderId]), closesAt, 'settlement waits for the last decision');
  t.equal(await court.held(), bond);
});

t.test('what cannot be asserted now is not used up', async (t) => {
  const court = await Court.open(t);
  const { bench, disputes } = court;
  const report = bench.report(disputes);
  const attempt = (by: PartyName = 'asserter') => refusalOf(bench.transmit(disputes, report, { by }));
  const broke = await attempt('stranger');
  t.equal(broke[0], '(unknown 0xfb8f41b2)', 'a stranger without a bond cannot use up the report of another');
  for (const state of orderStates.filter((each) => each !== 'InTransit' && each !== 'Delivered')) {
    await bench.setState(orderId, state);
    t.same(await attempt(), ['OrderNotOpen', [orderId, BigInt(orderState(state))]], state);
  }
  await bench.put(orderId, 'Delivered', { disputes: bench.address('stranger') });
  t.same(await attempt(), ['DisputesNot', [bench.address('stranger'), disputes.target]]);
  await bench.put(orderId, 'Delivered', { disputes: addressOf(disputes), attested: { cryptlets: [id('other')] } });
  t.same(await attempt(), ['CryptletNotBound', [cryptlet, orderId]]);
  await bench.put(orderId, 'Delivered', { disputes: addressOf(disputes) });
  t.equal(await call(disputes, 'sequenceOf', [cryptlet, orderId]), 0n);
  await bench.transmit(disputes, report, { by: 'asserter' });
  t.equal(await court.held(), bond, 'and is asserted later');
  t.same(await attempt(), ['SequenceNotForward', [1n, 1n]], 'once');
});

t.test('one live assertion of an order', async (t) => {
  const court = await Court.open(t);
  await court.transmit('asserter');
  t.same(await refusalOf(court.transmit('buyer')), ['AssertionLive', [orderId, 1n]]);
  await court.send('carrier', 'dispute', [1n]);
  t.same(await refusalOf(court.transmit('buyer')), ['AssertionLive', [orderId, 1n]]);
  await court.send('arbiter', 'arbitrate', [1n, false, reason]);
  await court.transmit('buyer');
  t.equal(await call(court.disputes, 'latestOf', [orderId]), 2n);
  t.equal(await call(court.disputes, 'assertionCount'), 2n);
  await court.bench.put(2n, 'InTransit', { disputes: addressOf(court.disputes) });
  await court.bench.transmit(court.disputes, court.bench.report(court.disputes, { subject: 2n }), { by: 'asserter' });
  t.equal(await call(court.disputes, 'latestOf', [2n]), 3n, 'and another of another order');
  t.equal(await court.held(), (await court.owed()) + bond);
});
