/**
 * Sparkplug B payloads (Sparkplug 3.0 §6) to plain values: the only door to sparkplug-payload. Its generated protobuf
 * code is used and not its friendly layer, which loses the value of a metric without datatype, as all metrics of DATA
 * messages shall be (tck-id-payloads-metric-datatype-not-req), and gives an unsigned 32-bit integer a sign.
 */
import { createRequire } from 'node:module';
import type proto from 'sparkplug-payload/lib/sparkplugPayloadProto.js';
import { accept, reject, type Verdict } from '@coldproof/wire';

const require = createRequire(import.meta.url);

/** Read with the first payload: with protobufjs it takes some megabytes, and most gateways have no edge node. */
function protobuf() {
  const code = require('sparkplug-payload/lib/sparkplugPayloadProto.js') as typeof proto;
  return code.org.eclipse.tahu.protobuf;
}

/** A 64-bit field, as the generated code gives it; its own types have no name for it. */
type Wide = number | { toNumber(): number; toSigned(): { toNumber(): number } };
type WireMetric = {
  name: string;
  alias: Wide;
  timestamp: Wide;
  datatype: number;
  isHistorical: boolean;
  isNull: boolean;
  intValue: number;
  longValue: Wide;
  floatValue: number;
  doubleValue: number;
  booleanValue: boolean;
  stringValue: string;
  properties: { keys: string[]; values: { intValue?: number | null }[] } | null;
};
type WirePayload = { timestamp: Wide; seq: Wide; metrics: WireMetric[] };

export type Metric = {
  /** Absent in DATA when the birth gave an alias (tck-id-payloads-alias-data-cmd-requirement). */
  readonly name: string | undefined;
  readonly alias: number | undefined;
  readonly timestampMs: number | undefined;
  /** §6.4.16; absent in DATA. */
  readonly datatype: number | undefined;
  readonly isHistorical: boolean;
  /** null: the edge node itself says that there is no value. Undefined: of a type that no sensor value has. */
  readonly value: RawValue | null | undefined;
  /** Property `Quality` (tck-id-payloads-propertyset-quality-value-value): 0 bad, 192 good, 500 stale. */
  readonly quality: number | undefined;
};

/** As it was on the wire: which integers have a sign, only the datatype says. */
export type RawValue =
  /** The same bits without a sign and with one. */
  | { readonly kind: 'integer'; readonly unsigned: number; readonly signed: number }
  | { readonly kind: 'float'; readonly number: number }
  | { readonly kind: 'boolean'; readonly boolean: boolean }
  | { readonly kind: 'text'; readonly text: string };

export type SparkplugPayload = {
  readonly timestampMs: number | undefined;
  readonly seq: number | undefined;
  readonly metrics: readonly Metric[];
};

export const sparkplugBytesMax = 65_536;
const metricsMax = 4_096;

export function decodeSparkplug(bytes: Uint8Array): Verdict<SparkplugPayload, 'sparkplug-malformed'> {
  if (bytes.length > sparkplugBytesMax) return malformed(`expected <= ${sparkplugBytesMax} bytes, got ${bytes.length}`);
  let payload: WirePayload;
  try {
    payload = protobuf().Payload.decode(bytes) as object as WirePayload;
  } catch (error) {
    // protobufjs throws RangeError and Error alike for bytes that are no message.
    return malformed(`expected a Sparkplug B payload: ${error instanceof Error ? error.message : 'unreadable'}`);
  }
  const { metrics } = payload;
  if (metrics.length > metricsMax) return malformed(`expected <= ${metricsMax} metrics, got ${metrics.length}`);
  return accept({
    timestampMs: toNumber(own(payload, 'timestamp')),
    seq: toNumber(own(payload, 'seq')),
    metrics: metrics.map(readMetric),
  });
}

/** tck-id-operational-behavior-data-commands-ncmd-rebirth-name, -value. */
export function encodeRebirthRequest(nowMs: number): Uint8Array {
  const { DataType, Payload } = protobuf();
  const rebirth = { name: 'Node Control/Rebirth', timestamp: nowMs, datatype: DataType.Boolean, booleanValue: true };
  return Payload.encode({ timestamp: nowMs, metrics: [rebirth] }).finish();
}

function readMetric(metric: WireMetric): Metric {
  return {
    name: own(metric, 'name'),
    alias: toNumber(own(metric, 'alias')),
    timestampMs: toNumber(own(metric, 'timestamp')),
    datatype: own(metric, 'datatype'),
    isHistorical: metric.isHistorical,
    value: metric.isNull ? null : readValue(metric),
    quality: qualityOf(metric),
  };
}

function readValue(metric: WireMetric): RawValue | undefined {
  const int = own(metric, 'intValue');
  if (int !== undefined) return { kind: 'integer', unsigned: int, signed: int | 0 };
  const long = own(metric, 'longValue');
  if (long !== undefined) {
    const signed = typeof long === 'number' ? long : long.toSigned().toNumber();
    return { kind: 'integer', unsigned: toNumber(long)!, signed };
  }
  const number = own(metric, 'floatValue') ?? own(metric, 'doubleValue');
  if (number !== undefined) return { kind: 'float', number };
  const boolean = own(metric, 'booleanValue');
  if (boolean !== undefined) return { kind: 'boolean', boolean };
  const text = own(metric, 'stringValue');
  return text === undefined ? undefined : { kind: 'text', text };
}

function qualityOf({ properties }: WireMetric): number | undefined {
  const at = properties?.keys.indexOf('Quality') ?? -1;
  return at < 0 ? undefined : (properties?.values[at]?.intValue ?? undefined);
}

/** protobufjs keeps defaults on the prototype: what is the message's own was in the message. */
function own<Message extends object, Key extends keyof Message>(message: Message, key: Key): Message[Key] | undefined {
  return Object.hasOwn(message, key) ? message[key] : undefined;
}

/** Over 2^53 no time and no sensor value has any sense. */
function toNumber(value: Wide | undefined): number | undefined {
  return typeof value === 'object' ? value.toNumber() : value;
}

function malformed(detail: string): Verdict<never, 'sparkplug-malformed'> {
  return reject('sparkplug-malformed', detail);
}
