/**
 * Seeded random numbers: xoshiro128** 1.1 (Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators", ACM
 * TOMS 47(4), 2021; prng.di.unimi.it/xoshiro128starstar.c). Not for keys.
 *
 * A generator is forked by name, and a fork depends on seed and names only, never on how many numbers were drawn
 * before: one more draw in one place does not shift the story in another.
 */
type Words = readonly [number, number, number, number];

export const seedMax = Number.MAX_SAFE_INTEGER;

export class Random {
  readonly #key: Words;
  readonly #state: Uint32Array;

  private constructor(key: Words) {
    this.#key = key;
    this.#state = Uint32Array.from(key);
    // The one state that the generator never leaves.
    if (this.#state.every((word) => word === 0)) this.#state[0] = 1;
  }

  /** Throws RangeError unless 0 <= seed <= 2^53 - 1. */
  static fromSeed(seed: number): Random {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new RangeError(`seed: expected an integer 0 <= seed <= ${seedMax}, got ${seed}`);
    }
    return new Random([seed >>> 0, Math.floor(seed / 2 ** 32), 0, 0]).fork('seed');
  }

  /** The raw state, for the reference implementation's vectors. */
  static fromState(state: Words): Random {
    return new Random(state);
  }

  fork(name: string): Random {
    const [a, b, c, d] = this.#key;
    // In each word, since the first number drawn comes from one word alone.
    const all = fmix32(a ^ fmix32(b ^ fmix32(c ^ fmix32(d))));
    const word = (key: number, i: number): number => digest(name, key ^ fmix32(all + i));
    return new Random([word(a, 0), word(b, 1), word(c, 2), word(d, 3)]);
  }

  nextUint32(): number {
    const state = this.#state;
    const result = Math.imul(rotateLeft(Math.imul(state[1]!, 5), 7), 9) >>> 0;
    const shifted = state[1]! << 9;
    state[2]! ^= state[0]!;
    state[3]! ^= state[1]!;
    state[1]! ^= state[2]!;
    state[0]! ^= state[3]!;
    state[2]! ^= shifted;
    state[3] = rotateLeft(state[3]!, 11);
    return result;
  }

  /** 0 <= x < 1, in steps of 2^-32. */
  nextUnit(): number {
    return this.nextUint32() / 2 ** 32;
  }

  /** An integer 0 <= x < count. The bias of this short form is under count / 2^32. */
  nextBelow(count: number): number {
    return Math.floor(this.nextUnit() * count);
  }
}

function rotateLeft(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

/** FNV-1a over the name's UTF-16 units from a keyed basis, then MurmurHash3's fmix32 to spread it over all bits. */
function digest(name: string, key: number): number {
  let hash = (0x811c9dc5 ^ fmix32(key)) | 0;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return fmix32(hash);
}

function fmix32(word: number): number {
  let hash = word;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
