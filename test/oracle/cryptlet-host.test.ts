/** The host: what a hostile cryptlet does to the others, and what a machine's fault does to a verdict. */
import t from 'tap';
import { openCryptletHost } from '@coldproof/oracle/cryptlet/host';
import { cryptletLimits } from '@coldproof/oracle/cryptlet/limits';
import { OperatingError } from '@coldproof/oracle/operating-error';
import { cryptlet, inputOf } from './cryptlet-fixture.ts';

const input = inputOf({ 16: [[0, 500]] });
const looping = cryptlet('function evaluate() { for (;;); }');
const allocating = cryptlet(
  'function evaluate() { const all = []; for (;;) all.push(new Array(1000).fill(all.length)); }',
);
const sound = cryptlet(
  `function evaluate() {
    let s = 0;
    for (let i = 0; i < 2e4; i++) s += i % 3;
    return { report: [s], breach: false };
  }`,
);

t.test('looping and allocating cryptlets do not hold up the others: within twice the time', async (t) => {
  const host = await openCryptletHost({ workers: 2 });
  const took = async (): Promise<number> => {
    const startedMs = performance.now();
    t.match(await host.run(sound, input), { ok: true });
    return performance.now() - startedMs;
  };
  const median = async (runs: number): Promise<number> => {
    const all: number[] = [];
    while (all.length < runs) all.push(await took());
    return all.sort((a, b) => a - b)[Math.floor(runs / 2)]!;
  };
  await median(4);
  const alone = await median(11);
  // More of them than there are threads, all at once; each would take a thread for seconds.
  const flood = [looping, allocating, looping, allocating].map((each) => host.run(each, input).catch(() => undefined));
  const beside = await median(11);
  await host.close();
  await Promise.all(flood);
  const ratio = beside / alone;
  t.comment(`${alone.toFixed(1)} ms alone, ${beside.toFixed(1)} ms beside them: ${ratio.toFixed(2)}`);
  t.ok(ratio < 2, `${ratio.toFixed(2)} < 2`);
});

t.test('the guard is an operating fault, gives no verdict, and the host goes on', async (t) => {
  const host = await openCryptletHost({
    workers: 1,
    limits: { ...cryptletLimits, steps: 0x7fff_ffff },
    guardMs: 2_000,
  });
  t.teardown(() => host.close());
  await t.rejects(host.run(looping, input), { code: 'cryptlet-failed', retry: 'later' });
  // The thread that replaces it is cold: how soon it answers is not the point, that it does is.
  for (;;) {
    const verdict = await host.run(sound, input).catch((error: unknown) => error);
    if (verdict instanceof OperatingError) continue;
    t.match(verdict, { ok: true });
    break;
  }
});

t.test('a host that is closed answers each run', async (t) => {
  const host = await openCryptletHost({ workers: 1 });
  const refused = [looping, looping, sound].map((each) =>
    t.rejects(host.run(each, input), { code: 'cryptlet-failed' }),
  );
  await host.close();
  await Promise.all(refused);
  await t.rejects(host.run(sound, input), { code: 'cryptlet-failed' });
});
