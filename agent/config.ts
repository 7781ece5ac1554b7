/**
 * The agent's one YAML file, checked as a whole: form, bounds, and the relations between parts. All problems come in
 * one answer, each with its key, its value and what is allowed. Secrets are named here (an environment variable or a
 * file), never held.
 */
import { parseDocument } from 'yaml';
import {
  accept,
  channelName,
  envelopeBytesMax,
  faultValue,
  isTemperature,
  parseChannel,
  parseHex,
  reject,
  sampleBytes,
  sampleDeltaSecMax,
  samplesPerSeriesMax,
  seriesPerBatchMax,
  type Verdict,
} from '@coldproof/wire';
import {
  described,
  finite,
  integer,
  list,
  oneOf,
  optional,
  Place,
  record,
  text,
  type Field,
  type Formed,
  type JsonSchema,
  type Problem,
} from './config-field.ts';
import { checkRelations } from './config-relations.ts';
import type { SamplerTerms } from './sample.ts';
import { toChannelInteger, unitsOf } from './unit.ts';

/** Where a secret is found. */
export type SecretSource = { readonly env: string } | { readonly file: string };

export type MqttSource = {
  readonly topic: string;
  /** The resolved SenML name, base name and name together. */
  readonly name: string;
};

export const registerTypes = ['int16', 'uint16', 'int32', 'uint32', 'float32'] as const;
export type RegisterType = (typeof registerTypes)[number];

export type ModbusSource = {
  readonly line: string;
  /** 3 holding, 4 input registers. */
  readonly function: 3 | 4;
  /** Address in the request, counted from 0. */
  readonly register: number;
  readonly type: RegisterType;
  /** Of a two-register value: which register holds the high half. */
  readonly wordOrder: 'high-first' | 'low-first';
  /** Value in the sensor's unit = raw * scale + offset. */
  readonly scale: number;
  readonly offset: number;
  /** Raw values that say "no value", as 0x7FFF; signed or unsigned. */
  readonly invalid: readonly number[];
};

export type SensorConfig = SamplerTerms & {
  readonly mqtt: MqttSource | undefined;
  readonly modbus: ModbusSource | undefined;
};

export type DeviceConfig = {
  readonly name: string;
  readonly sealSamplesMax: number;
  readonly sealAgeSecMax: number;
  readonly sensors: readonly SensorConfig[];
};

export type LineConfig = {
  readonly name: string;
  readonly path: string;
  readonly baud: number;
  readonly parity: 'none' | 'even' | 'odd';
  readonly stopBits: 1 | 2;
  readonly unitId: number;
  readonly pollSec: number;
  readonly timeoutMs: number;
};

export type CredentialConfig = {
  readonly username: string;
  readonly password: SecretSource;
  /** Topics that this user may send samples to. */
  readonly topics: readonly string[];
  /** Devices whose local topics (agent/{device}/...) this user may read. */
  readonly reads: readonly string[];
};

export type BrokerConfig = {
  readonly host: string;
  readonly port: number;
  readonly credentials: readonly CredentialConfig[];
};

export type UplinkConfig = {
  readonly url: string;
  readonly username: string | undefined;
  readonly password: SecretSource | undefined;
  /** Ed25519, 32 bytes: the only key whose receipts end the agent's duty. */
  readonly logPublicKey: Uint8Array;
  /** Batches on their way without a receipt. */
  readonly windowBatches: number;
  readonly resendSec: number;
  readonly reconnectSecMax: number;
};

export type AgentConfig = {
  readonly stateDir: string;
  readonly passphrase: SecretSource;
  readonly devices: readonly DeviceConfig[];
  readonly lines: readonly LineConfig[];
  readonly sensorBroker: BrokerConfig | undefined;
  readonly uplink: UplinkConfig;
  readonly http: { readonly host: string; readonly port: number };
};

const devicesMax = 64;
const linesMax = 16;

/** COSE_Sign1 with batch and signature is 193 bytes at most, a series' own heads are 9. */
const batchOverheadBytes = 256;
const seriesOverheadBytes = 12;

const name = text(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, '1 to 64 of A-Z a-z 0-9 . _ -, a letter or digit first');
const path = text(/^\/[^\0]{1,4095}$/, 'an absolute path');
const topic = text(
  /^(?!\$|agent\/)[^+#\0]{1,256}$/,
  'a topic of 1 to 256 characters without + and #, not under $ or agent/',
);
const environmentName = text(/^[A-Z_][A-Z0-9_]{0,127}$/, 'the NAME_OF_A_VARIABLE');
const host = optional(text(/^[A-Za-z0-9.:-]{1,253}$/, 'a host name or an address'), '127.0.0.1');
const port = integer(0, 65_535);

/** `passwordEnv` or `passwordFile` beside each other: exactly one. */
function secretOf(
  key: 'password' | 'passphrase',
  { env, file }: { env: string | undefined | null; file: string | undefined | null },
  place: Place,
): SecretSource | null {
  if (env === null || file === null) return null;
  if (env !== undefined && file === undefined) return { env };
  if (file !== undefined && env === undefined) return { file };
  return place.key(`${key}Env`).problem(env, `one of ${key}Env and ${key}File, and not both`);
}

const mqttSource = record({
  topic,
  // RFC 8428 §4.5.1: the characters that a resolved name is made of.
  name: text(/^[A-Za-z0-9][-:./_A-Za-z0-9]{0,255}$/, 'a SenML name (RFC 8428 section 4.5.1)'),
});

const modbusSource: Field<ModbusSource> = record({
  line: name,
  function: oneOf(3, 4),
  register: integer(0, 0xffff),
  type: oneOf(...registerTypes),
  wordOrder: optional(oneOf('high-first', 'low-first'), 'high-first'),
  scale: optional(finite(-1e6, 1e6), 1),
  offset: optional(finite(-1e9, 1e9), 0),
  invalid: optional(list(integer(-0x8000_0000, 0xffff_ffff), 0, 16), []),
});

const channel: Field<number> = described({ enum: channelNames() }, (value, place) => {
  const known = typeof value === 'string' ? parseChannel(value) : undefined;
  return known ?? place.problem(value, 'a channel, as supply-air or cargo-probe-1');
});

function channelNames(): string[] {
  return Array.from({ length: 256 }, (_, number) => channelName(number)).filter(
    (each) => parseChannel(each) !== undefined,
  );
}

const sensorShape = {
  channel,
  unit: optional(text(/^.{1,16}$/, 'a unit')),
  mqtt: optional(mqttSource),
  modbus: optional(modbusSource),
  range: optional(list(finite(-1e9, 1e9), 2, 2)),
  invalid: optional(list(finite(-1e9, 1e9), 0, 16), []),
  // With 2, two equal samples in a row would already be no evidence.
  stuckSamples: optional(integer(3, 1_000)),
  spikeCentiCPerMin: optional(integer(1, 32_767)),
};

const sensor: Field<SensorConfig> = record(sensorShape, checkSensor);

/** Numbers of the file are in the sensor's unit; from here on they are the channel's integers. */
function checkSensor(formed: Formed<typeof sensorShape>, place: Place): SensorConfig | null {
  const { channel, mqtt, modbus, stuckSamples, spikeCentiCPerMin } = formed;
  if ((mqtt === undefined) === (modbus === undefined)) {
    place.key('mqtt').problem(mqtt, 'one of mqtt and modbus, and not both');
  }
  if (channel === null || formed.unit === null) return null;
  if (typeof spikeCentiCPerMin === 'number' && !isTemperature(channel)) {
    place.key('spikeCentiCPerMin').problem(spikeCentiCPerMin, `nothing: ${channelName(channel)} is no temperature`);
  }
  const unit = formed.unit ?? unitsOf(channel)[0]!;
  if (!unitsOf(channel).includes(unit)) {
    return place.key('unit').problem(unit, `a unit of ${channelName(channel)}: ${unitsOf(channel).join(', ')}`);
  }
  const range = formed.range?.map((value) => toChannelInteger(channel, unit, value)!);
  const most = -1 - faultValue(channel);
  if (range !== undefined && !(range[0]! < range[1]! && range[0]! >= -most && range[1]! <= most)) {
    place.key('range').problem(formed.range, `[least, most] in ${unit}, within +-${most} of the channel's own unit`);
  }
  // Null is told of already, and has made the record null.
  return {
    channel,
    unit,
    mqtt: mqtt ?? undefined,
    modbus: modbus ?? undefined,
    stuckSamples: stuckSamples ?? undefined,
    spikeCentiCPerMin: spikeCentiCPerMin ?? undefined,
    range: range === undefined ? undefined : { least: range[0]!, most: range[1]! },
    invalid: (formed.invalid ?? []).map((value) => toChannelInteger(channel, unit, value)!),
  };
}

const device: Field<DeviceConfig> = record(
  {
    name,
    sealSamplesMax: optional(integer(1, samplesPerSeriesMax), 15),
    // Also what keeps every delta of a batch within its two bytes.
    sealAgeSecMax: optional(integer(1, sampleDeltaSecMax), 900),
    sensors: list(sensor, 1, seriesPerBatchMax),
  },
  ({ name, sealSamplesMax, sealAgeSecMax, sensors }, place) => {
    if (name === null || sealSamplesMax === null || sealAgeSecMax === null || sensors === null) return null;
    const bytes = sensors.reduce(
      (sum, { channel }) => sum + sealSamplesMax * sampleBytes(channel) + seriesOverheadBytes,
      batchOverheadBytes,
    );
    if (bytes <= envelopeBytesMax) return { name, sealSamplesMax, sealAgeSecMax, sensors };
    const bound = `a batch of <= ${envelopeBytesMax} bytes, not of ${bytes}`;
    return place.key('sealSamplesMax').problem(sealSamplesMax, bound);
  },
);

const line: Field<LineConfig> = record({
  name,
  path,
  baud: optional(oneOf(1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 57_600, 115_200), 19_200),
  parity: optional(oneOf('none', 'even', 'odd'), 'none'),
  stopBits: optional(oneOf(1, 2), 1),
  unitId: integer(1, 247),
  pollSec: integer(1, 3_600),
  timeoutMs: optional(integer(20, 10_000), 1_000),
});

const credential: Field<CredentialConfig> = record(
  {
    username: name,
    passwordEnv: optional(environmentName),
    passwordFile: optional(path),
    topics: optional(list(topic, 1, 64), []),
    reads: optional(list(name, 1, devicesMax), []),
  },
  ({ username, topics, reads, passwordEnv, passwordFile }, place) => {
    const password = secretOf('password', { env: passwordEnv, file: passwordFile }, place);
    if (username === null || topics === null || reads === null || password === null) return null;
    if (topics.length + reads.length > 0) return { username, topics, reads, password };
    return place.key('topics').problem(undefined, 'topics to send to, or reads: devices to read');
  },
);

const uplink: Field<UplinkConfig> = record(
  {
    url: text(/^mqtts?:\/\/[A-Za-z0-9.:[\]-]{1,253}\/?$/, 'mqtt://host:port or mqtts://host:port, no password in it'),
    username: optional(text(/^[^\0]{1,128}$/, '1 to 128 characters')),
    passwordEnv: optional(environmentName),
    passwordFile: optional(path),
    logPublicKey: described(
      { type: 'string', pattern: '^[0-9a-f]{64}$' },
      (value, place) =>
        (typeof value === 'string' ? parseHex(value, 32) : undefined) ??
        place.problem(value, '64 lower-case hex digits, in quotes: the Ed25519 key of the log'),
    ),
    windowBatches: optional(integer(1, 1_024), 16),
    resendSec: optional(integer(1, 3_600), 10),
    reconnectSecMax: optional(integer(1, 3_600), 30),
  },
  ({ url, username, passwordEnv, passwordFile, logPublicKey, ...timing }, place) => {
    const { windowBatches, resendSec, reconnectSecMax } = timing;
    const isNamed = username !== undefined || passwordEnv !== undefined || passwordFile !== undefined;
    const password = isNamed ? secretOf('password', { env: passwordEnv, file: passwordFile }, place) : undefined;
    if (url === null || username === null || password === null || logPublicKey === null) return null;
    if (windowBatches === null || resendSec === null || reconnectSecMax === null) return null;
    return { url, username, password, logPublicKey, windowBatches, resendSec, reconnectSecMax };
  },
);

const agent: Field<AgentConfig> = record(
  {
    stateDir: path,
    passphraseEnv: optional(environmentName),
    passphraseFile: optional(path),
    devices: list(device, 1, devicesMax),
    lines: optional(list(line, 0, linesMax), []),
    sensorBroker: optional(record({ host, port, credentials: list(credential, 1, 256) })),
    uplink,
    http: optional(record({ host, port }), { host: '127.0.0.1', port: 9464 }),
  },
  ({ stateDir, passphraseEnv, passphraseFile, devices, lines, sensorBroker, uplink, http }, place) => {
    const passphrase = secretOf('passphrase', { env: passphraseEnv, file: passphraseFile }, place);
    if (stateDir === null || passphrase === null || devices === null || lines === null) return null;
    if (sensorBroker === null || uplink === null || http === null) return null;
    return { stateDir, passphrase, devices, lines, sensorBroker, uplink, http };
  },
);

/** For editors (yaml-language-server and the like), from the very fields that check the file. */
export function configSchema(): JsonSchema {
  return { $schema: 'https://json-schema.org/draft/2020-12/schema', title: 'Coldproof agent', ...agent.schema };
}

/** Reads the text of the file. On failure the detail has one problem a line. */
export function parseConfig(yaml: string): Verdict<AgentConfig, 'config-invalid'> {
  const document = parseDocument(yaml, { version: '1.2', uniqueKeys: true, prettyErrors: true });
  const problems: Problem[] = [...document.errors, ...document.warnings].map((error) => ({
    path: `line ${error.linePos?.[0].line ?? 0}`,
    value: error.code,
    bound: error.message.split('\n')[0]!.replace(/ at line .*$/, ''),
  }));
  if (problems.length > 0) return reject('config-invalid', formatProblems(problems));
  let root: unknown;
  try {
    root = document.toJS({ maxAliasCount: 0 });
  } catch (error) {
    // A bomb of aliases is refused while it is resolved.
    return reject('config-invalid', formatProblems([{ path: 'line 0', value: 'alias', bound: String(error) }]));
  }
  const place = new Place('', problems);
  const config = agent(root, place);
  checkRelations(root, place);
  if (config === null || problems.length > 0) return reject('config-invalid', formatProblems(problems));
  return accept(config);
}

function formatProblems(problems: readonly Problem[]): string {
  return problems.map(({ path, value, bound }) => `${path || 'file'}: expected ${bound}, got ${value}`).join('\n');
}
