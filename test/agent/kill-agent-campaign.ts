/**
 * `npm run campaign:agent-kill -- [cycles] [seed]`: coreKills, and one agentKills for each hundred of them; exits 1
 * when a promise is not kept.
 */
import { agentKills } from './kill-agent-cycles.ts';
import { coreKills } from './kill-core-cycles.ts';

const cycles = Number(process.argv[2] ?? 5_000);
const seed = Number(process.argv[3] ?? 1);
const startedMs = performance.now();
const core = await coreKills(cycles, seed, (cycle) => {
  if (cycle % 500 === 0) process.stdout.write(`${cycle} cycles, ${Math.round(performance.now() - startedMs)} ms\n`);
});
const whole = await agentKills(Math.ceil(cycles / 100), seed);
process.stdout.write(`${JSON.stringify({ seed, cycles, core, whole })}\n`);
const isSound = core.problems.length + whole.problems.length === 0;
process.stdout.write(isSound ? 'sound\n' : 'NOT SOUND\n');
process.exit(isSound ? 0 : 1);
