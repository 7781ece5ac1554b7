/**
 * One container's devices on one voyage.
 *
 *   Clock --+-- every minute --> Voyage --> message --> FaultyPath --> Outbox --> device-mqtt --> gateway's broker
 *           |
 *           +-- when asked ----> Voyage --> registers <------------------------ device-modbus <-- gateway's poll
 *           |
 *           +-- each period ---> lines of text, NMEA 0183 ---------------> device-line --> gateway's serial port
 *
 * With Sparkplug B, device-sparkplug stands in the place of path, outbox and device-mqtt; for a device that signs by
 * itself, device-signed does.
 *
 * A sample bears the time it was due, however late it is taken or sent. After a restart, what was due in the last
 * minutes is sampled again, with the same values, since nobody knows whether it was sent; what is older is missed.
 *
 * Shutdown: `signal` first ends the sampling. The radio then has a moment to empty the outbox, and is stopped by a
 * signal of its own; the serial line closes at once. All three end on their signal, so run() ends.
 */
import { bytesToHex } from '@coldproof/wire';
import type { Clock } from './clock.ts';
import { runLineDevice } from './device-line.ts';
import { runModbusDevice } from './device-modbus.ts';
import { runMqttDevice, type Broker, type Link } from './device-mqtt.ts';
import { publicKeyOf, SigningDevice, simulatedKey } from './device-signed.ts';
import { SparkplugDevice } from './device-sparkplug.ts';
import { FaultyPath, type FaultRates } from './fault.ts';
import type { Log } from './log-line.ts';
import { encodeMessage, readingsOf, type MessageFormat } from './message.ts';
import { formatGga, formatRmc } from './nmea.ts';
import { Outbox } from './outbox.ts';
import { Random } from './random.ts';
import { positionAt } from './route.ts';
import { samplePeriodSec, scenarios, voyageSec, type ScenarioName } from './scenario.ts';
import type { Line } from './serial-line.ts';
import { formatTextLine } from './text-line.ts';
import { Voyage } from './voyage.ts';

export type SimulatorDeps = {
  /** The voyage's clock. */
  readonly clock: Clock;
  readonly realClock: Clock;
  readonly log: Log;
  readonly openLink: (signal: AbortSignal, session?: Pick<Broker, 'will' | 'onMessage'>) => Promise<Link>;
  readonly openLine: (path: string, baud: number) => Promise<Line>;
};

export type SimulatorOptions = {
  readonly scenario: ScenarioName;
  readonly seed: number;
  readonly voyageStartSec: number;
  /** The SenML base name without its slash. */
  readonly truck: string;
  readonly topic: string;
  readonly format: MessageFormat;
  /** How far back from now a sample is still taken, in voyage seconds. */
  readonly catchUpSec: number;
  readonly faults: FaultRates;
  /** With a serial line, the unit's own channels are on it and not on MQTT. */
  readonly serial?: { readonly path: string; readonly baud: number; readonly unitId: number };
  /** A serial line on which a logger prints what its sensors say, as text. */
  readonly textLine?: { readonly path: string; readonly baud: number };
  /** A Sparkplug edge node, named as the truck, in this group; in place of the messages on `topic`. */
  readonly sparkplugGroup?: string;
  /** A sensor that signs by itself, until it has receipts of the log with this key; on `topic`. */
  readonly logPublicKey?: Uint8Array;
  /** A serial line of a satellite receiver. */
  readonly nmeaLine?: { readonly path: string; readonly baud: number };
};

/** A receiver says more than anybody needs; each second would be usual. */
const fixPeriodSec = 10;

/** Real milliseconds without a receipt until a signing device sends again. */
const receiptMsMax = 10_000;

/** Real milliseconds that a stopping device still has for its outbox. */
const lastSendsMsMax = 1_000;

export async function runSimulator(deps: SimulatorDeps, options: SimulatorOptions, signal: AbortSignal): Promise<void> {
  const { scenario, seed, voyageStartSec, topic, serial } = options;
  const random = Random.fromSeed(seed);
  const outbox = new Outbox();
  const radio = new AbortController();
  const stop = AbortSignal.any([signal, radio.signal]);
  const startsAt = new Date(voyageStartSec * 1_000).toISOString();
  deps.log('info', 'voyage-started', { scenario, seed, startsAt, voyageSec, isSerial: serial !== undefined });
  const edge = sparkplugOf({ ...deps, random }, options) ?? signingOf({ ...deps, random }, options);
  const tasks = [edge?.run(radio.signal) ?? runMqttDevice({ ...deps, random }, topic, outbox, radio.signal)];
  if (serial !== undefined) tasks.push(runUnit(deps, options, serial, random, stop));
  tasks.push(...runSpeakers(deps, options, random, stop));
  const sampling = sampleVoyage(deps, options, edge ?? outbox, stop).then(async () => {
    await outbox.until((size) => size === 0, stop);
    if (!stop.aborted) deps.log('info', 'voyage-ended', { overwritten: outbox.overwritten });
    await untilAborted(stop);
    await Promise.race([
      outbox.until((size) => size === 0, radio.signal),
      deps.realClock.wait(lastSendsMsMax, radio.signal),
    ]);
  });
  try {
    // Only a bug lets a task end before its signal, by throwing: then the others are stopped and the error goes out.
    await Promise.race([sampling, ...tasks.map((task) => task.then(() => untilAborted(radio.signal)))]);
  } finally {
    const unsent = outbox.size;
    radio.abort();
    deps.log('info', 'simulator-stopped', { unsent });
  }
  await Promise.all(tasks);
}

/** Takes each due sample of the voyage once; returns after the last one, or when aborted. */
async function sampleVoyage(
  deps: SimulatorDeps,
  options: SimulatorOptions,
  radio: Outbox | SparkplugDevice | SigningDevice,
  signal: AbortSignal,
): Promise<void> {
  const { clock, log } = deps;
  const voyage = new Voyage(scenarios[options.scenario], options.seed);
  const path = new FaultyPath(options.faults, Random.fromSeed(options.seed).fork('faults'));
  const startMs = options.voyageStartSec * 1_000;
  const elapsedSec = Math.floor((clock.nowMs() - startMs) / 1_000);
  const sampleCount = voyageSec / samplePeriodSec;
  // A chain of batches has no holes: a signing device takes all of them again.
  const catchUpSec = radio instanceof SigningDevice ? Infinity : options.catchUpSec;
  const missed = Math.min(sampleCount, Math.max(0, Math.floor((elapsedSec - catchUpSec) / samplePeriodSec)));
  if (missed > 0) log('warn', 'samples-missed', { count: missed, catchUpSec });
  for (let atSec = (missed + 1) * samplePeriodSec; atSec <= voyageSec; atSec += samplePeriodSec) {
    await clock.wait(startMs + atSec * 1_000 - clock.nowMs(), signal);
    if (signal.aborted) return;
    logEvents(log, options.scenario, atSec);
    const readings = readingsOf(voyage.sampleAt(atSec), options.serial !== undefined);
    const sampleSec = options.voyageStartSec + atSec;
    if (!(radio instanceof Outbox)) {
      radio.sample(sampleSec, readings);
      continue;
    }
    const payload = encodeMessage(options, sampleSec, readings);
    const { sent, faults } = path.pass(atSec, payload);
    for (const fault of faults) log('warn', 'fault-made', { fault, atSec });
    for (const each of sent) radio.add(each, each === payload ? sampleSec : undefined);
  }
  if (radio instanceof Outbox) for (const each of path.flush()) radio.add(each);
}

/** The events since the sample before this one. */
function logEvents(log: Log, scenario: ScenarioName, atSec: number): void {
  for (const { event, atSec: eventSec } of scenarios[scenario].events) {
    if (eventSec > atSec - samplePeriodSec && eventSec <= atSec) log('info', event, { atSec: eventSec });
  }
}

function runUnit(
  deps: SimulatorDeps,
  options: SimulatorOptions,
  serial: NonNullable<SimulatorOptions['serial']>,
  random: Random,
  signal: AbortSignal,
): Promise<void> {
  const voyage = new Voyage(scenarios[options.scenario], options.seed);
  const sample = () => {
    const elapsedSec = Math.floor(deps.clock.nowMs() / 1_000) - options.voyageStartSec;
    return voyage.sampleAt(Math.max(0, elapsedSec));
  };
  const openLine = () => deps.openLine(serial.path, serial.baud);
  return runModbusDevice({ ...deps, random, openLine }, { ...serial, sample }, signal);
}

function sparkplugOf(
  deps: SimulatorDeps & { readonly random: Random },
  { sparkplugGroup, truck }: SimulatorOptions,
): SparkplugDevice | undefined {
  if (sparkplugGroup === undefined) return undefined;
  return new SparkplugDevice(deps, { group: sparkplugGroup, node: truck, device: 'sensors' });
}

function signingOf(
  deps: SimulatorDeps & { readonly random: Random },
  { logPublicKey, topic, truck, ...voyage }: SimulatorOptions,
): SigningDevice | undefined {
  if (logPublicKey === undefined) return undefined;
  const secretKey = simulatedKey(voyage);
  deps.log('info', 'signing', { publicKey: bytesToHex(publicKeyOf(secretKey)) });
  const receiptTopic = `agent/${truck}/receipt`;
  return new SigningDevice(deps, { secretKey, topic, receiptTopic, logPublicKey, resendMs: receiptMsMax });
}

/** The devices that speak by themselves. */
function runSpeakers(
  deps: SimulatorDeps,
  options: SimulatorOptions,
  random: Random,
  signal: AbortSignal,
): Promise<void>[] {
  const { scenario, seed, voyageStartSec, textLine, nmeaLine } = options;
  const voyage = new Voyage(scenarios[scenario], seed);
  const atSec = (unixSec: number) => Math.max(0, unixSec - voyageStartSec);
  const run = (line: SimulatorOptions['textLine'], periodSec: number, say: (unixSec: number) => string) => {
    if (line === undefined) return [];
    const openLine = () => deps.openLine(line.path, line.baud);
    return [runLineDevice({ ...deps, random, openLine }, { periodSec, say }, signal)];
  };
  return [
    ...run(textLine, samplePeriodSec, (unixSec) =>
      formatTextLine(readingsOf(voyage.sampleAt(atSec(unixSec)), options.serial !== undefined)),
    ),
    ...run(nmeaLine, fixPeriodSec, (unixSec) => {
      const position = positionAt(atSec(unixSec));
      return formatRmc(unixSec, position) + formatGga(unixSec, position);
    }),
  ];
}

function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
