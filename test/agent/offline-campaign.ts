/** `npm run campaign:offline -- [days]`: offlineVoyage, 30 days unless told; exits 1 when a promise is not kept. */
import { offlineVoyage } from './offline-voyage.ts';

const days = Number(process.argv[2] ?? 30);
const voyage = await offlineVoyage(days);
process.stdout.write(`${JSON.stringify({ days, ...voyage })}\n`);
const isSound = voyage.problems.length === 0;
const isWithin = voyage.rssMiBMax[2] < 150 && voyage.drainPerSec >= 5_000;
process.stdout.write(`${isSound ? 'sound' : 'NOT SOUND'}, ${isWithin ? 'within' : 'NOT WITHIN'} 150 MiB and 5,000/s\n`);
process.exitCode = isSound && isWithin ? 0 : 1;
