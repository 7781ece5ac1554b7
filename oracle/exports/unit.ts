/** What a channel's integers are in the units of the trade. Decimals are made of digits, never of a division. */
import { channels, isTemperature } from '@coldproof/wire';

export type ExportUnit = {
  /** SenML's name for it (RFC 8428 §12.1); absent for a state or a code. */
  readonly senml?: string;
  /** Digits behind the point. */
  readonly digits: number;
  /** UN/ECE Rec. 20 code and GS1's measurement type, where EPCIS has one. */
  readonly epcis?: { readonly type: string; readonly uom: string };
};

const units: ReadonlyMap<number, ExportUnit> = new Map([
  [channels.humidity, { senml: '%RH', digits: 1, epcis: { type: 'RelativeHumidity', uom: 'P1' } }],
  [channels.battery, { senml: 'V', digits: 3, epcis: { type: 'Voltage', uom: 'VLT' } }],
  [channels.latitude, { senml: 'lat', digits: 6 }],
  [channels.longitude, { senml: 'lon', digits: 6 }],
  [channels.odometer, { senml: 'm', digits: 0 }],
]);
const temperature: ExportUnit = { senml: 'Cel', digits: 2, epcis: { type: 'Temperature', uom: 'CEL' } };

export function exportUnit(channel: number): ExportUnit {
  return isTemperature(channel) ? temperature : (units.get(channel) ?? { digits: 0 });
}

/** "-18.50" for -1850 with two digits. */
export function formatDecimal(value: number, digits: number): string {
  const text = String(Math.abs(value)).padStart(digits + 1, '0');
  const sign = value < 0 ? '-' : '';
  if (digits === 0) return sign + text;
  return `${sign}${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

export function formatTime(timeSec: number): string {
  return new Date(timeSec * 1_000).toISOString().replace('.000Z', 'Z');
}

/** The bits of a series' marks, in words. */
export function markNames(marks: number): string[] {
  return ['stuck', 'spike', 'out-of-range', 'invalid-value'].filter((_, i) => (marks & (1 << i)) !== 0);
}
