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
  reject,
  sampleBytes,
  sampleDeltaSecMax,
  samplesPerSeriesMax,
  seriesPerBatchMax,
  type OrderUnderWatch,
  type Verdict,
} from '@coldproof/wire';
import { clock, type ClockConfig } from './config-clock.ts';
import {
  integer,
  list,
  name,
  optional,
  path,
  Place,
  record,
  text,
  type Field,
  type JsonSchema,
  type Problem,
} from './config-field.ts';
import { journal, type JournalConfig } from './config-journal.ts';
import { key, type KeyConfig } from './config-key.ts';
import { line, type LineConfig } from './config-line.ts';
import { checkRelations } from './config-relations.ts';
import { owner, type OwnerConfig } from './config-owner.ts';
import { checkPrivate, privateGroups, privateLeafBytes, type PrivateConfig } from './config-private.ts';
import type { Amend } from './config-remote.ts';
import { sensor, type SensorConfig } from './config-sensor.ts';
import { signedSensor, type SignedSensorConfig } from './config-signed.ts';
import { environmentName, secretOf, type SecretSource } from './config-secret.ts';
import { sparkplugId, topicFilter } from './config-source.ts';
import { terms, warn, type WarnConfig } from './config-terms.ts';
import { logsMax, uplink, uplinksMax, uplinksOf, type UplinkConfig } from './config-uplink.ts';

export type { SecretSource } from './config-secret.ts';

export type DeviceConfig = {
  readonly name: string;
  readonly key: KeyConfig;
  readonly sealSamplesMax: number;
  readonly sealAgeSecMax: number;
  /** So long without a reading, and a batch without series says that the device lives. Undefined: never. */
  readonly heartbeatSec: number | undefined;
  readonly sensors: readonly SensorConfig[];
  /** What the shipment may not become; undefined where the gateway does not watch it. */
  readonly terms?: OrderUnderWatch | undefined;
  /** Channels that only their parties can read. */
  readonly private?: readonly PrivateConfig[] | undefined;
};

export type CredentialConfig = {
  readonly username: string;
  readonly password: SecretSource;
  /** Topics that this user may send samples to, as filters (MQTT 3.1.1 §4.7). */
  readonly topics: readonly string[];
  /** Devices whose local topics (agent/{device}/...) this user may read. */
  readonly reads: readonly string[];
};

export type BrokerConfig = {
  readonly host: string;
  readonly port: number;
  readonly credentials: readonly CredentialConfig[];
  /** The id under which edge nodes find their primary host application. */
  readonly sparkplugHost: string;
};

export type AgentConfig = {
  readonly stateDir: string;
  /** Undefined when no key of these devices is a file. */
  readonly passphrase: SecretSource | undefined;
  readonly devices: readonly DeviceConfig[];
  /** Sensors whose firmware holds the key; the agent carries what they sign. */
  readonly sensorSigned: readonly SignedSensorConfig[];
  readonly lines: readonly LineConfig[];
  readonly sensorBroker: BrokerConfig | undefined;
  /** Of one or more brokers, each with its logs. */
  readonly uplinks: readonly UplinkConfig[];
  /** Receipts of so many logs end the duty for a batch. */
  readonly receiptsMin: number;
  /** For how many batches one that has them is kept for the logs that lack it. */
  readonly lagBatchesMax: number;
  readonly journal: JournalConfig;
  readonly clock: ClockConfig;
  readonly warn?: WarnConfig | undefined;
  readonly owner?: OwnerConfig | undefined;
  readonly http: { readonly host: string; readonly port: number };
};

const devicesMax = 64;
const linesMax = 16;

/** COSE_Sign1 with batch and signature is 193 bytes at most, a series' own heads are 9. */
const batchOverheadBytes = 256;
const seriesOverheadBytes = 12;

const host = optional(text(/^[A-Za-z0-9.:-]{1,253}$/, 'a host name or an address'), '127.0.0.1');
const port = integer(0, 65_535);
const sparkplugHost = optional(sparkplugId, 'coldproof');

const device: Field<DeviceConfig> = record(
  {
    name,
    key: optional(key, { kind: 'file' }),
    sealSamplesMax: optional(integer(1, samplesPerSeriesMax), 15),
    // Also what keeps every delta of a batch within its two bytes.
    sealAgeSecMax: optional(integer(1, sampleDeltaSecMax), 900),
    heartbeatSec: optional(integer(10, 86_400)),
    sensors: list(sensor, 1, seriesPerBatchMax),
    terms: optional(terms),
    private: optional(privateGroups),
  },
  ({ name, key, sealSamplesMax, sealAgeSecMax, heartbeatSec, sensors, terms, private: groups }, place) => {
    if (name === null || sealSamplesMax === null || sealAgeSecMax === null || sensors === null) return null;
    if (key === null || heartbeatSec === null || terms === null || groups === null) return null;
    for (const [i, { channel }] of (terms?.limits ?? []).entries()) {
      if (sensors.some((each) => each.channel === channel)) continue;
      const at = place.key('terms').key('limits').key(i).key('channel');
      at.problem(channelName(channel), 'a channel of one of sensors');
    }
    const sensed = sensors.map(({ channel }) => channel);
    const limited = (terms?.limits ?? []).map(({ channel }) => channel);
    checkPrivate(groups ?? [], { sensed, limited }, place.key('private'));
    const bytes = sensors.reduce(
      (sum, { channel }) => sum + sealSamplesMax * sampleBytes(channel) + seriesOverheadBytes,
      (groups ?? []).reduce((sum, { to }) => sum + privateLeafBytes(to.length), batchOverheadBytes),
    );
    const given = { name, key, sealSamplesMax, sealAgeSecMax, heartbeatSec, sensors, terms, private: groups };
    if (bytes <= envelopeBytesMax) return given;
    const bound = `a batch of <= ${envelopeBytesMax} bytes, not of ${bytes}`;
    return place.key('sealSamplesMax').problem(sealSamplesMax, bound);
  },
);

const credential: Field<CredentialConfig> = record(
  {
    username: name,
    passwordEnv: optional(environmentName),
    passwordFile: optional(path),
    topics: optional(list(topicFilter, 1, 64), []),
    reads: optional(list(name, 1, devicesMax), []),
  },
  ({ username, topics, reads, passwordEnv, passwordFile }, place) => {
    const password = secretOf('password', { env: passwordEnv, file: passwordFile }, place);
    if (username === null || topics === null || reads === null || password === null) return null;
    if (topics.length + reads.length > 0) return { username, topics, reads, password };
    return place.key('topics').problem(undefined, 'topics to send to, or reads: devices to read');
  },
);

const agent: Field<AgentConfig> = record(
  {
    stateDir: path,
    passphraseEnv: optional(environmentName),
    passphraseFile: optional(path),
    devices: optional(list(device, 0, devicesMax), []),
    sensorSigned: optional(list(signedSensor, 0, devicesMax), []),
    lines: optional(list(line, 0, linesMax), []),
    sensorBroker: optional(record({ host, port, credentials: list(credential, 1, 256), sparkplugHost })),
    uplink: optional(uplink),
    uplinks: optional(list(uplink, 1, uplinksMax)),
    receiptsMin: optional(integer(1, logsMax)),
    lagBatchesMax: optional(integer(0, 1_000_000), 10_000),
    journal,
    clock,
    warn: optional(warn),
    owner: optional(owner),
    http: optional(record({ host, port }), { host: '127.0.0.1', port: 9464 }),
  },
  ({ passphraseEnv, passphraseFile, ...formed }, place) => {
    const ways = uplinksOf(formed, place);
    const { stateDir, devices, sensorSigned, lines, sensorBroker, lagBatchesMax } = formed;
    const { journal, clock, warn, owner, http } = formed;
    const isNamed = passphraseEnv !== undefined || passphraseFile !== undefined;
    const isNeeded = isNamed || devices?.some((each) => each.key.kind === 'file') !== false;
    const passphrase = isNeeded
      ? secretOf('passphrase', { env: passphraseEnv, file: passphraseFile }, place)
      : undefined;
    if (devices?.length === 0 && sensorSigned?.length === 0) {
      return place.key('devices').problem(devices, `a list of 1 to ${devicesMax}, or some sensorSigned`);
    }
    if (sensorSigned === null) return null;
    if (stateDir === null || passphrase === null || devices === null || lines === null) return null;
    if (sensorBroker === null || ways === null || lagBatchesMax === null || http === null) return null;
    if (journal === null || clock === null || warn === null || owner === null) return null;
    const sensing = { devices, sensorSigned, lines, sensorBroker };
    return { stateDir, passphrase, ...sensing, ...ways, lagBatchesMax, journal, clock, warn, owner, http };
  },
);

/** For editors (yaml-language-server and the like), from the very fields that check the file. */
export function configSchema(): JsonSchema {
  return { $schema: 'https://json-schema.org/draft/2020-12/schema', title: 'Coldproof agent', ...agent.schema };
}

/** Reads the text of the file, puts over it what was set from afar. On failure the detail has one problem a line. */
export function parseConfig(yaml: string, amend?: Amend): Verdict<AgentConfig, 'config-invalid'> {
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
  amend?.(root, place);
  const config = agent(root, place);
  checkRelations(root, place);
  if (config === null || problems.length > 0) return reject('config-invalid', formatProblems(problems));
  return accept(config);
}

function formatProblems(problems: readonly Problem[]): string {
  return problems.map(({ path, value, bound }) => `${path || 'file'}: expected ${bound}, got ${value}`).join('\n');
}
