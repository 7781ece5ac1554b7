/** The whole campaign: `npm run campaign:submission -- COUNT SEED`. Ends with 1 at a run with a problem. */
import { openRig, runFaults } from './submission-faults.ts';

const [count = 2_000, seed = 1] = process.argv.slice(2).map(Number);

const rig = await openRig();
const startedMs = performance.now();
const cpu = process.cpuUsage();
const totals = { faults: 0, lies: 0, kills: 0, reorgs: 0, transactions: 0 };
const failed: number[] = [];
const said: Record<string, number> = {};
for (let i = 0; i < count; i++) {
  const { problems, script, counts, said: events } = await runFaults(rig, seed + i);
  for (const [event, times] of events) said[event] = (said[event] ?? 0) + times;
  for (const name of ['faults', 'lies', 'kills', 'reorgs', 'transactions'] as const) totals[name] += counts[name];
  if (problems.length === 0) continue;
  failed.push(seed + i);
  process.stdout.write(`seed ${seed + i}\n  ${[...script, ...problems].join('\n  ')}\n`);
}
const seconds = (performance.now() - startedMs) / 1_000;
const { user, system } = process.cpuUsage(cpu);
const cpuMsPerRun = Math.round((user + system) / 1_000 / count);
const secondsPerRun = Math.round((seconds / count) * 100) / 100;
process.stdout.write(`${JSON.stringify({ count, seed, failed, secondsPerRun, cpuMsPerRun, ...totals, said })}\n`);
if (failed.length > 0) process.exitCode = 1;
await rig.close();
