/** The oracle's chain side as a process, round after round until it is killed. Started by submission-faults.ts. */
import { realClock } from '@coldproof/oracle/clock';
import { DevelopmentChain } from '@coldproof/oracle/development-chain';
import { OperatingError } from '@coldproof/oracle/operating-error';
import type { World } from './anvil.ts';
import { Life } from './transmit-fixture.ts';

export type ChildStart = {
  readonly folder: string;
  readonly rpcUrl: string;
  readonly rpcUrls: readonly string[];
  readonly timeoutMs: number;
  readonly contracts: World['contracts'];
};

const { folder, rpcUrl, rpcUrls, timeoutMs, contracts } = JSON.parse(process.argv[2]!) as ChildStart;
const world = { anvil: { chain: new DevelopmentChain(rpcUrl) }, contracts };
const policy = { feeWeiMax: 10n ** 13n, resendMs: 100, bumpMs: 400, retryMs: 20 };
const life = new Life(world, folder, { rpcUrl: rpcUrls, policy, chain: { timeoutMs } });
for (;;) {
  try {
    await life.round();
  } catch (error) {
    if (!(error instanceof OperatingError)) throw error;
  }
  await realClock.wait(5);
}
