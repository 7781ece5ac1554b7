/** contracts/STATES.md as a table: each edge of the order's state machine, each forbidden one, and who may make it. */
import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { refusal } from '../helpers/chain.ts';
import { Market, price, quantity, type PartyName } from './market.ts';
import { modes, movesOf, prepare, reach, type Mode, type Move } from './order-moves.ts';
import { orderStates, type OrderState } from './order-state.ts';

/** States that an order under such terms comes into. */
const statesOf: Record<Mode, readonly OrderState[]> = {
  reorder: orderStates.filter((each) => each !== 'Quarantined' && each !== 'Held'),
  quarantine: orderStates.filter((each) => each !== 'Held'),
  tripped: orderStates.filter((each) => each !== 'Quarantined'),
};

const everybody: readonly PartyName[] = [
  ...(['deployer', 'buyer', 'consignee', 'carrier', 'supplier', 'secondSupplier', 'workshop', 'stranger'] as const),
  ...([
    'authority',
    'monitor',
    'disputes',
    'arbiter',
    'guardian',
    'approver',
    'secondApprover',
    'riskOfficer',
  ] as const),
];

async function opened(t: Test, mode: Mode = 'reorder'): Promise<Market> {
  const market = await Market.open();
  t.teardown(() => market.stop());
  await prepare(market, mode);
  return market;
}

t.test('STATES.md lists these moves and no other', (t) => {
  const page = readFileSync(new URL('../../../contracts/STATES.md', import.meta.url), 'utf8');
  const section = page.split('\n## ').find((each) => each.startsWith('An order'))!;
  const listed = section.split('\n').flatMap((line) => {
    const [, from, move, , to] = line.split('|').map((cell) => cell.trim());
    return move !== undefined && (orderStates as readonly string[]).includes(from!) ? [`${from} ${move} ${to}`] : [];
  });
  const made = modes.flatMap((mode) =>
    Object.entries(movesOf(mode)).flatMap(([name, { from }]) =>
      Object.entries(from).map(([state, to]) => `${state} ${name} ${to}`),
    ),
  );
  // Two that the table has with one order: the release of a delivered one, and the second approver.
  made.push('Quarantined dispose: released Delivered', 'Held approveHeld Cancelled');
  t.same(listed.sort(), [...new Set(made)].sort());
  t.end();
});

for (const mode of modes) {
  t.test(`each move from each state, when facts mean ${mode}`, async (t) => {
    const market = await opened(t, mode);
    const start = [await market.chain.snapshot()];
    for (const state of statesOf[mode]) {
      const orderId = await reach(market, state, mode);
      t.equal(await market.state(orderId), state);
      const reached = [await market.chain.snapshot()];
      for (const [name, move] of Object.entries(movesOf(mode))) {
        const to = move.from[state];
        if (move.isLate === true) await passDeadline(market, orderId);
        if (to === undefined) await forbidden(t, market, orderId, name, move, state);
        else await allowed(t, market, orderId, name, move, to);
        await market.chain.revert(reached.pop()!);
        reached.push(await market.chain.snapshot());
      }
      await market.chain.revert(start.pop()!);
      start.push(await market.chain.snapshot());
    }
  });
}

async function passDeadline(market: Market, orderId: bigint): Promise<void> {
  const deadline = Number(await market.call('shipments', 'deadlineOf', [orderId]));
  if (deadline > 0) await market.chain.mineAt(deadline + 1);
}

async function forbidden(
  t: Test,
  market: Market,
  orderId: bigint,
  name: string,
  move: Move,
  state: OrderState,
): Promise<void> {
  const before = await market.held();
  const refused = await refusal(move.run(market, orderId, move.by));
  t.equal(refused?.reason, move.own?.[state] ?? 'OrderStateNot', `${name} on ${state}`);
  if (refused?.reason === 'OrderStateNot') {
    t.same(refused.args.slice(0, 2), [orderId, BigInt(orderStates.indexOf(state))]);
  }
  t.equal(await market.state(orderId), state, `${state} stays`);
  t.equal(await market.held(), before, 'and no money has moved');
}

async function allowed(
  t: Test,
  market: Market,
  orderId: bigint,
  name: string,
  move: Move,
  to: OrderState,
): Promise<void> {
  for (const other of everybody) {
    if (move.refusedFor === undefined || other === move.by) continue;
    // The other approver is one too.
    if (name === 'approveHeld' && other === 'secondApprover') continue;
    const refused = await refusal(move.run(market, orderId, other));
    t.equal(refused?.reason, move.refusedFor, `${name} by ${other}`);
    if (move.refusedFor === 'CallerNot') t.same(refused?.args, [market.address(other), market.address(move.by)]);
  }
  const before = await market.chain.snapshot();
  await market.send('guardian', 'shipments', 'pause');
  if (name === 'dispatchOrder') {
    t.equal((await refusal(move.run(market, orderId, move.by)))?.reason, 'EnforcedPause', 'no new business in a pause');
  } else {
    await move.run(market, orderId, move.by);
    t.equal(await market.state(orderId), to, `${name}: to ${to}, in a pause too`);
  }
  await market.chain.revert(before);
  await move.run(market, orderId, move.by);
  t.equal(await market.state(orderId), to, `${name}: to ${to}`);
  t.equal(await market.held(), await market.owed(), `money is conserved after ${name}`);
}

t.test('an agreement is placed by its buyer, once, and not in a pause', async (t) => {
  const market = await opened(t);
  const agreementId = await market.agree();
  await market.fund(2n * price);
  const place = (by: PartyName, id = agreementId): Promise<unknown> => market.send(by, 'shipments', 'place', [id]);
  const wrong = await refusal(place('carrier'));
  t.same([wrong?.reason, wrong?.args], ['CallerNot', [market.address('carrier'), market.address('buyer')]]);
  t.ok(await refusal(place('buyer', agreementId + 1n)), 'there is no such agreement');
  await market.send('guardian', 'shipments', 'pause');
  t.equal((await refusal(place('buyer')))?.reason, 'EnforcedPause');
  await market.send('guardian', 'shipments', 'unpause');
  await place('buyer');
  t.equal(await market.call('shipments', 'orderOf', [agreementId]), 1n);
  const again = await refusal(place('buyer'));
  t.same([again?.reason, again?.args], ['AgreementAlreadyPlaced', [agreementId, 1n]]);
  await market.send('buyer', 'shipments', 'cancel', [1n]);
  t.equal((await refusal(place('buyer')))?.reason, 'AgreementAlreadyPlaced', 'not after its order has ended either');
  t.equal(await market.held(), price);
});

t.test('only guardians pause and unpause', async (t) => {
  const market = await opened(t);
  for (const method of ['pause', 'unpause'] as const) {
    for (const party of everybody.filter((each) => each !== 'guardian')) {
      const refused = await refusal(market.send(party, 'shipments', method));
      t.equal(refused?.reason, 'AccessManagedUnauthorized', `${method} by ${party}`);
    }
  }
});

t.test('decline asks one supplier after the other, then refunds', async (t) => {
  const market = await opened(t);
  const orderId = await market.place();
  const first = await market.send('supplier', 'shipments', 'decline', [orderId]);
  t.match(first.events, [{ name: 'OrderDeclined', args: { nextSupplier: market.address('secondSupplier') } }]);
  t.equal((await refusal(market.send('supplier', 'shipments', 'accept', [orderId])))?.reason, 'CallerNot');
  t.equal((await market.order(orderId)).supplier, market.address('secondSupplier'));
  await market.send('secondSupplier', 'shipments', 'decline', [orderId]);
  t.equal(await market.state(orderId), 'Refunded');
  t.equal(await market.credit('buyer'), price);
  t.equal(await market.held(), await market.owed());
});

t.test('the whole way to the supplier is paid to the last unit', async (t) => {
  const market = await opened(t);
  await reach(market, 'Settled', 'reorder');
  const token = market.contracts.token.target;
  t.equal(await market.credit('supplier'), price);
  await market.send('supplier', 'shipments', 'withdraw', [token]);
  t.equal(await market.balance(market.address('supplier')), price);
  t.equal(await market.held(), 0n);
  const again = await refusal(market.send('supplier', 'shipments', 'withdraw', [token]));
  t.equal(again?.reason, 'CreditZero');
});

t.test('goods are taken over whole or not at all', async (t) => {
  const market = await opened(t);
  const orderId = await reach(market, 'InTransit', 'reorder');
  for (const got of [0n, quantity - 1n, quantity + 1n]) {
    const refused = await refusal(market.send('consignee', 'shipments', 'deliver', [orderId, got]));
    t.same([refused?.reason, refused?.args], ['PartDelivery', [got, quantity]]);
    const signature = await market.signDelivery(orderId, got);
    const signed = await refusal(market.send('carrier', 'shipments', 'deliverSigned', [orderId, got, signature]));
    t.same([signed?.reason, signed?.args], ['PartDelivery', [got, quantity]], 'signed');
  }
  t.equal(await market.state(orderId), 'InTransit');
});

t.test('a delivery is signed by the consignee, for one order and its quantity', async (t) => {
  const market = await opened(t);
  const orderId = await reach(market, 'InTransit', 'reorder');
  const rows: [string, Promise<string>][] = [
    ['by the buyer', market.signDelivery(orderId, quantity, 'buyer')],
    ['of another order', market.signDelivery(orderId + 1n, quantity)],
    ['of another quantity', market.signDelivery(orderId, quantity - 1n)],
    ['empty', Promise.resolve('0x')],
  ];
  for (const [name, signature] of rows) {
    const args = [orderId, quantity, await signature];
    const refused = await refusal(market.send('carrier', 'shipments', 'deliverSigned', args));
    const digest = await market.call('shipments', 'digestDelivery', [orderId, quantity]);
    t.same(
      [refused?.reason, refused?.args],
      ['ConsigneeSignatureInvalid', [market.address('consignee'), digest]],
      name,
    );
  }
  const { events } = await market.send('carrier', 'shipments', 'deliverSigned', [
    orderId,
    quantity,
    await market.signDelivery(orderId, quantity),
  ]);
  t.match(events, [{ name: 'OrderDelivered', args: { consignee: market.address('consignee'), quantity } }]);
});
