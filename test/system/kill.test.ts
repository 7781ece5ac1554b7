/** A slice of the campaign: kill -9 at random points, ten seeds. `npm run campaign:kill` runs as many as you like. */
import t from 'tap';
import { killVoyage } from './kill-voyage.ts';

// A voyage mostly waits.
t.jobs = 2;

for (let seed = 1; seed <= 10; seed++) {
  t.test(`seed ${seed}`, { buffered: true }, async (t) => {
    const { kills, problems, readings } = await killVoyage(seed);
    t.same(problems, [], `killed ${kills.join(', ')}; ${readings} readings`);
  });
}
