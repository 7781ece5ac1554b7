/** A slice of the campaign: kill -9 at random points, ten seeds. `npm run campaign:kill` runs as many as you like. */
import t from 'tap';
import { killVoyage } from './kill-voyage.ts';

for (let seed = 1; seed <= 10; seed++) {
  t.test(`seed ${seed}`, async (t) => {
    const { kills, problems, readings } = await killVoyage(seed);
    t.same(problems, [], `killed ${kills.join(', ')}; ${readings} readings`);
  });
}
