/** `npm run campaign:agent-kill -- [cycles] [seed]`: agentKills; exits 1 when a promise is not kept. */
import { agentKills } from './kill-agent-cycles.ts';

const cycles = Number(process.argv[2] ?? 5_000);
const seed = Number(process.argv[3] ?? 1);
const startedMs = performance.now();
const { problems, ...figures } = await agentKills(cycles, seed, (cycle) => {
  if (cycle % 500 === 0) process.stdout.write(`${cycle} cycles, ${Math.round(performance.now() - startedMs)} ms\n`);
});
process.stdout.write(`${JSON.stringify({ seed, cycles, ...figures })}\n`);
for (const problem of problems) process.stdout.write(`  ${problem}\n`);
process.stdout.write(problems.length === 0 ? 'sound\n' : 'NOT SOUND\n');
process.exit(problems.length === 0 ? 0 : 1);
