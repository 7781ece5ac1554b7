/** Packages by a publisher of the development chain, and inputs. */
import { readFileSync } from 'node:fs';
import { hexToBytes, bytesToHex } from '@coldproof/wire';
import { accountOfPhrase } from '@coldproof/oracle/chain-account';
import {
  cryptletOf,
  encodePackage,
  parsePackage,
  publicationDigest,
  type Cryptlet,
} from '@coldproof/oracle/cryptlet/cryptlet';
import type { CryptletInput, InputSample } from '@coldproof/oracle/cryptlet/input';
import type { Manifest } from '@coldproof/oracle/cryptlet/manifest';

export const publisher = accountOfPhrase('test test test test test test test test test test test junk', 3);

export const manifest: Manifest = {
  name: 'probe',
  version: 1,
  interface: 'Probe(int32 value)',
  channels: [16],
  trigger: { on: 'batch' },
  windowSec: 0,
  parameters: [],
  publisher: publisher.address.toLowerCase(),
};

export function sign(cryptlet: Cryptlet): Uint8Array {
  return hexToBytes(publisher.signDigest(`0x${bytesToHex(publicationDigest(cryptlet.digest))}`).slice(2));
}

/** By way of its package, as a node gets it. */
export function cryptlet(program: string, changes: Partial<Manifest> = {}): Cryptlet {
  const made = cryptletOf({ ...manifest, ...changes }, program);
  if (!made.ok) throw new Error(made.detail);
  const parsed = parsePackage(encodePackage(made.value, sign(made.value)));
  if (!parsed.ok) throw new Error(parsed.detail);
  return parsed.value;
}

export const looping = cryptlet('function evaluate() { for (;;); }');
export const allocating = cryptlet(
  'function evaluate() { const all = []; for (;;) all.push(new Array(1000).fill(all.length)); }',
);
/** Some milliseconds. */
export const sound = cryptlet(
  `function evaluate() {
    let s = 0;
    for (let i = 0; i < 2e4; i++) s += i % 3;
    return { report: [s], breach: false };
  }`,
);

const dispatchedSec = 1_767_225_600;

/** One series a channel, samples at seconds from the dispatch on. */
export function inputOf(
  channels: Readonly<Record<number, readonly InputSample[]>>,
  changes: Partial<CryptletInput> = {},
): CryptletInput {
  const given = Object.entries(channels).map(([channel, samples]) => {
    const dated = samples.map(([sec, value]): InputSample => [dispatchedSec + sec, value]);
    return { channel: Number(channel), series: [{ sequence: 0, flags: 0, marks: 0, samples: dated }] };
  });
  const nowSec = Math.max(dispatchedSec, ...given.flatMap(({ series }) => series[0]!.samples.map(([at]) => at)));
  return {
    orderId: '1',
    parameters: {},
    terms: { limits: [] },
    device: '00'.repeat(32),
    range: { firstSequence: 0, lastSequence: 0, lastDigest: '00'.repeat(32) },
    channels: given,
    dispatchedSec,
    fromSec: dispatchedSec,
    nowSec,
    ...changes,
  };
}

export function shippedFolder(name: string): URL {
  return new URL(`../../../oracle/cryptlets/${name}/`, import.meta.url);
}

export function readShipped(name: string, file: string): string {
  return readFileSync(new URL(file, shippedFolder(name)), 'utf8');
}
