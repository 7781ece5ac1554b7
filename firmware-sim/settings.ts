/** What the process was asked to do: arguments and environment in, settings or all problems at once out. */
import { parseArgs } from 'node:util';
import { bytesToHex, deviceOf, parseDemonstrationClock, parseHex } from '@coldproof/wire';
import { demonstrationClock, realClock, type Clock } from './clock.ts';
import { faultNames, parseFault, type FaultRates } from './fault.ts';
import type { Broker } from './device-mqtt.ts';
import { publicKeyOf, simulatedKey } from './device-signed.ts';
import { messageFormats } from './message.ts';
import { seedMax } from './random.ts';
import { isScenarioName, scenarioNames, type ScenarioName } from './scenario.ts';
import type { SimulatorOptions } from './simulator.ts';

const clockVariable = 'COLDPROOF_DEMONSTRATION_CLOCK';

export const usage = `usage: node firmware-sim/dist/main.js [options]

  --scenario NAME        (default compressor-failure) one of
                         ${scenarioNames.join(', ')}
  --seed N               chooses the sensors' noise (default 1)
  --broker URL           the gateway's local broker (default mqtt://127.0.0.1:1884)
  --username NAME        for the broker (default: the truck's name)
  --password-env VAR     environment variable that holds the broker's password
  --truck NAME           SenML base name (default TRUCK-7)
  --topic TOPIC          (default sensors/TRUCK)
  --format FORMAT        of the messages: ${messageFormats.join(', ')} (default senml-json)
  --sparkplug GROUP      a Sparkplug B edge node of this group, named as the truck, in place of --topic
  --signed LOGKEY        a sensor that signs by itself, until it has receipts of the log with this Ed25519 key
                         (64 hex digits); named as the truck at the gateway's broker
  --public-key           print that sensor's public key and device, for the gateway's configuration
  --serial PATH          serial line for the unit's own channels, as a Modbus RTU slave
  --lines PATH           serial line on which a logger prints the same as text, with an XOR checksum
  --nmea PATH            serial line of a satellite receiver (NMEA 0183)
  --baud N               of these lines (default 19200)
  --unit-id N            Modbus address on that line, 1 to 247 (default 1)
  --catch-up-sec N       after a start, also sample what was due in the last N s (default 300)
  --list                 print the scenarios and how an order ends in each, as JSON
  --fault NAME=RATE      ${faultNames.join(', ')}; rate 0 to 1; may be repeated

  ${clockVariable}=VOYAGE_MS@REAL_MSxSPEED runs the voyage on that clock. Without it the voyage starts now.`;

export type Settings = {
  readonly clock: Clock;
  readonly broker: Broker;
  readonly options: SimulatorOptions;
};

export type Asked =
  | { readonly kind: 'run'; readonly settings: Settings }
  | { readonly kind: 'help' }
  | { readonly kind: 'list' }
  | { readonly kind: 'public-key'; readonly publicKey: string; readonly device: string }
  /** Each names the option, its bound and its value. */
  | { readonly kind: 'problems'; readonly problems: readonly string[] };

const optionTypes = {
  scenario: { type: 'string', default: 'compressor-failure' },
  seed: { type: 'string', default: '1' },
  broker: { type: 'string', default: 'mqtt://127.0.0.1:1884' },
  username: { type: 'string' },
  'password-env': { type: 'string' },
  truck: { type: 'string', default: 'TRUCK-7' },
  topic: { type: 'string' },
  format: { type: 'string', default: 'senml-json' },
  serial: { type: 'string' },
  lines: { type: 'string' },
  sparkplug: { type: 'string' },
  signed: { type: 'string' },
  'public-key': { type: 'boolean', default: false },
  nmea: { type: 'string' },
  baud: { type: 'string', default: '19200' },
  'unit-id': { type: 'string', default: '1' },
  'catch-up-sec': { type: 'string', default: '300' },
  fault: { type: 'string', multiple: true, default: [] as string[] },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

export function readSettings(args: readonly string[], env: NodeJS.ProcessEnv): Asked {
  let values;
  try {
    ({ values } = parseArgs({ args: [...args], options: optionTypes, strict: true, allowPositionals: false }));
  } catch (error) {
    if (error instanceof TypeError) return { kind: 'problems', problems: [error.message] };
    throw error;
  }
  if (values.help) return { kind: 'help' };
  if (values.list) return { kind: 'list' };

  const problems: string[] = [];
  const integer = (name: 'seed' | 'baud' | 'unit-id' | 'catch-up-sec', least: number, most: number): number => {
    const text = values[name];
    const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
    const isInside = value >= least && value <= most;
    if (!isInside) problems.push(`--${name}: expected an integer ${least} to ${most}, got ${text}`);
    return value;
  };
  const { clock, voyageStartSec } = readClock(env, problems);
  const seed = integer('seed', 0, seedMax);
  const baud = integer('baud', 300, 4_000_000);
  const unitId = integer('unit-id', 1, 247);
  const catchUpSec = integer('catch-up-sec', 0, 86_400);
  const scenario = readScenario(values.scenario, problems);
  const faults = readFaults(values.fault, problems);
  // A restarted device must tell the same story; without a clock that has a start, it would tell another.
  if ((values.signed !== undefined || values['public-key']) && (env[clockVariable] ?? '') === '') {
    problems.push(`--signed: expected ${clockVariable} beside it, got nothing`);
  }
  const logPublicKey = values.signed === undefined ? undefined : parseHex(values.signed, 32);
  if (values.signed !== undefined && logPublicKey === undefined) {
    problems.push(`--signed: expected 64 lower-case hex digits, got ${values.signed}`);
  }
  const { truck } = values;
  if (!/^[A-Za-z0-9][-A-Za-z0-9._]{0,63}$/.test(truck)) {
    problems.push(`--truck: expected up to 64 letters, digits, - . _, got ${truck}`);
  }
  const topic = values.topic ?? `sensors/${truck}`;
  if (!/^[^+#\0]{1,200}$/.test(topic)) {
    problems.push(`--topic: expected 1 to 200 characters without + and #, got ${topic}`);
  }
  const format = messageFormats.find((each) => each === values.format);
  if (format === undefined) {
    problems.push(`--format: expected one of ${messageFormats.join(', ')}, got ${values.format}`);
  }
  const group = values.sparkplug;
  if (group !== undefined && !/^[^+/#\0]{1,64}$/.test(group)) {
    problems.push(`--sparkplug: expected 1 to 64 characters without + / #, got ${group}`);
  }
  const broker = readBroker({ ...values, truck }, env, problems);
  if (problems.length > 0 || scenario === undefined || format === undefined) return { kind: 'problems', problems };
  if (values['public-key']) {
    const publicKey = publicKeyOf(simulatedKey({ scenario, seed, voyageStartSec }));
    return { kind: 'public-key', publicKey: bytesToHex(publicKey), device: bytesToHex(deviceOf(publicKey)) };
  }
  const serial = values.serial === undefined ? {} : { serial: { path: values.serial, baud, unitId } };
  const speakers = {
    ...(logPublicKey === undefined ? {} : { logPublicKey }),
    ...(group === undefined ? {} : { sparkplugGroup: group }),
    ...(values.lines === undefined ? {} : { textLine: { path: values.lines, baud } }),
    ...(values.nmea === undefined ? {} : { nmeaLine: { path: values.nmea, baud } }),
  };
  const options = { ...speakers, scenario, seed, voyageStartSec, truck, topic, format, catchUpSec, faults, ...serial };
  return { kind: 'run', settings: { clock, broker, options } };
}

function readClock(env: NodeJS.ProcessEnv, problems: string[]): { clock: Clock; voyageStartSec: number } {
  const text = env[clockVariable];
  const now = { clock: realClock, voyageStartSec: Math.floor(Date.now() / 1_000) };
  if (text === undefined || text === '') return now;
  const parsed = parseDemonstrationClock(text);
  if (parsed === undefined) {
    problems.push(`${clockVariable}: expected VOYAGE_MS@REAL_MSxSPEED, got ${text}`);
    return now;
  }
  return { clock: demonstrationClock(parsed), voyageStartSec: Math.floor(parsed.voyageStartMs / 1_000) };
}

function readScenario(name: string, problems: string[]): ScenarioName | undefined {
  if (isScenarioName(name)) return name;
  problems.push(`--scenario: expected one of ${scenarioNames.join(', ')}, got ${name}`);
  return undefined;
}

function readFaults(texts: readonly string[], problems: string[]): FaultRates {
  const rates: Partial<Record<string, number>> = {};
  for (const text of texts) {
    const fault = parseFault(text);
    if (fault === undefined) problems.push(`--fault: expected ${faultNames.join('|')}=0..1, got ${text}`);
    else rates[fault.name] = fault.rate;
  }
  return rates;
}

function readBroker(
  values: { broker: string; username?: string; 'password-env'?: string; truck: string },
  env: NodeJS.ProcessEnv,
  problems: string[],
): Broker {
  const url = URL.canParse(values.broker) ? new URL(values.broker) : undefined;
  if (url === undefined || !['mqtt:', 'mqtts:'].includes(url.protocol) || url.hostname === '') {
    problems.push(`--broker: expected mqtt://host:port or mqtts://host:port, got ${values.broker}`);
  } else if (url.username !== '' || url.password !== '') {
    // A password in an argument is in every process listing, and in the log as part of the URL.
    problems.push('--broker: expected no credentials in the URL; use --username and --password-env');
  }
  const broker = { url: values.broker, clientId: `sensors-${values.truck}`, username: values.username ?? values.truck };
  const variable = values['password-env'];
  if (variable === undefined) return broker;
  const password = env[variable];
  if (password === undefined) problems.push(`--password-env: expected ${variable} in the environment, got nothing`);
  return password === undefined ? broker : { ...broker, password };
}
