/** What counts as f + 1 signatures of oracles, and each reason why some do not. */
import t, { type Test } from 'tap';
import { call, refusal, startChain } from '../helpers/chain.ts';
import { startSec } from './fixture.ts';
import { inOrder, oracleKeys, OracleSigners, upperTwin, type Checkpoint, type Report } from './oracle-signers.ts';

const report: Report = {
  cryptlet: `0x${'c1'.repeat(32)}`,
  consumer: `0x${'ab'.repeat(20)}`,
  subject: 7n,
  sequence: 1n,
  deadline: startSec + 3_600,
  payload: '0x1234',
};
const checkpoint: Checkpoint = { origin: `0x${'01'.repeat(32)}`, size: 1_000_000n, root: `0x${'02'.repeat(32)}` };
const checkpointArgs = ({ origin, size, root }: Checkpoint): unknown[] => [origin, size, root];

async function opened(t: Test, f = 1): Promise<OracleSigners> {
  const chain = await startChain({ startSec });
  t.teardown(() => chain.stop());
  return OracleSigners.deploy(chain, await chain.account(0), f);
}

t.test('a report signed by f + 1 passes, whoever of them', async (t) => {
  const oracles = await opened(t);
  const digest = await oracles.digestReport(report);
  t.equal(await call(oracles.contract, 'digestReport', [report]), digest, 'the digest is that of EIP-712');
  for (const indexes of [
    [0, 1],
    [0, 2],
    [0, 3],
    [1, 2],
    [1, 3],
    [2, 3],
  ]) {
    const signatures = await oracles.sign(report, { indexes });
    t.equal(await call(oracles.contract, 'verify', [report, signatures]), digest, indexes.join());
  }
});

t.test('a quorum of the largest set: 11 of 31', async (t) => {
  const oracles = await opened(t, 10);
  const signatures = await oracles.sign(report);
  t.equal(signatures.length, 11);
  await call(oracles.contract, 'verify', [report, signatures]);
  const refused = await refusal(call(oracles.contract, 'verify', [report, signatures.slice(1)]));
  t.same([refused?.reason, refused?.args], ['SignatureCountNot', [10n, 11n]]);
});

t.test('signatures that are not a quorum are refused by name', async (t) => {
  const oracles = await opened(t);
  const [first, second, third] = (await oracles.sign(report, { indexes: [0, 1, 2] })) as [string, string, string];
  const [low, high] = oracles.keys.map((key) => key.address) as [string, string];
  const zero = `0x${'00'.repeat(64)}1b`;
  const oddV = `${first.slice(0, -2)}1d`;
  const twin = upperTwin(second);
  const rows: [string, string, string[], unknown[]][] = [
    ['none', 'SignatureCountNot', [], [0n, 2n]],
    ['one too few', 'SignatureCountNot', [first], [1n, 2n]],
    ['one too many', 'SignatureCountNot', [first, second, third], [3n, 2n]],
    ['the same twice', 'SignersNotAscending', [first, first], [1n, low, low]],
    ['in the wrong order', 'SignersNotAscending', [second, first], [1n, low, high]],
    ['the upper twin', 'SignatureNotLowS', [first, twin], [1n, `0x${twin.slice(66, 130)}`]],
    ['64 bytes', 'SignatureSizeNot', [first.slice(0, -2), second], [0n, 64n]],
    ['66 bytes', 'SignatureSizeNot', [first, `${second}00`], [1n, 66n]],
    ['no bytes', 'SignatureSizeNot', ['0x', second], [0n, 0n]],
    ['r and s zero', 'SignatureUnrecoverable', [zero, second], [0n]],
    ['v neither 27 nor 28', 'SignatureUnrecoverable', [oddV, second], [0n]],
  ];
  for (const [name, reason, signatures, args] of rows) {
    const refused = await refusal(call(oracles.contract, 'verify', [report, signatures]));
    t.same([refused?.reason, refused?.args], [reason, args], name);
  }
});

t.test('a signature over anything else is by nobody', async (t) => {
  const oracles = await opened(t);
  const digest = `0x${'77'.repeat(32)}`;
  const changes: [string, Partial<Report>][] = [
    ['cryptlet', { cryptlet: digest }],
    ['consumer', { consumer: `0x${'ac'.repeat(20)}` }],
    ['subject', { subject: 8n }],
    ['sequence', { sequence: 2n }],
    ['deadline', { deadline: report.deadline + 1 }],
    ['payload', { payload: '0x123400' }],
  ];
  const signatures = await oracles.sign(report);
  for (const [name, change] of changes) {
    const refused = await refusal(call(oracles.contract, 'verify', [{ ...report, ...change }, signatures]));
    t.equal(refused?.reason, 'SignerUnknown', `another ${name}`);
  }
  const elsewhere: [string, Parameters<OracleSigners['sign']>[1]][] = [
    ['name', { domain: { name: 'Coldproof2' } }],
    ['version', { domain: { version: '2' } }],
    ['chain', { domain: { chainId: 1 } }],
    ['OracleSet', { domain: { verifyingContract: report.consumer } }],
    ['configuration', { config: digest }],
  ];
  for (const [name, options] of elsewhere) {
    const refused = await refusal(call(oracles.contract, 'verify', [report, await oracles.sign(report, options)]));
    t.equal(refused?.reason, 'SignerUnknown', `another ${name}`);
    t.equal(refused?.args[0], 0n);
  }
});

t.test('one honest signature and one of a stranger are no quorum', async (t) => {
  const oracles = await opened(t);
  const [stranger] = oracleKeys(1, 'outsider');
  const pair = inOrder([oracles.keys[0]!, stranger!]);
  const signatures = await new OracleSigners(oracles.chain, oracles.contract, pair).sign(report);
  const refused = await refusal(call(oracles.contract, 'verify', [report, signatures]));
  t.same([refused?.reason, refused?.args], ['SignerUnknown', [BigInt(pair.indexOf(stranger!)), stranger!.address]]);
});

t.test('the deadline belongs to the time before, to the second', async (t) => {
  const oracles = await opened(t);
  const signatures = await oracles.sign(report);
  for (const timeSec of [report.deadline - 1, report.deadline]) {
    await oracles.chain.mineAt(timeSec);
    await call(oracles.contract, 'verify', [report, signatures]);
  }
  await oracles.chain.mineAt(report.deadline + 1);
  const refused = await refusal(call(oracles.contract, 'verify', [report, signatures]));
  t.same([refused?.reason, refused?.args], ['ReportExpired', [BigInt(report.deadline), BigInt(report.deadline + 1)]]);
});

t.test('a checkpoint is signed as itself and as nothing else', async (t) => {
  const oracles = await opened(t);
  const digest = await oracles.digestCheckpoint(checkpoint);
  t.equal(await call(oracles.contract, 'digestCheckpoint', checkpointArgs(checkpoint)), digest, 'as EIP-712 has it');
  const signatures = await oracles.signCheckpoint(checkpoint);
  t.equal(await call(oracles.contract, 'verifyCheckpoint', [...checkpointArgs(checkpoint), signatures]), digest);
  const other = `0x${'03'.repeat(32)}`;
  for (const change of [{ origin: other }, { size: 1_000_001n }, { root: other }]) {
    const args = [...checkpointArgs({ ...checkpoint, ...change }), signatures];
    const refused = await refusal(call(oracles.contract, 'verifyCheckpoint', args));
    t.equal(refused?.reason, 'SignerUnknown', `another ${Object.keys(change).join()}`);
  }
  const crossed = await refusal(call(oracles.contract, 'verify', [report, signatures]));
  t.equal(crossed?.reason, 'SignerUnknown', 'for a report');
  const reports = [...checkpointArgs(checkpoint), await oracles.sign(report)];
  t.equal((await refusal(call(oracles.contract, 'verifyCheckpoint', reports)))?.reason, 'SignerUnknown');
});
