/** The host: what a hostile cryptlet does to the others, and what a machine's fault does to a verdict. */
import t from 'tap';
import { openCryptletHost } from '@coldproof/oracle/cryptlet/host';
import { cryptletLimits } from '@coldproof/oracle/cryptlet/limits';
import { OperatingError } from '@coldproof/oracle/operating-error';
import { allocating, inputOf, looping, sound } from './cryptlet-fixture.ts';

const input = inputOf({ 16: [[0, 500]] });

t.test('looping and allocating cryptlets do not hold up the others', async (t) => {
  const host = await openCryptletHost({ workers: 2 });
  t.teardown(() => host.close());
  // Known as a quick one from here on.
  t.match(await host.run(sound, input), { ok: true });
  // More of them than there are threads, all at once; a loop ends when it has used all its steps.
  let loopsEnded = 0;
  const flood = [looping, allocating, looping, allocating].map((each) =>
    host
      .run(each, input)
      .catch(() => undefined)
      .finally(() => (loopsEnded += Number(each === looping))),
  );
  for (let i = 0; i < 11; i++) t.match(await host.run(sound, input), { ok: true });
  t.equal(loopsEnded, 0, 'each was answered while the first loop went on; npm run bench has the times');
  await host.close();
  await Promise.all(flood);
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
