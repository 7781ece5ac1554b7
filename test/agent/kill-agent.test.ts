/** A slice of the kill campaign: what a sensor was told is kept, once, and no sequence has two contents. */
import t from 'tap';
import { agentKills } from './kill-agent-cycles.ts';
import { coreKills } from './kill-core-cycles.ts';

const seed = Number(process.env['SEED'] ?? 7);
t.comment(`SEED=${seed}`);

t.test('kill -9 of the loops at random moments', async (t) => {
  const cycles = Number(process.env['KILL_ROUNDS'] ?? 100);
  const { problems, ...figures } = await coreKills(cycles, seed);
  t.comment(JSON.stringify(figures));
  t.same(problems, []);
  t.ok(figures.acknowledged > 0 && figures.late > 0, 'some came so far as to take readings');
});

t.test('kill -9 of the whole agent', async (t) => {
  const { problems, ...figures } = await agentKills(4, seed);
  t.comment(JSON.stringify(figures));
  t.same(problems, []);
});
