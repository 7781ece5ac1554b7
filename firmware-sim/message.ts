/** What the sensors of a container say at a sample, in the formats that they may speak. */
import { utf8ToBytes } from '@coldproof/wire';
import { formatJson } from './plain-json.ts';
import { encodeSenmlCbor } from './senml-cbor.ts';
import { formatSenml, type SenmlReading } from './senml.ts';
import type { SensorSample } from './voyage.ts';

export const messageFormats = ['senml-json', 'senml-cbor', 'json'] as const;
export type MessageFormat = (typeof messageFormats)[number];

export function encodeMessage(
  { format, truck }: { format: MessageFormat; truck: string },
  sampleSec: number,
  readings: readonly SenmlReading[],
): Uint8Array {
  if (format === 'senml-cbor') return encodeSenmlCbor(truck, sampleSec, readings);
  return utf8ToBytes((format === 'json' ? formatJson : formatSenml)(truck, sampleSec, readings));
}

export function readingsOf(sample: SensorSample, isUnitOnSerial: boolean): SenmlReading[] {
  const own: SenmlReading[] = [
    { name: 'cargo-probe-1', centiC: sample.cargoProbe1CentiC },
    { name: 'door', isSet: sample.isDoorOpen },
  ];
  if (isUnitOnSerial) return own;
  return [
    { name: 'supply-air', centiC: sample.supplyAirCentiC },
    { name: 'return-air', centiC: sample.returnAirCentiC },
    ...own,
    { name: 'setpoint', centiC: sample.setpointCentiC },
    { name: 'unit-mode', value: sample.unitMode },
  ];
}
