/**
 * A shipment as an EPCIS 2.0 document (GS1, JSON-LD): what was measured and alarmed, and what became of the order.
 * The vocabulary is CBV 2.0's; identifiers are URNs of the chain, since the order knows no GS1 keys.
 */
import { channelName } from '@coldproof/wire';
import type { Bucket } from '../downsample.ts';
import type { StoredFinding } from '../store-evaluation.ts';
import { exportUnit, formatDecimal, formatTime } from './unit.ts';

export type EpcisShipment = {
  readonly chainId: number;
  readonly shipments: string;
  readonly orderId: string;
  readonly device: string;
  /** ISO 6346 */
  readonly asset: string;
  readonly truck: string;
};

/** A stretch of time of one channel. */
export type Measured = { readonly channel: number; readonly toSec: number; readonly bucket: Bucket };

/** A stretch in which a channel was measured for its parties alone. */
export type PrivatelyMeasured = { readonly channel: number; readonly fromSec: number; readonly toSec: number };

export type OrderEvent = {
  readonly name: string;
  readonly timeSec: number;
  readonly transactionHash: string;
  readonly replacementId?: string;
  readonly ticketId?: string;
};

export type EpcisSource = {
  readonly shipment: EpcisShipment;
  readonly measured: readonly Measured[];
  readonly privates: readonly PrivatelyMeasured[];
  readonly findings: readonly StoredFinding[];
  readonly events: readonly OrderEvent[];
  readonly nowSec: number;
};

export function epcisDocument({ shipment, measured, privates, findings, events, nowSec }: EpcisSource) {
  const eventList = [
    ...measured.map((each) => observation(shipment, each)),
    ...privates.map((each) => privateObservation(shipment, each)),
    ...findings.map((finding) => alarm(shipment, finding, nowSec)).filter((event) => event !== undefined),
    ...events.flatMap((event) => orderEvent(shipment, event)),
  ];
  return {
    '@context': ['https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld'],
    type: 'EPCISDocument',
    schemaVersion: '2.0',
    creationDate: formatTime(nowSec),
    epcisBody: { eventList: eventList.sort((a, b) => (a.eventTime < b.eventTime ? -1 : 1)) },
  };
}

function orderUri({ chainId, shipments, orderId }: EpcisShipment, id = orderId): string {
  return `urn:coldproof:order:${chainId}:${shipments}:${id}`;
}

/** An ISO 6346 number has a scheme of its own (EPC Tag Data Standard 2.0, §6.3.16: BIC). */
function assetUri({ asset }: EpcisShipment): string {
  return `urn:epc:id:bic:${asset}`;
}

function common(kind: 'ObjectEvent' | 'TransactionEvent', timeSec: number) {
  return { type: kind, eventTime: formatTime(timeSec), eventTimeZoneOffset: '+00:00' } as const;
}

function sensor({ device }: EpcisShipment, channel: number, fromSec: number, toSec: number) {
  return {
    ...{ deviceID: `urn:coldproof:device:${device}`, deviceMetadata: `urn:coldproof:channel:${channelName(channel)}` },
    ...{ startTime: formatTime(fromSec), endTime: formatTime(toSec) },
  };
}

function observation(shipment: EpcisShipment, { channel, toSec, bucket }: Measured) {
  const { epcis, digits } = exportUnit(channel);
  const { type, uom } = epcis ?? { type: 'Dimensionless', uom: 'C62' };
  const decimal = (value: number) => Number(formatDecimal(value, digits));
  const { lowest, highest, first, last, faultCount } = bucket;
  const values =
    lowest === undefined || highest === undefined || first === undefined || last === undefined
      ? []
      : [
          { type, minValue: decimal(lowest.value), maxValue: decimal(highest.value), uom },
          { type, time: formatTime(first.timeSec), value: decimal(first.value), uom },
          { type, time: formatTime(last.timeSec), value: decimal(last.value), uom },
        ];
  const faults = faultCount === 0 ? [] : [{ type, exception: 'ERROR_CONDITION' }];
  return {
    ...common('ObjectEvent', toSec),
    ...{ action: 'OBSERVE', bizStep: 'transporting', disposition: 'in_transit' },
    epcList: [orderUri(shipment), assetUri(shipment)],
    sensorElementList: [
      { sensorMetadata: sensor(shipment, channel, bucket.fromSec, toSec), sensorReport: [...values, ...faults] },
    ],
  };
}

/** Said to be measured, so that it does not look silent; the value is a name instead of a number. */
function privateObservation(shipment: EpcisShipment, { channel, fromSec, toSec }: PrivatelyMeasured) {
  const { type } = exportUnit(channel).epcis ?? { type: 'Dimensionless' };
  return {
    ...common('ObjectEvent', toSec),
    ...{ action: 'OBSERVE', bizStep: 'transporting', disposition: 'in_transit' },
    epcList: [orderUri(shipment), assetUri(shipment)],
    sensorElementList: [
      {
        sensorMetadata: sensor(shipment, channel, fromSec, toSec),
        sensorReport: [{ type, uriValue: 'urn:coldproof:private' }],
      },
    ],
  };
}

/** Excursions are alarms, a sensor at fault is an error; a gap is neither, nor is what only its parties can read. */
function alarm(shipment: EpcisShipment, finding: StoredFinding, nowSec: number) {
  const { rule, channel, openedAtSec, closedAtSec = nowSec, detail } = finding;
  if (rule === 'gap' || rule === 'private') return undefined;
  const { epcis, digits } = exportUnit(channel);
  const { type, uom } = epcis ?? { type: 'Dimensionless', uom: 'C62' };
  const peak = detail['peakCentiC'];
  const value = typeof peak === 'number' ? { value: Number(formatDecimal(peak, digits)), uom } : {};
  const exception = rule === 'sensor-fault' ? 'ERROR_CONDITION' : 'ALARM_CONDITION';
  return {
    ...common('ObjectEvent', Math.max(openedAtSec, closedAtSec)),
    ...{ action: 'OBSERVE', bizStep: 'sensor_reporting' },
    disposition: rule === 'sensor-fault' ? 'unknown' : 'non_conformant',
    epcList: [orderUri(shipment)],
    sensorElementList: [
      {
        sensorMetadata: sensor(shipment, channel, openedAtSec, Math.max(openedAtSec, closedAtSec)),
        sensorReport: [{ type, exception, ...value }],
      },
    ],
  };
}

const steps: Readonly<Record<string, { readonly bizStep: string; readonly disposition: string }>> = {
  OrderPlaced: { bizStep: 'accepting', disposition: 'in_progress' },
  OrderDispatched: { bizStep: 'departing', disposition: 'in_transit' },
  OrderDelivered: { bizStep: 'receiving', disposition: 'in_progress' },
  OrderQuarantined: { bizStep: 'holding', disposition: 'non_conformant' },
  OrderHeld: { bizStep: 'holding', disposition: 'non_conformant' },
  OrderCancelled: { bizStep: 'void_shipping', disposition: 'non_sellable_other' },
};

function orderEvent(shipment: EpcisShipment, event: OrderEvent) {
  const { name, timeSec, transactionHash, replacementId, ticketId } = event;
  const orders = (id: string) => [{ type: 'po', bizTransaction: orderUri(shipment, id) }];
  const certificationInfo = `urn:coldproof:transaction:${shipment.chainId}:${transactionHash}`;
  const step = steps[name];
  if (step !== undefined) {
    return [
      {
        ...common('ObjectEvent', timeSec),
        ...{ certificationInfo, action: 'OBSERVE', ...step },
        epcList: [orderUri(shipment)],
        bizTransactionList: orders(shipment.orderId),
      },
    ];
  }
  if (name === 'OrderReplaced' && replacementId !== undefined) {
    return [
      {
        ...common('TransactionEvent', timeSec),
        ...{ certificationInfo, action: 'ADD', bizStep: 'replacing', disposition: 'needs_replacement' },
        epcList: [orderUri(shipment)],
        bizTransactionList: [...orders(shipment.orderId), ...orders(replacementId)],
      },
    ];
  }
  if (name === 'RepairRequested' && ticketId !== undefined) {
    return [
      {
        ...common('ObjectEvent', timeSec),
        ...{ certificationInfo, action: 'OBSERVE', bizStep: 'repairing', disposition: 'unavailable' },
        epcList: [`urn:coldproof:truck:${shipment.chainId}:${shipment.truck}`],
        bizTransactionList: [
          { type: 'urn:coldproof:ticket', bizTransaction: `urn:coldproof:ticket:${shipment.chainId}:${ticketId}` },
        ],
      },
    ];
  }
  return [];
}
