/**
 * Gas of what others do with readings, whole transactions, on Osaka, to hold ours against: a transaction for each
 * reading, and a report by f + 1 of the oracles of a feed. gas.test.ts calls it.
 */
import { AbiCoder, SigningKey, Wallet, ZeroHash, id, keccak256, type BytesLike } from 'ethers';
import { call, deploy, send, startChain, type Chain } from '../helpers/chain.ts';

const coder = AbiCoder.defaultAbiCoder();

export async function measure(): Promise<Record<string, bigint>> {
  const chain = await startChain();
  try {
    return { ...(await measureEachReading(chain)), ...(await measureReportFeed(chain)) };
  } finally {
    await chain.stop();
  }
}

/** The second reading on: the first one fills an empty slot. */
async function measureEachReading(chain: Chain): Promise<Record<string, bigint>> {
  const device = await chain.account(1);
  const peer = await deploy(await chain.account(0), 'EachReading', [device.address, [20, 80], [2, 8]]);
  const nowSec = await chain.nowSec();
  await send(peer, 'ingest', [50, 5, nowSec], { by: device });
  const { gasUsed } = await send(peer, 'ingest', [50, 5, nowSec + 60], { by: device });
  return { 'peer: one reading, stored by itself (Azure workbench sample)': gasUsed };
}

/** Four oracles, f = 1, two signatures and four observations; the second round on. */
async function measureReportFeed(chain: Chain): Promise<Record<string, bigint>> {
  const keys = [1, 2, 3, 4].map((index) => new SigningKey(id(`oracle ${index}`)));
  const signers = keys.map((key) => new Wallet(key).address);
  const accounts = await Promise.all([1, 2, 3, 4].map((index) => chain.account(index)));
  const transmitters = accounts.map(({ address }) => address);
  const peer = await deploy(await chain.account(0), 'ReportFeed', [signers, transmitters, 1, -4_000, 6_000]);
  const configDigest = (await call(peer, 'latestConfigDigest')) as string;
  const transmit = async (epoch: number): Promise<bigint> => {
    const observedAt = await chain.nowSec();
    const values = [observedAt, `0x00010203${'0'.repeat(56)}`, [498, 500, 501, 503], 10n ** 15n];
    const report = coder.encode(['uint32', 'bytes32', 'int192[]', 'int192'], values);
    const context = [configDigest, `0x${(epoch << 8).toString(16).padStart(64, '0')}`, ZeroHash];
    const digest = keccak256(coder.encode(['bytes32', 'bytes32[3]'], [keccak256(report), context]));
    const args = [context, report, ...signaturesOf(digest, keys.slice(0, 2))];
    return (await send(peer, 'transmit', args, { by: accounts[0]! })).gasUsed;
  };
  await transmit(1);
  return { 'peer: next report to a feed, 2 of 4 signatures (as OCR2)': await transmit(2) };
}

/** r of each, s of each, and the recovery ids in a word. */
function signaturesOf(digest: BytesLike, keys: readonly SigningKey[]): [string[], string[], string] {
  const signatures = keys.map((key) => key.sign(digest));
  const recoveryIds = signatures.map(({ yParity }) => `0${yParity}`).join('');
  return [signatures.map(({ r }) => r), signatures.map(({ s }) => s), `0x${recoveryIds.padEnd(64, '0')}`];
}
