/** Who the oracles are, who says so, and what becomes of what former ones signed. */
import t, { type Test } from 'tap';
import { AbiCoder, keccak256 } from 'ethers';
import { addressOf, call, deploy, refusal, send, startChain, type Chain } from '../helpers/chain.ts';
import { startSec } from './fixture.ts';
import { addressesOf, inOrder, oracleKeys, OracleSigners, type Report } from './oracle-signers.ts';

const consortiumRole = 4n;
const zero = `0x${'00'.repeat(20)}`;
const report: Report = {
  cryptlet: `0x${'c1'.repeat(32)}`,
  consumer: `0x${'ab'.repeat(20)}`,
  subject: 7n,
  sequence: 1n,
  deadline: startSec + 30 * 86_400,
  payload: '0x',
};

async function opened(t: Test): Promise<OracleSigners> {
  const chain = await startChain({ startSec });
  t.teardown(() => chain.stop());
  return OracleSigners.deploy(chain, await chain.account(0));
}

function digestOf(chain: Chain, contract: string, count: number, signers: readonly string[], f: number): string {
  const types = ['uint256', 'address', 'uint32', 'address[]', 'uint8'];
  return keccak256(AbiCoder.defaultAbiCoder().encode(types, [chain.chainId, contract, count, signers, f]));
}

t.test('the first configuration comes with the contract', async (t) => {
  const oracles = await opened(t);
  const signers = addressesOf(oracles.keys);
  const digest = digestOf(oracles.chain, addressOf(oracles.contract), 1, signers, 1);
  t.same(await oracles.config(), { digest, count: 1n, f: 1n, signers });
});

t.test('a rotation ends what was signed before it, and every former signer', async (t) => {
  const oracles = await opened(t);
  const next = oracleKeys(7, 'next');
  const overlapping = inOrder([oracles.keys[0]!, ...next.slice(1)]);
  const old = await oracles.sign(report);
  await call(oracles.contract, 'verify', [report, old]);
  const signers = addressesOf(overlapping);
  const { events } = await send(oracles.contract, 'configure', [signers, 2]);
  const configDigest = digestOf(oracles.chain, addressOf(oracles.contract), 2, signers, 2);
  t.match(events, [{ name: 'OraclesConfigured', args: { configDigest, count: 2n, f: 2n } }]);
  t.same(await oracles.config(), { digest: configDigest, count: 2n, f: 2n, signers });
  const count = await refusal(call(oracles.contract, 'verify', [report, old]));
  t.equal(count?.reason, 'SignatureCountNot', 'a quorum is larger now');
  await send(oracles.contract, 'configure', [addressesOf(oracles.keys), 1]);
  const again = await refusal(call(oracles.contract, 'verify', [report, old]));
  t.equal(again?.reason, 'SignerUnknown', 'the same signers again, and still another configuration');
  await call(oracles.contract, 'verify', [report, await oracles.sign(report)]);
  await send(oracles.contract, 'configure', [addressesOf(oracleKeys(4, 'next')), 1]);
  const former = await refusal(call(oracles.contract, 'verify', [report, await oracles.sign(report)]));
  t.same([former?.reason, former?.args], ['SignerUnknown', [0n, oracles.keys[0]!.address]], 'a former signer');
});

t.test('no configuration but 3f + 1 different signers, 1 <= f <= 10', async (t) => {
  const oracles = await opened(t);
  const all = addressesOf(oracleKeys(34, 'next'));
  const four = all.slice(0, 4);
  const rows: [string, string, string[], number, unknown[]][] = [
    ['f = 0', 'FaultyCountOutOfRange', [all[0]!], 0, [0n, 1n, 10n]],
    ['f = 11', 'FaultyCountOutOfRange', all, 11, [11n, 1n, 10n]],
    ['none', 'SignerCountNot', [], 1, [0n, 4n]],
    ['one too few', 'SignerCountNot', four.slice(1), 1, [3n, 4n]],
    ['one too many', 'SignerCountNot', all.slice(0, 5), 1, [5n, 4n]],
    ['32 for f = 10', 'SignerCountNot', all.slice(0, 32), 10, [32n, 31n]],
    ['zero', 'SignerInvalid', [...four.slice(1), zero], 1, [3n, zero]],
    ['not ascending', 'SignerInvalid', [...four].reverse(), 1, [1n, four[2]]],
    ['a duplicate', 'SignerInvalid', [four[0]!, four[1]!, four[1]!, four[3]!], 1, [2n, four[1]]],
    ['a duplicate apart', 'SignerInvalid', [...four.slice(0, 3), four[1]!], 1, [3n, four[1]]],
  ];
  const deployer = await oracles.chain.account(0);
  for (const [name, reason, signers, f, args] of rows) {
    const refused = await refusal(send(oracles.contract, 'configure', [signers, f]));
    t.same([refused?.reason, refused?.args], [reason, args], name);
    const authority = await call(oracles.contract, 'authority');
    await t.rejects(deploy(deployer, 'OracleSet', [authority, signers, f]), `${name}, at the deployment`);
  }
  t.equal((await oracles.config()).count, 1n);
  await send(oracles.contract, 'configure', [all.slice(0, 31), 10]);
  t.equal((await oracles.config()).count, 2n);
});

t.test('only the consortium configures, after the delay that its role has', async (t) => {
  const oracles = await opened(t);
  const { chain, contract } = oracles;
  const deployer = await chain.account(0);
  const [member, stranger] = await Promise.all([chain.account(1), chain.account(2)]);
  const manager = await deploy(deployer, 'AccessManager', [deployer.address]);
  const keys = addressesOf(oracles.keys);
  const set = await deploy(deployer, 'OracleSet', [manager.target, keys, 1]);
  const configure = set.interface.getFunction('configure')!.selector;
  const delaySec = 86_400;
  await send(manager, 'setTargetFunctionRole', [set.target, [configure], consortiumRole]);
  await send(manager, 'grantRole', [consortiumRole, member.address, delaySec]);
  const next = addressesOf(oracleKeys(4, 'next'));
  for (const by of [stranger, deployer]) {
    const refused = await refusal(send(set, 'configure', [next, 1], { by }));
    t.same([refused?.reason, refused?.args], ['AccessManagedUnauthorized', [by.address]]);
  }
  t.ok(await refusal(send(set, 'configure', [next, 1], { by: member })), 'not scheduled');
  const request = set.interface.encodeFunctionData('configure', [next, 1]);
  await send(manager, 'schedule', [set.target, request, 0], { by: member });
  const scheduledSec = await chain.nowSec();
  await chain.mineAt(scheduledSec + delaySec - 2);
  t.ok(await refusal(send(set, 'configure', [next, 1], { by: member })), 'a second before the delay is over');
  await chain.setNextTime(scheduledSec + delaySec);
  await send(set, 'configure', [next, 1], { by: member });
  const view = (await call(set, 'config')) as { count: bigint };
  t.equal(view.count, 2n);
  t.equal(((await call(contract, 'config')) as { count: bigint }).count, 1n, 'and no other set');
});
