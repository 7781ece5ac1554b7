/** A serial line's code is read where there is such a line: with serialport it takes a gateway several megabytes. */
import type { LineConfig } from '../config-line.ts';
import type { DeviceConfig } from '../config.ts';
import type { SensorDeps, SensorSource } from './sensor.ts';

export type StartLine = (devices: readonly DeviceConfig[], deps: SensorDeps) => SensorSource;

export async function loadLine(line: LineConfig): Promise<StartLine> {
  if (line.protocol === 'modbus') {
    const { startModbusLine } = await import('./modbus.ts');
    return (devices, deps) => startModbusLine(line, devices, deps);
  }
  const { startPushLine } = await import('./push-line.ts');
  return (devices, deps) => startPushLine(line, devices, deps);
}
