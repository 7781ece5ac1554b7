/** Gas of the anchored log on Osaka, whole transactions, signed by two of four. */
import { deploy, send, startChain } from '../helpers/chain.ts';
import { hex, startSec } from './fixture.ts';
import { OracleSigners } from './oracle-signers.ts';
import { SparseLog } from './sparse-log.ts';

const origin = `0x${'a1'.repeat(32)}`;
const size = 1_000_000;

/** Each truck seals one batch for an anchor, every 15 minutes, with a sample a minute of one channel. */
const truckCount = 10_000;
const samplesPerBatch = 15;

export async function measure(): Promise<Record<string, bigint>> {
  const chain = await startChain({ startSec });
  try {
    const deployer = await chain.account(0);
    const oracles = await OracleSigners.deploy(chain, deployer);
    const contract = await deploy(deployer, 'AnchorLog', [oracles.contract.target]);
    const before = size - truckCount;
    const log = new SparseLog(before);
    const anchor = async (head: number, path: readonly Uint8Array[]): Promise<bigint> => {
      const [leaves, root] = [BigInt(head), hex(log.root(head))];
      const signatures = await oracles.signCheckpoint({ origin, size: leaves, root });
      return (await send(contract, 'anchor', [origin, leaves, root, signatures, path.map(hex)])).gasUsed;
    };
    const first = await anchor(before, []);
    const anchored = await anchor(size, log.consistency(before, size));
    const index = size - 1_234;
    const path = log.inclusion(index, size).map(hex);
    const inclusion = await send(contract, 'verifyInclusion', [origin, size, hex(log.digest(index)), index, path]);
    return {
      'anchor the first head': first,
      'anchor 1,000,000 leaves, 10,000 of them new': anchored,
      'anchor, for each 1,000 readings of 10,000 trucks in 15 minutes':
        (anchored * 1_000n) / BigInt(truckCount * samplesPerBatch),
      'verifyInclusion in 1,000,000 leaves': inclusion.gasUsed,
    };
  } finally {
    await chain.stop();
  }
}
