/** What holds whatever hostile parties do: 1,000 runs of 100 random moves; and each invariant, broken, is seen. */
import t from 'tap';
import { AbiCoder, Contract, encodeBytes32String, keccak256, toBeHex } from 'ethers';
import { loadArtifact, type MethodOf } from '@coldproof/contracts';
import { abiOf, addressOf, call } from '../helpers/chain.ts';
import {
  enteredStates,
  forbiddenMoves,
  invariants,
  moves,
  sailAll,
  Voyage,
  type Invariant,
  type Outcome,
} from './voyagers.ts';

t.setTimeout(900_000);

/** Two repair what has failed, and here nothing does; one waits three days that few runs have. Others test them. */
const seldomMoves: readonly string[] = ['RequestRepair', 'RequestCover', 'ApplyHeld'];
const truck = encodeBytes32String('truck');

t.test('1,000 runs of 100 moves break no invariant, and get everywhere', async (t) => {
  const totals = await sailAll({ runs: 1_000, steps: 100, seed: 'ci', lanes: 2 });
  t.same(totals.breaches, []);
  t.equal(totals.steps, 100_000);
  for (const move of forbiddenMoves) t.equal(totals.moves[move], 0, `${move} is nobody's`);
  const expected = moves.filter((move) => !(forbiddenMoves as readonly string[]).includes(move));
  for (const move of expected.filter((each) => !seldomMoves.includes(each))) {
    t.ok(totals.moves[move]! > 0, `${move}: ${totals.moves[move]}`);
  }
  for (const state of enteredStates.slice(1)) t.ok(totals.states[state]! > 0, `${state}: ${totals.states[state]}`);
});

t.test('a run is made again from its seed', async (t) => {
  const voyage = await Voyage.open();
  t.teardown(() => voyage.stop());
  const first = await voyage.run('again', 100);
  t.same(await voyage.run('again', 100), first);
  t.notSame(await voyage.run('another', 100), first);
});

/** What is done to the world before a run's last ten moves. */
const faults: Record<Exclude<Invariant, 'None'>, (voyage: Voyage) => Promise<void>> = {
  ShipmentsMoney: async (voyage) => {
    const { supplier } = await orderOf(voyage, await anyOrder(voyage));
    await enter(voyage, 'credit', [supplier, addressOf(voyage.world.token)]);
  },
  CoverMoney: (voyage) => voyage.submit(voyage.world.token, 'mint', [addressOf(voyage.world.cover), 1]),
  DisputesMoney: (voyage) => voyage.submit(voyage.world.token, 'mint', [addressOf(voyage.world.disputes), 1]),
  OneLiveOrder: async (voyage) => enter(voyage, 'openAgain', [await orderIn(voyage, 'Placed'), 0]),
  OneReplacement: async (voyage) => {
    const orderId = await orderIn(voyage, 'Settled');
    await enter(voyage, 'openAgain', [orderId, orderId]);
  },
  TerminalStays: async (voyage) => {
    const orderId = await orderIn(voyage, 'Settled');
    await enter(voyage, 'force', [orderId, enteredStates.indexOf('Placed'), truck]);
  },
  OdometerForward: (voyage) => rewindOdometer(voyage),
  LockedTruckStays: async (voyage) => {
    const orderId = await orderIn(voyage, 'Accepted');
    await voyage.submit(voyage.world.fleet, 'openTicket', [truck, orderId, truck]);
    await enter(voyage, 'force', [orderId, enteredStates.indexOf('InTransit'), truck]);
  },
};

t.test('each invariant, broken, is seen after the next move', async (t) => {
  const voyage = await Voyage.open();
  t.teardown(() => voyage.stop());
  t.same(Object.keys(faults), invariants.slice(1));
  for (const [invariant, fault] of Object.entries(faults)) {
    const outcome = await breakOnce(voyage, fault);
    t.equal(outcome.breach, invariant, outcome.detail);
    t.equal(outcome.steps, 91, 'and stops the run');
  }
  t.equal((await voyage.run('unharmed', 100)).breach, 'None');
});

/** In the first run that has come where the fault can be made. */
async function breakOnce(voyage: Voyage, fault: (voyage: Voyage) => Promise<void>): Promise<Outcome> {
  for (let i = 0; i < 100; i++) {
    const missed: NotReached[] = [];
    const outcome = await voyage.run(`fault ${i}`, 100, () =>
      fault(voyage).catch((error: unknown) => {
        if (!(error instanceof NotReached)) throw error;
        missed.push(error);
      }),
    );
    if (missed.length === 0) return outcome;
  }
  throw new Error('no run came where the fault can be made');
}

class NotReached extends Error {}

/** Through a door that orders must not have: OrderDoors' code is in Shipments' place for a block of its own. */
async function enter(voyage: Voyage, door: MethodOf<'OrderDoors'>, args: readonly unknown[]): Promise<void> {
  const { chain, world } = voyage;
  const shipments = addressOf(world.shipments);
  const code = await chain.provider.getCode(shipments);
  await chain.provider.send('anvil_setCode', [shipments, loadArtifact('OrderDoors').deployedCode]);
  try {
    await voyage.submit(new Contract(shipments, abiOf('OrderDoors')), door, args);
    await chain.mineAt(await chain.nowSec());
  } finally {
    await chain.provider.send('anvil_setCode', [shipments, code]);
  }
}

type Order = { readonly state: bigint; readonly supplier: string };

function orderOf(voyage: Voyage, orderId: bigint): Promise<Order> {
  return call(voyage.world.shipments, 'order', [orderId]) as Promise<Order>;
}

async function orderIn(voyage: Voyage, state: (typeof enteredStates)[number]): Promise<bigint> {
  const count = (await call(voyage.world.shipments, 'orderCount')) as bigint;
  for (let orderId = 1n; orderId <= count; orderId++) {
    const order = await orderOf(voyage, orderId);
    if (enteredStates[Number(order.state)] === state) return orderId;
  }
  throw new NotReached(state);
}

async function anyOrder(voyage: Voyage): Promise<bigint> {
  if ((await call(voyage.world.shipments, 'orderCount')) === 0n) throw new NotReached('an order');
  return 1n;
}

/** The first slot of a truck: owner, open tickets, odometer and entries, from the lowest bits on. */
async function rewindOdometer(voyage: Voyage): Promise<void> {
  const { provider } = voyage.chain;
  const fleet = addressOf(voyage.world.fleet);
  const known = (await call(voyage.world.fleet, 'truckOf', [truck])) as { owner: string; odometerKm: bigint };
  if (known.odometerKm === 0n) throw new NotReached('an odometer that runs');
  for (let slot = 0; slot < 10; slot++) {
    const key = keccak256(AbiCoder.defaultAbiCoder().encode(['bytes32', 'uint256'], [truck, slot]));
    const word = BigInt(await provider.getStorage(fleet, key));
    if ((word & ((1n << 160n) - 1n)) !== BigInt(known.owner)) continue;
    const rewound = word & ~(0xffff_ffffn << 192n);
    await provider.send('anvil_setStorageAt', [fleet, key, toBeHex(rewound, 32)]);
    return;
  }
  throw new Error('the truck is nowhere in the storage');
}
