/** The whole oracle on real parts: MQTT in, chain out. */
import t from 'tap';
import { bytesToHex, decodeBatch, digestBatch } from '@coldproof/wire';
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
