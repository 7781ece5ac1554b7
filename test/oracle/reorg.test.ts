/** A chain that forgets, a chain that somebody else was faster on, a chain that refuses. */
import { cpSync } from 'node:fs';
import t, { type Test } from 'tap';
import { bytesToHex } from '@coldproof/wire';
import { openChain } from '@coldproof/oracle/chain';
import { evidenceArgument, parseEvidence } from '@coldproof/oracle/prove';
import type { EvidenceRecord } from '@coldproof/oracle/store-outbox';
import { countEvents, dispatchOrder, makeWorld, orderState, pallets, placeAndAccept, readOrder } from './anvil.ts';
import { FaultyRpc } from './faulty-rpc.ts';
import { seeded } from '../helpers/seed.ts';
import { makeFolder, startOracle, until, warmVoyage } from './oracle-fixture.ts';
import { cancelledOnce, Life, prepare, roundsUntil, scene, stateOf, type Scene } from './transmit-fixture.ts';

t.test('reorganisations of 1 to 64 blocks: the same transaction is mined again, once', async (t) => {
  const random = seeded(t, 64);
  const made = await scene(t, 1);
  const { chain } = made.world.anvil;
  let { snapshot } = made;
  for (const depth of [1, 2, 7, random.integer(8, 63), 64]) {
    // A store of its own for each: the branches after the first are younger than what was final on it.
    const folder = makeFolder(t);
    cpSync(made.folder, folder, { recursive: true });
    const life = new Life(made.world, folder);
    await roundsUntil(life, made.orderId, 'confirmed');
    for (let i = 1; i < depth; i++) await chain.mine();
    await life.round();
    t.equal(life.store.chain.order(made.orderId)?.order.state, 'Cancelled', `${depth} deep`);
    await chain.request('evm_revert', [snapshot]);
    snapshot = await chain.request<string>('evm_snapshot');
    // The other branch is longer and different.
    for (let i = 0; i < random.integer(0, depth + 2); i++) await chain.mine();
    t.equal((await readOrder(made.world, made.orderId))['state'], orderState.inTransit);
    await life.watch.round();
    t.equal(life.store.chain.order(made.orderId)?.order.state, 'InTransit', 'the projection followed');
    t.equal(life.store.chain.order('2'), undefined, 'the replacement is gone');
    t.equal(
      life.store.chain.eventsOf(`order:${made.orderId}`).some(({ name }) => name === 'OrderCancelled'),
      false,
    );
    await roundsUntil(life, made.orderId, 'confirmed');
    await cancelledOnce(t, made, `after ${depth}`);
    t.equal(life.store.outbox.attempts(life.store.outbox.ofOrder(made.orderId)[0]!.id).length, 1, 'the same bytes');
    await chain.request('anvil_mine', ['0x80']);
    await roundsUntil(life, made.orderId, 'finalized');
    await life.watch.round();
    t.ok((life.store.chain.head()?.finalNumber ?? 0) >= life.store.chain.lastBlockOf(`order:${made.orderId}`));
    life.close();
    await chain.request('evm_revert', [snapshot]);
    snapshot = await chain.request<string>('evm_snapshot');
  }
});

t.test('the dispatch itself is taken back, and comes again at another time', async (t) => {
  const world = await makeWorld(2);
  t.teardown(() => world.anvil.stop());
  const { chain } = world.anvil;
  const beforeDispatch = await chain.request<string>('evm_snapshot');
  const { orderId, dispatchedAtSec } = await dispatchOrder(world);
  await chain.mine(dispatchedAtSec + 3_600);
  const folder = await prepare(t, world, warmVoyage(world.device, dispatchedAtSec, 3));
  const life = new Life(world, folder);
  t.equal(stateOf(life, orderId), 'unstarted');
  await chain.request('evm_revert', [beforeDispatch]);
  await life.round();
  t.equal(stateOf(life, orderId), 'unstarted', 'it waits: nothing to cancel now');
  t.equal(life.store.chain.order(orderId), undefined);
  t.equal(await placeAndAccept(world), orderId);
  // Two quarters later: the excursion was under way already.
  await chain.setNextTime(dispatchedAtSec + 2_100);
  const again = `0x${bytesToHex(world.device.device)}`;
  const truck = `0x${Buffer.from('TRUCK-7').toString('hex').padEnd(64, '0')}`;
  await chain.sendAs(chain.account(4), world.contracts.Shipments, 'dispatchOrder', [orderId, again, truck]);
  await chain.mine(dispatchedAtSec + 3_700);
  await until('the order is cancelled', async () => {
    await life.round();
    return (await readOrder(world, orderId))['state'] === orderState.cancelled;
  });
  await cancelledOnce(t, { world, orderId }, 'dispatched again');
  const actions = life.store.outbox.ofOrder(orderId);
  t.equal(actions.length, 2, 'a new dispatch is evaluated anew');
  const findings = life.store.evaluation.findings().filter(({ rule }) => rule === 'excursion');
  t.equal(findings.length, 1);
  t.ok(findings[0]!.openedAtSec >= dispatchedAtSec + 2_100, 'no sample from before dispatch');
  life.close();
});

t.test('somebody else reports first: the action is over, with nothing sent', async (t) => {
  const made = await scene(t, 3);
  const { chain } = made.world.anvil;
  const life = new Life(made.world, made.folder);
  await reportAsAnother(made, life);
  await roundsUntil(life, made.orderId, 'superseded');
  t.same(life.store.outbox.feesByNonce(0), []);
  await cancelledOnce(t, made, 'by another');
  // Their block goes; ours must come.
  await chain.request('evm_revert', [made.snapshot]);
  await roundsUntil(life, made.orderId, 'confirmed');
  await cancelledOnce(t, made, 'by us');
  await chain.request('anvil_mine', ['0x80']);
  await roundsUntil(life, made.orderId, 'finalized');
  life.close();
});

t.test('superseded while in the mempool: the revert is understood, the nonce is used up', async (t) => {
  const made = await scene(t, 4);
  const { chain } = made.world.anvil;
  await chain.request('evm_setAutomine', [false]);
  const life = new Life(made.world, made.folder);
  await life.round();
  t.equal(stateOf(life, made.orderId), 'unconfirmed');
  const action = life.store.outbox.ofOrder(made.orderId)[0]!;
  const { runs } = JSON.parse(action.evidence) as EvidenceRecord;
  const argument = evidenceArgument(parseEvidence(runs[0] as Parameters<typeof parseEvidence>[0]));
  // Account 7 pays far more, so a block takes it first.
  const calldata = life.chain.encode('Shipments', 'reportExcursion', [made.orderId, argument]);
  const transaction = { to: made.world.contracts.Shipments.address, calldata, nonce: 0, gasMax: 3_000_000n };
  const dear = { feeWeiMax: 10n ** 11n, priorityFeeWei: 10n ** 11n };
  const { raw } = await chain.account(7).sign({ ...transaction, ...dear }, chain.chainId);
  await chain.request('eth_sendRawTransaction', [raw]);
  await chain.request('evm_setAutomine', [true]);
  await chain.mine();
  await roundsUntil(life, made.orderId, 'superseded');
  await cancelledOnce(t, made, 'by the dearer one');
  t.equal(life.store.outbox.ofOrder(made.orderId)[0]!.mined, undefined);
  life.close();
});

t.test('what the contract refuses for ever is fatal, and nothing is signed', async (t) => {
  const made = await scene(t, 5);
  const { chain } = made.world.anvil;
  const { contracts, device } = made.world;
  const fate = async (): Promise<unknown> => {
    const folder = makeFolder(t);
    cpSync(made.folder, folder, { recursive: true });
    const life = new Life(made.world, folder);
    await life.round();
    const [action] = life.store.outbox.ofOrder(made.orderId);
    t.same(life.store.outbox.feesByNonce(0), []);
    life.close();
    return { state: action?.state, reason: action?.reason };
  };
  const revocation = [`0x${bytesToHex(device.device)}`, made.dispatchedAtSec + 10];
  await chain.sendAs(chain.account(4), contracts.DeviceRegistry, 'revoke', revocation);
  t.match(await fate(), { state: 'fatal', reason: /^DeviceNotValid\(/ });
  await chain.request('evm_revert', [made.snapshot]);
  await chain.sendAs(chain.account(1), contracts.Shipments, 'deliver', [made.orderId, pallets]);
  await chain.sendAs(chain.account(1), contracts.Shipments, 'settle', [made.orderId]);
  t.match(await fate(), { state: 'fatal', reason: /^OrderStateNot\(/ });
  t.equal(await countEvents(made.world, 'OrderCancelled'), 0);
});

t.test('a refusal on a branch that is gone is no refusal: the action is tried again', async (t) => {
  const made = await scene(t, 10);
  const { chain } = made.world.anvil;
  const life = new Life(made.world, made.folder);
  const revocation = [`0x${bytesToHex(made.world.device.device)}`, made.dispatchedAtSec + 10];
  await chain.sendAs(chain.account(4), made.world.contracts.DeviceRegistry, 'revoke', revocation);
  await life.round();
  t.equal(stateOf(life, made.orderId), 'fatal');
  await life.round();
  t.equal(stateOf(life, made.orderId), 'fatal', 'as long as it stands');
  await chain.request('evm_revert', [made.snapshot]);
  await chain.mine();
  await chain.mine();
  await roundsUntil(life, made.orderId, 'confirmed');
  await cancelledOnce(t, made, 'the revocation never was');
  life.close();
});

t.test('what happened on the way still ends a delivered order', async (t) => {
  const made = await scene(t, 8);
  const { chain } = made.world.anvil;
  await chain.sendAs(chain.account(1), made.world.contracts.Shipments, 'deliver', [made.orderId, pallets]);
  const life = new Life(made.world, made.folder);
  await roundsUntil(life, made.orderId, 'confirmed');
  await cancelledOnce(t, made, 'after delivery');
  life.close();
});

t.test('samples ahead of the chain wait for its clock', async (t) => {
  const world = await makeWorld(6);
  t.teardown(() => world.anvil.stop());
  const { orderId, dispatchedAtSec } = await dispatchOrder(world);
  const folder = await prepare(t, world, warmVoyage(world.device, dispatchedAtSec));
  const life = new Life(world, folder, { policy: { retryMs: 0 } });
  for (let i = 0; i < 3; i++) await life.round();
  t.match(life.store.outbox.ofOrder(orderId)[0], { state: 'unstarted', reason: /^SampleInFuture\(/ });
  await world.anvil.chain.mine(dispatchedAtSec + 4 * 900);
  await roundsUntil(life, orderId, 'confirmed');
  await cancelledOnce(t, { world, orderId }, 'in its time');
  life.close();
});

t.test('another program uses our key: its transaction takes the nonce, ours takes the next', async (t) => {
  const made = await scene(t, 7);
  const { chain } = made.world.anvil;
  await chain.request('evm_setAutomine', [false]);
  const life = new Life(made.world, made.folder);
  await life.round();
  const foreign = { to: chain.account(8).address, calldata: '0x', nonce: 0, gasMax: 50_000n };
  const dear = { feeWeiMax: 10n ** 11n, priorityFeeWei: 10n ** 11n };
  const { raw } = await chain.account(9).sign({ ...foreign, ...dear }, chain.chainId);
  await chain.request('eth_sendRawTransaction', [raw]);
  await chain.request('evm_setAutomine', [true]);
  await chain.mine();
  await roundsUntil(life, made.orderId, 'confirmed');
  t.ok(life.lines.some(({ event }) => event === 'nonce-lost'));
  const attempts = life.store.outbox.attempts(life.store.outbox.ofOrder(made.orderId)[0]!.id);
  t.same(
    attempts.map(({ nonce }) => nonce),
    [0, 1],
  );
  await cancelledOnce(t, made, 'with the next nonce');
  life.close();
});

t.test('the wrong chain is refused, at start and after an outage', async (t) => {
  const made = await scene(t, 8);
  const rpc = await FaultyRpc.open(made.world.anvil.chain.rpcUrl);
  t.teardown(() => rpc.close());
  const addresses = { Shipments: made.world.contracts.Shipments.address };
  const wrong = openChain({ rpcUrls: [rpc.url], chainId: 1, contracts: addresses });
  t.teardown(() => wrong.close());
  await t.rejects(wrong.checkChainId(), {
    code: 'chain-id-wrong',
    retry: 'never',
    message: /expected chain id 1, got 31337/,
  });
  const running = await startOracle(made.world, { folder: makeFolder(t), nowSec: 2 ** 31, rpcUrl: rpc.url });
  t.teardown(() => running.stop());
  await until('it follows the chain', () => running.store.chain.head() !== undefined);
  rpc.decide = () => 'lose-request';
  await until('the outage is seen', () => running.lines.some(({ event }) => event === 'chain-fault'));
  rpc.decide = ({ method }) => (method === 'eth_chainId' ? { result: '0x1' } : 'pass');
  t.match(await running.ended, { code: 'chain-id-wrong' });
});

t.test('a node that answers from two branches at once is not believed', async (t) => {
  const made = await scene(t, 9);
  const rpc = await FaultyRpc.open(made.world.anvil.chain.rpcUrl);
  t.teardown(() => rpc.close());
  const life = new Life(made.world, made.folder, { rpcUrl: rpc.url });
  await life.watch.round();
  const head = life.store.chain.head();
  await made.world.anvil.chain.mine();
  // The block that was read changes while its events are fetched.
  let looks = 0;
  const changed = { number: '0x7fff', hash: `0x${'ab'.repeat(32)}`, timestamp: '0x0', baseFeePerGas: '0x1' };
  rpc.decide = ({ method, params }) => {
    if (method !== 'eth_getBlockByNumber' || params[0] === 'latest' || looks++ === 0) return 'pass';
    return { result: changed };
  };
  await t.rejects(life.watch.round(), {
    code: 'chain-unreachable',
    retry: 'later',
    message: /changed while it was read/,
  });
  t.same(life.store.chain.head(), head, 'nothing of it was kept');
  rpc.decide = () => 'pass';
  await life.watch.round();
  t.equal(life.store.chain.head()?.number, (head?.number ?? 0) + 1);
  life.close();
});

t.test('an order or a device is not lost by a node that cannot read it', async (t) => {
  const made = await scene(t, 10);
  const { rpc, life } = await throughProxy(t, made);
  await reportAsAnother(made, life);
  for (const error of ['internal error', 'execution reverted', 'header not found', 'rate limit exceeded']) {
    rpc.decide = ({ method }) => (method === 'eth_call' ? { error } : 'pass');
    await t.rejects(life.watch.round(), { code: 'chain-unreachable', retry: 'later', message: /order 1 cannot be/ });
    t.equal(life.store.chain.order(made.orderId)?.order.state, 'InTransit', `${error}: as it was`);
  }
  rpc.decide = () => 'pass';
  await life.watch.round();
  t.equal(life.store.chain.order(made.orderId)?.order.state, 'Cancelled', 'read when the node can');
  const registry = made.world.contracts.DeviceRegistry.address.toLowerCase();
  const isOfRegistry = (call: unknown) => (call as { to: string }).to.toLowerCase() === registry;
  rpc.decide = ({ method, params }) =>
    method === 'eth_call' && isOfRegistry(params[0]) ? { error: 'internal error' } : 'pass';
  const newcomer = new Life(made.world, makeFolder(t), { rpcUrl: rpc.url });
  t.teardown(() => newcomer.close());
  await t.rejects(newcomer.watch.round(), { code: 'chain-unreachable', message: /device [0-9a-f]{64} cannot be read/ });
  t.equal(newcomer.store.chain.head(), undefined, 'what was not read is read again');
});

t.test('events that one of several nodes behind one URL does not have yet come with the next block', async (t) => {
  const made = await scene(t, 11);
  const { chain } = made.world.anvil;
  const { rpc, life } = await throughProxy(t, made);
  await reportAsAnother(made, life);
  rpc.decide = ({ method }) => (method === 'eth_getLogs' ? { result: [] } : 'pass');
  await life.watch.round();
  t.equal(life.store.chain.order(made.orderId)?.order.state, 'InTransit', 'the node has told of no end');
  rpc.decide = () => 'pass';
  for (let i = 0; i < 60; i++) await chain.mine();
  await life.watch.round();
  t.equal(life.store.chain.order(made.orderId)?.order.state, 'Cancelled', 'a little late');
  const late = life.lines.filter(({ event }) => event === 'event-late').map(({ name }) => name);
  t.ok(late.includes('OrderCancelled'), late.join(', '));
  await chain.mine();
  await life.watch.round();
  t.equal(life.lines.filter(({ event }) => event === 'event-late').length, late.length, 'each once');
});

t.test('a reorganisation under all that was read, and a node without a block under its own head', async (t) => {
  const made = await scene(t, 12);
  const { chain } = made.world.anvil;
  await chain.request('anvil_mine', ['0x60']);
  const snapshot = await chain.request<string>('evm_snapshot');
  await chain.mine();
  const { rpc, life } = await throughProxy(t, made, makeFolder(t));
  await life.watch.round();
  const head = life.store.chain.head()!;
  t.ok(
    head.finalNumber > 0 && head.finalNumber < head.number,
    `${head.finalNumber} of ${head.number} blocks are final`,
  );
  await chain.request('evm_revert', [snapshot]);
  await chain.request('evm_increaseTime', [30]);
  await chain.request('anvil_mine', ['0x2']);
  rpc.decide = ({ method, params }) => {
    const isHead = method === 'eth_getBlockByNumber' && Number(params[0]) === head.number;
    return isHead ? { result: null } : 'pass';
  };
  await t.rejects(life.watch.round(), { code: 'chain-unreachable', message: `the node has no block ${head.number}` });
  t.same(life.store.chain.head(), head, 'that is no reason to forget');
  rpc.decide = () => 'pass';
  await life.watch.round();
  t.equal(life.store.chain.head()?.number, head.number + 1);
  t.match(
    life.lines.find(({ event }) => event === 'chain-reorganised'),
    { from: head.finalNumber, was: head.number },
    'back to the final block',
  );
});

/** A life whose node is what the test makes of it. */
async function throughProxy(t: Test, { world, folder }: Scene, itsFolder = folder) {
  const rpc = await FaultyRpc.open(world.anvil.chain.rpcUrl);
  t.teardown(() => rpc.close());
  const life = new Life(world, itsFolder, { rpcUrl: rpc.url });
  t.teardown(() => life.close());
  return { rpc, life };
}

/** The order's end by another hand. */
async function reportAsAnother({ world, orderId }: Scene, life: Life): Promise<void> {
  const { runs } = JSON.parse(life.store.outbox.ofOrder(orderId)[0]!.evidence) as EvidenceRecord;
  const argument = evidenceArgument(parseEvidence(runs[0] as Parameters<typeof parseEvidence>[0]));
  const { chain } = world.anvil;
  await chain.sendAs(chain.account(7), world.contracts.Shipments, 'reportExcursion', [orderId, argument]);
}
