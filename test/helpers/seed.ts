import type { Test } from 'tap';

/** A seeded generator (mulberry32, public domain), with the line that names its seed: a failure can be run again. */
export function seeded(t: Test, fallback: number): Random {
  const seed = Number(process.env['SEED'] ?? fallback);
  t.comment(`SEED=${seed}`);
  return new Random(seed);
}

export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 <= x < 1 */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  }

  /** least <= n <= most */
  integer(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  bytes(size: number): Uint8Array {
    return Uint8Array.from({ length: size }, () => this.integer(0, 255));
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.integer(0, items.length - 1)]!;
  }
}
