/** The outbox against crashes, a bad network and a chain that forgets: one cancellation, always. */
import { cpSync } from 'node:fs';
import t from 'tap';
import { realClock } from '@coldproof/oracle/clock';
import { seeded } from '../helpers/seed.ts';
import { CuttableLink } from '../helpers/cuttable-link.ts';
import { countEvents, type World } from './anvil.ts';
import { FaultyRpc } from './faulty-rpc.ts';
import { makeFolder, until } from './oracle-fixture.ts';
import { cancelledOnce, Crash, crashPoints, Life, roundsUntil, scene, stateOf } from './transmit-fixture.ts';

t.test('a crash at each named point, and at some second one after it', async (t) => {
  const random = seeded(t, 53);
  const made = await scene(t, 1);
  let { snapshot } = made;
  const { chain } = made.world.anvil;
  for (const first of crashPoints) {
    for (const second of [undefined, first, random.pick(crashPoints), random.pick(crashPoints)]) {
      // Chain and store as they were; a snapshot serves once.
      await chain.request('evm_revert', [snapshot]);
      snapshot = await chain.request<string>('evm_snapshot');
      const folder = makeFolder(t);
      cpSync(made.folder, folder, { recursive: true });
      t.ok(await crashes(made.world, folder, first), first);
      if (second !== undefined) await crashes(made.world, folder, second);
      const last = new Life(made.world, folder);
      await roundsUntil(last, made.orderId, 'confirmed');
      last.close();
      await cancelledOnce(t, made, `${first}, then ${second ?? 'nothing'}`);
    }
  }
});

/** Lives until it crashes there, or is done: a point that lies behind is not met again. */
async function crashes(world: World, folder: string, crashAt: (typeof crashPoints)[number]): Promise<boolean> {
  const life = new Life(world, folder, { crashAt });
  try {
    for (let i = 0; i < 4; i++) await life.round();
    return false;
  } catch (error) {
    if (!(error instanceof Crash)) throw error;
    return true;
  } finally {
    life.close();
  }
}

t.test('the answer to the send is lost, and the same bytes are sent again', async (t) => {
  const made = await scene(t, 2);
  const rpc = await FaultyRpc.open(made.world.anvil.chain.rpcUrl);
  t.teardown(() => rpc.close());
  let losses = 0;
  rpc.decide = ({ method }) => (method === 'eth_sendRawTransaction' && losses++ < 1 ? 'lose-response' : 'pass');
  const life = new Life(made.world, made.folder, { rpcUrl: rpc.url });
  await t.rejects(life.round(), { code: 'chain-unreachable', retry: 'later' });
  t.equal(stateOf(life, made.orderId), 'in-progress');
  await roundsUntil(life, made.orderId, 'confirmed');
  const sent = rpc.calls.filter(({ method }) => method === 'eth_sendRawTransaction').map(({ params }) => params[0]);
  t.ok(sent.length >= 2);
  t.equal(new Set(sent).size, 1, 'byte for byte');
  await cancelledOnce(t, made, 'lost answer');
  life.close();
});

t.test('a network that loses, doubles, refuses and times out at random', async (t) => {
  const made = await scene(t, 3);
  const rpc = await FaultyRpc.open(made.world.anvil.chain.rpcUrl);
  t.teardown(() => rpc.close());
  let turn = 0;
  const fates = ['pass', 'lose-request', 'lose-response', 'twice', { status: 500 }, { status: 429 }, 'pass'] as const;
  rpc.decide = () => fates[(turn++ * 5 + Math.floor(turn / 7)) % fates.length]!;
  const life = new Life(made.world, made.folder, { rpcUrl: rpc.url, policy: { retryMs: 0, resendMs: 0 } });
  let faults = 0;
  await until(
    'confirmed in spite of it',
    async () => {
      try {
        await life.round();
      } catch (error) {
        if (!(error instanceof Error && 'retry' in error && error.retry === 'later')) throw error;
        faults += 1;
        // Otherwise a fixed pattern of faults could meet a fixed sequence of calls for ever.
        if (faults % 40 === 0) rpc.decide = () => 'pass';
      }
      return stateOf(life, made.orderId) === 'confirmed';
    },
    20_000,
  );
  t.ok(faults > 0, `${faults} faults`);
  await cancelledOnce(t, made, 'bad network');
  life.close();
});

t.test('the chain is away and comes back', async (t) => {
  const made = await scene(t, 4);
  const link = await CuttableLink.open(made.world.anvil.port);
  t.teardown(() => link.close());
  const life = new Life(made.world, made.folder, { rpcUrl: `http://127.0.0.1:${link.port}` });
  link.cut();
  await t.rejects(life.round(), { code: 'chain-unreachable', retry: 'later' });
  t.equal(stateOf(life, made.orderId), 'unstarted', 'the verdict waits');
  link.mend();
  await roundsUntil(life, made.orderId, 'confirmed');
  await cancelledOnce(t, made, 'outage');
  life.close();
});

t.test('an attempt that is not mined gets dearer ones with the same nonce, and all of them are kept', async (t) => {
  const made = await scene(t, 5);
  const { chain } = made.world.anvil;
  await chain.request('evm_setAutomine', [false]);
  let nowMs = 1_000_000;
  const pace = { ...realClock, nowMs: () => nowMs };
  const life = new Life(made.world, made.folder, { pace, policy: { bumpMs: 60_000, resendMs: 30_000 } });
  await life.round();
  t.equal(stateOf(life, made.orderId), 'unconfirmed');
  for (let i = 0; i < 3; i++) {
    nowMs += 60_000;
    await life.round();
    await life.round();
  }
  const action = life.store.outbox.ofOrder(made.orderId)[0]!;
  const attempts = life.store.outbox.attempts(action.id);
  t.equal(attempts.length, 4);
  t.equal(new Set(attempts.map(({ nonce }) => nonce)).size, 1);
  for (const [i, { feeWeiMax, priorityFeeWei }] of attempts.slice(1).entries()) {
    const before = attempts[i]!;
    t.ok(feeWeiMax * 100n >= before.feeWeiMax * 120n, `attempt ${i + 1} offers 20 % more`);
    t.ok(priorityFeeWei * 100n >= before.priorityFeeWei * 120n);
  }
  await chain.request('evm_setAutomine', [true]);
  await chain.mine();
  await roundsUntil(life, made.orderId, 'confirmed');
  const mined = life.store.outbox.ofOrder(made.orderId)[0]?.mined;
  t.equal(mined?.transactionHash, attempts.at(-1)!.hash);
  await cancelledOnce(t, made, 'bumped');
  life.close();
});

t.test('fees never go over the cap', async (t) => {
  const made = await scene(t, 6);
  const { chain } = made.world.anvil;
  await chain.request('anvil_setNextBlockBaseFeePerGas', ['0x2540be400']);
  await chain.mine();
  const low = new Life(made.world, made.folder, { policy: { feeWeiMax: 2_000_000_000n, retryMs: 0 } });
  await low.round();
  t.match(low.store.outbox.ofOrder(made.orderId)[0], { state: 'unstarted', reason: 'fee-over-cap' });
  low.close();
  const life = new Life(made.world, made.folder);
  await roundsUntil(life, made.orderId, 'confirmed');
  await cancelledOnce(t, made, 'after the spike');
  life.close();
});

t.test('no money: said, kept, and done as soon as there is some', async (t) => {
  const made = await scene(t, 7);
  const { chain } = made.world.anvil;
  const { address } = chain.account(9);
  await chain.setWeiBalance(address, 1_000n);
  const life = new Life(made.world, made.folder, { policy: { retryMs: 0 } });
  for (let i = 0; i < 3; i++) await life.round().catch(() => undefined);
  t.not(stateOf(life, made.orderId), 'fatal');
  t.equal(await countEvents(made.world, 'OrderCancelled'), 0);
  await chain.setWeiBalance(address, 10n ** 18n);
  await roundsUntil(life, made.orderId, 'confirmed');
  await cancelledOnce(t, made, 'funded');
  life.close();
});
