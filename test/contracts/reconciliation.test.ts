/** Three copies of an order: who may submit one, until when, and what is said of how they differ. */
import t, { type Test } from 'tap';
import type { Contract, JsonRpcSigner } from 'ethers';
import { call, deploy, refusal, send, startChain, type Chain, type Sent } from '../helpers/chain.ts';
import { startSec } from './fixture.ts';
import { OrderDouble, type OrderView } from './order-double.ts';
import { orderStates, type OrderState } from './order-state.ts';

const names = ['deployer', 'buyer', 'supplier', 'carrier', 'nextSupplier', 'stranger'] as const;
type Name = (typeof names)[number];

const fieldNames = ['Token', 'Price', 'Quantity', 'Goods', 'PickUp', 'Delivery', 'Limits', 'Equipment'] as const;
const orderId = 3n;
const parties = ['buyer', 'supplier', 'carrier'] as const;

/** A commitment for each field; those named in `changed` are others. */
function copyOf(changed: readonly number[] = []): string[] {
  return fieldNames.map((_, i) => `0x${(changed.includes(i) ? 0xc0 + i : 0x10 + i).toString(16).repeat(32)}`);
}

class Desk {
  readonly chain: Chain;
  readonly orders: OrderDouble;
  readonly contract: Contract;
  readonly signers: Readonly<Record<Name, JsonRpcSigner>>;
  #snapshot = '';

  private constructor(chain: Chain, orders: OrderDouble, contract: Contract, signers: Record<Name, JsonRpcSigner>) {
    this.chain = chain;
    this.orders = orders;
    this.contract = contract;
    this.signers = signers;
  }

  static async open(): Promise<Desk> {
    const chain = await startChain({ startSec });
    const accounts = await Promise.all(names.map((_, index) => chain.account(index)));
    const signers = Object.fromEntries(names.map((name, i) => [name, accounts[i]!])) as Record<Name, JsonRpcSigner>;
    const orders = await OrderDouble.deploy(signers.deployer);
    const desk = new Desk(chain, orders, await deploy(signers.deployer, 'Reconciliation', [orders.address]), signers);
    await desk.setOrder({});
    desk.#snapshot = await chain.snapshot();
    return desk;
  }

  async reset(): Promise<void> {
    await this.chain.revert(this.#snapshot);
    this.#snapshot = await this.chain.snapshot();
  }

  address(name: Name): string {
    return this.signers[name].address;
  }

  setOrder(changes: Partial<OrderView>): Promise<Sent> {
    const of = Object.fromEntries(parties.map((name) => [name, this.address(name)]));
    return this.orders.set(orderId, { ...of, ...changes });
  }

  submit(by: Name, copy = copyOf(), id = orderId): Promise<Sent> {
    return send(this.contract, 'submit', [id, copy], { by: this.signers[by] });
  }

  view(method: 'isReconciled' | 'missing', id = orderId): Promise<unknown> {
    return call(this.contract, method, [id]);
  }

  /** buyer-supplier, buyer-carrier, supplier-carrier. */
  async differences(): Promise<bigint[]> {
    return [...((await call(this.contract, 'differences', [orderId])) as Iterable<bigint>)];
  }
}

const desk = await Desk.open();
t.teardown(() => desk.chain.stop());

function test(name: string, run: (t: Test) => Promise<void>): void {
  void t.test(name, async (t) => {
    await desk.reset();
    await run(t);
  });
}

test('all three copies, and all of them equal', async (t) => {
  for (const [i, party] of parties.entries()) {
    t.equal(await desk.view('isReconciled'), false, `${i} copies`);
    await desk.submit(party);
  }
  t.equal(await desk.view('isReconciled'), true);
  t.same(await desk.differences(), [0n, 0n, 0n]);
  const kept = (await call(desk.contract, 'copyOf', [orderId, desk.address('buyer')])) as Iterable<string>;
  t.same([...kept], copyOf());
});

test('missing says who has not submitted, for each set of parties', async (t) => {
  const snapshots = [await desk.chain.snapshot()];
  for (let set = 0; set < 8; set++) {
    for (const [i, party] of parties.entries()) if ((set >> i) & 1) await desk.submit(party);
    t.equal(await desk.view('missing'), BigInt(7 - set));
    t.equal(await desk.view('isReconciled'), set === 7);
    await desk.chain.revert(snapshots.pop()!);
    snapshots.push(await desk.chain.snapshot());
  }
});

test('each field that differs is named, between each pair', async (t) => {
  for (const party of parties) await desk.submit(party);
  const pairsOf = { buyer: [1n, 1n, 0n], supplier: [1n, 0n, 1n], carrier: [0n, 1n, 1n] };
  for (const [i, field] of fieldNames.entries()) {
    for (const party of parties) {
      const { events } = await desk.submit(party, copyOf([i]));
      const expected = pairsOf[party].map((bit) => bit << BigInt(i));
      t.same(await desk.differences(), expected, `${field} of the ${party}`);
      t.same([...(events[0]!.args['differences'] as Iterable<bigint>)], expected, 'and the event says so');
      t.equal(await desk.view('isReconciled'), false);
      await desk.submit(party);
    }
  }
  t.equal(await desk.view('isReconciled'), true, 'corrected');
  await desk.submit('buyer', copyOf([0, 7]));
  await desk.submit('carrier', copyOf([3]));
  t.same(await desk.differences(), [0x81n, 0x89n, 0x08n], 'several at once');
});

test('a pair is compared once both have submitted', async (t) => {
  await desk.submit('buyer');
  t.same(await desk.differences(), [0n, 0n, 0n]);
  const { events } = await desk.submit('carrier', copyOf([1]));
  t.same(await desk.differences(), [0n, 2n, 0n]);
  t.match(events, [{ name: 'CopySubmitted', args: { orderId, party: desk.address('carrier') } }]);
  t.same([...(events[0]!.args['copy'] as Iterable<string>)], copyOf([1]));
});

test('nobody else submits', async (t) => {
  for (const by of ['stranger', 'nextSupplier', 'deployer'] as const) {
    const refused = await refusal(desk.submit(by));
    t.equal(refused?.reason, 'NotParty', by);
    t.same(refused?.args, [orderId, desk.address(by)]);
  }
});

test('copies are taken while the order is placed or accepted, and then stand', async (t) => {
  for (const party of parties) await desk.submit(party);
  for (const [number, state] of orderStates.entries()) {
    await desk.setOrder({ state });
    const refused = await refusal(desk.submit('buyer', copyOf([number % 8])));
    const isOpen = (['Placed', 'Accepted'] as OrderState[]).includes(state);
    t.equal(refused?.reason, isOpen ? undefined : 'SubmissionClosed', state);
    if (!isOpen) t.same(refused?.args, [orderId, BigInt(number)]);
    if (isOpen) await desk.submit('buyer');
    t.equal(await desk.view('isReconciled'), true, `${state}: as it was`);
  }
});

test('when the supplier changes, the next one has not submitted', async (t) => {
  for (const party of parties) await desk.submit(party);
  await desk.setOrder({ supplier: desk.address('nextSupplier') });
  t.equal(await desk.view('isReconciled'), false);
  t.equal(await desk.view('missing'), 2n);
  t.equal((await refusal(desk.submit('supplier')))?.reason, 'NotParty', 'the one that declined has no say');
  await desk.submit('nextSupplier');
  t.equal(await desk.view('isReconciled'), true);
});

test('one account in two roles submits once', async (t) => {
  await desk.setOrder({ carrier: desk.address('supplier') });
  await desk.submit('buyer');
  await desk.submit('supplier');
  t.equal(await desk.view('isReconciled'), true);
});

test('of an order that does not exist nothing is reconciled', async (t) => {
  t.equal(await desk.view('isReconciled', 9n), false);
  t.equal(await desk.view('missing', 9n), 7n);
  t.equal((await refusal(desk.submit('buyer', copyOf(), 9n)))?.reason, 'SubmissionClosed');
});
