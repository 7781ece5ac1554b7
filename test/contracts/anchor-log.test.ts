/** The anchored log: each way on, each way back that is refused, and what a consumer may ask of it. */
import t, { type Test } from 'tap';
import { Wallet, id, type Contract } from 'ethers';
import { leafHash, nodeHash } from '@coldproof/wire';
import { call, deploy, refusal, send, startChain, type Sent } from '../helpers/chain.ts';
import { seeded } from '../helpers/seed.ts';
import { flipBit, hex, startSec } from './fixture.ts';
import { addressesOf, inOrder, oracleKeys, OracleSigners } from './oracle-signers.ts';
import { SparseLog } from './sparse-log.ts';

const origin = `0x${'a1'.repeat(32)}`;
const otherOrigin = `0x${'b2'.repeat(32)}`;

type Head = { origin: string; size: bigint; root: string };

class Anchors {
  readonly oracles: OracleSigners;
  readonly contract: Contract;
  readonly log = new SparseLog();

  private constructor(oracles: OracleSigners, contract: Contract) {
    this.oracles = oracles;
    this.contract = contract;
  }

  static async open(t: Test): Promise<Anchors> {
    const chain = await startChain({ startSec });
    t.teardown(() => chain.stop());
    const deployer = await chain.account(0);
    const oracles = await OracleSigners.deploy(chain, deployer);
    return new Anchors(oracles, await deploy(deployer, 'AnchorLog', [oracles.contract.target]));
  }

  head(size: number, of = origin): Head {
    return { origin: of, size: BigInt(size), root: hex(this.log.root(size)) };
  }

  /** Signed by the first two of four, sent by a stranger. */
  async anchor(
    head: Head,
    path: readonly Uint8Array[],
    { signed = head, indexes }: { signed?: Head; indexes?: readonly number[] } = {},
  ): Promise<Sent> {
    const signatures = await this.oracles.signCheckpoint(signed, indexes);
    const args = [head.origin, head.size, head.root, signatures, path.map(hex)];
    return send(this.contract, 'anchor', args, { by: await this.oracles.chain.account(5) });
  }

  /** From `before` leaves, 0 for a log that is not anchored yet, to `size`. */
  grow(before: number, size: number, of = origin): Promise<Sent> {
    return this.anchor(this.head(size, of), before === 0 ? [] : this.log.consistency(before, size));
  }

  async latest(of = origin): Promise<unknown> {
    return ((await call(this.contract, 'latest', [of])) as { toObject(): unknown }).toObject();
  }

  includes(
    index: number,
    size: number,
    { digest = this.log.digest(index), of = origin, at = index } = {},
  ): Promise<unknown> {
    const path = this.log.inclusion(index, size).map(hex);
    return call(this.contract, 'verifyInclusion', [of, size, hex(digest), at, path]);
  }
}

t.test('a log grows', async (t) => {
  const anchors = await Anchors.open(t);
  t.equal(await call(anchors.contract, 'oracles'), anchors.oracles.contract.target);
  t.same(await anchors.latest(), { size: 0n, anchoredAt: 0n, root: `0x${'00'.repeat(32)}` }, 'nothing is anchored');
  let before = 0;
  for (const [i, size] of [1, 2, 3, 4, 7, 8, 9, 16, 33, 100].entries()) {
    const anchoredAt = startSec + 900 * (i + 1);
    await anchors.oracles.chain.setNextTime(anchoredAt);
    const { events } = await anchors.grow(before, size);
    const head = anchors.head(size);
    t.match(events, [{ name: 'HeadAnchored', args: { ...head, sizeBefore: BigInt(before) } }], `${before} to ${size}`);
    t.same(await anchors.latest(), { size: head.size, anchoredAt: BigInt(anchoredAt), root: head.root });
    before = size;
  }
  t.equal(await call(anchors.contract, 'rootOf', [origin, 7]), anchors.head(7).root, 'an earlier head is still known');
  t.equal(await call(anchors.contract, 'rootOf', [origin, 5]), `0x${'00'.repeat(32)}`, 'one between two is not');
});

t.test('a log does nothing but grow', async (t) => {
  const anchors = await Anchors.open(t);
  const refused = async (name: string, want: object, sent: Promise<unknown>): Promise<void> => {
    t.match(await refusal(sent), want, name);
  };
  await refused(
    'an empty log',
    { reason: 'HeadNotLarger', args: [origin, 0n, 0n] },
    anchors.anchor({ ...anchors.head(1), size: 0n }, []),
  );
  const first = anchors.head(8);
  const zero = `0x${'00'.repeat(32)}`;
  await refused(
    'a first head with a path',
    { reason: 'HeadInconsistent', args: [origin, 8n, first.root, 0n, zero] },
    anchors.anchor(first, [anchors.log.root(4)]),
  );
  await anchors.anchor(first, []);
  const [next, fork] = [anchors.head(20), { ...anchors.head(20), root: hex(new SparseLog(1_024).root(2_048)) }];
  const path = anchors.log.consistency(8, 20);
  const inconsistent = (root: string) => ({ reason: 'HeadInconsistent', args: [origin, 20n, root, 8n, first.root] });
  await refused('the same head again', { reason: 'HeadNotLarger', args: [origin, 8n, 8n] }, anchors.anchor(first, []));
  await refused(
    'another head of the same size',
    { reason: 'HeadNotLarger' },
    anchors.anchor({ ...fork, size: 8n }, []),
  );
  await refused(
    'a smaller head',
    { reason: 'HeadNotLarger', args: [origin, 7n, 8n] },
    anchors.anchor(anchors.head(7), anchors.log.consistency(7, 8)),
  );
  await refused('a history of its own, signed by a quorum', inconsistent(fork.root), anchors.anchor(fork, path));
  await refused('no path', inconsistent(next.root), anchors.anchor(next, []));
  await refused('a path cut short', inconsistent(next.root), anchors.anchor(next, path.slice(1)));
  await refused('a path too long', inconsistent(next.root), anchors.anchor(next, [...path, anchors.log.root(1)]));
  for (const i of path.keys()) {
    const changed = path.map((each, j) => (i === j ? flipBit(each, 255) : each));
    await refused(`a path with digest ${i} changed`, inconsistent(next.root), anchors.anchor(next, changed));
  }
  await refused(
    'a path from another head',
    inconsistent(next.root),
    anchors.anchor(next, anchors.log.consistency(7, 20)),
  );
  t.match(await anchors.latest(), { size: 8n, root: first.root }, 'none of them left a trace');
  await anchors.anchor(next, path);
  await refused('a signed head that has been passed', { reason: 'HeadNotLarger' }, anchors.grow(8, 12));
  t.match(await anchors.latest(), { size: 20n, root: next.root });
});

t.test('a head is signed by a quorum, as it is', async (t) => {
  const anchors = await Anchors.open(t);
  const head = anchors.head(8);
  const refused = async (name: string, reason: string, sent: Promise<unknown>): Promise<void> => {
    t.match(await refusal(sent), { reason }, name);
  };
  await refused('one signature', 'SignatureCountNot', anchors.anchor(head, [], { indexes: [0] }));
  await refused('three signatures', 'SignatureCountNot', anchors.anchor(head, [], { indexes: [0, 1, 2] }));
  await refused('one signer twice', 'SignersNotAscending', anchors.anchor(head, [], { indexes: [1, 1] }));
  for (const signed of [anchors.head(9), { ...head, size: 9n }, { ...head, root: anchors.head(9).root }]) {
    await refused('another head', 'SignerUnknown', anchors.anchor(head, [], { signed }));
  }
  await refused('another log', 'SignerUnknown', anchors.anchor(head, [], { signed: { ...head, origin: otherOrigin } }));
  const stranger = new Wallet(id('nobody'));
  const keys = inOrder([stranger, ...oracleKeys(4)]);
  const withStranger = new OracleSigners(anchors.oracles.chain, anchors.oracles.contract, keys);
  const at = keys.indexOf(stranger);
  const signatures = await withStranger.signCheckpoint(head, at === 0 ? [0, 1] : [0, at]);
  const sent = send(anchors.contract, 'anchor', [head.origin, head.size, head.root, signatures, []]);
  t.match(await refusal(sent), { reason: 'SignerUnknown', args: [BigInt(at === 0 ? 0 : 1), stranger.address] });
  const inTime = await anchors.oracles.signCheckpoint(head);
  const rotated = addressesOf(oracleKeys(4, 'next'));
  await send(anchors.oracles.contract, 'configure', [rotated, 1]);
  await refused(
    'signed before a rotation',
    'SignerUnknown',
    send(anchors.contract, 'anchor', [head.origin, head.size, head.root, inTime, []]),
  );
});

t.test('logs do not touch one another', async (t) => {
  const anchors = await Anchors.open(t);
  await anchors.grow(0, 9);
  t.match(await anchors.latest(otherOrigin), { size: 0n });
  await anchors.grow(0, 4, otherOrigin);
  await anchors.grow(9, 10);
  t.match(await anchors.latest(otherOrigin), { size: 4n, root: anchors.head(4).root });
  t.match(await refusal(anchors.includes(2, 9, { of: otherOrigin })), {
    reason: 'HeadUnknown',
    args: [otherOrigin, 9n],
  });
});

t.test('a batch is in the log, or it is not', async (t) => {
  const anchors = await Anchors.open(t);
  const size = 21;
  await anchors.grow(0, size);
  for (let index = 0; index < size; index++) t.equal(await anchors.includes(index, size), true, `leaf ${index}`);
  t.equal(await anchors.includes(3, size, { digest: anchors.log.digest(4) }), false, 'another batch');
  t.equal(await anchors.includes(3, size, { at: 2 }), false, 'at another index');
  t.equal(await anchors.includes(3, size, { at: size }), false, 'at an index behind the last');
  t.equal(await anchors.includes(3, size, { digest: leafHash(anchors.log.digest(3)) }), false, 'hashed twice');
  const above = nodeHash(leafHash(anchors.log.digest(0)), leafHash(anchors.log.digest(1)));
  const pathAbove = anchors.log.inclusion(0, size).slice(1).map(hex);
  const inner = await call(anchors.contract, 'verifyInclusion', [origin, size, hex(above), 0, pathAbove]);
  t.equal(inner, false, 'an inner node is no batch');
  t.match(await refusal(anchors.includes(3, 20)), { reason: 'HeadUnknown', args: [origin, 20n] });
  t.match(await refusal(anchors.includes(0, 1, { of: otherOrigin })), { reason: 'HeadUnknown' });
  await anchors.grow(size, 40);
  t.equal(await anchors.includes(3, size), true, 'a proof stays good when the log has grown');
  t.equal(await anchors.includes(3, 40), true, 'and there is one against the new head');
});

t.test('a log of random growth, and a tampered proof before each step', async (t) => {
  const anchors = await Anchors.open(t);
  const random = seeded(t, 20_261_123);
  let size = random.integer(1, 50);
  await anchors.grow(0, size);
  for (let step = 0; step < 25; step++) {
    const next = size + random.integer(1, 300);
    const path = anchors.log.consistency(size, next);
    const at = random.integer(0, path.length - 1);
    const tampered = path.map((each, i) => (i === at ? flipBit(each, random.integer(0, 255)) : each));
    const sent = await refusal(anchors.anchor(anchors.head(next), tampered));
    if (sent?.reason !== 'HeadInconsistent') t.fail(`step ${step}, ${size} to ${next}: ${String(sent)}`);
    await anchors.grow(size, next);
    size = next;
  }
  t.match(await anchors.latest(), { size: BigInt(size), root: anchors.head(size).root });
});
