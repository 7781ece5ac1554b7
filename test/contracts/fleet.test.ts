import t, { type Test } from 'tap';
import { addressOf, refusal } from '../helpers/chain.ts';
import { excursionOf, Market, truck } from './market.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';

const inspection = `0x${'99'.repeat(32)}`;

async function opened(t: Test): Promise<Market> {
  const market = await Market.open();
  t.teardown(() => market.stop());
  return market;
}

t.test('a truck is registered once, with a workshop that is not its owner', async (t) => {
  const market = await opened(t);
  const register = (id: string, workshop: string) =>
    refusal(market.send('carrier', 'fleet', 'registerTruck', [id, workshop]));
  const workshop = market.address('workshop');
  t.equal((await register(`0x${'00'.repeat(32)}`, workshop))?.reason, 'TruckIdZero');
  t.equal((await register(truck, `0x${'00'.repeat(20)}`))?.reason, 'WorkshopInvalid');
  t.equal((await register(truck, market.address('carrier')))?.reason, 'WorkshopInvalid');
  t.equal(await register(truck, workshop), undefined);
  t.equal((await register(truck, workshop))?.reason, 'TruckAlreadyRegistered');
});

t.test('tickets are opened by the reporter alone', async (t) => {
  const market = await opened(t);
  await market.registerTruck();
  const request = [truck, 1n, inspection];
  for (const by of ['deployer', 'carrier', 'workshop', 'stranger'] as const) {
    t.equal((await refusal(market.send(by, 'fleet', 'openTicket', request)))?.reason, 'AccessManagedUnauthorized', by);
  }
  t.equal(await market.call('fleet', 'ticketCount'), 0n);
  await market.send('deployer', 'manager', 'grantRole', [1n, market.address('stranger'), 0]);
  const unknown = await refusal(market.send('stranger', 'fleet', 'openTicket', [inspection, 1n, inspection]));
  t.equal(unknown?.reason, 'TruckUnknown');
  t.ok(await refusal(market.send('deployer', 'fleet', 'setAuthority', [addressOf(market.contracts.token)])));
});

t.test('a truck is locked until its workshop has closed every ticket', async (t) => {
  const market = await opened(t);
  const { orderId } = await market.sail();
  await market.report(orderId, excursionOf(new VoyageDevice(1)));
  await market.send('deployer', 'manager', 'grantRole', [1n, market.address('stranger'), 0]);
  await market.send('stranger', 'fleet', 'openTicket', [truck, 7n, inspection]);
  const close = (by: 'workshop' | 'carrier', ticketId: bigint, digest = inspection) =>
    refusal(market.send(by, 'fleet', 'closeTicket', [ticketId, digest]));
  t.equal((await close('workshop', 3n))?.reason, 'TicketUnknown');
  t.equal((await close('carrier', 1n))?.reason, 'NotWorkshop');
  t.equal((await close('workshop', 1n, `0x${'00'.repeat(32)}`))?.reason, 'InspectionDigestZero');
  t.equal(await close('workshop', 1n), undefined);
  t.equal(await market.call('fleet', 'isLocked', [truck]), true, 'one is still open');
  t.equal((await close('workshop', 1n))?.reason, 'TicketAlreadyClosed');
  t.equal(await close('workshop', 2n), undefined);
  t.equal(await market.call('fleet', 'isLocked', [truck]), false);
  const ticket = (await market.call('fleet', 'ticketOf', [1n])) as { toObject(): unknown };
  t.match(ticket.toObject(), { truck, orderId: 1n, inspectionDigest: inspection });
});
