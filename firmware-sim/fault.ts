/** Named faults of the way from sensor to gateway, each with a rate from 0 to 1; none unless asked for. */
import type { Random } from './random.ts';

export const faultNames = [
  /** The message is never sent. */
  'drop',
  /** The message is sent twice. */
  'repeat',
  /** The message is sent after the next one. */
  'reorder',
  /** One bit of the payload is flipped. */
  'corrupt',
] as const;
export type FaultName = (typeof faultNames)[number];

export type FaultRates = Readonly<Partial<Record<FaultName, number>>>;

/** Parses "drop=0.01"; undefined when the name is unknown or the rate is not 0 <= rate <= 1. */
export function parseFault(text: string): { name: FaultName; rate: number } | undefined {
  const parts = /^([a-z]+)=(0|1|0?\.\d+|1\.0+)$/.exec(text);
  const name = faultNames.find((each) => each === parts?.[1]);
  return name === undefined || parts === null ? undefined : { name, rate: Number(parts[2]) };
}

/** Turns each payload into what is really sent in its place. Keeps a payload back while it is being reordered. */
export class FaultyPath {
  readonly #rates: FaultRates;
  readonly #random: Random;
  #held: Uint8Array | undefined;

  constructor(rates: FaultRates, random: Random) {
    this.#rates = rates;
    this.#random = random;
  }

  /** `atSec` is the sample's second: it chooses the draws, so that a restarted simulator has the same faults. */
  pass(atSec: number, payload: Uint8Array): { sent: Uint8Array[]; faults: FaultName[] } {
    // A fork for each fault: raising one rate does not move the others.
    const draw = this.#random.fork(String(atSec));
    const faults = faultNames.filter((name) => draw.fork(name).nextUnit() < (this.#rates[name] ?? 0));
    if (faults.includes('drop')) return { sent: this.#release([]), faults };
    const bytes = faults.includes('corrupt') ? flipBit(payload, draw.fork('bit')) : payload;
    const copies = faults.includes('repeat') ? [bytes, bytes] : [bytes];
    if (faults.includes('reorder') && this.#held === undefined) {
      this.#held = bytes;
      return { sent: copies.slice(1), faults };
    }
    return { sent: this.#release(copies), faults };
  }

  /** What is still held back, at the end of the voyage. */
  flush(): Uint8Array[] {
    return this.#release([]);
  }

  #release(first: Uint8Array[]): Uint8Array[] {
    const held = this.#held;
    this.#held = undefined;
    return held === undefined ? first : [...first, held];
  }
}

function flipBit(bytes: Uint8Array, random: Random): Uint8Array {
  const flipped = Uint8Array.from(bytes);
  const bit = random.nextBelow(bytes.length * 8);
  flipped[bit >> 3]! ^= 1 << (bit & 7);
  return flipped;
}
