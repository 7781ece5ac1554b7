/**
 * Readings -> fewer points for a chart, of which none is an average: of each bucket the first, the last, the lowest and
 * the highest reading, as they were measured. A spike of two minutes in a week is still as high as it was. Pure.
 */
import { assert, faultValue } from '@coldproof/wire';
import type { Reading, Window } from './readings.ts';

export type Point = { readonly timeSec: number; readonly value: number };

export type Bucket = {
  readonly fromSec: number;
  /** Readings with a value; the points are absent when there is none. */
  readonly count: number;
  /** Readings in which the sensor was at fault. */
  readonly faultCount: number;
  /** All marks of the readings' series. */
  readonly marks: number;
  readonly first?: Point;
  readonly last?: Point;
  readonly lowest?: Point;
  readonly highest?: Point;
};

type Filling = { count: number; faultCount: number; marks: number; points?: [Point, Point, Point, Point] };

/** Takes readings of one channel, oldest first, and gives the buckets that have any. */
export class Downsample {
  readonly bucketSec: number;
  readonly #window: Window;
  readonly #buckets = new Map<number, Filling>();

  constructor(window: Window, bucketsMax: number) {
    assert(window.toSec >= window.fromSec && bucketsMax > 0, 'a window, and buckets to put it in');
    this.#window = window;
    this.bucketSec = Math.ceil((window.toSec - window.fromSec + 1) / bucketsMax);
  }

  add({ channel, timeSec, value, marks }: Reading): void {
    const at = Math.floor((timeSec - this.#window.fromSec) / this.bucketSec);
    const filling = this.#buckets.get(at) ?? { count: 0, faultCount: 0, marks: 0 };
    this.#buckets.set(at, filling);
    filling.marks |= marks;
    if (value === faultValue(channel)) {
      filling.faultCount += 1;
      return;
    }
    filling.count += 1;
    const point = { timeSec, value };
    const [first, , lowest, highest] = filling.points ?? [point, point, point, point];
    filling.points = [first, point, value < lowest.value ? point : lowest, value > highest.value ? point : highest];
  }

  buckets(): Bucket[] {
    return [...this.#buckets].map(([at, { points, ...counts }]) => {
      const fromSec = this.#window.fromSec + at * this.bucketSec;
      if (points === undefined) return { fromSec, ...counts };
      const [first, last, lowest, highest] = points;
      return { fromSec, ...counts, first, last, lowest, highest };
    });
  }
}
