/** Readings as CSV (RFC 4180), a row each, with what a traceability record asks for beside it: oracle/API.md. */
import { channelName, faultValue } from '@coldproof/wire';
import type { Reading } from '../readings.ts';
import { exportUnit, formatDecimal, formatTime, markNames } from './unit.ts';

/** What is the same in every row. */
export type CsvSubject = {
  readonly orderId: string;
  readonly agreementId: string;
  readonly supplier: string;
  readonly carrier: string;
  readonly consignee: string;
  readonly asset: string;
  readonly device: string;
};

const columns = [
  ...['order_id', 'agreement_id', 'supplier', 'carrier', 'consignee', 'asset', 'device', 'batch_sequence'],
  ...['channel', 'event_time', 'value', 'unit', 'marks', 'provenance'],
] as const;

export const csvHead = `${columns.join(',')}\r\n`;

type At = Pick<Reading, 'channel' | 'timeSec' | 'isSensorSigned' | 'sequence'>;

export function csvRow(subject: CsvSubject, reading: Reading): string {
  const { channel, value, marks } = reading;
  const said = value === faultValue(channel) ? '' : formatDecimal(value, exportUnit(channel).digits);
  return rowOf(subject, reading, said, markNames(marks).join(' '));
}

/** A channel that is for its parties alone in a batch: that much is said, at the batch's own first second. */
export function csvPrivateRow(subject: CsvSubject, at: At): string {
  return rowOf(subject, at, '', 'private');
}

function rowOf(subject: CsvSubject, at: At, value: string, marks: string): string {
  const { channel, timeSec, isSensorSigned, sequence } = at;
  const { senml = '' } = exportUnit(channel);
  const { orderId, agreementId, supplier, carrier, consignee, asset, device } = subject;
  const fields = [
    ...[orderId, agreementId, supplier, carrier, consignee, asset, device, String(sequence)],
    ...[channelName(channel), formatTime(timeSec), value, senml, marks],
    isSensorSigned ? 'sensor-signed' : 'gateway-signed',
  ];
  return `${fields.map(quote).join(',')}\r\n`;
}

/** RFC 4180 §2, rules 5 to 7; and no text is a formula to the sheet that opens it. */
function quote(field: string): string {
  const safe = /^[=+@\t\r]/.test(field) ? `'${field}` : field;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
