/** Who may publish a program under which name and version, and what retiring it ends. */
import t, { type Test } from 'tap';
import { encodeBytes32String, id, type Contract, type JsonRpcSigner } from 'ethers';
import { call, deploy, refusal, send, startChain, type Chain, type RevertError, type Sent } from '../helpers/chain.ts';
import { startSec } from './fixture.ts';

const zero = `0x${'00'.repeat(32)}`;
const name = encodeBytes32String('mean-kinetic-temperature');
const interfaceId = id('MeanKineticTemperature(int16 centiC)');
const manifestDigest = id('manifest');
const first = id('program 1');
const second = id('program 2');

type Registry = {
  readonly chain: Chain;
  readonly contract: Contract;
  readonly publisher: JsonRpcSigner;
  readonly stranger: JsonRpcSigner;
  readonly publish: (
    cryptlet: string,
    version: number,
    changes?: { by?: JsonRpcSigner; name?: string },
  ) => Promise<Sent>;
};

async function opened(t: Test): Promise<Registry> {
  const chain = await startChain({ startSec });
  t.teardown(() => chain.stop());
  const [publisher, stranger] = await Promise.all([chain.account(0), chain.account(1)]);
  const contract = await deploy(publisher, 'CryptletRegistry');
  const publish: Registry['publish'] = (cryptlet, version, changes = {}) =>
    send(contract, 'publish', [cryptlet, changes.name ?? name, version, interfaceId, manifestDigest], {
      by: changes.by ?? publisher,
    });
  return { chain, contract, publisher, stranger, publish };
}

const reasonOf = (refused: RevertError | undefined): unknown[] => [refused?.reason, refused?.args];

t.test('a program is published, once, by anybody', async (t) => {
  const { chain, contract, publisher, stranger, publish } = await opened(t);
  t.equal(await call(contract, 'isPublished', [first]), false);
  t.equal(await call(contract, 'isActive', [first]), false);
  const publishedSec = startSec + 60;
  await chain.setNextTime(publishedSec);
  const { events } = await publish(first, 1);
  const published = { name, version: 1n, publisher: publisher.address, interfaceId, manifestDigest };
  t.match(events, [{ name: 'CryptletPublished', args: { cryptlet: first, ...published } }]);
  t.equal(await call(contract, 'isPublished', [first]), true);
  t.equal(await call(contract, 'isActive', [first]), true);
  const view = (await call(contract, 'cryptletOf', [first])) as { toObject(): Record<string, unknown> };
  t.same(view.toObject(), { ...published, publishedAt: BigInt(publishedSec), retiredAt: 0n });
  for (const by of [publisher, stranger]) {
    const again = await refusal(publish(first, 2, { by, name: encodeBytes32String('other') }));
    t.same(reasonOf(again), ['CryptletAlreadyPublished', [first, publisher.address]]);
  }
});

t.test('nothing incomplete is published', async (t) => {
  const { contract } = await opened(t);
  const whole = [first, name, interfaceId, manifestDigest];
  for (let i = 0; i < whole.length; i++) {
    const [cryptlet, named, interfaced, manifest] = whole.map((each, j) => (i === j ? zero : each));
    const refused = await refusal(send(contract, 'publish', [cryptlet, named, 1, interfaced, manifest]));
    t.same(reasonOf(refused), ['CryptletIncomplete', [cryptlet, named, interfaced, manifest]]);
  }
});

t.test('the versions of a name go forward, and are its first publisher alone', async (t) => {
  const { contract, publisher, stranger, publish } = await opened(t);
  t.same([...((await call(contract, 'latestOf', [name])) as unknown[])], [0n, zero]);
  t.same(reasonOf(await refusal(publish(first, 0))), ['VersionNotForward', [name, 0n, 0n]]);
  await publish(first, 3);
  for (const version of [0, 2, 3]) {
    t.same(reasonOf(await refusal(publish(second, version))), ['VersionNotForward', [name, BigInt(version), 3n]]);
  }
  const foreign = await refusal(publish(second, 4, { by: stranger }));
  t.same(reasonOf(foreign), ['NameNotOfPublisher', [name, stranger.address, publisher.address]]);
  await publish(second, 5);
  t.same([...((await call(contract, 'latestOf', [name])) as unknown[])], [5n, second]);
  t.equal(await call(contract, 'isActive', [first]), true, 'an older version stays in use until it is retired');
  await publish(id('program 3'), 1, { by: stranger, name: encodeBytes32String('another-name') });
});

t.test('a program is retired by its publisher, once and for ever', async (t) => {
  const { contract, publisher, stranger, publish } = await opened(t);
  t.same(reasonOf(await refusal(send(contract, 'retire', [first]))), ['CryptletUnknown', [first]]);
  await publish(first, 1);
  const foreign = await refusal(send(contract, 'retire', [first], { by: stranger }));
  t.same(reasonOf(foreign), ['NotPublisher', [stranger.address, publisher.address]]);
  const { events } = await send(contract, 'retire', [first]);
  t.match(events, [
    { name: 'CryptletRetired', args: { cryptlet: first, name, version: 1n, publisher: publisher.address } },
  ]);
  t.equal(await call(contract, 'isActive', [first]), false);
  t.equal(await call(contract, 'isPublished', [first]), true);
  t.equal((await refusal(send(contract, 'retire', [first])))?.reason, 'CryptletAlreadyRetired');
  t.equal((await refusal(publish(first, 2)))?.reason, 'CryptletAlreadyPublished', 'and does not come back');
  t.same(reasonOf(await refusal(publish(second, 1))), ['VersionNotForward', [name, 1n, 1n]], 'nor does its version');
  const taken = await refusal(publish(second, 2, { by: stranger }));
  t.same(reasonOf(taken), ['NameNotOfPublisher', [name, stranger.address, publisher.address]], 'nor is its name free');
  await publish(second, 2);
});
