/**
 * `npm run campaign:agent-disk`: sufferFault at each fsync, at each write, and with 0 to 63 pages left, until a life
 * sees no fault any more; exits 1 when a promise is not kept.
 */
import { bundleCore } from './core-bundle.ts';
import { isRoot, sufferFault, type DiskFault } from './disk-faults.ts';

const pagesMax = 63;
await bundleCore();
const problems: string[] = [];

async function sweep(kind: DiskFault['kind'], from: number, to: number): Promise<void> {
  const codes = new Map<string, number>();
  let faults = 0;
  for (let at = from; at <= to; at++) {
    const { isHit, failed, problems: found } = await sufferFault({ kind, at });
    problems.push(...found.map((problem) => `${kind} ${at}: ${problem}`));
    if (!isHit) break;
    faults += 1;
    const code = failed?.code ?? 'survived';
    codes.set(code, (codes.get(code) ?? 0) + 1);
  }
  process.stdout.write(`${JSON.stringify({ kind, faults, codes: Object.fromEntries(codes) })}\n`);
}

await sweep('fsync', 1, 1_000);
await sweep('write', 1, 1_000);
if (isRoot) await sweep('room', 0, pagesMax);
else process.stdout.write('room: skipped, a tmpfs takes root\n');
for (const problem of problems) process.stdout.write(`${problem}\n`);
const isSound = problems.length === 0;
process.stdout.write(isSound ? 'sound\n' : 'NOT SOUND\n');
process.exit(isSound ? 0 : 1);
