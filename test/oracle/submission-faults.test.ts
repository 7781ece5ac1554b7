/** Fifty runs of the campaign (SUBMISSION.md); `npm run campaign:submission -- COUNT SEED` has more. */
import t from 'tap';
import { openRig, runFaults } from './submission-faults.ts';

const runs = 50;

t.test('faults, lies, reorganisations and kills: one effect on the chain for each action', async (t) => {
  const seed = Number(process.env['SEED'] ?? 1);
  t.comment(`SEED=${seed}`);
  const rig = await openRig();
  t.teardown(() => rig.close());
  const totals = { faults: 0, kills: 0, reorgs: 0 };
  for (let i = 0; i < runs; i++) {
    const { problems, script, counts } = await runFaults(rig, seed + i);
    for (const name of ['faults', 'kills', 'reorgs'] as const) totals[name] += counts[name];
    if (problems.length > 0) t.comment(script.join('\n'));
    t.same(problems, [], `SEED=${seed + i}`);
  }
  for (const [what, count] of Object.entries(totals)) t.ok(count > 0, `${count} ${what}`);
});
