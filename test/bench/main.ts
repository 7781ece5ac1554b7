/**
 * `npm run bench` measures everything; `npm run bench -- throughput latency` only these sections. Prints what it
 * has measured and puts it into test/bench/results.json, which is committed: a change shows as a diff.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { measureCompression } from './compression.ts';
import { measureCryptlets } from './cryptlets.ts';
import { measureFootprint } from './footprint.ts';
import { measureLatency } from './latency.ts';
import { measureProofs } from './proofs.ts';
import { measureThroughput } from './throughput.ts';
import { measureVerifyRates } from './verify-rate.ts';
import { measureWireSize } from './wire-size.ts';

const repository = new URL('../../../', import.meta.url);
const file = new URL('test/bench/results.json', repository);
const sections: Readonly<Record<string, () => unknown>> = {
  verify: measureVerifyRates,
  throughput: measureThroughput,
  latency: measureLatency,
  cryptlets: measureCryptlets,
  proofs: () => measureProofs(),
  wire: measureWireSize,
  compression: measureCompression,
  footprint: measureFootprint,
  gas: () => JSON.parse(readFileSync(new URL('contracts/gas.json', repository), 'utf8')) as unknown,
};

const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(sections);
const unknown = wanted.filter((name) => sections[name] === undefined);
if (unknown.length > 0) {
  process.stderr.write(`section: expected one of ${Object.keys(sections).join(', ')}, got ${unknown.join(', ')}\n`);
  process.exit(1);
}
const found: Record<string, unknown> = {};
for (const name of wanted) found[name] = await sections[name]!();
const machine = {
  cores: cpus().length,
  cpu: cpus()[0]?.model,
  node: process.version,
  openssl: process.versions.openssl,
};
// Written by this program only.
const before = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>) : {};
const results = { ...before, machine, ...found };
writeFileSync(file, `${JSON.stringify(results, undefined, 2)}\n`);
process.stdout.write(`${JSON.stringify({ machine, ...found }, undefined, 2)}\n`);
