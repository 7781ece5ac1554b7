/** The whole oracle on real parts: MQTT in, chain out. */
import t from 'tap';
import { bytesToHex, decodeBatch, digestBatch } from '@coldproof/wire';
import { CuttableLink } from '../helpers/cuttable-link.ts';
import { countEvents, dispatchOrder, makeWorld, orderState, readOrder } from './anvil.ts';
import { Gateway, makeFolder, quarter, startOracle, until, warmVoyage } from './oracle-fixture.ts';

t.test('a warm voyage is proved on chain once, and every batch gets its receipt', async (t) => {
  const world = await makeWorld();
  t.teardown(() => world.anvil.stop());
  const { orderId, dispatchedAtSec } = await dispatchOrder(world);
  const envelopes = warmVoyage(world.device, dispatchedAtSec, 3);
  const nowSec = dispatchedAtSec + 5 * 900 + 60;
  await world.anvil.chain.mine(nowSec);
  const running = await startOracle(world, { folder: makeFolder(t), nowSec });
  t.teardown(() => running.stop());
  await until('the device is known', () => running.store.chain.device(bytesToHex(world.device.device)) !== undefined);
  const gateway = await Gateway.connect(running, [world.device]);
  t.teardown(() => gateway.close());
  for (const envelope of envelopes) await gateway.send(world.device.device, envelope);
  await until('every batch has its receipt', () => gateway.receipts.length === envelopes.length);
  t.same(
    gateway.receipts.map(({ index, digest }) => [index, bytesToHex(digest)]),
    envelopes.map(({ batch }, i) => [i, bytesToHex(digestBatch(batch))]),
  );
  await until(
    'the order is cancelled',
    async () => (await readOrder(world, orderId))['state'] === orderState.cancelled,
  );
  const order = await readOrder(world, orderId);
  t.equal(order['replacementId'], 2n);
  t.equal(order['ticketId'], 1n);
  await until('the action is confirmed', () => running.store.outbox.ofOrder(orderId)[0]?.state === 'confirmed');
  await world.anvil.chain.request('anvil_mine', ['0x80']);
  await until('the action is final', () => running.store.outbox.ofOrder(orderId)[0]?.state === 'finalized');
  t.equal(await countEvents(world, 'OrderCancelled'), 1);
  const [finding] = running.store.evaluation.findings().filter(({ rule }) => rule === 'excursion');
  t.equal(finding?.openedAtSec, dispatchedAtSec + 60 + 2 * 900);
  t.equal(running.store.chain.order(orderId)?.order.state, 'Cancelled');
  t.equal(running.store.chain.order('2')?.order.state, 'Placed');
});

t.test('what came before the registry was read, out of order, twice or forged is answered as such', async (t) => {
  const world = await makeWorld(2);
  t.teardown(() => world.anvil.stop());
  const { dispatchedAtSec } = await dispatchOrder(world);
  const { device } = world;
  const nowSec = dispatchedAtSec + 4 * 900;
  const running = await startOracle(world, { folder: makeFolder(t), nowSec });
  t.teardown(() => running.stop());
  await until('the device is known', () => running.store.chain.device(bytesToHex(device.device)) !== undefined);
  const gateway = await Gateway.connect(running, [device]);
  t.teardown(() => gateway.close());
  const counts = () => running.store.log.counts();
  const [first, second, third] = [0, 1, 2].map((i) => device.seal(quarter(dispatchedAtSec + i * 900, 500)));
  await gateway.send(device.device, second!);
  await until('a batch too early', () => counts().get('rejected:sequence-not-next') === 1);
  await gateway.send(device.device, first!);
  await gateway.send(device.device, first!);
  await until('a repeat', () => counts().get('repeated') === 1);
  await gateway.send(device.device, { ...second!, signature: first!.signature });
  await until('a forgery', () => counts().get('rejected:signature-invalid') === 1);
  await gateway.send(device.device, new Uint8Array([0xff]));
  await until('rubbish', () => counts().get('rejected:envelope-malformed') === 1);
  await gateway.send(device.device, second!);
  await gateway.send(device.device, third!);
  await until('the rest', () => counts().get('verified') === 3);
  await until('receipts', () => gateway.receipts.length === 4);
  t.same(
    gateway.receipts.map(({ sequence }) => sequence),
    [0, 0, 1, 2],
  );
  const late = device.seal(quarter(nowSec + 3_600, 500));
  await gateway.send(device.device, late);
  await until('a batch from the future', () => counts().get('rejected:time-in-future') === 1);
  const decoded = decodeBatch(late.batch);
  t.equal(decoded.ok && decoded.value.sequence, 3);
});

t.test(
  'killed between the commit and the receipt: the repeat brings the receipt, and the order is cancelled',
  async (t) => {
    const world = await makeWorld(3);
    t.teardown(() => world.anvil.stop());
    const { orderId, dispatchedAtSec } = await dispatchOrder(world);
    const envelopes = warmVoyage(world.device, dispatchedAtSec);
    const nowSec = dispatchedAtSec + 4 * 900 + 60;
    await world.anvil.chain.mine(nowSec);
    const folder = makeFolder(t);
    let commits = 0;
    // The fourth group is in the store when the process goes; nobody has been told.
    const crashPoint = (name: string): void => {
      if (name === 'log-committed' && ++commits === 4) throw new Error('killed');
    };
    const first = await startOracle(world, { folder, nowSec, crashPoint });
    await until('the device is known', () => first.store.chain.device(bytesToHex(world.device.device)) !== undefined);
    const gateway = await Gateway.connect(first, [world.device]);
    for (const [i, envelope] of envelopes.entries()) {
      await gateway.send(world.device.device, envelope);
      if (i < 3) await until(`receipt ${i}`, () => gateway.receipts.length === i + 1);
    }
    t.match(await first.ended, { message: 'killed' });
    t.equal(gateway.receipts.length, 3);
    await gateway.close();
    await first.stop();
    const second = await startOracle(world, { folder, nowSec });
    t.teardown(() => second.stop());
    t.equal(second.oracle.log.size, 4, 'what was committed is there');
    const again = await Gateway.connect(second, [world.device]);
    t.teardown(() => again.close());
    await again.send(world.device.device, envelopes[3]!);
    await until('the receipt is remade', () => again.receipts.length === 1);
    t.match(again.receipts[0], { index: 3, sequence: 3 });
    t.equal(second.oracle.log.size, 4, 'and nothing is stored twice');
    await until(
      'the order is cancelled',
      async () => (await readOrder(world, orderId))['state'] === orderState.cancelled,
    );
    t.equal(await countEvents(world, 'OrderCancelled'), 1);
  },
);

t.test('the chain is away at start: batches are logged all the same, and acted on when it comes', async (t) => {
  const world = await makeWorld(4);
  t.teardown(() => world.anvil.stop());
  const { orderId, dispatchedAtSec } = await dispatchOrder(world);
  const envelopes = warmVoyage(world.device, dispatchedAtSec);
  const nowSec = dispatchedAtSec + 4 * 900 + 60;
  await world.anvil.chain.mine(nowSec);
  const folder = makeFolder(t);
  const link = await CuttableLink.open(world.anvil.port);
  t.teardown(() => link.close());
  const rpcUrl = `http://127.0.0.1:${link.port}`;
  const before = await startOracle(world, { folder, nowSec, rpcUrl });
  await until('the device is known', () => before.store.chain.device(bytesToHex(world.device.device)) !== undefined);
  await before.stop();
  link.cut();
  const running = await startOracle(world, { folder, nowSec, rpcUrl });
  t.teardown(() => running.stop());
  await until('the outage is said', () => running.lines.some(({ event }) => event === 'chain-fault'));
  const gateway = await Gateway.connect(running, [world.device]);
  t.teardown(() => gateway.close());
  for (const envelope of envelopes) await gateway.send(world.device.device, envelope);
  await until('receipts', () => gateway.receipts.length === envelopes.length);
  t.match(running.oracle.links.chainError, /ECONNRESET|ECONNREFUSED|socket hang up/);
  link.mend();
  await until(
    'the order is cancelled',
    async () => (await readOrder(world, orderId))['state'] === orderState.cancelled,
  );
  await until('the fault is over', () => running.oracle.links.chainError === undefined);
});

t.test('a flood over the queue: dropped and counted, and everything is stored once it is sent again', async (t) => {
  const world = await makeWorld(5);
  t.teardown(() => world.anvil.stop());
  const { dispatchedAtSec } = await dispatchOrder(world);
  const { device } = world;
  const nowSec = dispatchedAtSec + 400 * 900;
  const settings = { verify: { workers: 1, queueMax: 8 } };
  const running = await startOracle(world, { folder: makeFolder(t), nowSec, settings });
  t.teardown(() => running.stop());
  await until('the device is known', () => running.store.chain.device(bytesToHex(device.device)) !== undefined);
  const gateway = await Gateway.connect(running, [device]);
  t.teardown(() => gateway.close());
  const envelopes = Array.from({ length: 300 }, (_, i) => device.seal(quarter(dispatchedAtSec + i * 900, 500)));
  const oldest = () => running.store.log.head(device.device)?.nextSequence ?? 0;
  await until(
    'all of them are stored',
    async () => {
      await Promise.all(envelopes.slice(oldest()).map((envelope) => gateway.send(device.device, envelope)));
      return oldest() === envelopes.length;
    },
    25_000,
  );
  t.ok((running.oracle.links.refusedByReceiver.get('queue-full') ?? 0) > 0, 'the queue was full');
  t.equal(running.store.log.counts().get('rejected:equivocation'), undefined);
  t.equal(running.oracle.log.size, envelopes.length);
});
