import t from 'tap';
import { Random } from '@coldproof/firmware-sim/random';

t.test('xoshiro128** gives the words of the reference implementation', (t) => {
  const small = Random.fromState([1, 2, 3, 4]);
  t.same(draw(small, 4), [11_520, 0, 5_927_040, 70_819_200]);
  // State and first words as published with github.com/edorfaus/xoshiro-6502, made with the C reference.
  const published = Random.fromState([0x964d4a0c, 0xd40ab895, 0xad7fdecb, 0x3006f0f0]);
  t.same(draw(published, 4), [0xf1391922, 0x6fe53806, 0xa5be2840, 0xf510ee70]);
  t.end();
});

t.test('a fork depends on seed and names, not on what was drawn', (t) => {
  const fresh = Random.fromSeed(7);
  const used = Random.fromSeed(7);
  draw(used, 1_000);
  t.same(draw(used.fork('a').fork('b'), 8), draw(fresh.fork('a').fork('b'), 8));
  const firsts = new Set<number>();
  for (let seed = 0; seed < 100; seed++) {
    for (const name of ['', 'a', 'b', 'ab', 'ba', '60', '120', '600']) {
      firsts.add(Random.fromSeed(seed).fork(name).nextUint32());
    }
  }
  t.equal(firsts.size, 800, 'seeds and names do not collide');
  t.end();
});

t.test('a draw is spread over its range, over neighbouring forks too', (t) => {
  const random = Random.fromSeed(1).fork('spread');
  const buckets = new Array<number>(16).fill(0);
  for (let i = 0; i < 16_000; i++) buckets[random.fork(String(i)).nextBelow(16)]! += 1;
  for (const [i, count] of buckets.entries()) t.ok(Math.abs(count - 1_000) < 150, `bucket ${i}: ${count}`);
  t.end();
});

t.test('a seed is a safe integer from 0 on; all zero words still make a generator', (t) => {
  for (const seed of [-1, 0.5, NaN, 2 ** 53]) {
    t.throws(() => Random.fromSeed(seed), { message: new RegExp(`^seed: .* got ${seed}$`) }, String(seed));
  }
  t.not(Random.fromSeed(2 ** 32).nextUint32(), Random.fromSeed(0).nextUint32(), 'upper bits count');
  t.ok(draw(Random.fromState([0, 0, 0, 0]), 8).some((word) => word !== 0));
  t.end();
});

function draw(random: Random, count: number): number[] {
  return Array.from({ length: count }, () => random.nextUint32());
}
