/**
 * A slice of the disk campaign: one fault each at points drawn from a short life. What a sensor was told is kept, and
 * no sequence has two contents.
 */
import t from 'tap';
import { seeded } from '../helpers/seed.ts';
import { bundleCore } from './core-bundle.ts';
import { hasStrace, isRoot, sufferFault, type DiskFault } from './disk-faults.ts';

const isCi = process.env['CI'] === 'true';
/** In the script's life there are 20 fsyncs and 99 writes, of which the last few come and go with the turns. */
const points = { fsync: 18, write: 95, room: 63 };
const random = seeded(t, 11);
await bundleCore();

for (const kind of ['fsync', 'write', 'room'] as const) {
  const isAble = kind === 'room' ? isRoot : hasStrace;
  const skip = isAble || isCi ? false : kind === 'room' ? 'a tmpfs takes root' : 'strace is not installed';
  for (const at of [1, 2].map(() => random.integer(1, points[kind]))) {
    const fault: DiskFault = { kind, at };
    t.test(JSON.stringify(fault), { skip }, async (t) => {
      const { isHit, failed, problems, acknowledged } = await sufferFault(fault);
      t.comment(`${acknowledged} acknowledged before: ${failed?.message ?? 'nothing failed'}`);
      t.ok(isHit, 'the fault came');
      t.same(problems, []);
    });
  }
}
