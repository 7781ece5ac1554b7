/**
 * The reefer unit's serial side: a Modbus RTU slave on a line that may come and go.
 *
 *   line -- bytes --> ModbusSlave -- answer --> line        T3.5 without a byte ends a frame
 *
 * It ends when `signal` is aborted: the line is closed, which ends the wait for its closing.
 */
import { backOffMs } from './back-off.ts';
import type { Clock } from './clock.ts';
import type { Log } from './log-line.ts';
import { ModbusSlave, type FrameOutcome } from './modbus-slave.ts';
import { OperatingError } from './operating-error.ts';
import type { Random } from './random.ts';
import type { Line } from './serial-line.ts';
import { disconnectedCentiC, type SensorSample } from './voyage.ts';

export type ModbusDeviceDeps = {
  readonly realClock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly openLine: () => Promise<Line>;
};

export type ModbusDeviceOptions = {
  readonly unitId: number;
  readonly baud: number;
  /** What the sensors say now. */
  readonly sample: () => SensorSample;
};

/** "No value": int16's largest, as reefer controllers give for an open or shorted probe. */
export const registerFault = 0x7fff;

/**
 * The register map, the same for functions 3 and 4: 0 setpoint, 1 supply air, 2 return air, 3 ambient (int16, 0.1 °C),
 * 4 unit mode, 5 alarm code, 6 cargo probe 1 (int16, 0.01 °C).
 */
export function registersOf(sample: SensorSample): number[] {
  const { cargoProbe1CentiC } = sample;
  return [
    tenths(sample.setpointCentiC),
    tenths(sample.supplyAirCentiC),
    tenths(sample.returnAirCentiC),
    tenths(sample.ambientCentiC),
    sample.unitMode,
    sample.alarmCode,
    cargoProbe1CentiC === disconnectedCentiC ? registerFault : cargoProbe1CentiC,
  ];
}

/** Half away from zero, as people round. */
function tenths(centiC: number): number {
  return Math.sign(centiC) * Math.round(Math.abs(centiC) / 10);
}

/**
 * Real milliseconds of silence that end a frame: 3.5 characters of 11 bits (Serial Line §2.5.1.1), but not under 20,
 * since USB adapters hand over what came in blocks of up to 16 ms.
 */
export function frameSilenceMs(baud: number): number {
  return Math.max(20, Math.ceil((3.5 * 11 * 1_000) / baud));
}

export async function runModbusDevice(
  deps: ModbusDeviceDeps,
  options: ModbusDeviceOptions,
  signal: AbortSignal,
): Promise<void> {
  const jitter = deps.random.fork('line-back-off');
  let failures = 0;
  while (!signal.aborted) {
    try {
      const line = await deps.openLine();
      failures = 0;
      deps.log('info', 'line-opened', { unitId: options.unitId, baud: options.baud });
      await serve(line, options, deps.log, signal);
      deps.log('info', 'line-closed');
    } catch (error) {
      if (!(error instanceof OperatingError)) throw error;
      deps.log('warn', error.code, { detail: error.message });
    }
    await deps.realClock.wait(backOffMs(failures++, jitter), signal);
  }
}

async function serve(line: Line, options: ModbusDeviceOptions, log: Log, signal: AbortSignal): Promise<void> {
  const counts: Record<FrameOutcome, number> = { answered: 0, exception: 0, 'not-ours': 0, damaged: 0 };
  const slave = new ModbusSlave({
    unitId: options.unitId,
    readRegisters: () => registersOf(options.sample()),
    onFrame: (outcome) => {
      counts[outcome] += 1;
    },
  });
  const send = (answer: Uint8Array | undefined) => {
    if (answer !== undefined) line.write(answer);
  };
  const silenceMs = frameSilenceMs(options.baud);
  let silence: NodeJS.Timeout | undefined;
  line.onBytes((bytes) => {
    clearTimeout(silence);
    send(slave.receive(bytes));
    silence = setTimeout(() => send(slave.endFrame()), silenceMs);
  });
  const stop = () => line.close();
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  await line.closed;
  signal.removeEventListener('abort', stop);
  clearTimeout(silence);
  log('info', 'line-frames', counts);
}
