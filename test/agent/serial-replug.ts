/** A serial line that is unplugged and plugged in again: how long until readings come by themselves. */
import { realClock } from '@coldproof/firmware-sim/clock';
import { runLineDevice } from '@coldproof/firmware-sim/device-line';
import { runModbusDevice } from '@coldproof/firmware-sim/device-modbus';
import { formatRmc } from '@coldproof/firmware-sim/nmea';
import { Random } from '@coldproof/firmware-sim/random';
import { positionAt } from '@coldproof/firmware-sim/route';
import { scenarios } from '@coldproof/firmware-sim/scenario';
import { openLine } from '@coldproof/firmware-sim/serial-line';
import { withXor } from '@coldproof/firmware-sim/text-line';
import { Voyage } from '@coldproof/firmware-sim/voyage';
import { realClock as agentClock } from '@coldproof/agent/clock';
import type { SensorDeps, SensorSample } from '@coldproof/agent/sensors/sensor';
import { startModbusLine } from '@coldproof/agent/sensors/modbus';
import { startPushLine } from '@coldproof/agent/sensors/push-line';
import { SerialPair } from '../firmware-sim/serial-pair.ts';
import { mustParse, until } from './fixture.ts';

export const lineKinds = ['modbus', 'text', 'nmea'] as const;
export type LineKind = (typeof lineKinds)[number];

/** Both sides run in fast time, so that something is said or asked every 20 ms. */
const speed = 50;
const startMs = Date.now();
const fastMs = () => startMs + (Date.now() - startMs) * speed;
const baud = 19_200;

const sensorOf = {
  modbus: '{ channel: supply-air, modbus: { line: line, function: 4, register: 1, type: int16, scale: 0.1 } }',
  text: "{ channel: supply-air, text: { line: line, pattern: 'T=(?<value>-?[0-9.]+)' } }",
  nmea: '{ channel: latitude, nmea: { line: line } }',
};
const protocolOf = {
  modbus: 'unitId: 1, pollSec: 1, timeoutMs: 200',
  text: 'protocol: text, checksum: xor',
  nmea: 'protocol: nmea',
};

function startAgentSide(kind: LineKind, path: string) {
  const delivered: SensorSample[] = [];
  const events: string[] = [];
  const deps: SensorDeps = {
    clock: { nowMs: fastMs, wait: (ms, signal) => agentClock.wait(ms / speed, signal) },
    log: (_level, event) => events.push(event),
    refuse: () => undefined,
    deliver: (samples) => {
      delivered.push(...samples);
      return Promise.resolve();
    },
  };
  const { lines, devices } = mustParse(`
stateDir: /s
passphraseEnv: P
devices: [{ name: T, sensors: [${sensorOf[kind]}] }]
lines: [{ name: line, path: ${path}, baud: ${baud}, ${protocolOf[kind]} }]
uplink: { url: 'mqtt://o:1', logPublicKey: '${'ab'.repeat(32)}' }
`);
  const line = lines[0]!;
  const source = line.protocol === 'modbus' ? startModbusLine(line, devices, deps) : startPushLine(line, devices, deps);
  return { source, delivered, events };
}

function startDevice(kind: LineKind, path: string, stop: AbortSignal): Promise<void> {
  const clock = { nowMs: fastMs, wait: (ms: number, signal?: AbortSignal) => realClock.wait(ms / speed, signal) };
  const random = Random.fromSeed(1);
  const deps = { clock, realClock, random, log: () => undefined, openLine: () => openLine(path, baud) };
  const sample = new Voyage(scenarios.healthy, 1).sampleAt(60);
  if (kind === 'modbus') return runModbusDevice(deps, { unitId: 1, baud, sample: () => sample }, stop);
  const text = withXor(`T=${(sample.supplyAirCentiC / 100).toFixed(2)}`);
  const say = kind === 'text' ? () => text : (unixSec: number) => formatRmc(unixSec, positionAt(60));
  return runLineDevice(deps, { periodSec: 1, say }, stop);
}

/** Milliseconds from each plug to the first reading after it. Throws when one takes over 5 s. */
export async function replug(kind: LineKind, cycles: number): Promise<number[]> {
  const pair = new SerialPair();
  const stop = new AbortController();
  const { source, delivered, events } = startAgentSide(kind, pair.gateway);
  const device = startDevice(kind, pair.device, stop.signal);
  const recoveriesMs: number[] = [];
  try {
    for (let cycle = 0; cycle < cycles; cycle++) {
      const before = delivered.length;
      await pair.plug();
      const pluggedMs = performance.now();
      await until(() => delivered.length > before, `a reading after plug ${cycle}`, 5_000);
      recoveriesMs.push(Math.round(performance.now() - pluggedMs));
      const downs = () => events.filter((event) => event === 'line-down').length;
      const downsBefore = downs();
      await pair.unplug();
      await until(() => downs() > downsBefore, `the line is down after unplug ${cycle}`, 5_000);
    }
  } finally {
    stop.abort();
    await Promise.all([source.stop(), device, pair.remove()]);
  }
  return recoveriesMs;
}
