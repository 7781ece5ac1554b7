/** Terms bind those who signed them, as they signed them, once; and terms that make no sense bind nobody. */
import { getCreateAddress, id, toBeHex, ZeroAddress, ZeroHash, type TypedDataDomain } from 'ethers';
import t, { type Test } from 'tap';
import { addressOf, deploy, refusal, send, type RevertError, type Sent } from '../helpers/chain.ts';
import { startSec } from './fixture.ts';
import { Market, type PartyName } from './market.ts';
import { cryptlet, prepare, wholeTerms } from './order-moves.ts';
import { consequences, digestTerms, limit, termsTypes, type Terms } from './terms.ts';
import { domainOf } from './truck-book.ts';

const daySec = 86_400;
const yearSec = 366 * daySec;

async function opened(t: Test): Promise<Market> {
  const market = await Market.open();
  t.teardown(() => market.stop());
  await prepare(market, 'reorder');
  return market;
}

function domain(market: Market): TypedDataDomain {
  return domainOf(addressOf(market.contracts.agreements), market.chain.chainId);
}

function whole(market: Market, changes: Partial<Terms> = {}): Terms {
  return market.terms({ ...wholeTerms(market, 'quarantine'), ...changes });
}

function agree(market: Market, terms: Terms, signatures: readonly string[]): Promise<Sent> {
  return market.send('stranger', 'agreements', 'agree', [terms, signatures]);
}

/** The answer of limitOf. */
async function limitOf(market: Market, channel: number): Promise<unknown> {
  const answer = (await market.call('agreements', 'limitOf', [1n, channel])) as { toObject(): unknown };
  return answer.toObject();
}

t.test('what all have signed is agreed on, by whoever brings it', async (t) => {
  const market = await opened(t);
  const terms = whole(market);
  const digest = digestTerms(domain(market), terms);
  t.equal(await market.call('agreements', 'digestTerms', [terms]), digest, 'as another implementation hashes it');
  const { events } = await agree(market, terms, await market.sign(terms));
  t.match(events, [
    { name: 'AgreementMade', args: { agreementId: 1n, digest, buyer: terms.buyer, carrier: terms.carrier } },
  ]);
  const kept = (await market.call('agreements', 'termsOf', [1n])) as { toArray(deep: boolean): unknown[] };
  t.equal(
    await market.call('agreements', 'digestTerms', [kept.toArray(true)]),
    digest,
    'and it is kept as it was signed',
  );
  t.equal(await market.call('agreements', 'agreementCount'), 1n);
  t.match(await limitOf(market, limit.channel), {
    channel: BigInt(limit.channel),
    lowerLimitCentiC: 200n,
    upperLimitCentiC: 800n,
  });
  t.match(await limitOf(market, 18), { channel: 0n, excursionSecMin: 0n });
  t.equal(await market.call('agreements', 'isBound', [1n, cryptlet]), true);
  t.equal(await market.call('agreements', 'isBound', [1n, id('another')]), false);
});

t.test('nothing is bound where nobody may conclude it', async (t) => {
  const market = await opened(t);
  const { attested } = whole(market);
  const agreementId = await market.agree({ attested: { ...attested, disputes: ZeroAddress } });
  t.equal(await market.call('agreements', 'isBound', [agreementId, cryptlet]), false);
});

t.test('there are no terms of an agreement that there is not', async (t) => {
  const market = await opened(t);
  for (const [method, args] of [
    ['termsOf', [1n]],
    ['limitOf', [1n, 16]],
    ['isBound', [1n, cryptlet]],
  ] as const) {
    const refused = await refusal(market.call('agreements', method, args));
    t.same([refused?.reason, refused?.args], ['AgreementUnknown', [1n]], method);
  }
});

t.test('no party is bound without its own signature', async (t) => {
  const market = await opened(t);
  const terms = whole(market);
  const digest = digestTerms(domain(market), terms);
  const signatures = await market.sign(terms);
  const parties = [terms.buyer, terms.carrier, ...terms.suppliers];
  const foreign = await market.parties.stranger.signTypedData(domain(market), termsTypes, terms);
  for (const [index, party] of parties.entries()) {
    for (const wrong of [foreign, '0x', signatures[(index + 1) % parties.length]!]) {
      const refused = await refusal(agree(market, terms, signatures.with(index, wrong)));
      t.same([refused?.reason, refused?.args], ['PartySignatureInvalid', [BigInt(index), party, digest]]);
    }
  }
  for (const some of [[], signatures.slice(1), [...signatures, foreign]]) {
    const refused = await refusal(agree(market, terms, some));
    t.same([refused?.reason, refused?.args], ['PartySignatureCountNot', [BigInt(some.length), 4n]]);
  }
  t.equal(await market.call('agreements', 'agreementCount'), 0n);
});

t.test('a signature is for this contract on this chain', async (t) => {
  const market = await opened(t);
  const terms = whole(market);
  for (const elsewhere of [
    { ...domain(market), chainId: 1 },
    { ...domain(market), verifyingContract: addressOf(market.contracts.shipments) },
    { ...domain(market), version: '2' },
  ]) {
    const by: PartyName[] = ['buyer', 'carrier', 'supplier', 'secondSupplier'];
    const signatures = await Promise.all(
      by.map((each) => market.parties[each].signTypedData(elsewhere, termsTypes, terms)),
    );
    t.equal((await refusal(agree(market, terms, signatures)))?.reason, 'PartySignatureInvalid');
  }
});

t.test('every field is under the signature', async (t) => {
  const market = await opened(t);
  const contract = addressOf(market.contracts.fleet);
  const terms = whole(market);
  const signatures = await market.sign(terms);
  const { limits, quality, silence, attested } = terms;
  const other = market.address('stranger');
  const changes: Partial<Terms>[] = [
    { token: contract },
    { price: terms.price - 1n },
    { quantity: terms.quantity + 1n },
    { consignee: other },
    { limits: [{ ...limits[0]!, channel: 17 }] },
    { limits: [{ ...limits[0]!, lowerLimitCentiC: 201 }] },
    { limits: [{ ...limits[0]!, upperLimitCentiC: 799 }] },
    { limits: [{ ...limits[0]!, excursionSecMin: 901 }] },
    { limits: [{ ...limits[0]!, cumulativeSecMin: 601 }] },
    { limits: [...limits, { ...limits[0]!, channel: 17 }] },
    { sampleGapSecMax: terms.sampleGapSecMax + 1 },
    { dispatchSecMax: terms.dispatchSecMax + 1 },
    { transitSecMax: terms.transitSecMax + 1 },
    { claimSecMax: terms.claimSecMax + 1 },
    { consequence: consequences.reorder },
    { reorderCountMax: terms.reorderCountMax + 1 },
    { quality: { ...quality, authority: other } },
    { quality: { ...quality, decisionSecMax: quality.decisionSecMax + 1 } },
    { silence: { ...silence, monitor: other } },
    { silence: { ...silence, silenceSecMax: silence.silenceSecMax + 1 } },
    { silence: { ...silence, challengeSecMax: silence.challengeSecMax + 1 } },
    { attested: { ...attested, disputes: other } },
    { attested: { ...attested, arbiter: other } },
    { attested: { ...attested, bond: attested.bond + 1n } },
    { attested: { ...attested, livenessSecMin: attested.livenessSecMin + 1 } },
    { attested: { ...attested, arbitrationSecMax: attested.arbitrationSecMax + 1 } },
    { attested: { ...attested, disputes: ZeroAddress, cryptlets: [] } },
    { cover: contract },
    { reconciliation: contract },
    { offerUntil: terms.offerUntil + 1 },
    { salt: toBeHex(999, 32) },
  ];
  for (const change of changes) {
    const refused = await refusal(agree(market, { ...terms, ...change }, signatures));
    t.equal(refused?.reason, 'PartySignatureInvalid', Object.keys(change).join());
  }
  await agree(market, terms, signatures);
});

t.test('terms are agreed on once', async (t) => {
  const market = await opened(t);
  const terms = whole(market);
  const signatures = await market.sign(terms);
  await agree(market, terms, signatures);
  const again = await refusal(agree(market, terms, signatures));
  t.same([again?.reason, again?.args], ['AgreementAlreadyMade', [digestTerms(domain(market), terms), 1n]]);
});

t.test("a company's wallet signs as it is told to", async (t) => {
  const market = await opened(t);
  const wallet = await deploy(market.parties.deployer, 'DigestWallet');
  const terms = whole(market, { suppliers: [addressOf(wallet)] });
  const digest = digestTerms(domain(market), terms);
  const signatures = await market.sign(terms);
  const refused = await refusal(agree(market, terms, signatures));
  t.same([refused?.reason, refused?.args], ['PartySignatureInvalid', [2n, wallet.target, digest]]);
  await send(wallet, 'sign', [digest]);
  await agree(market, terms, signatures);
  t.equal(await market.call('agreements', 'agreementCount'), 1n);
});

t.test('an offer ends with its last second', async (t) => {
  const market = await opened(t);
  const offerUntil = startSec + daySec;
  const terms = whole(market, { offerUntil });
  const signatures = await market.sign(terms);
  const snapshot = await market.chain.snapshot();
  await market.chain.mineAt(offerUntil + 1);
  const late = await refusal(market.call('agreements', 'agree', [terms, signatures]));
  t.same([late?.reason, late?.args], ['OfferExpired', [BigInt(offerUntil), BigInt(offerUntil + 1)]]);
  await market.chain.revert(snapshot);
  await market.chain.mineAt(offerUntil);
  t.equal(await market.call('agreements', 'agree', [terms, signatures]), 1n);
});

t.test('terms are all kept or there is no agreement, whatever the gas', async (t) => {
  const market = await opened(t);
  const terms = whole(market);
  const args = [terms, await market.sign(terms)];
  let isDone = 0;
  for (let gasLimit = 150_000n; gasLimit <= 700_000n; gasLimit += 25_000n) {
    const snapshot = await market.chain.snapshot();
    const refused = await refusal(market.send('stranger', 'agreements', 'agree', args, gasLimit));
    t.equal(await market.call('agreements', 'agreementCount'), refused === undefined ? 1n : 0n, `${gasLimit} gas`);
    if (refused === undefined) {
      isDone += 1;
      t.ok(await market.call('agreements', 'termsOf', [1n]));
    }
    await market.chain.revert(snapshot);
  }
  t.ok(isDone > 0, `${isDone} had enough`);
});

t.test('kept terms are code that does nothing', async (t) => {
  const market = await opened(t);
  await market.agree();
  const kept = getCreateAddress({ from: addressOf(market.contracts.agreements), nonce: 1 });
  t.match(await market.chain.provider.getCode(kept), /^0x00/, 'it begins with STOP');
});

type Row = readonly [reason: string, args: readonly unknown[] | undefined, change: Partial<Terms>];

function partyRows(market: Market): Row[] {
  const [supplier, secondSupplier] = [market.address('supplier'), market.address('secondSupplier')];
  const [buyer, consignee, carrier] = [market.address('buyer'), market.address('consignee'), market.address('carrier')];
  const nine = Array.from({ length: 9 }, (_, i) => `0x${String(i + 1).repeat(40)}`);
  const account = market.address('stranger');
  return [
    ['TokenInvalid', [account], { token: account }],
    ['PriceZero', [], { price: 0n }],
    ['QuantityZero', [], { quantity: 0n }],
    ['PartyZero', [ZeroAddress, consignee, carrier], { buyer: ZeroAddress }],
    ['PartyZero', [buyer, ZeroAddress, carrier], { consignee: ZeroAddress }],
    ['PartyZero', [buyer, consignee, ZeroAddress], { carrier: ZeroAddress }],
    ['SupplierCountOutOfRange', [0n, 8n], { suppliers: [] }],
    ['SupplierCountOutOfRange', [9n, 8n], { suppliers: nine }],
    ['SupplierInvalid', [1n, ZeroAddress], { suppliers: [supplier, ZeroAddress] }],
    ['SupplierInvalid', [2n, supplier], { suppliers: [supplier, secondSupplier, supplier] }],
    ['ContractMissing', [account], { cover: account }],
    ['ContractMissing', [account], { reconciliation: account }],
  ];
}

function limitRows(): Row[] {
  const of = (...channels: number[]): Partial<Terms> => ({
    limits: channels.map((channel) => ({ ...limit, channel })),
  });
  return [
    ['LimitCountOutOfRange', [0n, 4n], { limits: [] }],
    ['LimitCountOutOfRange', [5n, 4n], of(1, 2, 3, 4, 16)],
    ...[0, 5, 15, 32, 128].map((each): Row => ['ChannelNotTemperature', [BigInt(each)], of(each)]),
    ['ChannelRepeated', [16n], of(16, 17, 16)],
    ['LimitsNotOrdered', [800n, 800n], { limits: [{ ...limit, lowerLimitCentiC: 800 }] }],
    ['LimitsNotOrdered', [801n, 800n], { limits: [{ ...limit, lowerLimitCentiC: 801 }] }],
    ['ExcursionTimeZero', [BigInt(limit.channel)], { limits: [{ ...limit, excursionSecMin: 0 }] }],
    ['SampleGapZero', [], { sampleGapSecMax: 0 }],
  ];
}

function durationRows(market: Market): Row[] {
  const { quality, silence, attested } = whole(market);
  const out = (got: number, most = yearSec): Row[1] => [BigInt(got), 1n, BigInt(most)];
  const name = 'DurationOutOfRange';
  return [
    ...[0, yearSec + 1].flatMap((sec): Row[] => [
      [name, out(sec), { dispatchSecMax: sec }],
      [name, out(sec), { transitSecMax: sec }],
      [name, out(sec), { quality: { ...quality, decisionSecMax: sec } }],
      [name, out(sec), { silence: { ...silence, silenceSecMax: sec } }],
      [name, out(sec), { silence: { ...silence, challengeSecMax: sec } }],
    ]),
    [name, [BigInt(yearSec + 1), 0n, BigInt(yearSec)], { claimSecMax: yearSec + 1 }],
    [name, out(0, 30 * daySec), { attested: { ...attested, livenessSecMin: 0 } }],
    [name, out(30 * daySec + 1, 30 * daySec), { attested: { ...attested, livenessSecMin: 30 * daySec + 1 } }],
    [name, out(0, 29 * daySec), { attested: { ...attested, arbitrationSecMax: 0 } }],
    [name, out(29 * daySec + 1, 29 * daySec), { attested: { ...attested, arbitrationSecMax: 29 * daySec + 1 } }],
  ];
}

function roleRows(market: Market): Row[] {
  const { quality, attested } = whole(market);
  const nine = Array.from({ length: 9 }, (_, i) => id(String(i)));
  const unknown = id('unknown');
  return [
    ['QualityAuthorityZero', [], { quality: { ...quality, authority: ZeroAddress } }],
    ['ArbiterZero', [], { attested: { ...attested, arbiter: ZeroAddress } }],
    ['BondZero', [], { attested: { ...attested, bond: 0n } }],
    ['CryptletCountOutOfRange', [0n, 8n], { attested: { ...attested, cryptlets: [] } }],
    ['CryptletCountOutOfRange', [9n, 8n], { attested: { ...attested, cryptlets: nine } }],
    ['CryptletInvalid', [0n, ZeroHash], { attested: { ...attested, cryptlets: [ZeroHash] } }],
    ['CryptletInvalid', [1n, unknown], { attested: { ...attested, cryptlets: [cryptlet, unknown] } }],
    ['CryptletInvalid', [1n, cryptlet], { attested: { ...attested, cryptlets: [cryptlet, cryptlet] } }],
  ];
}

t.test('terms that make no sense are refused by name, with the value', async (t) => {
  const market = await opened(t);
  const rows = [...partyRows(market), ...limitRows(), ...durationRows(market), ...roleRows(market)];
  for (const [reason, args, change] of rows) {
    const terms = whole(market, change);
    const refused: RevertError | undefined = await refusal(market.call('agreements', 'agree', [terms, []]));
    t.same([refused?.reason, refused?.args], [reason, args], `${reason}: ${Object.keys(change).join()}`);
  }
});

t.test('terms at the very limits are good', async (t) => {
  const market = await opened(t);
  const { quality, silence, attested } = whole(market);
  const of = (...channels: number[]): Terms['limits'] => channels.map((channel) => ({ ...limit, channel }));
  const cryptlets = Array.from({ length: 8 }, (_, i) => id(`cryptlet ${i}`));
  for (const each of cryptlets) {
    await market.send('deployer', 'cryptlets', 'publish', [each, each, 1, id('interface'), id('manifest')]);
  }
  const changes: Partial<Terms>[] = [
    { limits: of(1, 4, 16, 31) },
    { limits: [{ ...limit, lowerLimitCentiC: 799 }] },
    { dispatchSecMax: 1, transitSecMax: 1, claimSecMax: 0 },
    { dispatchSecMax: yearSec, transitSecMax: yearSec, claimSecMax: yearSec },
    { quality: { ...quality, decisionSecMax: yearSec } },
    { silence: { ...silence, silenceSecMax: yearSec, challengeSecMax: 1 } },
    { attested: { ...attested, livenessSecMin: 30 * daySec - 1, arbitrationSecMax: 1 } },
    { attested: { ...attested, cryptlets } },
    { suppliers: Array.from({ length: 8 }, (_, i) => `0x${String(i + 1).repeat(40)}`) },
    { consequence: consequences.reorder, quality: { authority: ZeroAddress, decisionSecMax: 0 } },
    { silence: { monitor: ZeroAddress, silenceSecMax: 0, challengeSecMax: 0 } },
    { attested: { ...attested, disputes: ZeroAddress, arbiter: ZeroAddress, bond: 0n, cryptlets: [] } },
  ];
  for (const change of changes) {
    const refused = await refusal(market.call('agreements', 'agree', [whole(market, change), []]));
    t.equal(refused?.reason, 'PartySignatureCountNot', `all but the signatures: ${Object.keys(change).join()}`);
  }
});

t.test('a retired cryptlet is named by no new agreement, and stays in the old ones', async (t) => {
  const market = await opened(t);
  const { attested } = whole(market);
  const agreementId = await market.agree({ attested });
  await market.send('deployer', 'cryptlets', 'retire', [cryptlet]);
  const refused = await refusal(market.agree({ attested }));
  t.same([refused?.reason, refused?.args], ['CryptletInvalid', [0n, cryptlet]]);
  t.equal(await market.call('agreements', 'isBound', [agreementId, cryptlet]), true);
});
