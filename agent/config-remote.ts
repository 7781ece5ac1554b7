/**
 * What an owner may set from afar, put over the gateway's own file before the whole is checked as always. What is not
 * named here cannot be reached: no key, address, credential or program. Of `warn` only when it speaks, not what is run.
 */
import type { Place } from './config-field.ts';

export type Overlay = {
  /** Of the owner's configuration; 0 when there is only a command's. */
  readonly number: number;
  /** JSON, an object. */
  readonly settings: string;
  /** By the command set-sampling-period. */
  readonly periodSec?: number;
};

/** Changes `root`, a tree that was parsed for this check alone. */
export type Amend = (root: unknown, place: Place) => void;

type Tree = { [key: string]: unknown };

const deviceKeys = ['terms', 'sealSamplesMax', 'sealAgeSecMax'];
const sensorKeys = ['range', 'gapSecMax', 'stuckSamples', 'spikeCentiCPerMin'];
const lineKeys = ['pollSec', 'sampleSec'];

/** By name of the device; one that the file does not have is left alone. */
export function amendWith(overlays: ReadonlyMap<string, Overlay>): Amend {
  return (root, place) => {
    for (const [name, overlay] of overlays) {
      const device = listOf(root, 'devices').find((each) => each['name'] === name);
      if (device !== undefined) new Amendment(root as Tree, device, place.key(`settings of ${name}`)).apply(overlay);
    }
  };
}

class Amendment {
  readonly #root: Tree;
  readonly #device: Tree;
  readonly #place: Place;

  constructor(root: Tree, device: Tree, place: Place) {
    this.#root = root;
    this.#device = device;
    this.#place = place;
  }

  apply({ settings, periodSec }: Overlay): void {
    for (const [key, value] of this.#entries(parse(settings), this.#place)) {
      const place = this.#place.key(key);
      if (deviceKeys.includes(key)) this.#device[key] = value;
      else if (key === 'sensors') this.#sensors(value, place);
      else if (key === 'lines') this.#lines(value, place);
      else if (key === 'warn') this.#warn(value, place);
      else place.problem(value, `one of ${[...deviceKeys, 'sensors', 'lines', 'warn'].join(', ')}`);
    }
    if (periodSec !== undefined) this.#period(periodSec);
  }

  #sensors(value: unknown, place: Place): void {
    const sensors = listOf(this.#device, 'sensors');
    for (const [channel, changes] of this.#entries(value, place)) {
      const sensor = sensors.find((each) => each['channel'] === channel);
      this.#change(sensor, changes, { place: place.key(channel), keys: sensorKeys, bound: 'a channel of its sensors' });
    }
  }

  #lines(value: unknown, place: Place): void {
    for (const [name, changes] of this.#entries(value, place)) {
      const line = this.#ownLines().find((each) => each['name'] === name);
      this.#change(line, changes, { place: place.key(name), keys: lineKeys, bound: 'a line of its sensors alone' });
    }
  }

  #warn(value: unknown, place: Place): void {
    const warn = isTree(this.#root['warn']) ? this.#root['warn'] : undefined;
    this.#change(warn, value, { place, keys: ['on'], bound: 'nothing: the file has no warn' });
  }

  #period(periodSec: number): void {
    const lines = this.#ownLines();
    if (lines.length === 0) this.#place.key('period').problem(periodSec, 'a line that only its sensors have');
    for (const line of lines) line[(line['protocol'] ?? 'modbus') === 'modbus' ? 'pollSec' : 'sampleSec'] = periodSec;
  }

  #change(
    target: Tree | undefined,
    changes: unknown,
    { place, keys, bound }: { readonly place: Place; readonly keys: readonly string[]; readonly bound: string },
  ): void {
    if (target === undefined) {
      place.problem(changes, bound);
      return;
    }
    for (const [key, value] of this.#entries(changes, place)) {
      if (keys.includes(key)) target[key] = value;
      else place.key(key).problem(value, `one of ${keys.join(', ')}`);
    }
  }

  /** Lines that sensors of this device have, and of no other: an owner of one device sets nothing for the next. */
  #ownLines(): Tree[] {
    const devices = listOf(this.#root, 'devices');
    const others = new Set(devices.filter((each) => each !== this.#device).flatMap(lineNames));
    const names = lineNames(this.#device).filter((name) => !others.has(name));
    return listOf(this.#root, 'lines').filter((line) => names.includes(String(line['name'])));
  }

  #entries(value: unknown, place: Place): [string, unknown][] {
    if (isTree(value)) return Object.entries(value);
    place.problem(value, 'a mapping');
    return [];
  }
}

function lineNames(device: Tree): string[] {
  return listOf(device, 'sensors').flatMap((sensor) =>
    ['modbus', 'text', 'nmea'].flatMap((protocol) => {
      const source = sensor[protocol];
      return isTree(source) && typeof source['line'] === 'string' ? [source['line']] : [];
    }),
  );
}

function parse(settings: string): unknown {
  try {
    return JSON.parse(settings) as unknown;
  } catch {
    // A person wrote it; the check says where it stands and what it should be.
    return settings;
  }
}

function listOf(value: unknown, key: string): Tree[] {
  const list = isTree(value) ? value[key] : undefined;
  return Array.isArray(list) ? list.filter(isTree) : [];
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
