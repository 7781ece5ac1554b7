import t from 'tap';
import { backOffMs, backOffMsMax, backOffMsMin } from '@coldproof/firmware-sim/back-off';
import { FaultyPath, faultNames, parseFault, type FaultRates } from '@coldproof/firmware-sim/fault';
import { Outbox } from '@coldproof/firmware-sim/outbox';
import { Random } from '@coldproof/firmware-sim/random';
import { seeded } from '../helpers/seed.ts';

const count = 4_000;

function pass(rates: FaultRates, seed: number): { sent: string[]; faults: number } {
  const path = new FaultyPath(rates, Random.fromSeed(seed));
  const sent: Uint8Array[] = [];
  let faults = 0;
  for (let i = 0; i < count; i++) {
    const passed = path.pass(i, Buffer.from(String(i)));
    sent.push(...passed.sent);
    faults += passed.faults.length;
  }
  sent.push(...path.flush());
  return { sent: sent.map((each) => Buffer.from(each).toString('latin1')), faults };
}

const clean = Array.from({ length: count }, (_, i) => String(i));

t.test('no fault unless asked for', (t) => {
  t.same(pass({}, 1), { sent: clean, faults: 0 });
  t.end();
});

t.test('each fault does what its name says, at its rate, the same for the same seed', (t) => {
  const seed = seeded(t, 9).integer(0, 2 ** 31);
  for (const name of faultNames) {
    const { sent, faults } = pass({ [name]: 0.1 }, seed);
    t.ok(faults > 0.08 * count && faults < 0.12 * count, `${name}: ${faults} of ${count}`);
    t.same(pass({ [name]: 0.1 }, seed).sent, sent, `${name} again`);
    const unique = new Set(sent);
    if (name === 'drop') t.same([sent.length, unique.size], [count - faults, count - faults]);
    if (name === 'repeat') t.same([sent.length, unique.size], [count + faults, count]);
    if (name === 'reorder') {
      t.notSame(sent, clean);
      t.same(sent.toSorted(byNumber), clean, 'nothing lost, nothing twice');
    }
    if (name === 'corrupt') t.equal(sent.filter((each, i) => bitsBetween(each, clean[i]!) === 1).length, faults);
  }
  t.end();
});

t.test('all at once loses only what is dropped', (t) => {
  const { sent } = pass({ drop: 0.2, repeat: 0.2, reorder: 0.2 }, 3);
  const dropped = count - new Set(sent).size;
  t.ok(dropped > 0.17 * count && dropped < 0.23 * count, `${dropped} dropped`);
  t.equal(pass({ drop: 1 }, 3).sent.length, 0);
  t.end();
});

t.test('the text form', (t) => {
  t.same(parseFault('drop=0.25'), { name: 'drop', rate: 0.25 });
  t.same(parseFault('corrupt=1'), { name: 'corrupt', rate: 1 });
  for (const text of ['', 'drop', 'drop=', 'drop=2', 'drop=-1', 'drop=1.5', 'drop=NaN', 'melt=1', 'drop=0.1 ']) {
    t.equal(parseFault(text), undefined, JSON.stringify(text));
  }
  t.end();
});

t.test('an outbox keeps order, overwrites its oldest, and wakes who waits', async (t) => {
  const outbox = new Outbox(3);
  const controller = new AbortController();
  const filled = outbox.until((size) => size === 2, controller.signal);
  for (const text of ['a', 'b', 'c']) outbox.add(Buffer.from(text));
  await filled;
  const a = outbox.oldest!;
  outbox.add(Buffer.from('d'));
  t.same([outbox.size, outbox.overwritten], [3, 1]);
  outbox.remove(a);
  t.equal(outbox.size, 3, 'the acknowledgement of an overwritten message removes no other');
  const order: string[] = [];
  for (let next = outbox.oldest; next !== undefined; next = outbox.oldest) {
    order.push(Buffer.from(next.payload).toString());
    outbox.remove(next);
  }
  t.same(order, ['b', 'c', 'd']);
  const never = outbox.until((size) => size > 0, controller.signal);
  controller.abort();
  await never;
  t.throws(() => new Outbox(0), { message: /at least one message/ });
});

t.test('back-off doubles up to its cap, with jitter that stays inside', (t) => {
  const random = Random.fromSeed(1);
  for (let failures = 0; failures < 50; failures++) {
    const ceilingMs = Math.min(backOffMsMax, backOffMsMin * 2 ** failures);
    const ms = Array.from({ length: 20 }, () => backOffMs(failures, random));
    t.ok(
      ms.every((each) => each >= ceilingMs / 2 - 1 && each <= ceilingMs),
      `${failures}: ${Math.min(...ms)}`,
    );
    t.ok(new Set(ms).size > 10, 'jittered');
  }
  t.end();
});

function byNumber(a: string, b: string): number {
  return Number(a) - Number(b);
}

function bitsBetween(a: string, b: string): number {
  if (a.length !== b.length) return Infinity;
  let bits = 0;
  for (let i = 0; i < a.length; i++) {
    for (let xor = a.charCodeAt(i) ^ b.charCodeAt(i); xor > 0; xor &= xor - 1) bits += 1;
  }
  return bits;
}
