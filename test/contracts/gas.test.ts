/**
 * Gas of each named case on Osaka, whole transactions, held against contracts/gas.json. UPDATE_GAS=1 writes that file
 * anew.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { deploy, send } from '../helpers/chain.ts';
import { VoyageDevice } from '../helpers/voyage-device.ts';
import { abiEvidence, claimFor, hex } from './fixture.ts';
import { measure as measureAnchor } from './gas-anchor.ts';
import { measure as measureOracles } from './gas-oracles.ts';
import { measure as measureOrders } from './gas-orders.ts';
import { measure as measurePeers } from './gas-peers.ts';
import { measure as measureSilence } from './gas-silence.ts';
import { excursionOf, Market, price, truck } from './market.ts';
import { closeTicket, report } from './truck-book.ts';

const gasFile = new URL('../../../contracts/gas.json', import.meta.url);

/** Goals, whole transactions. A check of evidence does nothing else; a report all that a cancellation does. */
const goals: Record<string, number> = {
  'library 16 samples in 1 batch': 50_000,
  'verify 16 samples in 1 batch': 65_000,
  'report 16 samples in 3 batches': 350_000,
  'next report about a subject, 2 of 4 signatures': 75_000,
  'anchor 1,000,000 leaves, 10,000 of them new': 120_000,
};

const shapes: Record<string, readonly number[]> = {
  '16 samples in 1 batch': [16],
  '16 samples in 2 batches': [15, 1],
  '16 samples in 3 batches': [1, 14, 1],
  '60 samples in 4 batches': [15, 15, 15, 15],
};

t.test('gas of each named case', async (t) => {
  const market = await Market.open();
  t.teardown(() => market.stop());
  const gas: Record<string, number> = {};
  await measureCommerce(market, gas);
  await measureLibrary(market, gas);
  await measureEvidence(market, gas);
  await measureFallback(t, gas);
  for (const measure of [measureOrders, measureSilence, measureOracles, measureAnchor, measurePeers]) {
    for (const [name, each] of Object.entries(await measure())) gas[name] = Number(each);
  }
  if (process.env['UPDATE_GAS'] === '1') writeFileSync(gasFile, `${JSON.stringify(gas, null, 2)}\n`);
  const committed = JSON.parse(readFileSync(gasFile, 'utf8')) as unknown;
  t.same(
    gas,
    committed,
    'as in contracts/gas.json; UPDATE_GAS=1 npx tap test/dist/contracts/gas.test.js writes it anew',
  );
  for (const [name, gasMax] of Object.entries(goals)) t.ok(gas[name]! <= gasMax, `${name}: within ${gasMax}`);
});

/** The library by itself: no order is read and no registry asked. What it proves is all that is paid for. */
async function measureLibrary(market: Market, gas: Record<string, number>): Promise<void> {
  const probe = await deploy(market.parties.deployer, 'EvidenceProbe');
  for (const [name, sizes] of Object.entries(shapes)) {
    const device = new VoyageDevice(1);
    const { terms, dispatchedAtSec, nowSec } = claimFor(device);
    const args = [abiEvidence(excursionOf(device, sizes)), terms, hex(device.device), dispatchedAtSec, nowSec];
    gas[`library ${name}`] = Number((await send(probe, 'verify', args)).gasUsed);
  }
}

/** Without the precompile: what Solidity's own P-256 costs. */
async function measureFallback(t: Test, gas: Record<string, number>): Promise<void> {
  const market = await Market.open({ hardFork: 'prague' });
  t.teardown(() => market.stop());
  const { orderId } = await market.sail();
  const evidence = abiEvidence(excursionOf(new VoyageDevice(1)));
  const verified = await market.send('stranger', 'shipments', 'verifyExcursion', [orderId, evidence]);
  gas['prague: verify 16 samples in 1 batch'] = Number(verified.gasUsed);
}

/** An order from placing to the supplier's money. */
async function measureCommerce(market: Market, gas: Record<string, number>): Promise<void> {
  const snapshot = await market.chain.snapshot();
  const device = new VoyageDevice(1);
  gas['enrol'] = Number((await market.enrol(device)).gasUsed);
  gas['registerTruck'] = Number((await market.registerTruck()).gasUsed);
  const terms = market.terms();
  const signed = [terms, await market.sign(terms)];
  gas['agree'] = Number((await market.send('stranger', 'agreements', 'agree', signed)).gasUsed);
  await market.fund(price);
  gas['place'] = Number((await market.send('buyer', 'shipments', 'place', [1n])).gasUsed);
  gas['accept'] = Number((await market.send('supplier', 'shipments', 'accept', [1n])).gasUsed);
  gas['dispatchOrder'] = Number((await market.dispatch(1n, device)).gasUsed);
  gas['deliver'] = Number((await market.deliver(1n)).gasUsed);
  gas['settle'] = Number((await market.send('buyer', 'shipments', 'settle', [1n])).gasUsed);
  const token = market.contracts.token.target;
  gas['withdraw'] = Number((await market.send('supplier', 'shipments', 'withdraw', [token])).gasUsed);
  gas['revoke'] = Number((await market.send('carrier', 'registry', 'revoke', [hex(device.device), 1n])).gasUsed);
  await market.chain.revert(snapshot);
}

async function measureEvidence(market: Market, gas: Record<string, number>): Promise<void> {
  const { orderId } = await market.sail();
  const snapshots = [await market.chain.snapshot()];
  for (const [name, sizes] of Object.entries(shapes)) {
    const evidence = excursionOf(new VoyageDevice(1), sizes);
    // A view that is sent as a transaction: the whole cost of a check, and nothing is stored.
    const verified = await market.send('stranger', 'shipments', 'verifyExcursion', [orderId, abiEvidence(evidence)]);
    gas[`verify ${name}`] = Number(verified.gasUsed);
    gas[`report ${name}`] = Number((await market.report(orderId, evidence)).gasUsed);
    await market.chain.revert(snapshots.pop()!);
    snapshots.push(await market.chain.snapshot());
  }
  await market.report(orderId, excursionOf(new VoyageDevice(1)));
  gas['closeTicket'] = Number((await closeTicket(market, 1n)).gasUsed);
  const { deployer } = market.parties;
  const admin = await deployer.getAddress();
  await send(market.contracts.manager, 'grantRole', [1n, admin, 0], { by: deployer });
  const opened = await market.send('deployer', 'fleet', 'openTicket', [truck, 1n, report]);
  gas['openTicket'] = Number(opened.gasUsed);
}
