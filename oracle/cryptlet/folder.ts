/**
 * A cryptlet as its author has it: a folder of manifest.json, program.js and examples.json. All of a folder's problems
 * are operating faults of who runs the command: 'config-invalid', with the file and the field.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { channelName, parseChannel } from '@coldproof/wire';
import { OperatingError, describeError } from '../operating-error.ts';
import { cryptletOf, type Cryptlet } from './cryptlet.ts';
import type { CryptletInput, InputSample } from './input.ts';
import { checkManifest, type Manifest } from './manifest.ts';
import type { CryptletResult } from './output.ts';

/** What is decided when a folder becomes a cryptlet. */
export type Choices = {
  /** 0x-hex. */
  readonly publisher: string;
  /** Other values than the author's, by parameter. */
  readonly values: Readonly<Record<string, number>>;
};

export type Example = { readonly name: string; readonly input: CryptletInput; readonly result: CryptletResult };

export function readFolder(folder: string, { publisher, values }: Choices): Cryptlet {
  const file = join(folder, 'manifest.json');
  const { parameters, channels, trigger, ...more } = readObject(file);
  const listed = Object.entries(objectOf(parameters, file, 'parameters'));
  for (const name of Object.keys(values)) {
    if (!listed.some(([each]) => each === name)) throw invalid(file, `there is no parameter ${name}`);
  }
  const given = listed.map(([name, each]) => {
    const { min, max, value } = objectOf(each, file, `parameters.${name}`);
    return { name, min, max, value: values[name] ?? value };
  });
  const manifest = checkManifest({
    ...(more as Record<'name' | 'version' | 'interface' | 'windowSec', unknown>),
    channels: numbersOf(channels),
    trigger: typeof trigger === 'string' ? { on: trigger } : { on: 'interval', ...objectOf(trigger, file, 'trigger') },
    parameters: given,
    publisher: publisher.toLowerCase(),
  });
  if (!manifest.ok) throw invalid(file, manifest.detail);
  const cryptlet = cryptletOf(manifest.value, readText(join(folder, 'program.js')));
  if (!cryptlet.ok) throw invalid(join(folder, 'program.js'), cryptlet.detail);
  return cryptlet.value;
}

/** Of each: what goes in, by seconds from the dispatch, and what is to come out. */
export function readExamples(folder: string, manifest: Manifest): Example[] {
  const file = join(folder, 'examples.json');
  const examples = parse(file);
  if (!Array.isArray(examples) || examples.length === 0) throw invalid(file, 'expected an array of examples');
  return (examples as readonly unknown[]).map((each, i) => {
    const { name, channels, parameters, result } = objectOf(each, file, `example ${i}`);
    const values = Object.fromEntries(manifest.parameters.map(({ name, value }) => [name, value]));
    const given = objectOf(channels, file, `example ${i}: channels`);
    const input = exampleInput(
      manifest,
      (channel) => {
        const samples = given[channelName(channel)];
        if (!Array.isArray(samples)) throw invalid(file, `example ${i}: expected samples of ${channelName(channel)}`);
        return samples as InputSample[];
      },
      { ...values, ...(parameters as Record<string, number> | undefined) },
    );
    return { name: String(name), input, result: (result ?? undefined) as CryptletResult };
  });
}

/** The dispatch is at 0, so that the samples' times are what they look like. */
export function exampleInput(
  manifest: Manifest,
  samplesOf: (channel: number) => readonly InputSample[],
  parameters: Readonly<Record<string, number>>,
): CryptletInput {
  const channels = manifest.channels.map((channel) => {
    const samples = samplesOf(channel);
    return { channel, series: samples.length === 0 ? [] : [{ sequence: 0, flags: 0, marks: 0, samples }] };
  });
  const times = channels.flatMap(({ series }) => series.flatMap(({ samples }) => samples.map(([timeSec]) => timeSec)));
  const nowSec = times.reduce((most, timeSec) => Math.max(most, timeSec), 0);
  return {
    orderId: '1',
    parameters,
    terms: { limits: [] },
    device: '00'.repeat(32),
    range: { firstSequence: 0, lastSequence: 0, lastDigest: '00'.repeat(32) },
    channels,
    dispatchedSec: 0,
    fromSec: 0,
    nowSec,
  };
}

function numbersOf(channels: unknown): unknown {
  if (!Array.isArray(channels)) return channels;
  return (channels as readonly unknown[])
    .map((name) => (typeof name === 'string' ? parseChannel(name) : undefined))
    .sort((a, b) => (a ?? 0) - (b ?? 0));
}

function readObject(file: string): Record<string, unknown> {
  return objectOf(parse(file), file, 'the file');
}

function objectOf(value: unknown, file: string, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(file, `${what}: expected an object`);
  }
  return value as Record<string, unknown>;
}

function parse(file: string): unknown {
  try {
    return JSON.parse(readText(file)) as unknown;
  } catch (error) {
    if (error instanceof OperatingError) throw error;
    throw invalid(file, describeError(error));
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw invalid(file, describeError(error));
  }
}

export function invalid(file: string, problem: string): OperatingError {
  return new OperatingError('config-invalid', `${file}: ${problem}`, { retry: 'never' });
}
