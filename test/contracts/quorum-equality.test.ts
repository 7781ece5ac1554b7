/** One verdict on a quorum's signatures, from OracleSet and from ethers' recovery with the rules of IQuorum. */
import t from 'tap';
import { concat, getBytes, id, recoverAddress, Wallet } from 'ethers';
import { call, deploy, startChain } from '../helpers/chain.ts';
import { seeded, type Random } from '../helpers/seed.ts';
import { flipBit, hex } from './fixture.ts';
import { addressesOf, oracleKeys, OracleSigners, upperTwin } from './oracle-signers.ts';

const mutantCount = 2_400;
const callSize = 300;
const halfOrder = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n;

const checkpoint = { origin: id('a log'), size: 1_000n, root: id('a root') };

type Refusal =
  | 'accepted'
  | 'SignatureCountNot'
  | 'SignatureSizeNot'
  | 'SignatureNotLowS'
  | 'SignatureUnrecoverable'
  | 'SignerUnknown'
  | 'SignersNotAscending';

/** As IQuorum says it, in its order, by another implementation of the curve. */
function expected(digest: string, signatures: readonly string[], signers: readonly string[], f: number): Refusal {
  if (signatures.length !== f + 1) return 'SignatureCountNot';
  let before = 0n;
  for (const signature of signatures) {
    const bytes = getBytes(signature);
    if (bytes.length !== 65) return 'SignatureSizeNot';
    if (BigInt(hex(bytes.subarray(32, 64))) > halfOrder) return 'SignatureNotLowS';
    const signer = recover(digest, bytes);
    if (signer === undefined) return 'SignatureUnrecoverable';
    if (!signers.includes(signer)) return 'SignerUnknown';
    if (BigInt(signer) <= before) return 'SignersNotAscending';
    before = BigInt(signer);
  }
  return 'accepted';
}

/** ethers takes more forms of v than 27 and 28, which are the only ones of ecrecover. */
function recover(digest: string, bytes: Uint8Array): string | undefined {
  if (bytes[64] !== 27 && bytes[64] !== 28) return undefined;
  try {
    return recoverAddress(digest, hex(bytes));
  } catch {
    return undefined;
  }
}

type Change = (signatures: string[], random: Random, strangers: readonly string[]) => string[];

const mutations: Record<string, Change> = {
  honest: (signatures) => signatures,
  bit: changeOne((bytes, random) => flipBit(bytes, random.integer(0, 519))),
  v: changeOne((bytes, random) => Uint8Array.from([...bytes.subarray(0, 64), random.pick([0, 1, 26, 29, 35, 255])])),
  vTurned: changeOne((bytes) => Uint8Array.from([...bytes.subarray(0, 64), bytes[64] === 27 ? 28 : 27])),
  rZero: changeOne((bytes) => bytes.map((each, i) => (i < 32 ? 0 : each))),
  sZero: changeOne((bytes) => bytes.map((each, i) => (i >= 32 && i < 64 ? 0 : each))),
  rOnes: changeOne((bytes) => bytes.map((each, i) => (i < 32 ? 0xff : each))),
  random: changeOne((_, random) => Uint8Array.from([...random.bytes(64), random.pick([27, 28])])),
  short: changeOne((bytes, random) => bytes.subarray(0, random.pick([0, 32, 64]))),
  long: changeOne((bytes) => Uint8Array.from([...bytes, 0])),
  upperTwin: (signatures) => signatures.map((each, i) => (i === 0 ? upperTwin(each) : each)),
  reversed: (signatures) => [...signatures].reverse(),
  twice: ([first]) => [first!, first!],
  oneLess: (signatures) => signatures.slice(1),
  oneMore: (signatures, _, [stranger]) => [...signatures, stranger!],
  none: () => [],
  stranger: (signatures, random, strangers) => {
    const at = random.integer(0, signatures.length - 1);
    return signatures.map((each, i) => (i === at ? random.pick(strangers) : each));
  },
  halvesOfTwo: ([first, second]) => [
    concat([getBytes(first!).subarray(0, 32), getBytes(second!).subarray(32)]),
    second!,
  ],
};

function changeOne(change: (bytes: Uint8Array, random: Random) => Uint8Array): Change {
  return (signatures, random) => {
    const at = random.integer(0, signatures.length - 1);
    return signatures.map((each, i) => (i === at ? hex(change(getBytes(each), random)) : each));
  };
}

t.test(`${mutantCount} sets of signatures, most of them tampered with`, async (t) => {
  const chain = await startChain();
  t.teardown(() => chain.stop());
  const deployer = await chain.account(0);
  const oracles = await OracleSigners.deploy(chain, deployer);
  const probe = await deploy(deployer, 'QuorumProbe');
  const random = seeded(t, 20_261_124);
  const digest = await oracles.digestCheckpoint(checkpoint);
  const signers = addressesOf(oracleKeys(4));
  const signed = oracleKeys(4).map((key) => key.signingKey.sign(digest).serialized);
  const strangers = [1, 2, 3].map((i) => new Wallet(id(`stranger ${i}`)).signingKey.sign(digest).serialized);
  const cases = Array.from({ length: mutantCount }, () => {
    const first = random.integer(0, 2);
    const pair = [signed[first]!, signed[random.integer(first + 1, 3)]!];
    const name = random.pick(Object.keys(mutations));
    return { name, signatures: mutations[name]!(pair, random, strangers) };
  });
  const names = new Map<string, string>([['0x00000000', 'accepted']]);
  oracles.contract.interface.forEachError((each) => names.set(each.selector, each.name));
  const counts = new Map<string, number>();
  for (let from = 0; from < cases.length; from += callSize) {
    const chunk = cases.slice(from, from + callSize);
    const { origin, size, root } = checkpoint;
    const asked = chunk.map(({ signatures }) => signatures);
    const answers = (await call(probe, 'verifyEach', [oracles.contract.target, origin, size, root, asked])) as string[];
    chunk.forEach(({ name, signatures }, i) => {
      const want = expected(digest, signatures, signers, 1);
      const got = names.get(answers[i]!);
      if (got !== want) t.fail(`${from + i} ${name}: ethers ${want}, OracleSet ${got}`, { signatures });
      counts.set(want, (counts.get(want) ?? 0) + 1);
    });
  }
  t.comment([...counts].map(([reason, count]) => `${reason} ${count}`).join(', '));
  t.equal(counts.size, 7, 'every refusal, and acceptance, was met');
});
