/**
 * `npm run bench`: measures, prints, and writes test/bench/results.json, which is committed: a change shows as a diff.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { measureCompression } from './compression.ts';
import { measureFootprint } from './footprint.ts';
import { measureProofs } from './proofs.ts';
import { measureThroughput } from './throughput.ts';
import { measureVerifyRates } from './verify-rate.ts';
import { measureWireSize } from './wire-size.ts';

const repository = new URL('../../../', import.meta.url);
const gas = JSON.parse(readFileSync(new URL('contracts/gas.json', repository), 'utf8')) as unknown;
const results = {
  machine: { cores: cpus().length, cpu: cpus()[0]?.model, node: process.version, openssl: process.versions.openssl },
  verify: await measureVerifyRates(),
  throughput: await measureThroughput(),
  proofs: measureProofs(),
  wire: measureWireSize(),
  compression: measureCompression(),
  footprint: await measureFootprint(),
  gas,
};
const text = `${JSON.stringify(results, undefined, 2)}\n`;
writeFileSync(new URL('test/bench/results.json', repository), text);
process.stdout.write(text);
