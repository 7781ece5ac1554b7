/** Gas of the silence on Osaka, whole transactions, over the real contracts. */
import type { MethodOf } from '@coldproof/contracts';
import { abiHeartbeat, sealHeartbeat } from './signs-of-life.ts';
import { at, challengeSecMax, openVoyage, sailedSec } from './silent-voyage.ts';

export async function measure(): Promise<Record<string, bigint>> {
  const voyage = await openVoyage();
  const { market, orderId, device } = voyage;
  try {
    let nowSec = sailedSec;
    const used = async (method: MethodOf<'Silence'>, args: readonly unknown[] = []): Promise<bigint> => {
      nowSec += 1;
      return (await at(voyage, nowSec, method, [orderId, ...args])).gasUsed;
    };
    const beat = (): unknown => abiHeartbeat(sealHeartbeat(device, nowSec - 60));
    const reported = await used('reportSilence');
    const disproved = await used('disprove', [beat()]);
    const proved = await used('proveHeartbeat', [beat()]);
    nowSec += 86_400;
    await used('reportSilence');
    nowSec += challengeSecMax;
    const breached = await used('declareBreach');
    return { reportSilence: reported, disprove: disproved, proveHeartbeat: proved, declareBreach: breached };
  } finally {
    await market.stop();
  }
}
