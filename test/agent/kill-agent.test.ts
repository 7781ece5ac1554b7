/** A slice of the kill campaign: what a sensor was told is kept, once, and no sequence has two contents. */
import t from 'tap';
import { agentKills } from './kill-agent-cycles.ts';

t.test('kill -9 of the agent at random moments', async (t) => {
  const seed = Number(process.env['SEED'] ?? 7);
  t.comment(`SEED=${seed}`);
  const cycles = Number(process.env['KILL_ROUNDS'] ?? 15);
  const { problems, ...figures } = await agentKills(cycles, seed);
  t.comment(JSON.stringify(figures));
  t.same(problems, []);
  t.ok(figures.acknowledged > 0 && figures.late > 0, 'some came so far as to take readings');
});
